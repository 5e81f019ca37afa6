import io
import json
import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from homes import MadeHome
from rich.console import Console
from sqlalchemy import update

from daemon.database.connection import connect
from daemon.database.drops import Drops
from daemon.database.predictions import Predictions
from daemon.database.tables import videos
from daemon.home.folder import Home
from daemon.home.folders import Folders
from daemon.home.settings import Settings
from daemon.labels.labels import Label, Labels
from daemon.report.status import read_status
from daemon.report.tables import render
from daemon.training.decisions import Decision, Decisions
from daemon.training.forecast import forecast
from daemon.training.records import KnownLabels
from learner.errors import VidwatchError
from learner.texts import share_in_words

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return MadeHome(tmp_path).home


def made_at(home: Home) -> closing[MadeHome]:
    return closing(MadeHome(home.root, now=NOW))


def fill(home: Home) -> None:
    """Two filed, one of them a duplicate, one failed, one in trouble, one queued; the names try to
    do mischief.
    """
    with made_at(home) as made:
        names = ["red [bold]x.mp4", "again.mp4", "\x1b[31mtext", "troubled.mp4", "queued.mp4"]
        made.enqueue(*(made.put(f"inbox/{name}") for name in names))
        first, copy, text, troubled = made.claim(4)
        biking = made.model_prediction("Biking", 0.75)
        made.record(*(made.prediction(v.id, biking, sha256="5a3e0000") for v in (first, copy)))
        made.now = NOW - timedelta(minutes=1)
        made.file()
        made.now = NOW
        made.queue.fail(text.id, "not a video", made.folders.failed(text.path), made.now)
        made.file()
        made.queue.postpone([troubled.id], "the share is gone", NOW)


def predict_unsure(home: Home, review_share: float = 1.0) -> None:
    """One clip of the random share, with an unsure prediction; a challenger predicts otherwise."""
    with made_at(home) as made:
        made.predictions = Predictions(made.engine, review_share)
        made.arrive("unsure.mp4")
        biking = made.model_prediction("Biking", 0.3)
        shadow = made.model_prediction("Skiing", model=made.register("auto-1"))
        made.predict_and_file(biking, unsure="probability", shadow=shadow, read_share=0.7)


def test_the_stream_the_colours_and_the_movement_of_a_video_are_shown(home: Home) -> None:
    with made_at(home) as made:
        made.arrive("thermal.mp4")
        made.predict_and_file(stream=1, colours="hdr", movement=0.25)
    (recent,) = read_status(home, NOW).to_json()["recent"]
    assert (recent["stream"], recent["colours"], recent["movement"]) == (1, "hdr", 0.25)
    assert "stream 1 of several, HDR, shown as SDR, 0 s ago" in shown(home)


def shown(home: Home) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(render(read_status(home, NOW), NOW))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_json_gives_counts_model_daemon_and_predictions(home: Home) -> None:
    fill(home)
    status = json.loads(json.dumps(read_status(home, NOW).to_json()))
    assert {
        key: status[key]
        for key in ("queued", "claimed", "in_hand", "classified", "filed", "failed", "waiting")
    } == {
        "queued": 2,
        "claimed": 0,
        "in_hand": 0,
        "classified": 0,
        "filed": 2,
        "failed": 1,
        "waiting": 0,
    }
    assert (status["model"], status["duplicates"], status["clips_a_minute"]) == ("starter", 1, 2.0)
    nobody = {
        "running": False,
        "state": "not running",
        "pid": None,
        "since": None,
        "notices": {},
        "settings_are_newer": False,
        "runs_on": None,
        "closed_until": None,
    }
    assert status["daemon"] == nobody
    assert [
        (row["id"], row["class"], row["probability"], row["duplicate_of"])
        for row in status["recent"]
    ] == [
        (2, "Biking", 0.75, 1),
        (1, "Biking", 0.75, None),
    ]
    assert [row["reason"] for row in status["failures"]] == ["not a video"]
    assert [row["reason"] for row in status["troubles"]] == ["the share is gone"]


@pytest.mark.of_sqlite
def test_the_table_shows_names_as_they_are_and_no_control_characters(home: Home) -> None:
    fill(home)
    text = shown(home)
    assert "\x1b" not in text
    for expected in (
        "not running",
        "red [bold]x.mp4",
        "\\x1b[31mtext",
        "75.0%",
        "as video 1",
        "the share is gone",
        "starter",
    ):
        assert expected in text


