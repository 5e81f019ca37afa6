"""The queue that daemons of several machines share: claims, leases, sessions, marks and rows."""

import io
import re
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import homes
import pytest
from homes import START, MadeHome
from postgres import TestServer
from rich.console import Console
from sqlalchemy.exc import OperationalError

from daemon.database.connection import connect
from daemon.database.daemons import (
    SHARED_LEASE,
    Member,
    announce,
    leave,
    members,
    require_none_older,
)
from daemon.database.predictions import Predictions
from daemon.database.queue import ATTEMPTS, Queue
from daemon.database.records import machine_of
from daemon.database.root import follow_home
from daemon.database.session import LEADER, Session, alone
from daemon.home import clock
from daemon.home.address import Server
from daemon.home.clock import now
from daemon.home.mark import NAME
from daemon.maintenance.doctor import examine
from daemon.report.one_video import read_video
from daemon.report.one_video_tables import render as render_video
from daemon.report.status import read_status
from daemon.report.tables import render
from learner.errors import PassingError, VidwatchError

KINDS_OF_DATABASE = ("postgresql",)  # each test here is of a server


@pytest.fixture
def home(
    tmp_path: Path, postgres: TestServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MadeHome]:
    monkeypatch.setattr(homes, "new_database", postgres.settings_of_new_home)
    made = MadeHome(tmp_path / "home")
    yield made
    made.close()


def queue_of(home: MadeHome, machine: str) -> Queue:
    return Queue(connect(home.home.database), f"{machine}:1", machine)


def put_back(home: MadeHome) -> tuple[int, Queue, Queue, datetime]:
    """A video that a daemon had claimed which stood still, and that another one put back then."""
    video = home.arrive("a.mp4")
    still, other = queue_of(home, "still"), queue_of(home, "other")
    still.claim(1, START)
    later = START + 2 * SHARED_LEASE
    other.put_back_overdue(later)
    return video, still, other, later


def member(machine: str) -> Member:
    return Member(machine, 1, "1.0", "tiny", "cpu", now(), now(), 0, 0.0, False, {})


