"""Files that stay where they are: archives, and the inbox with `on_filed`."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import write_video
from disks import Mount
from disks import mount as mount
from sqlalchemy import insert
from test_pipeline import House
from test_pipeline import decoders as decoders

from daemon.classify.decoding import Decoders
from daemon.database.root import follow_home
from daemon.database.sources import follow_sources
from daemon.database.tables import labels
from daemon.home.doors import Doors
from daemon.home.folders import Folders
from daemon.home.settings import Settings
from daemon.home.sources import OnFiled, Source, may_be_video
from daemon.home.subtitles import write_subtitles
from daemon.labels.labels import Labels
from daemon.maintenance.repair import Repair
from daemon.maintenance.retention import has_no_file
from daemon.maintenance.sources import check_sources
from daemon.service.adding import Added, Adding, archives
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern

PATTERN = compile_pattern(GROUP_PATTERN)


class Lab(House):
    """A home whose archives and sources lie beside it."""

    def __init__(self, root: Path, decoders: Decoders, outside: Path) -> None:
        super().__init__(root, decoders)
        self.outside = outside

    def row_of(self, video: int) -> Any:
        return next(row for row in self.rows() if row.id == video)

    def film(self, name: str, shade: int = 0, frames: int = 8) -> Path:
        """A video outside of the home."""
        path = self.outside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_video(self.outside / "made.avi", frames=frames, shade=shade).rename(path)

    def add(self, path: Path, on_filed: OnFiled = "leave") -> Added:
        """Queue an archive, as the command does."""
        settings = Settings()
        (archive,) = archives([path], self.root, settings)
        adding = Adding(self.queue, self.root, settings, on_filed, lambda done, total: None)
        adding.add(path, archive)
        return adding.added

    def arrive_from(self, folders: Folders, path: Path) -> int:
        """A file of a source that a watcher has found; gives how many were new."""
        file = folders.placed(self.found(path), PATTERN)
        return self.queue.enqueue([file], self.now)


@pytest.fixture
def lab(tmp_path: Path, decoders: Decoders) -> Iterator[Lab]:
    outside = tmp_path / "outside"
    outside.mkdir()
    lab = Lab(tmp_path / "home", decoders, outside)
    yield lab
    lab.close()


def state_of(folder: Path) -> list[tuple[object, ...]]:
    """All that a person could see of a folder that was touched."""
    found = []
    for path in sorted([folder, *folder.rglob("*")]):
        info = path.lstat()
        content = path.read_bytes() if path.is_file() else sorted(path.iterdir())
        times = (info.st_mtime_ns, info.st_ctime_ns)
        found.append((path, info.st_mode, info.st_ino, info.st_nlink, *times, content))
    return found


def test_an_archive_is_classified_where_it_lies_and_nothing_in_it_is_touched(lab: Lab) -> None:
    lab.film("old/a.avi", shade=0)
    lab.film("old/cam1/b.avi", shade=180)
    (lab.outside / "old/broken.mp4").write_text("no video")
    (lab.outside / "old/notes.txt").write_text("text")
    (lab.outside / "old/cam1/b.thm").write_text("side file")
    before = state_of(lab.outside)
    added = lab.add(lab.outside / "old")
    assert (added.n_new, added.n_known, dict(added.others)) == (3, 0, {".txt": 1, ".thm": 1})
    lab.work()
    assert state_of(lab.outside) == before
    assert lab.files() == set()
    rows = {row.name: row for row in lab.rows()}
    assert {name: (row.state, row.source) for name, row in rows.items()} == {
        "a.avi": ("filed", "old"),
        "b.avi": ("filed", "old/cam1"),
        "broken.mp4": ("failed", "old"),
    }
    assert rows["b.avi"].path == bytes(lab.outside / "old/cam1/b.avi")
    assert rows["b.avi"].group == "old/cam1"
    assert rows["broken.mp4"].finished_at is not None


def test_an_archive_on_a_read_only_disk_is_classified(lab: Lab, mount: Mount) -> None:
    mount(lab.outside / "old")
    shutil.move(lab.film("a.avi"), lab.outside / "old/a.avi")
    command = ["mount", "-o", "remount,ro", str(lab.outside / "old")]
    subprocess.run(command, check=True)
    lab.add(lab.outside / "old")
    lab.work()
    assert [row.state for row in lab.rows()] == ["filed"]


def test_what_was_added_before_is_known_and_what_failed_is_tried_again(lab: Lab) -> None:
    lab.film("old/a.avi")
    bad = lab.outside / "old/bad.mp4"
    bad.write_text("no video")
    lab.add(lab.outside / "old")
    added = lab.add(lab.outside / "old")
    assert (added.n_new, added.n_known) == (0, 2)
    lab.work()
    lab.film("old/c.avi", shade=180)
    added = lab.add(lab.outside / "old")
    assert (added.n_new, added.n_again, added.n_known) == (1, 1, 1)
    lab.work()
    assert sorted((row.name, row.state) for row in lab.rows()) == [
        ("a.avi", "filed"),
        ("bad.mp4", "failed"),
        ("c.avi", "filed"),
    ]
    assert len(lab.prediction_rows()) == 2


def test_files_of_an_archive_come_after_all_others(lab: Lab) -> None:
    for number in range(3):
        lab.film(f"old/{number}.avi", shade=number)
    lab.add(lab.outside / "old")
    lab.drop("new.avi", shade=99)
    claimed = [Path(os.fsdecode(video.path)).name for video in lab.claim(3)]
    assert claimed == ["new.avi", "0.avi", "1.avi"]


def test_a_renamed_archive_is_found_again_without_reading_it(lab: Lab) -> None:
    lab.film("old/a.avi")
    (lab.outside / "old/bad.mp4").write_text("no video")
    lab.add(lab.outside / "old")
    lab.work()
    (lab.outside / "old").rename(lab.outside / "new")
    added = lab.add(lab.outside / "new")
    assert (added.n_new, added.n_again, added.n_known) == (0, 0, 2)
    lab.work()
    assert [(row.path, row.source, row.state) for row in lab.rows()] == [
        (bytes(lab.outside / "new/a.avi"), "new", "filed"),
        (bytes(lab.outside / "new/bad.mp4"), "new", "failed"),
    ]
    assert len(lab.prediction_rows()) == 1


@pytest.mark.slow
def test_a_copied_archive_is_found_again_by_its_content_with_all_its_labels(lab: Lab) -> None:
    a = lab.film("old/a.avi")
    shutil.copy2(a, lab.outside / "old/same.avi")
    lab.film("old/b.avi", shade=180)
    lab.add(lab.outside / "old")
    lab.work()
    lab.give_label(1, "red")
    before = [(row.id, row.name, row.sha256, row.duplicate_of) for row in lab.rows()]
    shutil.copytree(lab.outside / "old", lab.outside / "other" / "old")
    for path in (lab.outside / "other").rglob("*.avi"):
        os.utime(path)  # not even the dates are the same
    shutil.rmtree(lab.outside / "old")
    lab.add(lab.outside / "other/old")
    lab.work()
    assert [(row.id, row.name, row.sha256, row.duplicate_of) for row in lab.rows()] == before
    paths = {os.fsdecode(row.path) for row in lab.rows()}
    assert paths == {str(path) for path in (lab.outside / "other/old").iterdir()}
    assert [label[:3] for label in lab.given_labels()] == [(1, "labelled", "red")]
    assert len(lab.prediction_rows()) == 2


@pytest.mark.parametrize("names", [("a.avi", "same.avi"), ("same.avi", "a.avi")])
def test_copies_in_a_moved_archive_keep_their_names_in_whatever_order_they_are_found(
    lab: Lab, names: tuple[str, str]
) -> None:
    a = lab.film("old/a.avi")
    shutil.copy2(a, lab.outside / "old/same.avi")
    lab.add(lab.outside / "old")
    lab.work()
    before = [(row.id, row.name, row.duplicate_of) for row in lab.rows()]
    (lab.outside / "new").mkdir()
    for name in ("a.avi", "same.avi"):
        shutil.copyfile(lab.outside / "old" / name, lab.outside / "new" / name)
    shutil.rmtree(lab.outside / "old")
    for name in names:
        lab.add(lab.outside / "new" / name)
    lab.work()
    assert [(row.id, row.name, row.duplicate_of) for row in lab.rows()] == before


def test_a_label_moves_no_file_of_an_archive(lab: Lab) -> None:
    path = lab.film("old/a.avi")
    lab.add(lab.outside / "old")
    lab.work()
    Labels(lab.engine, lab.folders).accept([1], "command", "ann", lab.now)
    lab.give_label(1, "red")
    lab.work()
    assert lab.path(1) == path
    assert path.is_file()
    assert lab.row(1)["destination"] is None


def test_a_copy_in_the_inbox_of_a_clip_of_an_archive_is_a_duplicate(lab: Lab) -> None:
    path = lab.film("old/a.avi")
    lab.add(lab.outside / "old")
    lab.work()
    shutil.copy2(path, lab.inbox / "a.avi")
    lab.enqueue(lab.inbox / "a.avi")
    lab.work()
    assert lab.files() == {"duplicates/a.avi"}
    assert path.is_file()
    assert [row.duplicate_of for row in lab.rows()] == [None, 1]


def test_a_label_of_a_copy_in_the_home_leaves_the_archive_as_it_is(lab: Lab) -> None:
    path = lab.film("old/a.avi")
    lab.add(lab.outside / "old")
    lab.work()
    shutil.copy2(path, lab.inbox / "a.avi")
    lab.enqueue(lab.inbox / "a.avi")
    with lab.writing() as connection:
        row = {"video_id": 2, "verdict": "labelled", "class": "red", "source": "folder"}
        connection.execute(insert(labels).values(**row, who="ann", created_at=lab.now))
    lab.work()
    assert path.is_file()
    assert lab.row(1)["destination"] is None
    assert [label[:3] for label in lab.given_labels()] == [(1, "labelled", "red")]


@pytest.mark.slow
def test_an_archive_that_goes_away_half_way_waits_and_loses_nothing(lab: Lab) -> None:
    for number in range(6):
        lab.film(f"old/{number}.avi", shade=20 * number)
    lab.add(lab.outside / "old")
    lab.pipeline.step(lab.now)  # claims them
    (lab.outside / "old").rename(lab.outside / "away")
    (lab.outside / "old").mkdir()  # the empty place of a disk
    for _ in range(20):
        lab.tick()
        lab.pipeline.step(lab.now)
        lab.pipeline.settle_missing(lab.now)
    waiting = [row for row in lab.rows() if row.state != "filed"]
    assert waiting
    assert {row.state for row in waiting} <= {"queued", "waiting"}
    assert any("is empty or not there: mount it" in (row.trouble or "") for row in waiting)
    (lab.outside / "old").rmdir()
    (lab.outside / "away").rename(lab.outside / "old")
    for _ in range(5):
        lab.work()
    assert [row.state for row in lab.rows()] == ["filed"] * 6
    assert len(lab.prediction_rows()) == 6


def test_a_file_of_an_archive_that_changes_before_its_turn_is_read_as_it_is_then(lab: Lab) -> None:
    path = lab.film("old/a.avi")
    lab.add(lab.outside / "old")
    path.unlink()
    lab.film("old/a.avi", shade=180, frames=12)
    for _ in range(3):
        lab.work()
    assert [(row.name, row.state) for row in lab.rows()] == [("a.avi", "filed")]
    assert [row.class_index for row in lab.prediction_rows()] == [1]


def test_a_file_that_is_removed_from_an_archive_before_its_turn_fails(lab: Lab) -> None:
    lab.film("old/a.avi")
    lab.film("old/b.avi", shade=180)
    lab.add(lab.outside / "old")
    (lab.outside / "old/a.avi").unlink()
    for _ in range(3):
        lab.work()
    assert [(row.name, row.state) for row in lab.rows()] == [
        ("a.avi", "failed"),
        ("b.avi", "filed"),
    ]
    assert "vanished" in lab.rows()[0].error


def test_a_second_name_in_an_archive_is_left_there_and_counts_once(lab: Lab) -> None:
    path = lab.film("old/a.avi")
    (lab.outside / "old/b.avi").hardlink_to(path)
    lab.add(lab.outside / "old")
    lab.work()
    assert [row.state for row in lab.rows()] == ["filed"]
    added = lab.add(lab.outside / "old")
    assert (added.n_new, added.n_known) == (0, 2)
    assert len(list((lab.outside / "old").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "no such file"),
        ("home", "lies in the home"),
        ("home/inbox", "lies in the home"),
        (".", "the home lies in it"),
        ("outside/barn/deep", "the source 'barn'"),
        ("outside", "the source 'barn'"),
    ],
)
def test_what_can_be_no_archive_is_refused(lab: Lab, name: str, words: str) -> None:
    (lab.outside / "barn/deep").mkdir(parents=True)
    source = {"name": "barn", "folder": str(lab.outside / "barn")}
    settings = Settings.model_validate({"source": [source]})
    with pytest.raises(VidwatchError, match=words):
        archives([lab.root.parent / name], lab.root, settings)


def test_an_archive_is_copied_into_the_home_if_that_is_wanted(lab: Lab) -> None:
    lab.film("old/a.avi", shade=0)
    lab.film("old/b.avi", shade=180)
    (lab.outside / "old/bad.mp4").write_text("no video")
    before = state_of(lab.outside)
    lab.add(lab.outside / "old", "copy")
    lab.work()
    assert state_of(lab.outside) == before
    expected = {"classified/dark/a.avi", "classified/red/b.avi"}
    assert lab.files() == expected | {"failed/bad.mp4", "failed/bad.mp4.txt"}
    assert lab.add(lab.outside / "old", "copy").n_known == 3
    assert [os.fsdecode(row.left_at) for row in lab.rows()] == [
        str(lab.outside / "old" / row.name) for row in lab.rows()
    ]


@pytest.mark.parametrize("on_filed", ["copy", "hardlink", "leave"])
def test_files_of_the_inbox_stay_there_if_that_is_set(lab: Lab, on_filed: OnFiled) -> None:
    folders = Folders(lab.root, on_filed=on_filed)
    path = lab.put_video("inbox/a.avi")
    assert lab.arrive_from(folders, path) == 1
    lab.work()
    filed = set() if on_filed == "leave" else {"classified/dark/a.avi"}
    assert lab.files() == {"inbox/a.avi", *filed}
    if on_filed != "leave":
        copy = lab.root / "classified/dark/a.avi"
        assert copy.samefile(path) == (on_filed == "hardlink")
        assert copy.stat().st_mtime_ns == path.stat().st_mtime_ns
    # Neither a search nor an event brings it again, and neither is it put aside.
    assert lab.queue.unknown([lab.found(path)], stay=True) == []
    assert lab.arrive_from(folders, path) == 0
    assert lab.queue.other_names([lab.found(path)]) == [] or on_filed == "hardlink"
    lab.give_label(1, "red")
    lab.work()
    filed = set() if on_filed == "leave" else {"labelled/red/a.avi"}
    assert lab.files() == {"inbox/a.avi", *filed}
    assert lab.queue.unknown([lab.found(path)], stay=True) == []


@pytest.mark.parametrize("on_filed", ["copy", "hardlink"])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_copy_that_a_crash_kept_from_being_noted_is_the_one(
    lab: Lab, on_filed: OnFiled, is_done: bool
) -> None:
    folders = Folders(lab.root, on_filed=on_filed)
    path = lab.put_video("inbox/a.avi")
    lab.arrive_from(folders, path)
    lab.predict(lab.model_prediction("dark"))
    (move,) = lab.queue.moves(lab.now)
    target = Path(os.fsdecode(move.destination))
    if is_done:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target) if on_filed == "copy" else target.hardlink_to(path)
    lab.queue.recover()
    lab.work()
    assert lab.files() == {"inbox/a.avi", "classified/dark/a.avi"}
    assert lab.row(1)["left_at"] == bytes(path)


def test_a_copy_never_takes_the_place_of_another_file(lab: Lab) -> None:
    folders = Folders(lab.root, on_filed="copy")
    lab.put("classified/dark/a.avi", "somebody's")
    path = lab.put_video("inbox/a.avi")
    lab.arrive_from(folders, path)
    lab.work()
    assert lab.files() == {"inbox/a.avi", "classified/dark/a.avi", "classified/dark/a-2.avi"}


def test_files_of_a_source_are_moved_into_the_home(lab: Lab) -> None:
    source = Source(bytes(lab.outside / "barn"), "barn", tree=True, group="all")
    folders = Folders(lab.root, sources=[source])
    lab.folders = folders
    lab.pipeline = lab.made_pipeline(folders)
    path = lab.film("barn/day1/a.avi", shade=180)
    assert lab.arrive_from(folders, path) == 1
    bad = lab.outside / "barn/bad.mp4"
    bad.write_text("no video")
    lab.arrive_from(folders, bad)
    lab.work()
    assert lab.files() == {
        "classified/red/barn/day1/a.avi",
        "failed/barn/bad.mp4",
        "failed/barn/bad.mp4.txt",
    }
    assert [(row.source, row.group) for row in lab.rows()] == [
        ("barn/day1", "all"),
        ("barn", "all"),
    ]
    assert list((lab.outside / "barn").rglob("*.*")) == []


def test_a_link_in_a_source_does_not_lead_us_to_move_another_file(lab: Lab) -> None:
    source = Source(bytes(lab.outside / "barn"), "barn")
    folders = Folders(lab.root, sources=[source])
    lab.pipeline = lab.made_pipeline(folders)
    path = lab.film("barn/day1/a.avi")
    lab.arrive_from(folders, path)
    lab.predict(lab.model_prediction("dark"))
    (lab.outside / "barn/day1").rename(lab.outside / "elsewhere")
    (lab.outside / "barn/day1").symlink_to(lab.outside / "elsewhere")
    for _ in range(3):
        lab.pipeline.step(lab.tick())
    assert (lab.outside / "elsewhere/a.avi").is_file()
    assert lab.files() == set()


def test_doctor_names_what_is_wrong_with_sources(lab: Lab) -> None:
    def problems(*tables: dict[str, object], **more: object) -> list[str]:
        settings = Settings.model_validate({"source": list(tables), **more})
        return [line.text for line in check_sources(lab.home, settings) if line.state == "problem"]

    barn = {"name": "barn", "folder": str(lab.outside)}
    assert problems(barn) == []
    (away,) = problems({"name": "old", "folder": "/nowhere/old", "in_place": True})
    assert "'old' cannot be read (No such file or directory): mount it" in away
    (model,) = problems({**barn, "model": "owls"})
    assert "'barn'" in model
    assert "vidwatch models" in model
    (lab.root.parent / "link").symlink_to(lab.outside)
    overlap = problems(barn, {"name": "again", "folder": str(lab.root.parent / "link")})
    assert ["overlap" in line for line in overlap] == [True]


def test_doctor_says_that_a_link_cannot_reach_another_disk(lab: Lab, mount: Mount) -> None:
    mount(lab.outside / "disk")
    source = {"name": "barn", "folder": str(lab.outside / "disk")}
    settings = Settings.model_validate({"source": [source], "on_filed": "hardlink"})
    (line,) = check_sources(lab.home, settings)
    assert "are on two disks" in line.text


def test_no_subtitles_are_written_beside_a_file_of_an_archive(lab: Lab) -> None:
    path = lab.film("old/a.avi")
    with pytest.raises(VidwatchError, match="outside of the home"):
        write_subtitles(Doors(bytes(lab.root)), bytes(path), "WEBVTT", "mark")
    assert list(path.parent.iterdir()) == [path]


def test_a_repair_predicts_a_file_of_an_archive_again_where_it_lies(lab: Lab) -> None:
    path = lab.film("old/a.avi")
    lab.add(lab.outside / "old")
    lab.work()
    Repair(lab.home, lab.engine).predict_again(lab.row_of(1))
    assert [(row.state, row.path) for row in lab.rows()] == [("queued", bytes(path))]
    lab.work()
    assert [(row.state, row.path) for row in lab.rows()] == [("filed", bytes(path))]
    assert len(lab.prediction_rows()) == 1


def test_rows_of_an_archive_that_is_away_are_kept(lab: Lab) -> None:
    lab.film("old/a.avi")
    lab.add(lab.outside / "old")
    lab.work()
    (row,) = lab.rows()
    assert not has_no_file(row)
    (lab.outside / "old").rename(lab.outside / "away")
    assert not has_no_file(row)
    (lab.outside / "old").mkdir()
    assert not has_no_file(row)
    (lab.outside / "old/other.avi").write_text("another file: the disk is there")
    assert has_no_file(row)


@pytest.mark.of_sqlite
def test_where_a_file_was_left_follows_a_home_that_was_moved(lab: Lab) -> None:
    folders = Folders(lab.root, on_filed="copy")
    lab.arrive_from(folders, lab.put_video("inbox/a.avi"))
    lab.work()
    follow_home(lab.engine, lab.root)
    new = lab.root.parent / "moved"
    lab.root.rename(new)
    follow_home(lab.engine, new)
    assert [row.left_at for row in lab.rows()] == [bytes(new / "inbox/a.avi")]


@pytest.mark.parametrize(
    ("name", "may_be"),
    [
        ("a.mp4", True),
        ("a.3gp", True),  # a sound by the list of Python
        ("a.3G2", True),
        ("a.MTS", True),
        ("a.ts", True),
        ("a.dav", True),
        ("a.bin", True),  # some recorders write so
        ("a", True),
        ("a.jpg", False),
        ("a.txt", False),
        ("a.mp3", False),
        ("a.pdf", False),
    ],
)
def test_an_ending_says_what_is_no_video(name: str, may_be: bool) -> None:
    assert may_be_video(name.encode()) == may_be


def test_a_file_of_an_archive_that_is_to_be_copied_is_found_again_when_it_changed(
    lab: Lab,
) -> None:
    path = lab.film("old/a.avi")
    lab.add(lab.outside / "old", "copy")
    path.unlink()
    lab.film("old/a.avi", shade=180, frames=12)
    for _ in range(3):
        lab.work()
    assert lab.files() == {"classified/red/a.avi"}


def test_a_video_whose_file_became_another_name_of_a_known_one_waits_no_longer(lab: Lab) -> None:
    first = lab.film("old/a.avi")
    lab.add(lab.outside / "old")
    lab.work()
    second = lab.film("old/b.avi", shade=180)
    lab.add(lab.outside / "old")
    second.unlink()
    second.hardlink_to(first)
    for _ in range(3):
        lab.work()
    states = [(row.name, row.state) for row in lab.rows()]
    assert states == [("a.avi", "filed"), ("b.avi", "failed")]
    assert "another video" in lab.rows()[1].error


@pytest.mark.parametrize("size", ["same", "other"])
def test_rows_follow_files_of_an_archive_that_changed_their_names_with_each_other(
    lab: Lab, size: str
) -> None:
    a = lab.film("old/a.avi")
    b = lab.film("old/b.avi", shade=180, frames=8 if size == "same" else 12)
    lab.add(lab.outside / "old")
    lab.work()
    a.rename(lab.outside / "old/c.avi")
    b.rename(a)
    added = lab.add(lab.outside / "old")
    assert (added.n_new, added.n_known) == (0, 2)
    lab.work()
    assert [Path(os.fsdecode(row.path)).name for row in lab.rows()] == ["c.avi", "a.avi"]


def test_a_file_that_was_moved_into_the_home_needs_its_source_no_more(lab: Lab) -> None:
    folders = Folders(lab.root, sources=[Source(bytes(lab.outside / "barn"), "barn")])
    lab.pipeline = lab.made_pipeline(folders)
    lab.arrive_from(folders, lab.film("barn/a.avi"))
    lab.work()
    shutil.rmtree(lab.outside / "barn")
    (row,) = lab.rows()
    assert not has_no_file(row)
    Path(os.fsdecode(row.path)).unlink()
    assert has_no_file(row)


def test_an_archive_that_becomes_a_source_is_the_sources_and_keeps_its_predictions(
    lab: Lab,
) -> None:
    lab.film("old/a.avi")
    lab.film("old/cam1/b.avi", shade=180)
    lab.add(lab.outside / "old")
    lab.work()
    source = Source(bytes(lab.outside / "old"), "nests", on_filed="leave", model="owls")
    for name in ("nests", "boxes"):
        renamed = replace(source, name=name)
        follow_sources(lab.engine, Folders(lab.root, sources=[renamed]), lab.now)
        assert [row.source for row in lab.rows()] == [name, f"{name}/cam1"]
    assert [(row.state, row.own_model) for row in lab.rows()] == [("filed", None)] * 2
    assert len(lab.prediction_rows()) == 2


@pytest.mark.slow
def test_what_is_tried_again_by_a_folder_above_stays_of_its_archive(lab: Lab) -> None:
    bad = lab.outside / "all/old/bad.mp4"
    bad.parent.mkdir(parents=True)
    bad.write_text("no video")
    lab.add(lab.outside / "all/old")
    lab.work()
    assert lab.add(lab.outside / "all").n_again == 1
    assert [(row.source, row.state) for row in lab.rows()] == [("old", "queued")]