@pytest.mark.of_sqlite
def test_a_running_daemon_and_newer_settings_are_shown(home: Home) -> None:
    with home.lock() as lock:
        assert read_status(home, NOW).running == lock.running
        lock.note("disk", "too little space")
        assert "disk: too little space" in shown(home)
        assert not read_status(home, NOW).settings_are_newer
        later = lock.running.since + timedelta(minutes=1)
        os.utime(home.settings, (later.timestamp(), later.timestamp()))
        assert read_status(home, later).settings_are_newer


def test_a_folder_that_is_no_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(VidwatchError, match="vidwatch init"):
        read_status(Home.at(tmp_path / "none"), NOW)


@pytest.mark.of_sqlite
def test_a_file_that_is_no_database_is_one_line(home: Home) -> None:
    home.database.write_bytes(
        b"junk, and enough of it to be looked at as a header of a database" * 20
    )
    with pytest.raises(
        VidwatchError, match=r"vidwatch\.db is damaged \(file is not .*'vidwatch restore'"
    ):
        read_status(home, NOW)
    home.database.write_bytes(b"")
    with pytest.raises(VidwatchError, match=r"vidwatch\.db is damaged .*'vidwatch restore'"):
        read_status(home, NOW)


def test_the_table_calls_states_what_json_calls_them(home: Home) -> None:
    fill(home)
    with made_at(home) as made:
        (video,) = made.claim(1)
        made.queue.wait(video.id, NOW)
    counted = read_status(home, NOW).to_json()
    assert (counted["queued"], counted["waiting"]) == (1, 1)
    (line,) = [line for line in shown(home).splitlines() if "queued  " in line]
    assert "1, and 1 waiting to be whole" in line


def test_what_could_not_be_read_is_no_new_label(home: Home) -> None:
    with made_at(home) as made:
        for name in ("a.avi", "b.avi", "c.avi", "notes.txt"):
            path = made.put(f"labelled/Biking/{name}", name)
            made.class_folders.notice([made.found(path)], NOW)
        assert read_status(home, NOW).training.new_labels == 0
        *good, text = made.claim(4)
        made.record(*(made.prediction(video.id) for video in good))
        made.queue.fail(text.id, "not a video", b"/failed", made.now)
        assert read_status(home, NOW).training.new_labels == 3


def test_new_labels_are_counted_as_vidwatch_labels_counts_them(home: Home) -> None:
    """Of a class that has too few clips to learn from, none counts yet."""
    with made_at(home) as made:
        for number in range(5):
            made.arrive(f"{number}.avi")
        for video in made.predict_and_file():
            made.give_label(video, "Biking" if video < 5 else "Skating")
        made.file()
        found = forecast(made.engine, home, Settings())
    assert found.new == 4
    assert set(found.short) == {"Skating"}
    assert read_status(home, NOW).training.new_labels == 4


def test_a_prediction_that_was_corrected_is_told_from_one_that_was_accepted(home: Home) -> None:
    with made_at(home) as made:
        for name in ("a.avi", "b.avi", "c.avi"):
            made.arrive(name)
        right, wrong, _ = made.predict_and_file(made.model_prediction("Biking"))
        made.give_label(right, "Biking")
        made.give_label(wrong, "Skiing")
    recent = {video.id: video.is_corrected for video in read_status(home, NOW).recent}
    assert recent == {1: False, 2: True, 3: False}
    text = shown(home)
    assert "Biking        90.0%  labelled, 0 s ago" in text
    assert "Skiing               labelled, not Biking 90.0%, 0 s ago" in text


@pytest.mark.slow
@pytest.mark.of_sqlite
def test_before_the_first_start_the_model_is_the_one_that_it_begins_with(home: Home) -> None:
    assert read_status(home, NOW).model == "starter"
    home.settings.write_text('model = "mine"\n')
    assert read_status(home, NOW).model == "mine"
    assert "mine  from the next start on" in shown(home)
    with made_at(home) as made:
        made.register("mine")
    assert "mine  when it last ran" in shown(home)


@pytest.mark.of_sqlite
def test_a_daemon_that_starts_is_no_daemon_that_takes_clips(home: Home) -> None:
    with home.lock() as lock:
        lock.starts(is_starting=True)
        assert "starting for" in shown(home)
        assert read_status(home, NOW).to_json()["daemon"]["state"] == "starting"
        lock.starts(is_starting=False)
        lock.runs_on("cpu by OpenVINO 1.2")
        assert "running for" in shown(home)
        assert "on cpu by OpenVINO 1.2" in shown(home)
        assert read_status(home, NOW).to_json()["daemon"]["state"] == "running"
    assert read_status(home, NOW).to_json()["daemon"]["state"] == "not running"


