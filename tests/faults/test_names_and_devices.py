"""Files that are easily taken for others: with the same numbers on two disks, or with two names."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from disks import Mount, numbers, pad
from disks import mount as mount
from ordeal import VIDWATCH, Ordeal, write_clip
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model

# Each runs a daemon for a while; the parts are tested in their rooms.
pytestmark = pytest.mark.slow


SEARCHES = 4  # seconds: the folders are searched each second


def put_clip(path: Path, number: int) -> Path:
    """A clip whose size and date are those of each other clip."""
    write_clip(path, number)
    return pad(path)


def require_finished(ordeal: Ordeal, rows: int) -> list[Any]:
    """So many rows are finished, and stay so many at the next searches; gives them."""
    finished = "SELECT count(*) FROM videos WHERE finished_at IS NOT NULL AND destination IS NULL"
    assert ordeal.wait_for(lambda: ordeal.query(finished)[0][0] >= rows), ordeal.end_of_log()
    time.sleep(SEARCHES)
    found = ordeal.query("SELECT id, name, path, state, sha256 FROM videos ORDER BY id")
    assert len(found) == rows, ordeal.end_of_log()
    return found


def files(ordeal: Ordeal) -> list[str]:
    """All clips, relative to the home, and the parts of clips."""
    return sorted(
        str(path.relative_to(ordeal.root))
        for top in ("inbox", "classified", "labelled", "duplicates", "failed")
        for path in (ordeal.root / top).rglob("*")
        if path.is_file()
    )


def predictions(ordeal: Ordeal) -> list[Any]:
    return ordeal.query("SELECT video_id, class FROM predictions ORDER BY video_id")


def test_clips_of_equal_numbers_on_two_disks_are_two_videos(ordeal: Ordeal, mount: Mount) -> None:
    cards = [mount(ordeal.home.inbox / name) for name in ("card1", "card2")]
    dark, bright = (put_clip(card / "00.avi", n) for n, card in enumerate(cards))
    assert numbers(dark) == numbers(bright)
    ordeal.start()
    rows = require_finished(ordeal, 2)
    ordeal.stop()
    assert [row[3] for row in rows] == ["filed", "filed"], ordeal.end_of_log()
    assert len({row[4] for row in rows}) == 2
    assert sorted(name for _, name in predictions(ordeal)) == ["bright", "dark"]
    assert files(ordeal) == ["classified/bright/00.avi", "classified/dark/00.avi"]


def test_a_snapshot_that_is_read_only_is_classified_once_and_waits(
    ordeal: Ordeal, mount: Mount
) -> None:
    live, snapshot = (mount(ordeal.home.inbox / name) for name in ("live", "snapshot"))
    assert numbers(put_clip(live / "a.avi", 1)) == numbers(put_clip(snapshot / "a.avi", 1))
    put_clip(snapshot / "old.avi", 2)  # the live one was removed meanwhile
    subprocess.run(["mount", "-o", "remount,ro", str(snapshot)], check=True)
    waits = "SELECT count(*) FROM videos WHERE trouble LIKE '%read-only%'"
    done = "SELECT count(*) FROM videos WHERE state = 'filed'"
    for _ in range(2):  # it is tried again at each start
        ordeal.start()
        assert ordeal.wait_for(lambda: ordeal.query(waits) == [(2,)]), ordeal.end_of_log()
        assert ordeal.wait_for(lambda: ordeal.query(done) == [(1,)]), ordeal.end_of_log()
        time.sleep(SEARCHES)
        ordeal.stop()
    rows = ordeal.query("SELECT path, state FROM videos")
    assert len(rows) == 3
    states = {os.path.relpath(os.fsdecode(path), ordeal.root): state for path, state in rows}
    (place,) = states.keys() - {"inbox/snapshot/a.avi", "inbox/snapshot/old.avi"}
    assert place.startswith(("classified/", "duplicates/"))
    assert len(predictions(ordeal)) == 2
    assert files(ordeal) == sorted(states)


def test_a_disk_that_gets_another_number_costs_no_clip(ordeal: Ordeal, mount: Mount) -> None:
    """Some clips wait, and one is to be moved, when the machine starts anew."""
    card = mount(ordeal.home.inbox / "card")
    clips = [put_clip(card / f"{n}.avi", n) for n in range(6)]
    before = [numbers(clip) for clip in clips]
    ordeal.start()
    assert ordeal.wait_for(lambda: ordeal.query("SELECT * FROM predictions")), ordeal.end_of_log()
    ordeal.kill(all_of_it=True)
    left = [clip.exists() for clip in clips]
    subprocess.run(["umount", "-l", str(card)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "vidwatch-test", str(card)], check=True)
    for n, clip in enumerate(clips):
        put_clip(clip, n)
    assert [numbers(clip) for clip in clips] == before
    for clip, is_left in zip(clips, left, strict=True):
        if not is_left:
            clip.unlink()
    ordeal.start()
    rows = require_finished(ordeal, 6)
    ordeal.stop()
    assert [row[3] for row in rows] == ["filed"] * 6, ordeal.end_of_log()
    assert len(predictions(ordeal)) == 6
    assert "vanished" not in ordeal.log.read_text()


def test_three_names_of_one_file_are_one_video(ordeal: Ordeal) -> None:
    first = ordeal.drop(1, "inbox/a.avi")
    for name in ("b.avi", "cam/a.avi"):
        other = ordeal.home.inbox / name
        other.parent.mkdir(exist_ok=True)
        other.hardlink_to(first)
    ordeal.start()
    ((_, _, path, state, _),) = require_finished(ordeal, 1)
    assert state == "filed"
    later = ordeal.home.inbox / "later.avi"
    later.hardlink_to(os.fsdecode(path))
    assert ordeal.wait_for(lambda: not later.exists())
    require_finished(ordeal, 1)
    ordeal.stop()
    there = files(ordeal)
    assert len(there) == 4
    assert [name.partition("/")[0] for name in there] == ["classified"] + ["duplicates"] * 3
    assert len(predictions(ordeal)) == 1


def test_a_link_into_another_class_folder_is_a_label_that_stands(ordeal: Ordeal) -> None:
    ordeal.drop(1, "inbox/x.avi")
    ordeal.start()
    ((_, _, path, _, _),) = require_finished(ordeal, 1)
    assert files(ordeal) == ["classified/bright/x.avi"]
    skiing = ordeal.root / "labelled/Skiing"
    skiing.mkdir()
    (skiing / "x.avi").hardlink_to(os.fsdecode(path))
    given = "SELECT class FROM labels ORDER BY id"
    assert ordeal.wait_for(lambda: ordeal.query(given)), ordeal.end_of_log()
    ((_, _, path, _, _),) = require_finished(ordeal, 1)
    ordeal.stop()
    assert ordeal.query(given) == [("Skiing",)]
    assert os.fsdecode(path) == str(skiing / "x.avi")
    assert files(ordeal) == ["duplicates/x.avi", "labelled/Skiing/x.avi"]


def vidwatch(ordeal: Ordeal, *words: str) -> str:
    command = [VIDWATCH, *words]
    done = subprocess.run(
        command, env=ordeal.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_class_folder_that_is_renamed_under_a_running_daemon_is_asked_about(
    ordeal: Ordeal,
) -> None:
    for number in range(0, 6, 2):
        ordeal.drop(number, f"inbox/{number}.avi")
    ordeal.start()
    require_finished(ordeal, 3)
    (ordeal.root / "classified/dark").rename(ordeal.root / "classified/old_dark")
    question = "vidwatch classes rename dark old_dark"
    assert ordeal.wait_for(lambda: question in vidwatch(ordeal, "classes"))
    assert ordeal.query("SELECT * FROM labels") == []
    vidwatch(ordeal, "classes", "rename", "dark", "old_dark")
    ordeal.drop(6, "inbox/6.avi")
    require_finished(ordeal, 4)
    ordeal.stop()
    assert ordeal.query("SELECT * FROM labels") == []
    assert files(ordeal) == [f"classified/old_dark/{number}.avi" for number in range(0, 8, 2)]


def test_clips_moved_to_a_wrong_folder_come_back_by_one_command(ordeal: Ordeal) -> None:
    for number in range(0, 6, 2):
        ordeal.drop(number, f"inbox/{number}.avi")
    ordeal.start()
    require_finished(ordeal, 3)
    (ordeal.root / "labelled/bright").mkdir()
    for clip in sorted((ordeal.root / "classified/dark").iterdir()):
        clip.rename(ordeal.root / "labelled/bright" / clip.name)
    counted = "SELECT count(*) FROM labels"
    assert ordeal.wait_for(lambda: ordeal.query(counted) == [(3,)]), ordeal.end_of_log()
    assert "3 labels changed" in vidwatch(ordeal, "classes", "undo")
    back = [f"classified/dark/{number}.avi" for number in range(0, 6, 2)]
    assert ordeal.wait_for(lambda: files(ordeal) == back), ordeal.end_of_log()
    time.sleep(SEARCHES)
    ordeal.stop()
    assert files(ordeal) == back
    assert ordeal.query(counted) == [(6,)]
