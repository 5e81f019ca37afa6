"""What waits to be sent: what is noted of each event, and what stays in the database for it."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from sqlalchemy import event as events_of
from sqlalchemy import update
from told import ToldHome
from told import told as told

from daemon.database.events import Event, note_events
from daemon.database.tables import outbox, videos
from daemon.home.settings import Settings
from daemon.labels.class_changes import ClassChanges
from daemon.labels.labels import Origin
from daemon.labels.parts import Part, PartLabels
from daemon.maintenance.retention import Retention
from daemon.notify.content import content_of, is_being_moved
from daemon.notify.outbox import Outbox
from daemon.notify.trouble import TroubleWatch
from daemon.training.decisions import Decisions
from daemon.training.records import Decision
from learner.errors import VidwatchError

ALL = '[[webhook]]\nname = "all"\nurl = "http://127.0.0.1:9/"\n'


@pytest.fixture
def waits(told: ToldHome) -> Outbox:
    told.configure(ALL)
    return Outbox(told.engine, 1)


def contents(told: ToldHome, waits: Outbox) -> list[dict[str, object]]:
    """What waits, as it would be sent; each can be written as JSON."""
    with told.engine.begin() as connection:
        found = [content_of(connection, event) for event in waits.oldest(100)]
    assert all(found)
    json.dumps(found)
    return [one for one in found if one]


def test_another_champion_is_told_but_not_the_first_one(told: ToldHome, waits: Outbox) -> None:
    decisions = Decisions(told.engine)
    decisions.apply_setting("starter", told.now)
    assert waits.count() == 0
    decisions.conclude("auto-1", "starter", Decision("refused", "worse", {}), told.now)
    decisions.conclude("auto-2", "starter", Decision("promoted", "better", {}), told.now)
    decisions.roll_back(told.now)
    found = contents(told, waits)
    assert [(one["event"], one["model"], one["before"], one["verdict"]) for one in found] == [
        ("promoted", "auto-2", "starter", "promoted"),
        ("promoted", "starter", "auto-2", "rolled back"),
    ]


def test_a_training_that_failed_is_told_but_not_one_that_was_stopped(
    told: ToldHome, waits: Outbox
) -> None:
    decisions = Decisions(told.engine)
    for state in ("stopped", "failed"):
        decisions.request_training("because", told.now)
        training = decisions.requested_training()
        assert training
        decisions.end(training, state, "no room", told.now)
    (event,) = contents(told, waits)
    assert (event["event"], event["model"], event["error"]) == (
        "training_failed",
        "auto-2",
        "no room",
    )


def test_labels_are_told_as_they_are_given_and_taken_back(told: ToldHome, waits: Outbox) -> None:
    (video,) = told.classify("a.avi")
    told.give_label(video, "Skiing")
    told.labels.accept([video], "accepted", "bob", told.now)
    told.labels.undo([video], "command", "ann", told.now)
    found = [one for one in contents(told, waits) if one["event"] == "labelled"]
    assert [(one["verdict"], one["given"], one["given_by"], one["id"]) for one in found] == [
        ("labelled", "Skiing", "ann", 1),
        ("labelled", "Biking", "bob", 1),
        ("withdrawn", None, "ann", 1),
    ]
    assert all(one["part"] is None for one in found)


def test_labels_of_parts_are_told_with_their_times(told: ToldHome, waits: Outbox) -> None:
    (video,) = told.classify("a.avi")
    window = (
        "INSERT INTO windows (video_id, model_id, number, start_s, end_s, class, class_index,"
        " probability, logits, frames_read, created_at)"
        " VALUES (1, 1, 0, 0, 90, 'Biking', 0, 0.9, '[]', 1, '2026-01-01')"
    )
    with told.writing() as connection:
        connection.exec_driver_sql(window)
    origin = Origin("command", "ann", told.now)
    parts = PartLabels(told.engine)
    parts.add(video, Part(10, 20), "Skiing", origin)
    parts.undo(video, Part(10, 20), origin)
    found = [one for one in contents(told, waits) if one["event"] == "labelled"]
    assert [(one["verdict"], one["given"], one["part"]) for one in found] == [
        ("labelled", "Skiing", {"start": 10.0, "end": 20.0}),
        ("withdrawn", None, {"start": 10.0, "end": 20.0}),
    ]


def test_a_renamed_class_tells_of_no_labels(told: ToldHome, waits: Outbox) -> None:
    (video,) = told.classify("a.avi")
    told.give_label(video, "Skiing")
    before = waits.count()
    ClassChanges(told.engine, told.folders, "ann").rename("Skiing", "Ski", told.now)
    assert waits.count() == before


def test_a_label_that_is_refused_is_not_told(told: ToldHome, waits: Outbox) -> None:
    (video,) = told.classify("a.avi")
    before = waits.count()
    with pytest.raises(VidwatchError):
        told.give_label(video, "no/class")
    assert waits.count() == before


def test_rows_stay_until_the_receiver_was_told(told: ToldHome, waits: Outbox) -> None:
    told.now -= timedelta(days=400)
    told.classify("old.avi", "new.avi")
    told.now += timedelta(days=400)
    told.path(1).unlink()
    settings = Settings(keep_days=1)
    retention = Retention(told.home, told.engine, settings, lambda now: None, lambda text: None)
    assert (retention.tend(told.now), retention.tend(told.now)) == (0, 0)
    waits.sent([event.id for event in waits.oldest(10)], told.now)
    assert (retention.tend(told.now), retention.tend(told.now)) == (0, 1)


def test_an_event_waits_while_its_file_is_moved_but_not_for_long(
    told: ToldHome, waits: Outbox
) -> None:
    told.arrive("a.avi")
    told.predict()
    (event,) = waits.oldest(1)
    soon = event.created_at + timedelta(seconds=1)

    def is_moved(at: object) -> bool:
        with told.engine.begin() as connection:
            return is_being_moved(connection, event, at)  # type: ignore[arg-type]

    assert is_moved(soon)
    assert not is_moved(event.created_at + timedelta(minutes=1))
    assert not is_moved(event.created_at - timedelta(days=1))  # the clock was set back
    with told.writing() as connection:
        connection.execute(update(videos).values(trouble="read-only"))
    assert not is_moved(soon)


def test_a_notice_that_stays_is_told_once_and_its_end_too(told: ToldHome, waits: Outbox) -> None:
    notices: dict[str, str] = {}
    watch = TroubleWatch(told.engine, lambda: notices, told.home.trouble)
    notices |= {"disk": "is full: 0 GB", "short": "a moment"}
    watch.tend(told.now)
    del notices["short"]
    for _ in range(8):
        watch.tend(told.tick())
    notices.clear()
    watch.tend(told.tick())
    found = contents(told, waits)
    assert [(one["subject"], one["text"], one["over"]) for one in found] == [
        ("disk", "is full: 0 GB", False),
        ("disk", None, True),
    ]


def test_trouble_that_a_restart_ends_is_over_and_other_trouble_goes_on(
    told: ToldHome, waits: Outbox
) -> None:
    notices = {"backup": "no space", "disk": "is full"}
    for restart in range(3):
        watch = TroubleWatch(told.engine, lambda: notices, told.home.trouble)
        for minute in range(7):
            watch.tend(told.tick())
            if restart == 1 and minute == 0:  # after a start, it is noticed again a moment later
                del notices["disk"]
                notices["backup"] = "no space yet"
    found = contents(told, waits)
    assert [(one["subject"], one["over"]) for one in found] == [
        ("backup", False),
        ("disk", False),
        ("disk", True),
    ]
    told.home.trouble.write_text('["gone", "backup"')
    TroubleWatch(told.engine, lambda: notices, told.home.trouble).tend(told.tick())
    assert waits.count() == 3


def test_a_name_that_is_no_text_is_told(told: ToldHome, waits: Outbox) -> None:
    path = told.root / "inbox" / b"f\xfcr.avi".decode(errors="surrogateescape")
    path.write_text("a")
    told.enqueue(path)
    told.predict_and_file()
    (event,) = contents(told, waits)
    sent = json.loads(json.dumps(event).encode())
    assert sent["path"].endswith("/f\\xfcr.avi")
    assert unquote_to_bytes(sent["uri"].removeprefix("file://")) == os.fsencode(
        told.path(sent["id"])
    )


def test_events_of_a_batch_are_two_statements_and_one_if_nobody_wants_them(told: ToldHome) -> None:
    events = [Event(number) for number in range(64)]
    statements: list[str] = []

    def note(*call: Any) -> None:
        if "advisory" not in call[2]:  # a writer's turn, on a server
            statements.append(call[2].split()[0])

    def n_statements() -> list[str]:
        statements.clear()
        with told.engine.execution_options(writes=True).begin() as connection:
            note_events(connection, "promoted", events, told.now)
            connection.rollback()
        return [word for word in statements if word in ("SELECT", "INSERT", "UPDATE", "DELETE")]

    events_of.listen(told.engine, "before_cursor_execute", note)
    told.configure("")
    assert n_statements() == ["SELECT"]
    told.configure(ALL)
    assert n_statements() == ["SELECT", "INSERT"]


def test_a_home_of_before_has_no_receivers(tmp_path: Path, told: ToldHome) -> None:
    assert told.waiting() == 0
    assert told.rows(outbox) == []