def test_settings_from_a_time_when_the_clock_was_ahead_were_not_changed_since(home: Home) -> None:
    with home.lock():
        now = datetime.now(UTC)
        os.utime(home.settings, (now.timestamp() + 1e6,) * 2)
        assert not read_status(home, now).settings_are_newer


def test_status_is_read_while_a_writer_holds_the_database(home: Home) -> None:
    fill(home)
    with connect(home.database).execution_options(writes=True).begin() as writer:
        writer.exec_driver_sql("UPDATE videos SET error = 'half done'")
        assert read_status(home, NOW).failed[0].reason == "not a video"
        writer.rollback()


def test_an_unsure_prediction_is_marked_and_that_of_a_shadow_is_not_shown(home: Home) -> None:
    predict_unsure(home)
    (recent,) = read_status(home, NOW).to_json()["recent"]
    assert (recent["class"], recent["doubt"]) == ("Biking", "probability")
    assert "unsure: below its threshold, cut short (70% was there), 0 s ago" in shown(home)


def test_of_a_clip_that_is_cut_short_not_all_was_there(home: Home) -> None:
    with made_at(home) as made:
        made.arrive("cut.ts")
        made.predict_and_file(read_share=0.9996)
    assert "cut short (99% was there)" in shown(home)
    assert [share_in_words(share) for share in (0.29, 0.496, 0.7, 1)] == [
        "29%",
        "49%",
        "70%",
        "100%",
    ]


def test_unsure_predictions_are_counted_until_they_are_reviewed(home: Home) -> None:
    predict_unsure(home, review_share=0.0)
    assert read_status(home, NOW).to_json()["unsure"] == {
        "share": 1.0,
        "looked_at": 1,
        "awaiting_review": 1,
    }
    line = "100.0% of the last 7 days' predictions; 1 unsure clip without a label"
    assert line in shown(home)
    Labels(connect(home.database), Folders(home.root)).add(
        [Label(1, "labelled", "Biking")], "page", "ann", NOW
    )
    assert read_status(home, NOW).to_json()["unsure"]["awaiting_review"] == 0


def test_live_accuracy_is_that_of_the_random_share_and_a_hint_shows_if_that_was_not_reviewed(
    home: Home,
) -> None:
    predict_unsure(home)
    assert read_status(home, NOW).to_json()["live_accuracy"] is None
    assert "not reviewed yet: vidwatch review" in shown(home)
    labels = Labels(connect(home.database), Folders(home.root))
    labels.add([Label(1, "labelled", "Biking", sampled=True)], "page", "ann", NOW)
    live = read_status(home, NOW).to_json()["live_accuracy"]
    assert (live["model"], live["n"], live["right"]) == ("starter", 1, 1)
    assert "100.0% (20.7% to 100.0%) of 1 clip drawn at random" in shown(home)


def test_the_model_shown_is_the_champion(home: Home) -> None:
    """Not a challenger in its shadow, which was loaded last, nor one that is refused."""
    predict_unsure(home)
    history = Decisions(connect(home.database))
    history.apply_setting("starter", NOW)
    history.conclude("auto-1", "starter", Decision("refused", "it is worse", {}), NOW)
    assert read_status(home, NOW).model == "starter"
    history.conclude("auto-1", "starter", Decision("promoted", "it is better", {}), NOW)
    assert read_status(home, NOW).model == "auto-1"


def test_a_model_that_the_settings_give_by_its_path_is_shown_by_its_name(home: Home) -> None:
    Decisions(connect(home.database)).apply_setting("/srv/models/mine.safetensors", NOW)
    assert read_status(home, NOW).model == "mine"


