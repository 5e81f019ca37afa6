"""A clip that a person removes from `labelled/` takes its label with it; a disk that is away not."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.labels.class_changes import ClassChanges
from daemon.labels.labels import Label
from daemon.labels.removal import Removal
from daemon.training.holdout import labelled_videos

GRACE = timedelta(seconds=30)


class Shelf(MadeHome):
    """A home with clips in two class folders."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.notices: dict[str, str | None] = {}
        self.removal = Removal(self.engine, self.folders, GRACE, self.notices.__setitem__)
        self.put_and_notice("labelled/cat/a.avi", "labelled/cat/b.avi", "labelled/dog/c.avi")
        self.predict_and_file()

    def put_and_notice(self, *names: str) -> None:
        files = [self.found(self.put(name)) for name in names]
        self.class_folders.notice(files, self.tick())

    def tend(self, minutes: int = 2) -> None:
        for _ in range(minutes):
            self.removal.tend(self.tick())

    def labelled(self) -> list[tuple[str, str]]:
        """The labels that count: the clip's name and its class."""
        with self.engine.begin() as connection:
            found = labelled_videos(connection)
        return sorted((Path(clip.path.decode()).name, clip.class_name) for clip in found)


ALL = [("a.avi", "cat"), ("b.avi", "cat"), ("c.avi", "dog")]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path / "home")
    yield shelf
    shelf.close()


def test_a_class_folder_that_is_removed_takes_its_labels_with_it(shelf: Shelf) -> None:
    shutil.rmtree(shelf.root / "labelled/cat")
    shelf.removal.tend(shelf.now)
    assert shelf.labelled() == ALL  # it may only have been moved
    shelf.tend()
    assert shelf.labelled() == [("c.avi", "dog")]
    assert [row[1:3] for row in shelf.given_labels()][-2:] == [("withdrawn", None)] * 2
    assert len(shelf.given_labels()) == 5  # and no label was deleted


def test_a_label_of_any_source_goes_with_its_clip_and_no_older_one_counts_instead(
    shelf: Shelf,
) -> None:
    video = shelf.arrive("d.avi")
    shelf.predict_and_file()
    shelf.give_label(video, "cat", "page")
    shelf.give_label(video, "dog", "command")
    shelf.file()
    assert shelf.place(video) == "labelled/dog/d.avi"
    shelf.path(video).unlink()
    shelf.tend()
    assert shelf.labelled() == ALL


@pytest.mark.parametrize("how", ["same file", "copy"])
def test_a_clip_that_comes_back_has_its_label_again(shelf: Shelf, tmp_path: Path, how: str) -> None:
    folder = shelf.root / "labelled/cat"
    away = tmp_path / "trash"
    folder.rename(away)
    shelf.tend()
    assert shelf.labelled() == [("c.avi", "dog")]
    if how == "same file":
        away.rename(folder)
    else:
        shutil.copytree(away, folder)  # it has other inodes, and other times
        files = [shelf.found(path) for path in sorted(folder.iterdir())]
        shelf.class_folders.notice(files, shelf.tick())
        shelf.predict_and_file()
    shelf.tend()
    assert shelf.labelled() == ALL
    with shelf.engine.begin() as connection:
        assert not any(clip.biased for clip in labelled_videos(connection))
    before = shelf.given_labels()
    shelf.tend(3)
    assert shelf.given_labels() == before


@pytest.mark.parametrize("what", ["gone", "empty", "link to nothing"])
def test_nothing_is_taken_back_if_the_whole_folder_is_away(
    shelf: Shelf, tmp_path: Path, what: str
) -> None:
    labelled = shelf.root / "labelled"
    labelled.rename(tmp_path / "share")
    if what == "empty":
        labelled.mkdir()
    elif what == "link to nothing":
        labelled.symlink_to(tmp_path / "not mounted")
    shelf.tend(4)
    assert shelf.labelled() == ALL
    notice = shelf.notices.get("labelled")
    assert (notice is not None) == (what == "empty")
    if labelled.is_symlink():
        labelled.unlink()
    elif labelled.is_dir():
        labelled.rmdir()
    (tmp_path / "share").rename(labelled)
    shelf.tend()
    assert shelf.labelled() == ALL
    assert shelf.notices["labelled"] is None


def test_the_notice_that_all_are_gone_says_what_makes_the_labels_go(shelf: Shelf) -> None:
    """Its words are followed: another clip in a class folder, and the labels are taken back."""
    for folder in ("cat", "dog"):
        shutil.rmtree(shelf.root / "labelled" / folder)
    shelf.tend()
    notice = shelf.notices["labelled"]
    assert notice
    assert notice.endswith(
        "if you removed them, put another clip into labelled/<class>/: then their labels go"
    )
    shelf.put_and_notice("labelled/fox/x.avi")
    shelf.predict_and_file()
    shelf.tend(3)
    assert shelf.labelled() == [("x.avi", "fox")]


def test_a_class_folder_that_is_a_link_may_be_a_share_that_is_away(
    shelf: Shelf, tmp_path: Path
) -> None:
    folder = shelf.root / "labelled/cat"
    folder.rename(tmp_path / "share")
    folder.symlink_to(tmp_path / "not mounted")
    shelf.tend()
    assert shelf.labelled() == ALL


def test_the_place_of_a_disk_that_is_not_mounted_since_a_restart_is_no_removal(
    shelf: Shelf,
) -> None:
    """An empty class folder, of which the new process never saw a clip. The notice is followed."""
    folder = shelf.root / "labelled/cat"
    shutil.rmtree(folder)
    folder.mkdir()
    shelf.tend()
    assert shelf.labelled() == ALL
    notice = shelf.notices["labelled"]
    assert notice
    assert "in labelled/cat:" in notice
    assert notice.endswith("if you removed them, remove the folder")
    folder.rmdir()
    shelf.tend()
    assert shelf.labelled() == [("c.avi", "dog")]
    assert shelf.notices["labelled"] is None


