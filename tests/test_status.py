import io
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from daemon.filing import Folders
from daemon.home import Home
from daemon.identity import identify
from daemon.status import read_status, render
from daemon.store import Answer, Arrival, Store, connect
from daemon.upgrade import upgrade
from learner.errors import VidwatchError

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path)
    home.create()
    upgrade(home.database)
    return home


def fill(home: Home) -> None:
    """Two filed, one of them a duplicate, one failed, one in trouble, one queued; the names try to do mischief."""
    store = Store(connect(home.database), "me")
    names = ["red [bold]x.mp4", "again.mp4", "\x1b[31mtext", "troubled.mp4", "queued.mp4"]
    arrivals = []
    for name in names:
        (home.inbox / name).write_text(name)
        identity = identify(bytes(home.inbox / name))
        assert identity
        arrivals.append(Arrival(bytes(home.inbox / name), identity, None))
    store.enqueue(arrivals, NOW)
    videos = store.claim(4, NOW)
    model = store.register_model("starter", "digest", ["Biking", "Skiing"], {}, NOW)
    answers = [Answer(v.id, v.path, "5a3e0000", "Biking", 0, 0.75, [1.0, 0.0], 16, 16, "opencv") for v in videos[:2]]
    store.record(answers, model, Folders(home.root), NOW)
    store.moved({video.id: video.path for video in videos[:2]}, NOW - timedelta(minutes=1))
    store.fail(videos[2].id, "not a video", b"/failed")
    store.moved({videos[2].id: b"/failed"}, NOW)
    store.postpone([videos[3].id], "the share is gone", NOW)
    store.close()


def test_json_gives_counts_model_daemon_and_answers(home: Home) -> None:
    fill(home)
    status = json.loads(json.dumps(read_status(home, NOW).to_json()))
    assert {
        key: status[key] for key in ("queued", "claimed", "in_hand", "classified", "filed", "failed", "waiting")
    } == {
        "queued": 2,
        "claimed": 0,
        "in_hand": 0,
        "classified": 0,
        "filed": 2,
        "failed": 1,
        "waiting": 0,
    }
    assert (status["model"], status["duplicates"], status["clips_a_minute"]) == ("starter", 1, 0.4)
    assert status["daemon"] == {"running": False, "pid": None, "since": None, "settings_are_newer": False}
    assert [(row["id"], row["class"], row["probability"], row["duplicate_of"]) for row in status["recent"]] == [
        (2, "Biking", 0.75, 1),
        (1, "Biking", 0.75, None),
    ]
    assert [row["reason"] for row in status["failures"]] == ["not a video"]
    assert [row["reason"] for row in status["troubles"]] == ["the share is gone"]


def test_the_table_shows_names_as_they_are_and_no_control_characters(home: Home) -> None:
    fill(home)
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(render(read_status(home, NOW), NOW))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in shown
    for text in (
        "not running",
        "red [bold]x.mp4",
        "\\x1b[31mtext",
        "75.0%",
        "as video 1",
        "the share is gone",
        "starter",
    ):
        assert text in shown


def test_a_running_daemon_and_newer_settings_are_shown(home: Home) -> None:
    with home.lock() as running:
        assert read_status(home, NOW).running == running
        assert not read_status(home, NOW).settings_are_newer
        later = running.since.timestamp() + 60
        os.utime(home.settings, (later, later))
        assert read_status(home, NOW).settings_are_newer


def test_a_folder_that_is_no_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(VidwatchError, match="vidwatch init"):
        read_status(Home.at(tmp_path / "none"), NOW)


def test_a_file_that_is_no_database_is_one_line(home: Home) -> None:
    home.database.write_bytes(b"junk, and enough of it to be looked at as a header of a database" * 20)
    with pytest.raises(VidwatchError, match=r"vidwatch\.db: file is not a database"):
        read_status(home, NOW)


def test_status_is_read_while_a_writer_holds_the_database(home: Home) -> None:
    fill(home)
    with connect(home.database).execution_options(writes=True).begin() as writer:
        writer.exec_driver_sql("UPDATE videos SET error = 'half done'")
        assert read_status(home, NOW).failed[0].reason == "not a video"
        writer.rollback()
