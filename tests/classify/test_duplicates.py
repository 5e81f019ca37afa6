"""The same content again: found by its hash, and kept, dropped or left."""

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from disks import Mount
from disks import mount as mount
from test_pipeline import House
from test_pipeline import decoders as decoders
from test_pipeline import house as house

from daemon.classify.decoding import Decoders, Result, Undecoded
from daemon.database.tables import videos
from daemon.home.identity import Identity
from learner.video import Clip
from learner.windows import Long, Piece


class Counting:
    """The decoders, and what they were asked to do. `during` runs while a file is hashed."""

    def __init__(self, decoders: Decoders) -> None:
        self._decoders = decoders
        self.decoded: list[str] = []
        self.hashed: list[str] = []
        self.during: Callable[[Path], object] = lambda path: None

    def read(
        self, path: bytes, identity: Identity, sha256: str | None = None
    ) -> Future[Clip | Long]:
        self.decoded.append(Path(os.fsdecode(path)).name)
        return self._decoders.read(path, identity, sha256)

    def windows(
        self, path: bytes, identity: Identity, sha256: str, first: int
    ) -> Future[Clip | Piece]:
        return self._decoders.windows(path, identity, sha256, first)

    def hash(self, path: bytes, identity: Identity) -> Future[str]:
        self.hashed.append(Path(os.fsdecode(path)).name)
        future = self._decoders.hash(path, identity)
        future.result()
        self.during(Path(os.fsdecode(path)))
        return future

    def outcome(self, future: Future[Result]) -> Result | Undecoded:
        return self._decoders.outcome(future)