def test_clips_that_are_deleted_before_our_eyes_are_removed_though_their_folder_stays(
    shelf: Shelf,
) -> None:
    shelf.removal.tend(shelf.tick())
    for path in (shelf.root / "labelled/cat").iterdir():
        path.unlink()
    shelf.tend()
    assert shelf.labelled() == [("c.avi", "dog")]


def test_labels_that_were_taken_back_cost_no_transaction_that_writes(shelf: Shelf) -> None:
    shutil.rmtree(shelf.root / "labelled/cat")
    shelf.tend()
    assert shelf.labelled() == [("c.avi", "dog")]
    with shelf.writing():
        shelf.tend()  # it would wait, and fail


def test_any_number_of_labels_is_taken_back_and_given_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.labels.removal.AT_ONCE", 1)
    (shelf.root / "labelled/cat").rename(shelf.root / "away")
    shelf.tend(3)
    assert shelf.labelled() == [("c.avi", "dog")]
    (shelf.root / "away").rename(shelf.root / "labelled/cat")
    shelf.tend()
    assert shelf.labelled() == ALL


def test_a_folder_that_cannot_be_searched_is_no_removal(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(path: bytes) -> None:
        raise OSError(116, "Stale file handle")

    shutil.rmtree(shelf.root / "labelled/cat")
    monkeypatch.setattr("daemon.labels.removal.identify", stale)
    shelf.tend()
    assert shelf.labelled() == ALL


@pytest.mark.slow
def test_a_clip_that_was_moved_is_not_removed(shelf: Shelf) -> None:
    source = shelf.root / "labelled/cat/a.avi"
    target = shelf.root / "labelled/dog/a.avi"
    source.rename(target)
    shelf.removal.tend(shelf.tick())
    shelf.class_folders.notice([shelf.found(target)], shelf.now)
    shelf.tend()
    assert shelf.labelled() == [("a.avi", "dog"), *ALL[1:]]


def test_a_clip_on_its_way_back_through_the_inbox_keeps_its_label(shelf: Shelf) -> None:
    path = shelf.root / "inbox/a.avi"
    (shelf.root / "labelled/cat/a.avi").rename(path)
    shelf.enqueue(path)
    shelf.tend(minutes=10)
    assert shelf.labelled() == ALL
    path.unlink()  # and if it goes from there, too, it takes its label with it
    (video,) = shelf.claim()
    shelf.queue.wait(video.id, shelf.now)
    shelf.queue.give_up(video.id, "vanished before it could be read", shelf.now)
    shelf.tend()
    assert shelf.labelled() == ALL[1:]


def test_a_label_that_is_given_while_the_clip_is_gone_stays(shelf: Shelf) -> None:
    """As by a person who relabels it on a page that was loaded before."""
    video = int(shelf.row(shelf.root / "labelled/cat/a.avi")["id"])
    (shelf.root / "labelled/cat/a.avi").unlink()
    shelf.tend()
    shelf.labels.add([Label(video, "labelled", "dog")], "page", "ann", shelf.now)
    shelf.tend()
    assert ("withdrawn", None) not in [row[1:3] for row in shelf.given_labels()][-1:]


def test_a_copy_that_is_still_there_keeps_the_label(shelf: Shelf) -> None:
    shelf.put("labelled/cat/copy.avi", "labelled/cat/a.avi")
    shelf.class_folders.notice([shelf.found(shelf.root / "labelled/cat/copy.avi")], shelf.tick())
    shelf.predict_and_file()
    (shelf.root / "labelled/cat/a.avi").unlink()
    shelf.tend()
    assert shelf.labelled() == ALL


@pytest.mark.parametrize("folder", ["cat", "lynx"])
def test_a_clip_that_comes_back_has_the_name_that_its_class_has_now(
    shelf: Shelf, folder: str
) -> None:
    away = shelf.root / "a.avi"
    (shelf.root / "labelled/cat/a.avi").rename(away)
    shelf.tend()
    ClassChanges(shelf.engine, shelf.folders, "bob").rename("cat", "lynx", shelf.tick())
    shelf.file()
    back = shelf.root / "labelled" / folder / "a.avi"
    back.parent.mkdir(exist_ok=True)
    away.rename(back)
    shelf.class_folders.notice([shelf.found(back)], shelf.tick())
    shelf.tend()
    shelf.file()
    assert shelf.labelled() == [("a.avi", "lynx"), ("b.avi", "lynx"), ("c.avi", "dog")]
    assert (shelf.root / "labelled/lynx/a.avi").is_file()


def test_a_retired_class_is_not_given_again_until_it_is_in_use_again(shelf: Shelf) -> None:
    away = shelf.root / "a.avi"
    place = shelf.root / "labelled/cat/a.avi"
    place.rename(away)
    shelf.tend()
    ClassChanges(shelf.engine, shelf.folders, "bob").retire("cat", shelf.tick())
    away.rename(place)
    shelf.tend()
    assert shelf.labelled() == [("c.avi", "dog")]
    shelf.give_label(int(shelf.row(place)["id"]), "cat")
    shelf.file()
    assert shelf.labelled() == [("a.avi", "cat"), ("c.avi", "dog")]
    place.rename(away)
    shelf.tend()
    assert shelf.labelled() == [("c.avi", "dog")]
    away.rename(place)
    shelf.tend()
    assert shelf.labelled() == [("a.avi", "cat"), ("c.avi", "dog")]
