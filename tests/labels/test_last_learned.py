"""What was learned last from class folders is taken back at once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.home.folders import files_below
from daemon.labels.class_changes import ClassChanges
from daemon.labels.last_learned import LastLearned, last_learned


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


def search(home: MadeHome) -> None:
    for name in ("labelled", "classified"):
        for files in files_below(home.root / name):
            home.class_folders.notice(home.class_folders.not_put_by_us(files), home.now)


def move_to(home: MadeHome, folder: str, *ids: int) -> None:
    (home.root / folder).mkdir(exist_ok=True, parents=True)
    for video in ids:
        home.path(video).rename(home.root / folder / home.path(video).name)
    search(home)


def last(home: MadeHome) -> LastLearned:
    with home.engine.begin() as connection:
        found = last_learned(connection)
    assert found
    return found


def undo(home: MadeHome) -> set[int]:
    return home.labels.undo_given(last(home).labels, "command", "bob", home.tick())


def test_clips_that_were_moved_to_a_wrong_folder_go_back_and_earlier_labels_stay(
    home: MadeHome,
) -> None:
    ids = [home.arrive(f"{name}.avi") for name in "abcdef"]
    home.predict_and_file()
    home.give_label(ids[0], "Skiing", source="page")
    home.file()
    move_to(home, "labelled/Skiing", ids[1])
    home.now += timedelta(minutes=2)
    move_to(home, "labelled/Rowing", *ids[2:4])
    home.now += timedelta(seconds=50)
    move_to(home, "labelled/Rowing", *ids[4:])
    home.give_label(ids[4], "Skiing", source="page")
    found = last(home)
    assert (found.class_name, set(found.names)) == ("Rowing", {"c.avi", "d.avi", "f.avi"})
    assert found.until - found.since == timedelta(seconds=50)
    assert len(undo(home)) == 3
    home.file()
    assert home.files() == {
        "classified/Biking/c.avi",
        "classified/Biking/d.avi",
        "classified/Biking/f.avi",
        "labelled/Skiing/a.avi",
        "labelled/Skiing/b.avi",
        "labelled/Skiing/e.avi",
    }
    search(home)
    assert (last(home).class_name, last(home).names) == ("Skiing", ("b.avi",))


def test_clips_that_came_in_a_class_folder_lose_their_labels_before_they_are_read(
    home: MadeHome,
) -> None:
    for name in "ab":
        home.put(f"labelled/Rowing/{name}.avi")
    search(home)
    assert len(undo(home)) == 2
    with home.engine.begin() as connection:
        assert last_learned(connection) is None
    home.predict_and_file()
    home.file()
    assert home.files() == {"classified/Biking/a.avi", "classified/Biking/b.avi"}
    search(home)
    with home.engine.begin() as connection:
        assert last_learned(connection) is None


def test_what_was_learned_last_stays_so_when_another_class_gets_a_new_name(home: MadeHome) -> None:
    """The labels of the renamed class were taken back, though they had come long before."""
    ids = [home.arrive(f"{name}.avi") for name in "abcd"]
    home.predict_and_file()
    move_to(home, "labelled/Rowing", ids[0])
    home.now += timedelta(minutes=5)
    move_to(home, "labelled/Sailing", ids[1])
    home.now += timedelta(minutes=5)
    move_to(home, "labelled/Skiing", *ids[2:])
    changes = ClassChanges(home.engine, home.folders, "ann")
    changes.rename("Rowing", "Boats", home.tick())
    found = last(home)
    assert (found.class_name, set(found.names)) == ("Skiing", {"c.avi", "d.avi"})
    changes.merge("Sailing", "Boats", home.tick())
    undo(home)
    found = last(home)
    assert (found.class_name, found.names) == ("Boats", ("b.avi",))