def test_two_daemons_that_claim_at_once_get_different_videos(home: MadeHome) -> None:
    for number in range(200):
        home.put(f"inbox/{number:03}.mp4")
    home.enqueue(*sorted(home.inbox.iterdir()))
    got: dict[str, list[int]] = {name: [] for name in ("a", "b", "c")}

    def claim(name: str) -> None:
        queue = queue_of(home, name)
        while claimed := queue.claim(7, START):
            got[name] += [video.id for video in claimed]
        queue.close()

    threads = [threading.Thread(target=claim, args=(name,)) for name in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [video for each in got.values() for video in each]
    assert len(ids) == 200
    assert len(set(ids)) == 200


def test_overdue_claims_come_back_and_renewed_ones_stay(home: MadeHome) -> None:
    home.arrive("a.mp4")
    home.arrive("b.mp4")
    dead, alive = queue_of(home, "dead"), queue_of(home, "alive")
    (lost,) = dead.claim(1, START)
    (kept,) = alive.claim(1, START)
    later = START + SHARED_LEASE + timedelta(seconds=1)
    alive.renew_leases(later - timedelta(seconds=10))
    assert alive.put_back_overdue(START + SHARED_LEASE / 2) == 0
    assert alive.put_back_overdue(later) == 1
    assert [home.row(video.id)["state"] for video in (lost, kept)] == ["queued", "claimed"]
    for queue in (dead, alive):
        queue.close()


def test_a_daemon_records_and_changes_nothing_that_another_one_has_taken_over(
    home: MadeHome,
) -> None:
    video, still, other, later = put_back(home)
    other.claim(1, later)
    late = Predictions(home.engine, owner=still.owner)
    assert late.record([home.prediction(video)], home.folders, later) == []
    still.release([video])
    still.wait(video, later)
    still.postpone([video], "trouble", later)
    still.fail(video, "damaged", home.folders.failed(bytes(home.path(video))), later)
    still.renew_leases(later + timedelta(hours=1))
    row = home.row(video)
    assert (row["state"], row["claimed_by"], row["trouble"]) == ("claimed", other.owner, None)
    assert row["lease_until"] == later + SHARED_LEASE
    mine = Predictions(home.engine, owner=other.owner)
    assert len(mine.record([home.prediction(video)], home.folders, later)) == 1
    for queue in (still, other):
        queue.close()


def test_a_video_that_was_put_back_does_not_fail_by_the_daemon_that_stood_still(
    home: MadeHome,
) -> None:
    video, still, other, later = put_back(home)
    still.fail(video, "damaged", home.folders.failed(bytes(home.path(video))), later)
    assert home.row(video)["state"] == "queued"
    other.claim(1, later)
    for attempt in range(1, ATTEMPTS + 1):
        assert other.count_crash(video, "its decoder crashed", later) == attempt
        if attempt < ATTEMPTS:
            other.claim(1, later + attempt * timedelta(minutes=1))
    other.fail(video, "given up", None, later)
    assert home.row(video)["state"] == "failed"
    for queue in (still, other):
        queue.close()


def test_a_start_puts_back_what_a_daemon_of_this_machine_had_alone(home: MadeHome) -> None:
    for name in ("a", "b", "c"):
        home.arrive(f"{name}.mp4")
    for machine in ("gpu", "gpu1", "g_u"):
        queue = queue_of(home, machine)
        queue.claim(1, START)
        queue.close()
    again = Queue(home.engine, "g_u:2", "g_u")
    assert again.recover() == 1
    by = [row.claimed_by for row in home.rows() if row.state == "claimed"]
    assert by == ["gpu:1", "gpu1:1"]


def test_one_session_leads_until_the_server_ends_it(
    home: MadeHome, postgres: TestServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = home.home.database
    assert isinstance(server, Server)
    one, two = Session(server, "one"), Session(server, "two")
    one.open()
    two.open()
    assert (one.lead(), two.lead()) == (True, False)
    assert (one.leads(), two.leads()) == (True, False)
    name = server.url.rpartition("/")[2]
    of_locks = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = {LEADER}"
    ((pid,),) = postgres.execute(name, of_locks)
    postgres.execute(name, f"SELECT pg_terminate_backend({pid})")
    assert not one.leads()
    (said,) = caplog.messages
    assert re.fullmatch(r"the connection of the daemon that leads has ended \(.+\)", said)
    assert two.lead()
    assert not one.lead()
    two.resign()
    assert one.lead()
    for session in (one, two):
        session.close()


def test_a_session_that_is_silent_leads_no_more_and_keeps_its_name_if_it_does_not_lead(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.database.session.STILL", 300)
    server = home.home.database
    assert isinstance(server, Server)
    one, two = Session(server, "one"), Session(server, "two")
    one.open()
    two.open()
    assert one.lead()
    time.sleep(1)
    again = Session(server, "two")
    with pytest.raises(PassingError, match="the machine name two is taken: another daemon at 127"):
        again.open()
    assert two.lead()
    assert not one.leads()
    for session in (one, two, again):
        session.close()


def test_a_second_daemon_with_the_name_of_a_machine_is_refused(home: MadeHome) -> None:
    server = home.home.database
    assert isinstance(server, Server)
    one, two = Session(server, "gpu1"), Session(server, "gpu1")
    one.open()
    with pytest.raises(
        PassingError, match=r"gpu1 is taken: .*; set VIDWATCH_MACHINE to another name"
    ):
        two.open()
    one.close()
    two.open()
    two.close()


def test_two_homes_on_one_database_are_refused(home: MadeHome, tmp_path: Path) -> None:
    follow_home(home.engine, home.root)
    follow_home(home.engine, home.root)
    mark = (home.root / NAME).read_text()
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(PassingError, match="is not mounted on this machine"):
        follow_home(home.engine, other)
    (other / NAME).write_text("of another home\n")
    with pytest.raises(VidwatchError, match="is not the home that this database belongs to"):
        follow_home(home.engine, other)
    (other / NAME).write_text(mark)
    follow_home(home.engine, other)


def test_daemons_are_listed_until_they_end_and_hold_up_those_who_need_the_home_alone(
    home: MadeHome,
) -> None:
    with home.engine.execution_options(writes="shared").begin() as connection:
        announce(connection, member("a"))
        announce(connection, member("b"))
        announce(connection, member("b"))
    with home.engine.begin() as connection:
        assert [one.machine for one in members(connection)] == ["a", "b"]
    with pytest.raises(PassingError, match=r"on other machines \(a, b\)"), alone(home.home):
        pass
    with pytest.raises(PassingError, match=r"an older vidwatch work on this database \(a, b\)"):
        require_none_older(home.engine, now())
    require_none_older(home.engine, now() + 2 * SHARED_LEASE)
    leave(home.engine, "a")
    leave(home.engine, "b")
    with alone(home.home):
        pass


def test_the_clock_of_the_server_counts(home: MadeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def ahead() -> object:
        return started + timedelta(days=1)

    started = clock.machine_time()
    monkeypatch.setattr(clock, "machine_time", ahead)
    engine = connect(home.home.database)
    with engine.begin():
        pass
    assert abs(now() - started) < timedelta(minutes=5)
    engine.dispose()
    monkeypatch.undo()
    clock.follow(clock.machine_time())


def test_file_systems_have_the_same_number_on_all_machines(home: MadeHome) -> None:
    video = home.arrive("a.mp4")
    there = home.path(video).stat().st_dev
    assert home.row(video)["device"] == there
    with home.engine.begin() as connection:
        stored = connection.exec_driver_sql("SELECT device FROM videos").scalar()
    assert stored == 0
    vars(home.engine.dialect)["file_systems"] = {77: 0}  # on another machine
    assert home.row(video)["device"] == 77


def test_one_that_stands_still_while_it_writes_does_not_hold_up_the_others_for_long(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.database.postgres.STILL", 500)
    video = home.arrive("a.mp4")
    still = connect(home.home.database)
    held = still.execution_options(writes=True).connect()
    transaction = held.begin()
    held.exec_driver_sql("UPDATE videos SET name = 'b.mp4'")
    assert len(queue_of(home, "other").claim(1, START)) == 1
    with pytest.raises(OperationalError):
        transaction.commit()
    assert home.row(video)["name"] == "a.mp4"
    still.dispose()


def test_the_machine_that_predicted_is_shown(home: MadeHome) -> None:
    video = home.arrive("a.mp4")
    queue = queue_of(home, "gpu1")
    queue.claim(1, START)
    queue.close()
    predictions = Predictions(home.engine, owner=queue.owner)
    predictions.record([home.prediction(video)], home.folders, START)
    with home.engine.begin() as connection:
        report = read_video(connection, video)
    (predicted,) = report.to_json()["predictions"]
    assert predicted["machine"] == "gpu1"
    written = io.StringIO()
    Console(file=written, width=200).print(render_video(report))
    assert "on gpu1, 16 frames" in written.getvalue()


def test_who_signs_a_claim_is_on_a_machine() -> None:
    assert machine_of("gpu1.lab:812") == "gpu1.lab"
    assert machine_of("backfill:gpu1:812") == "gpu1"


def shown(home: MadeHome) -> str:
    """The status as people see it."""
    written = io.StringIO()
    status = read_status(home.home, now())
    Console(file=written, width=200).print(render(status, now()))
    return written.getvalue()


def test_a_daemon_that_was_killed_is_known_at_once_by_the_connection_that_it_had(
    home: MadeHome,
) -> None:
    server = home.home.database
    assert isinstance(server, Server)
    one, two = Session(server, "one"), Session(server, "two")
    one.open()
    two.open()
    with home.engine.execution_options(writes="shared").begin() as connection:
        announce(connection, member("one"))
        announce(connection, member("two"))
    assert "has ended" not in shown(home)
    one.close()  # as the server does when the process dies
    text = shown(home)
    assert "one has ended, or has lost its server: last sign of life" in text
    assert text.count("has ended") == 1
    with home.engine.begin() as connection:
        states = {one.machine: (one.connected, one.is_alive(now())) for one in members(connection)}
    assert states == {"one": (False, True), "two": (True, True)}
    two.close()
    assert "none is running" in shown(home)
    assert not read_status(home.home, now()).is_running


def test_a_second_daemon_with_the_lock_of_a_machine_is_told_which_setting_to_change(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDWATCH_MACHINE", "gpu1")
    taken = "the machine name gpu1 is taken on .* of this machine or of another one .*"
    hint = "set VIDWATCH_MACHINE to another name on one of the two, or stop that daemon"
    with home.home.lock(), pytest.raises(PassingError, match=taken + hint), home.home.lock():
        pass
    with home.home.lock():
        monkeypatch.setenv("VIDWATCH_MACHINE", "gpu2")
        with home.home.lock():
            pass


def test_the_doctor_knows_the_daemons_of_other_machines_unless_the_server_is_away(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> list[str]:
        return [line.text for line in examine(home.home) if line.subject in ("daemon", "videos")]

    home.arrive("a.mp4")
    assert said()[0].startswith("not running on any machine; start it")
    assert "no daemon runs" in said()[1]
    with home.engine.execution_options(writes="shared").begin() as connection:
        announce(connection, member("gpu1"))
    assert said() == ["none runs on this machine, but on others: gpu1"]
    monkeypatch.setenv("VIDWATCH_DATABASE", "postgresql://vidwatch:x@127.0.0.1:9/x")
    (text,) = said()
    assert text.startswith("none is known to run: the server of the database")
    assert "cannot be asked" in text
