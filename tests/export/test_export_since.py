"""`--since-last`: what is new or changed since it last went to the same place."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from exported import BIKING, SKIING, VIDWATCH, FullHome, run, table
from exported import home as home
from sqlalchemy import update

from daemon.database.tables import videos
from daemon.maintenance.backup import back_up
from daemon.maintenance.restore import restore
from learner.errors import VidwatchError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that gets a new file each time."""
    made = tmp_path / "out"
    made.mkdir()
    return made


def newest(home: FullHome, folder: Path, form: str = "csv", **filters: object) -> set[str]:
    """The kinds of videos in what the next export writes."""
    outcome = home.export(folder, form, since_last=True, **filters)
    if outcome.target is None:
        return set()
    assert outcome.target.parent == folder
    return home.kinds(row["id"] for row in table(outcome.target))


@pytest.mark.slow
def test_only_what_is_new_or_changed_comes_again(home: FullHome, folder: Path) -> None:
    assert newest(home, folder) == set(home.ids)
    assert newest(home, folder) == set()
    home.ids["new"] = home.arrive("new.mp4")
    assert newest(home, folder) == {"new"}
    home.give_label(home.ids["sure"], SKIING)
    # Its duplicate shows the label of its content, too.
    assert newest(home, folder) == {"sure", "duplicate"}
    home.change("latin", path=b"/elsewhere/x.mp4")
    assert newest(home, folder) == {"latin"}
    home.predict_and_file(home.model_prediction(SKIING))
    # That filed "sure" by its label, too: its path is another one.
    assert newest(home, folder) == {"new", "queued", "sure"}
    run(home, "label", str(home.ids["long"]), BIKING, "--from", "0:04", "--to", "0:06")
    assert newest(home, folder) == {"long"}
    assert newest(home, folder) == set()
    assert len(list(folder.iterdir())) == 6


@pytest.mark.slow
def test_a_renamed_class_changes_its_videos(home: FullHome, folder: Path) -> None:
    newest(home, folder)
    run(home, "classes", "rename", SKIING, "Snow")
    assert newest(home, folder) == {"labelled", "latin", "long"}


def test_what_other_filters_left_out_comes_later(home: FullHome, folder: Path) -> None:
    assert newest(home, folder, sources=("cam1",)) == {"sure", "labelled"}
    assert newest(home, folder, states=("failed",)) == {"failed"}
    assert newest(home, folder) == set(home.ids) - {"sure", "labelled", "failed"}


def test_each_place_and_each_table_has_its_own_last_time(
    home: FullHome, folder: Path, tmp_path: Path
) -> None:
    newest(home, folder)
    assert home.export(folder, "jsonl", since_last=True).videos == len(home.ids)
    assert home.export(folder, what="events", since_last=True).rows == 5
    assert home.export(tmp_path / "a.csv", since_last=True).videos == len(home.ids)
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert newest(home, link) == set()


def test_a_restored_database_is_compared_as_it_is_now(home: FullHome, folder: Path) -> None:
    back_up(home.home.database, home.home.backups, home.now)
    home.give_label(home.ids["odd"], SKIING)
    newest(home, folder)
    home.close()
    restore(home.home, None, home.tick())
    assert newest(home, folder) == {"odd"}


@pytest.mark.slow
def test_an_export_that_fails_does_not_count(home: FullHome, folder: Path) -> None:
    limited = 'ulimit -f 1; exec "$@"'
    command = ["sh", "-c", limited, "sh", str(VIDWATCH), "--home", str(home.root)]
    # More than the 512 bytes that a file may have now.
    done = subprocess.run(
        [*command, "export", str(folder), "--format", "csv", "--since-last"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 75, done.stderr
    assert list(folder.iterdir()) == []
    assert newest(home, folder) == set(home.ids)


@pytest.mark.slow
def test_the_file_of_the_last_export_is_not_lost(home: FullHome, tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    assert home.export(target, since_last=True).videos == len(home.ids)
    home.give_label(home.ids["odd"], SKIING)
    with pytest.raises(VidwatchError, match="is there, from the last export"):
        home.export(target, since_last=True)
    assert len(table(target)) == len(home.ids)
    target.unlink()
    assert home.export(target, since_last=True).videos == 1
    target.unlink()
    done = run(home, "export", target, "--since-last", "--class", BIKING)
    line = f"nothing is new or changed since the last export to {target} (class 'Biking')\n"
    assert (done.stdout, done.stderr) == ("", line)
    assert not target.exists()


@pytest.mark.slow
def test_a_place_is_needed(home: FullHome) -> None:
    line = run(home, "export", "--since-last", code=2).stderr
    assert line == "vidwatch: --since-last needs a FILE to write to: name one\n"


def test_damaged_marks_are_one_line(home: FullHome, folder: Path) -> None:
    newest(home, folder)
    (marks,) = (home.root / ".exports").iterdir()
    marks.write_bytes(marks.read_bytes()[:-3])
    with pytest.raises(VidwatchError, match="is damaged: remove it"):
        newest(home, folder)
    marks.unlink()
    assert newest(home, folder) == set(home.ids)


def test_a_killed_export_leaves_the_last_time_as_it_was(home: FullHome, folder: Path) -> None:
    newest(home, folder)
    with home.writing() as connection:
        connection.execute(update(videos).values(camera="x"))
    command = [VIDWATCH, "--home", home.root, "export", folder, "--format", "csv", "--since-last"]
    with subprocess.Popen(command) as process:
        os.kill(process.pid, signal.SIGKILL)
    assert newest(home, folder) == set(home.ids)
