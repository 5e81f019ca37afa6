"""Where clips came from, as a running daemon keeps it: real files through the whole way."""

import time

import pytest
from installed import Daemon, drop
from installed import daemon as daemon
from sqlalchemy import update

from daemon.database.connection import opened
from daemon.database.tables import videos

ROWS = 'SELECT name, source, "group", recorded_by, camera FROM videos ORDER BY source IS NOT NULL, source, name'


def places(daemon: Daemon, top: str) -> list[str]:
    """Below the folder of a class, without the name of the class."""
    folder = daemon.root / top
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted("/".join(file.parts[1:]) for file in files)


def drop_all(daemon: Daemon) -> None:
    drop(daemon.inbox / "cam1", "00.avi", 1)
    drop(daemon.inbox / "cam2/2024-01-31", "00.avi", 2)
    drop(daemon.inbox, "00.avi", 3)
    (daemon.inbox / "cam1/text.avi").write_text("no video")
    again = daemon.inbox / "cam3/again.avi"
    again.parent.mkdir()
    again.write_bytes((daemon.inbox / "00.avi").read_bytes())


@pytest.mark.slow
def test_flat_files_of_two_cameras_have_their_source_in_the_row(daemon: Daemon) -> None:
    drop_all(daemon)
    assert daemon.command("run", "--once").returncode == 0
    rows = [row[:3] for row in daemon.query(ROWS) if row[0].startswith("00")]
    assert [row[1] for row in rows] == [None, "cam1", "cam2/2024-01-31"]
    assert [row[2] for row in rows[1:]] == ["cam1", "cam2/2024-01-31"]
    assert not any("/" in place for place in places(daemon, "classified"))
    assert {row[0] for row in daemon.query("SELECT DISTINCT recorded_by FROM videos")} == {
        "file",
        None,
    }
    shown = daemon.command("status").stdout
    assert "cam1/00" in shown
    assert "cam2/2024-01-31/00" in shown
    listed = daemon.status()["recent"]
    assert {video["source"] for video in listed} == {None, "cam1", "cam2/2024-01-31", "cam3"}


@pytest.mark.slow
def test_a_tree_is_kept_by_predictions_labels_duplicates_and_failures(daemon: Daemon) -> None:
    daemon.environment["VIDWATCH_FILED_AS"] = "tree"
    drop_all(daemon)
    assert daemon.command("run", "--once").returncode == 0
    assert places(daemon, "classified") == ["00.avi", "cam1/00.avi", "cam2/2024-01-31/00.avi"]
    assert (daemon.root / "failed/cam1/text.avi.txt").is_file()
    assert (daemon.root / "duplicates/cam3/again.avi").is_file()
    assert daemon.command("check", "--quick").returncode == 0
    ((video,),) = daemon.query("SELECT id FROM videos WHERE source = 'cam1' AND error IS NULL")
    assert daemon.command("label", str(video), "Skiing").returncode == 0
    assert daemon.command("run", "--once").returncode == 0
    assert (daemon.root / "labelled/Skiing/cam1/00.avi").is_file()
    assert daemon.command("classes", "rename", "Skiing", "Snow").returncode == 0
    assert daemon.command("run", "--once").returncode == 0
    assert (daemon.root / "labelled/Snow/cam1/00.avi").is_file()
    assert daemon.command("label", "--undo", str(video)).returncode == 0
    assert daemon.command("run", "--once").returncode == 0
    assert places(daemon, "classified") == ["00.avi", "cam1/00.avi", "cam2/2024-01-31/00.avi"]
    assert daemon.query("SELECT DISTINCT \"group\" FROM videos WHERE source = 'cam1'") == [
        ("cam1",)
    ]
    checked = daemon.command("check", "--quick")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
def test_a_correction_by_hand_in_a_tree_keeps_the_group_of_the_inbox(daemon: Daemon) -> None:
    """Pulled out of `classified/X/cam1/`, the clip is still one of camera 1."""
    daemon.environment["VIDWATCH_FILED_AS"] = "tree"
    drop(daemon.inbox / "cam1", "00.avi", 1)
    assert daemon.command("run", "--once").returncode == 0
    (path,) = (daemon.root / "classified").rglob("00.avi")
    assert path.parent.name == "cam1"
    (daemon.root / "labelled/Skiing").mkdir(parents=True)
    path.rename(daemon.root / "labelled/Skiing/00.avi")
    assert daemon.command("run", "--once").returncode == 0
    assert daemon.query('SELECT "group", source FROM videos') == [("cam1", "cam1")]
    assert daemon.query('SELECT "class", source FROM labels') == [("Skiing", "moved")]
    assert (daemon.root / "labelled/Skiing/00.avi").is_file()


@pytest.mark.slow
def test_what_is_nested_as_deep_as_the_inbox_allows_is_filed_flat_in_a_tree(
    daemon: Daemon,
) -> None:
    daemon.environment["VIDWATCH_FILED_AS"] = "tree"
    drop(daemon.inbox / "/".join(["d"] * 100), "00.avi", 1)
    assert daemon.command("run", "--once").returncode == 0
    (path,) = (daemon.root / "classified").rglob("00.avi")
    assert len(path.relative_to(daemon.root).parts) == 3


@pytest.mark.slow
def test_a_shown_name_labels_and_an_ambiguous_one_is_listed(daemon: Daemon) -> None:
    drop(daemon.inbox / "cam1", "00.avi", 1)
    drop(daemon.inbox / "cam2", "00.avi", 2)
    assert daemon.command("run", "--once").returncode == 0
    with opened(daemon.database) as engine, engine.execution_options(writes=True).begin() as change:
        change.execute(update(videos).values(name="00.avi"))
    names = dict(daemon.query("SELECT source, source || '/' || name FROM videos"))
    done = daemon.command("label", names["cam2"], "Skiing")
    assert done.returncode == 0, done.stderr
    of = "SELECT v.source FROM labels l JOIN videos v ON v.id = l.video_id"
    assert daemon.query(of) == [("cam2",)]


@pytest.mark.slow
def test_empty_folders_go_only_where_the_setting_says_so(daemon: Daemon) -> None:
    drop(daemon.inbox / "cam1/2024-01-31", "00.avi", 1)
    daemon.environment["VIDWATCH_EMPTY_FOLDER_MINUTES"] = "0.02"
    daemon.start()
    daemon.wait_for(lambda status: status["filed"] == 1)
    deadline = time.monotonic() + 60
    while list(daemon.inbox.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert daemon.inbox.is_dir()