class Desk(House):
    """A home whose decoders are watched."""

    def __init__(
        self, root: Path, decoders: Decoders, duplicates: str = "keep", *, tree: bool = False
    ) -> None:
        super().__init__(root, decoders, duplicates, tree=tree)
        self.reader = Counting(decoders)
        self.pipeline.use(replace(self.predictor, reader=self.reader))

    def again(self, source: str | Path, name: str) -> Path:
        """A copy of a file comes into the inbox."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(self.root / source, path)
        self.enqueue(path)
        return path

    def state(self, video: int) -> tuple[str, int | None, bool]:
        row = self.row(video)
        return row["state"], row["duplicate_of"], row["dropped_at"] is not None

    def found_again(self) -> list[str]:
        """The files of the inbox that a search would hand on."""
        files = [self.found(path) for path in self.inbox.rglob("*") if path.is_file()]
        return [os.fsdecode(file.path) for file in self.queue.unknown(files)]


@pytest.fixture(params=["keep", "drop", "leave"])
def each(request: pytest.FixtureRequest, tmp_path: Path, decoders: Decoders) -> Desk:
    return Desk(tmp_path, decoders, request.param)


@pytest.fixture
def keep(tmp_path: Path, decoders: Decoders) -> Desk:
    return Desk(tmp_path, decoders)


@pytest.fixture
def drop(tmp_path: Path, decoders: Decoders) -> Desk:
    return Desk(tmp_path, decoders, "drop")


@pytest.fixture
def leave(tmp_path: Path, decoders: Decoders) -> Desk:
    return Desk(tmp_path, decoders, "leave")


def classes(desk: House) -> list[str]:
    return [row._mapping["class"] for row in desk.prediction_rows()]


def test_a_copy_that_comes_while_the_device_has_the_first_one_is_not_decoded(
    tmp_path: Path, decoders: Decoders
) -> None:
    desk = Desk(tmp_path, decoders)
    desk.drop("a.avi")
    while not desk.classify.batches:
        desk.pipeline.step(desk.now)
    desk.again("inbox/a.avi", "b.avi")
    desk.work()
    assert desk.reader.decoded == ["a.avi"]
    assert [row.duplicate_of for row in desk.rows()] == [None, 1]


def test_a_copy_is_hashed_and_not_decoded(each: Desk) -> None:
    each.drop("a.avi")
    each.work()
    each.again("classified/dark/a.avi", "b.avi")
    each.work()
    assert (each.reader.decoded, each.reader.hashed) == (["a.avi"], ["b.avi"])
    assert each.classify.batches == [1]
    assert each.row(2)["duplicate_of"] == 1
    assert each.row(2)["sha256"] == each.row(1)["sha256"]


def test_a_new_clip_is_hashed_once_also_if_another_one_has_its_size(keep: Desk) -> None:
    first = keep.drop("a.avi")
    size = first.stat().st_size
    keep.work()
    other = keep.put_video("inbox/b.avi", shade=180)
    with other.open("ab") as file:
        file.write(b"\0" * max(0, size - other.stat().st_size))
    with (keep.root / "classified/dark/a.avi").open("ab") as file:
        file.truncate(other.stat().st_size)
    keep.again("classified/dark/a.avi", "first.avi")
    keep.work()
    keep.enqueue(other)
    keep.work()
    assert keep.reader.decoded.count("b.avi") == 1
    assert keep.reader.hashed[-1:] == ["b.avi"]
    assert classes(keep)[-1] == "red"


def test_keep_moves_a_copy_to_duplicates(keep: Desk) -> None:
    keep.drop("a.avi")
    keep.work()
    for number in range(2):
        keep.again("classified/dark/a.avi", f"{number}/a.avi")
        keep.work()
    assert keep.files() == {"classified/dark/a.avi", "duplicates/a.avi", "duplicates/a-2.avi"}


def test_drop_removes_a_copy_and_its_row_says_so(drop: Desk) -> None:
    drop.drop("a.avi")
    drop.work()
    for number in range(3):
        drop.again("classified/dark/a.avi", "a.avi")
        drop.work()
        assert drop.state(2 + number) == ("filed", 1, True)
    assert drop.files() == {"classified/dark/a.avi"}
    assert all(row.finished_at and row.error is None for row in drop.rows())


def test_drop_removes_a_copy_in_a_folder_of_the_inbox_if_trees_are_kept(
    tmp_path: Path, decoders: Decoders
) -> None:
    drop = Desk(tmp_path, decoders, "drop", tree=True)
    drop.drop("cam1/a.avi")
    drop.work()
    drop.again("classified/dark/cam1/a.avi", "cam2/2026/a.avi")
    drop.work()
    assert drop.state(2) == ("filed", 1, True)
    assert drop.files() == {"classified/dark/cam1/a.avi"}


@pytest.mark.parametrize("folder", ["", "cam/"])
def test_drop_puts_the_sidecars_of_a_copy_into_duplicates(drop: Desk, folder: str) -> None:
    drop.drop("a.avi")
    drop.work()
    for _ in range(2):
        drop.put(f"inbox/{folder}a.THM", "of the copy")
        drop.again("classified/dark/a.avi", f"{folder}a.avi")
        drop.work()
        assert drop.files() == {"classified/dark/a.avi", "duplicates/a.THM"}
    drop.enqueue(drop.put_video(f"inbox/{folder}a.avi", shade=180))  # another clip of that name
    drop.work()
    assert drop.files() == {"classified/dark/a.avi", "classified/red/a.avi", "duplicates/a.THM"}


def test_drop_leaves_sidecars_whose_next_clip_is_there(drop: Desk) -> None:
    drop.drop("a.avi")
    drop.work()
    drop.again("classified/dark/a.avi", "a.avi")
    follow = drop.pipeline._filing._follow_dropped

    def after_the_next_came(moves: Any) -> None:
        if moves:
            drop.put("inbox/a.THM")
            drop.put_video("inbox/a.avi", shade=180)
        follow(moves)

    drop.pipeline._filing._follow_dropped = after_the_next_came  # type: ignore[method-assign]
    drop.pipeline.step(drop.now)
    drop.work()
    assert drop.files() == {"classified/dark/a.avi", "inbox/a.THM", "inbox/a.avi"}


def test_leave_leaves_a_copy_and_looks_at_it_no_more(leave: Desk) -> None:
    leave.drop("a.avi")
    leave.work()
    path = leave.again("classified/dark/a.avi", "b.avi")
    leave.work()
    assert leave.files() == {"classified/dark/a.avi", "inbox/b.avi"}
    assert leave.state(2) == ("filed", 1, False)
    assert leave.found_again() == []
    assert leave.enqueue(path) == 0  # an event of it, as after chmod
    with leave.writing() as connection:  # a reboot gives its file system another number
        connection.execute(videos.update().values(device=videos.c.device + 1))
    assert leave.found_again() == []
    leave.queue.recover()
    leave.work()
    assert len(leave.rows()) == 2


def test_a_file_that_takes_the_place_of_a_left_copy_is_new(leave: Desk) -> None:
    leave.drop("a.avi")
    leave.work()
    path = leave.again("classified/dark/a.avi", "b.avi")
    leave.work()
    leave.put_video("inbox/b.avi", shade=180)
    assert leave.found_again() == [str(path)]
    leave.enqueue(path)
    leave.work()
    assert classes(leave) == ["dark", "red"]


@pytest.mark.parametrize("what", ["removed", "another file", "changed"])
def test_a_clip_whose_first_file_is_gone_is_classified_anew(each: Desk, what: str) -> None:
    each.drop("a.avi")
    each.work()
    first = each.root / "classified/dark/a.avi"
    shutil.copy2(first, each.root / "kept.avi")
    if what == "removed":
        first.unlink()
    elif what == "another file":
        each.put_video("classified/dark/a.avi", frames=20, shade=10)
    else:
        with first.open("ab") as file:
            file.write(b"more")
    each.again("kept.avi", "b.avi")
    each.work()
    assert "b.avi" in each.reader.decoded
    assert each.state(2) == ("filed", None, False)
    assert each.row(1)["duplicate_of"] == 2  # what was said of it is said of this content
    assert "classified/dark/b.avi" in each.files()
    assert [row.video_id for row in each.prediction_rows()] == [1, 2]
    each.again("kept.avi", "c.avi")  # and from now on that is the first file
    each.work()
    assert each.row(3)["duplicate_of"] == 2
    assert each.reader.decoded.count("c.avi") == 0


def test_a_first_file_of_another_date_is_there(keep: Desk) -> None:
    keep.drop("a.avi")
    keep.work()
    os.utime(keep.root / "classified/dark/a.avi", (1, 1))
    keep.again("classified/dark/a.avi", "b.avi")
    keep.work()
    assert keep.row(2)["duplicate_of"] == 1


def test_a_clip_that_a_person_moves_back_is_predicted_by_the_present_model(each: Desk) -> None:
    each.drop("a.avi")
    each.work()
    model = each.register("better")
    each.pipeline.use(replace(each.predictor, reader=each.reader, model_id=model))
    path = (each.root / "classified/dark/a.avi").rename(each.inbox / "a.avi")
    assert each.found_again() == [str(path)]
    each.enqueue(path)
    each.work()
    assert each.files() == {"classified/dark/a.avi"}
    assert each.state(2) == ("filed", None, False)
    assert [(row.video_id, row.model_id) for row in each.prediction_rows()] == [
        (1, each.model),
        (2, model),
    ]


def test_the_label_of_a_clip_stands_when_its_file_comes_again(each: Desk) -> None:
    each.drop("a.avi")
    each.work()
    each.give_label(1, "red")
    each.work()
    path = (each.root / "labelled/red/a.avi").rename(each.inbox / "a.avi")
    each.enqueue(path)
    each.work()
    assert each.files() == {"labelled/red/a.avi"}
    assert each.given_labels() == [(2, "labelled", "red", "command")]
    assert classes(each) == ["dark", "dark"]


def test_a_clip_that_comes_again_belongs_to_the_group_that_its_content_has(keep: Desk) -> None:
    keep.drop("a.avi")
    keep.work()
    (keep.root / "classified/dark/a.avi").rename(keep.inbox / "a.avi")
    keep.enqueue(keep.inbox / "a.avi")
    keep.work()
    assert keep.row(2)["group"] == "#1"


def test_many_copies_at_once_are_decoded_once(each: Desk) -> None:
    made = each.put_video("made-before.avi")
    for number in range(12):
        each.again(made, f"{number}.avi")
    each.again(each.put_video("other.avi", frames=9, shade=180), "other.avi")
    each.work()
    assert sorted(each.reader.decoded) == ["0.avi", "other.avi"]
    assert [row.duplicate_of for row in each.rows()] == [None, *[1] * 11, None]
    assert sorted(classes(each)) == ["dark", "red"]


def test_a_clip_that_failed_is_tried_again(each: Desk) -> None:
    text = each.put("inbox/a.mp4", "no video")
    each.enqueue(text)
    each.work()
    each.put("inbox/b.mp4", "no video")
    each.enqueue(each.inbox / "b.mp4")
    each.work()
    assert [row.state for row in each.rows()] == ["failed", "failed"]
    assert each.reader.decoded == ["a.mp4", "b.mp4"]
    assert {"failed/a.mp4", "failed/b.mp4"} <= each.files()


def test_a_labelled_copy_is_a_label_and_stays(each: Desk) -> None:
    each.drop("a.avi")
    each.work()
    path = each.root / "labelled/red/b.avi"
    path.parent.mkdir(parents=True)
    shutil.copy2(each.root / "classified/dark/a.avi", path)
    each.class_folders.notice([each.found(path)], each.now)
    each.work()
    assert each.files() == {"labelled/red/a.avi", "labelled/red/b.avi"}
    assert each.given_labels() == [(1, "labelled", "red", "moved")]
    assert each.row(2)["duplicate_of"] == 1
    assert each.reader.decoded == ["a.avi"]


def test_drop_keeps_a_copy_if_the_first_file_changed_after_it_was_hashed(drop: Desk) -> None:
    drop.drop("a.avi")
    drop.work()
    first = drop.root / "classified/dark/a.avi"
    shutil.copy2(first, drop.root / "kept.avi")

    def change(_: Path) -> None:
        content = bytearray(first.read_bytes())
        content[-1] ^= 1
        info = first.stat()
        first.write_bytes(content)
        os.utime(first, ns=(info.st_atime_ns, info.st_mtime_ns))

    drop.reader.during = change
    drop.again("kept.avi", "b.avi")
    drop.work()
    assert "duplicates/b.avi" in drop.files()
    assert drop.state(2) == ("filed", 1, False)


def test_drop_keeps_a_copy_that_a_program_writes_to(drop: Desk) -> None:
    drop.drop("a.avi")
    drop.work()
    path = drop.again("classified/dark/a.avi", "b.avi")
    with path.open("ab"):
        drop.work()
    assert drop.files() == {"classified/dark/a.avi", "duplicates/b.avi"}


def test_drop_removes_no_file_that_only_shows_twice(drop: Desk) -> None:
    """A folder that shows in the inbox as well: without its file, nothing would be left."""
    drop.drop("a.avi")
    drop.work()
    folder = drop.root / "classified/dark"
    shown = drop.inbox / "shown"
    shown.mkdir()
    command = ["mount", "--bind", str(folder), str(shown)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a folder")
    try:
        drop.enqueue(shown / "a.avi")
        with drop.writing() as connection:  # as if nothing had noticed that it is one file
            row = dict(drop.row(1))
            row |= {"id": 2, "path": bytes(shown / "a.avi"), "state": "classified"}
            row |= {"destination": bytes(drop.root / "duplicates/a.avi"), "duplicate_of": 1}
            connection.execute(videos.insert().values({**row, "finished_at": None}))
        drop.work()
        assert (folder / "a.avi").exists() or (drop.root / "duplicates/a.avi").exists()
    finally:
        subprocess.run(["umount", "-l", str(shown)], check=True)


def test_drop_keeps_a_copy_if_the_first_file_is_not_in_its_place_yet(drop: Desk) -> None:
    drop.drop("a.avi")
    drop.work()
    drop.again("classified/dark/a.avi", "b.avi")
    file = drop.pipeline._filing.file

    def labelled_meanwhile(moves: Any, now: Any) -> None:
        if moves:
            drop.give_label(2, "red")
        file(moves, now)

    drop.pipeline._filing.file = labelled_meanwhile  # type: ignore[method-assign]
    drop.pipeline.step(drop.now)
    drop.pipeline._filing.file = file  # type: ignore[method-assign]
    drop.work()
    assert {"labelled/red/a.avi"} <= drop.files()
    assert drop.given_labels()[0][:3] == (1, "labelled", "red")


def test_a_stop_while_files_are_compared_is_done_at_the_next_start(drop: Desk) -> None:
    drop.drop("a.avi")
    drop.work()
    path = drop.again("classified/dark/a.avi", "b.avi")
    drop.stopping = True
    for _ in range(10):
        drop.pipeline.step(drop.now)
    assert path.exists()
    assert drop.state(2) == ("classified", 1, False)
    drop.stopping = False
    drop.work()
    assert drop.files() == {"classified/dark/a.avi"}


def test_a_copy_that_cannot_be_removed_is_in_trouble_and_stays(drop: Desk, mount: Mount) -> None:
    drop.drop("a.avi")
    drop.work()
    card = drop.inbox / "card"
    card.mkdir()
    shutil.copy2(drop.root / "classified/dark/a.avi", mount(card) / "b.avi")
    subprocess.run(["mount", "-o", "remount,ro", str(card)], check=True)
    drop.enqueue(card / "b.avi")
    drop.now = drop.now.replace(year=drop.now.year + 1)
    drop.pipeline.step(drop.now)
    for _ in range(5):
        drop.pipeline.step(drop.now)
    assert (card / "b.avi").exists()
    assert "read-only" in drop.row(2)["trouble"]
    assert drop.state(2) == ("classified", 1, False)


def test_a_removal_that_was_begun_is_not_done_while_the_inbox_is_away(drop: Desk) -> None:
    drop.drop("a.avi")
    drop.work()
    path = drop.again("classified/dark/a.avi", "b.avi")
    drop.stopping = True
    for _ in range(10):
        drop.pipeline.step(drop.now)
    drop.stopping = False
    with drop.writing() as connection:  # as if the daemon had been killed before it removed it
        connection.execute(videos.update().where(videos.c.id == 2).values(dropped_at=drop.now))
    drop.inbox.rename(drop.root / "away")
    drop.now += timedelta(hours=1)
    drop.pipeline.file(drop.now)
    assert drop.state(2)[0] == "classified"
    assert "the inbox is not there" in drop.row(2)["trouble"]
    (drop.root / "away").rename(drop.inbox)
    assert path.exists()
    drop.work()
    assert drop.state(2) == ("filed", 1, True)
    assert drop.files() == {"classified/dark/a.avi"}


@pytest.mark.parametrize("how", ["gone", "empty", "link"])
def test_a_first_file_whose_disk_is_away_is_not_gone(keep: Desk, how: str) -> None:
    keep.drop("a.avi")
    keep.work()
    shelf = keep.root / "classified"
    if how == "link":
        disk = (shelf / "dark").rename(keep.root / "disk")
        (shelf / "dark").symlink_to(keep.root / "not mounted")
    else:
        disk = shelf.rename(keep.root / "disk") / "dark"
        if how == "empty":
            shelf.mkdir()
    keep.again(disk / "a.avi", "b.avi")
    keep.work()
    assert keep.state(1) == ("filed", None, False)
    assert keep.state(2) == ("filed", 1, False)
    assert keep.reader.decoded == ["a.avi"]


@pytest.mark.parametrize("by", ["container", "name"])
def test_a_copy_was_recorded_when_its_container_or_its_name_says(keep: Desk, by: str) -> None:
    keep.drop("VID_20240131_120000.avi")
    keep.work()
    told = datetime(2023, 5, 6, 7, 8, 9, tzinfo=UTC)
    with keep.writing() as connection:  # these small clips name no camera and no time
        change: dict[str, Any] = {"camera": "Sony A7"}
        if by == "container":
            change |= {"recorded_by": by, "recorded_at": told}
        connection.execute(videos.update().values(change))
    keep.again("classified/dark/VID_20240131_120000.avi", "VID_20240202_120000Z.avi")
    keep.work()
    row = keep.row(2)
    at = told if by == "container" else datetime(2024, 2, 2, 12, tzinfo=UTC)
    assert (row["recorded_at"], row["recorded_by"], row["camera"]) == (at, by, "Sony A7")
    assert keep.reader.hashed == ["VID_20240202_120000Z.avi"]