def test_drift_is_a_warning(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    predict_unsure(home)
    assert read_status(home, NOW).to_json()["drift"] == []
    monkeypatch.setattr(
        "daemon.report.accuracy.compare", lambda found: ["more [unsure] predictions"]
    )
    assert read_status(home, NOW).to_json()["drift"] == ["more [unsure] predictions"]
    assert "more [unsure] predictions" in shown(home)


@pytest.mark.slow
def test_status_shows_how_far_training_is_and_how_it_ended(home: Home) -> None:
    engine = connect(home.database)
    history = Decisions(engine)
    history.apply_setting("starter", NOW)
    history.request_training("20 new labels", NOW)
    training = history.requested_training()
    assert training
    history.begin(training, KnownLabels(0), NOW)
    history.note_progress(training, "48%, loss 0.224")
    assert "auto-1 ended with the daemon" in shown(home)
    with home.lock():
        assert "auto-1 48%, loss 0.224" in shown(home)
    history.conclude("auto-1", "starter", Decision("refused", "it is worse", {}), NOW, training)
    assert "auto-1 refused, 0 new labels since" in shown(home)
    assert read_status(home, NOW).to_json()["training"]["verdict"] == "refused"
    history.request_training("vidwatch retrain", NOW)
    training = history.requested_training()
    assert training
    history.end(training, "failed", "its process ended (signal 9)", NOW)
    text = " ".join(shown(home).replace("│", "").split())
    assert "auto-2 failed: its process ended (signal 9); 'vidwatch retrain' tries it again" in text
    engine.dispose()


def test_status_shows_the_label_of_a_clip_also_beside_its_duplicates(home: Home) -> None:
    with made_at(home) as made:
        first = made.arrive("first.mp4", "one content")
        made.predict_and_file(made.model_prediction("Skiing"))
        made.give_label(first, "Biking")
        made.arrive("again.mp4", "one content")
        made.arrive("other.mp4")
        made.predict_and_file()
    recent = {row["name"]: row["label"] for row in read_status(home, NOW).to_json()["recent"]}
    assert recent == {"first.mp4": "Biking", "again.mp4": "Biking", "other.mp4": None}
    assert f"labelled, not Skiing 90.0%, as video {first}" in shown(home)


def test_status_says_that_a_duplicate_was_dropped(home: Home) -> None:
    with made_at(home) as made:
        made.arrive("first.mp4", "one content")
        made.predict_and_file()
        again = made.arrive("again.mp4", "one content")
        made.predict()
        drops = Drops(made.engine)
        moves = made.queue.moves(made.now)
        first_at = drops.first_at(1)
        assert first_at
        assert drops.begin(moves, {1: first_at}, made.now) == moves
        drops.complete(moves, made.now)
    recent = {row["id"]: row["dropped"] for row in read_status(home, NOW).to_json()["recent"]}
    assert recent == {1: False, again: True}
    assert "as video 1, dropped" in shown(home)


def test_a_clip_that_is_read_again_later_is_named_with_when_and_why(home: Home) -> None:
    with made_at(home) as made:
        video = made.arrive("torn.avi")
        made.claim(1)
        made.queue.hold(video, NOW + timedelta(seconds=25), "cut short: it may still arrive")
        with made.writing() as connection:
            connection.execute(update(videos).values(source="north"))
        (wait,) = read_status(home, NOW).to_json()["waits"]
        assert wait == {
            "id": video,
            "name": "torn.avi",
            "source": "north",
            "why": "cut short: it may still arrive",
            "until": (NOW + timedelta(seconds=25)).isoformat(),
        }
        assert "cut short: it may still arrive; it is read again in 25 s" in shown(home)
        assert "north/torn.avi" in shown(home)
        made.queue.recover()
        assert "read again" not in shown(home)


@pytest.mark.of_sqlite
def test_clips_beside_the_class_folders_are_named(home: Home) -> None:
    with made_at(home) as made:
        made.put("labelled/Skiing/a.avi")
        assert read_status(home, NOW).loose_files == []
        for name in ("b.avi", "c.avi", "d.avi", "e.avi", ".hidden", "f.part", "b.THM"):
            made.put(f"labelled/{name}")
        made.put("classified/x.avi")
    labelled, classified = read_status(home, NOW).to_json()["loose_files"]
    assert labelled.startswith(
        "labelled/ has 4 files beside the class folders (b.avi, c.avi, d.avi and 1 more)"
    )
    assert classified.startswith("classified/ has 1 file beside the class folders (x.avi)")
    assert "move them into labelled/<class>/" in " ".join(shown(home).split())
    home.settings.write_text('ignore = ["[a-d].avi", "x.*"]')
    (labelled,) = read_status(home, NOW).loose_files
    assert labelled.startswith("labelled/ has 1 file beside the class folders (e.avi)")


def test_videos_with_one_trouble_are_one_line(home: Home) -> None:
    made = MadeHome(home.root)
    ids = [made.arrive(f"{number}.mp4") for number in range(30)]
    made.claim(100)
    made.queue.postpone(ids[:29], "/mnt/old is empty or not there: mount it", NOW)
    made.queue.postpone(ids[29:], "something else", NOW)
    status = read_status(home, NOW)
    assert [(one.name, one.n_more) for one in status.troubled] == [("29.mp4", 0), ("28.mp4", 28)]
    assert "28.mp4 and 28 more" in shown(home)
