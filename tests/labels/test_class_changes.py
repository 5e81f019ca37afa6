"""Class folders that a person renames, and classes that are renamed, merged and retired."""

import os
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest
from homes import MadeHome
from sqlalchemy import update

from daemon.database.records import Moved
from daemon.database.tables import class_names, renamed_folders, videos
from daemon.home.folders import files_below
from daemon.labels.class_changes import ClassChanges, known_classes
from daemon.labels.labels import Label
from daemon.labels.next_clips import next_clips
from daemon.labels.odd_names import odd_names
from daemon.labels.quality import labelled_contents, labelled_two_ways
from daemon.labels.queries import newest
from daemon.report.accuracy import quality
from daemon.report.status import read_status
from learner.errors import VidwatchError

A_TICK = 0.02  # s: file systems may date changes within a tick of the clock alike


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home", review_share=1.0)
    yield home
    home.close()


def changes(home: MadeHome) -> ClassChanges:
    return ClassChanges(home.engine, home.folders, "bob")


def search(home: MadeHome) -> int:
    done = 0
    for name in ("labelled", "classified"):
        for files in files_below(home.root / name):
            new = home.class_folders.not_put_by_us(files)
            done += home.class_folders.notice(new, home.tick())
    return done


def questions(home: MadeHome) -> list[str]:
    with home.engine.begin() as connection:
        return odd_names(connection, home.root)


def count(home: MadeHome) -> dict[int, str | None]:
    """The label that counts of each labelled content."""
    with home.engine.begin() as connection:
        rows = connection.execute(newest()).mappings().all()
    return {row["video_id"]: row["class"] for row in rows}


def filed(home: MadeHome, *names: str) -> list[int]:
    ids = [home.arrive(f"{name}.avi") for name in names]
    home.predict_and_file()
    return ids


def test_a_renamed_class_folder_labels_nothing_and_is_asked_about(home: MadeHome) -> None:
    ids = filed(home, "a", "b", "c")
    (home.root / "classified/Biking").rename(home.root / "classified/old_bikes")
    assert search(home) == 0
    assert home.given_labels() == []
    assert {home.place(video) for video in ids} == {
        f"classified/old_bikes/{name}.avi" for name in "abc"
    }
    (question,) = questions(home)
    assert "vidwatch classes rename Biking old_bikes" in question
    assert read_status(home.home, home.now).odd_names == [question]
    later = filed(home, "d")  # meanwhile nothing has changed
    assert home.place(later[0]) == "classified/Biking/d.avi"
    assert search(home) == 0
    changes(home).rename("Biking", "old_bikes", home.tick())
    home.file()
    assert questions(home) == []
    assert home.place(later[0]) == "classified/old_bikes/d.avi"
    assert home.place(filed(home, "e")[0]) == "classified/old_bikes/e.avi"
    assert search(home) == 0
    assert home.given_labels() == []


@pytest.mark.slow
def test_a_renamed_folder_of_labelled_clips_keeps_their_labels_until_the_class_is_renamed(
    home: MadeHome,
) -> None:
    ids = filed(home, "a", "b")
    for video in ids:
        home.give_label(video, "Skiing", sampled=True)
    home.file()
    (home.root / "labelled/Skiing").rename(home.root / "labelled/Snow")
    assert search(home) == 0
    assert set(count(home).values()) == {"Skiing"}
    assert len(questions(home)) == 1
    assert changes(home).rename("Skiing", " Snow", home.tick()) == ("Snow", 2)
    home.file()
    assert set(count(home).values()) == {"Snow"}
    assert home.place(ids[0]) == "labelled/Snow/a.avi"
    given = home.given_labels("who", "sampled")
    assert given[-1] == (ids[1], "labelled", "Snow", "command", "ann", True)
    assert [row[4] for row in given if row[1] == "withdrawn"] == ["bob", "bob"]
    assert (questions(home), search(home)) == ([], 0)


def test_the_folder_of_a_class_that_is_offered_no_more_can_be_renamed(home: MadeHome) -> None:
    first, second = filed(home, "a", "b")
    home.give_label(first, "Zebra")  # from now on, the starter's names are offered nowhere
    home.file()
    (home.root / "classified/Biking").rename(home.root / "classified/Bikes")
    assert search(home) == 0
    assert "vidwatch classes rename Biking Bikes" in questions(home)[0]
    assert changes(home).rename("Biking", "Bikes", home.tick()) == ("Bikes", 0)
    assert home.place(filed(home, "c")[0]) == "classified/Bikes/c.avi"
    assert home.place(second) == "classified/Bikes/b.avi"


def test_a_folder_is_renamed_though_vidwatch_has_made_it_again_meanwhile(home: MadeHome) -> None:
    """Before the search sees the new name, one more clip is filed under the old one."""
    ids = filed(home, "a", "b", "c")
    home.path(ids[0]).unlink()  # a clip that is gone says nothing
    sleep(A_TICK)
    (home.root / "classified/Biking").rename(home.root / "classified/Bikes")
    (later,) = filed(home, "d")
    assert search(home) == 0
    assert home.given_labels() == []
    assert "vidwatch classes rename Biking Bikes" in questions(home)[0]
    assert home.place(ids[1]) == "classified/Bikes/b.avi"
    assert home.place(later) == "classified/Biking/d.avi"


@pytest.mark.slow
def test_clips_that_are_moved_to_a_new_folder_are_labelled_while_others_stay(
    home: MadeHome,
) -> None:
    ids = filed(home, "a", "b", "c")
    sleep(A_TICK)
    (home.root / "classified/Rowing").mkdir()
    for video in ids[:2]:  # the oldest ones
        home.path(video).rename(home.root / "classified/Rowing" / home.path(video).name)
    assert search(home) == 2
    assert count(home) == dict.fromkeys(ids[:2], "Rowing")
    assert questions(home) == []


def test_a_clip_of_a_renamed_folder_that_was_filed_later_is_labelled_by_moving_it(
    home: MadeHome,
) -> None:
    """The question is not answered yet, and the folder of the old name fills again."""
    filed(home, "a", "b")
    (home.root / "classified/Biking").rename(home.root / "classified/Bikes")
    assert search(home) == 0
    home.tick()
    later, _ = filed(home, "c", "d")
    home.path(later).rename(home.root / "classified/Bikes/c.avi")
    assert search(home) == 1
    assert home.given_labels() == [(later, "labelled", "Bikes", "moved")]


def test_a_label_that_is_still_to_move_a_file_moves_it_out_of_a_renamed_folder(
    home: MadeHome,
) -> None:
    labelled, other = filed(home, "a", "b")
    home.give_label(labelled, "Skiing")
    (home.root / "classified/Biking").rename(home.root / "classified/Bikes")
    search(home)
    home.file()
    assert count(home) == {labelled: "Skiing"}
    assert home.place(labelled) == "labelled/Skiing/a.avi"
    assert home.place(other) == "classified/Bikes/b.avi"


def test_a_folder_that_gets_its_former_name_back_is_asked_about_no_more(home: MadeHome) -> None:
    filed(home, "a", "b")
    before = home.root / "classified/Biking"
    after = home.root / "classified/old_bikes"
    for _ in range(2):
        before.rename(after)
        assert search(home) == 0
        assert len(questions(home)) == 1
        after.rename(before)
        assert search(home) == 0
        assert questions(home) == []
        search(home)
        assert home.class_folders.notice([], home.now) == 0
        assert home.rows(renamed_folders) == []
    assert home.given_labels() == []


def test_the_unsure_clips_are_not_labelled_by_renaming_their_folder(home: MadeHome) -> None:
    home.arrive("a.avi")
    home.predict_and_file(unsure="probability")
    (home.root / "classified/_unsure").rename(home.root / "classified/to_check")
    assert search(home) == 0
    assert home.given_labels() == []
    assert "one by one" in questions(home)[0]


def test_clips_moved_into_a_folder_that_was_there_are_labelled_though_theirs_is_gone(
    home: MadeHome,
) -> None:
    (video,) = filed(home, "a")
    home.arrive("b.avi")
    home.predict_and_file(home.model_prediction("Skiing"))
    path = home.path(video)
    path.rename(home.root / "classified/Skiing/a.avi")
    path.parent.rmdir()
    assert search(home) == 1
    assert home.given_labels() == [(video, "labelled", "Skiing", "moved")]
    assert questions(home) == []


def test_a_folder_moved_from_classified_to_labelled_is_still_a_label(home: MadeHome) -> None:
    (video,) = filed(home, "a")
    (home.root / "classified/Biking").rename(home.root / "labelled/Biking")
    search(home)
    assert home.given_labels() == [(video, "labelled", "Biking", "moved")]


def test_a_renamed_class_is_meant_by_its_former_name_everywhere(home: MadeHome) -> None:
    first, second, third = filed(home, "a", "b", "c")
    home.give_label(first, "Skiing", sampled=True)
    changes(home).rename("Biking", "Cycling", home.tick())
    changes(home).rename("Cycling", "Bikes", home.tick())
    home.labels.accept([second], "accepted", "ann", home.tick())
    home.give_label(third, "Biking", sampled=True)
    new = home.put("labelled/Cycling/d.avi")
    home.class_folders.notice([home.found(new)], home.tick())
    home.predict_and_file()
    assert list(count(home).values()) == ["Skiing", "Bikes", "Bikes", "Bikes"]
    assert home.place(third) == "labelled/Bikes/c.avi"
    with home.engine.begin() as connection:
        live = quality(connection, home.folders, "starter", home.now).live
        shown = {one.name: one for one in known_classes(connection)}
    assert live is not None
    assert (live.n, live.right) == (2, 1)
    assert shown["Bikes"].former == ("Biking", "Cycling")
    assert (shown["Bikes"].labels, shown["Bikes"].models) == (3, ("starter",))
    status = read_status(home.home, home.now)
    assert {video.class_name for video in status.recent} == {"Biking"}  # as it was predicted
    changes(home).rename("Bikes", "Biking", home.tick())
    assert [(row.old, row.new) for row in home.rows(class_names, by="old")] == [
        ("Bikes", "Biking"),
        ("Cycling", "Biking"),
    ]
    assert home.place(filed(home, "e")[0]) == "classified/Biking/e.avi"


@pytest.mark.parametrize("begun", [False, True])
def test_a_clip_that_is_still_to_be_filed_goes_to_the_folder_of_the_new_name(
    home: MadeHome, begun: bool
) -> None:
    video = home.arrive("a.avi")
    home.predict()
    moves = home.queue.moves(home.now) if begun else []
    changes(home).rename("Biking", "Bikes", home.tick())
    for move in moves:
        target = Path(os.fsdecode(move.destination))
        target.parent.mkdir(parents=True, exist_ok=True)
        home.path(video).rename(target)
        home.queue.moved({video: Moved(bytes(target), move.destination)}, home.now)
    home.file()
    assert home.place(video) == "classified/Bikes/a.avi"
    assert (home.row(video)["state"], home.row(video)["destination"]) == ("filed", None)


def test_a_clip_that_waits_in_the_folder_of_a_renamed_class_is_filed_by_its_new_name(
    home: MadeHome,
) -> None:
    for name, content in (("a", "a"), ("copy", "a"), ("late", "late"), ("late copy", "a")):
        home.put(f"labelled/Old/{name}.avi", content)
        search(home)
        if name == "copy":
            home.predict_and_file()
    changes(home).rename("Old", "New", home.tick())
    home.predict_and_file()
    names = ("a", "copy", "late", "late copy")
    assert home.files() == {f"labelled/New/{name}.avi" for name in names}
    assert set(count(home).values()) == {"New"}
    assert search(home) == 0


def test_a_clip_that_waits_in_a_folder_that_a_person_renames_stays_there(home: MadeHome) -> None:
    home.put("labelled/Old/a.avi")
    search(home)
    home.tick()
    (home.root / "labelled/Old").rename(home.root / "labelled/New")
    search(home)
    home.predict_and_file()
    assert home.files() == {"labelled/New/a.avi"}
    assert list(count(home).values()) == ["Old"]
    assert len(questions(home)) == 1


def test_the_clips_to_be_labelled_next_are_of_the_new_name(home: MadeHome) -> None:
    (video,) = filed(home, "a")
    home.arrive("b.avi")
    home.predict_and_file(home.model_prediction("Skiing", probability=0.2))
    changes(home).rename("Biking", "Bikes", home.tick())
    home.file()
    with home.writing() as connection:
        connection.execute(update(videos).values(sampled=False))
        clip = next_clips(connection, ["Bikes"], 2)[0]  # though it is predicted surer
    assert (clip.id, clip.predicted, clip.is_of_short_class) == (video, "Bikes", True)


def test_a_merged_class_gives_its_labels_in_their_order(home: MadeHome) -> None:
    ids = filed(home, "a", "b", "c")
    home.labels.add([Label(ids[0], "labelled", "Slope")], "csv", "ann", home.tick())
    home.give_label(ids[0], "Skiing", who="cid")
    home.give_label(ids[1], "Skiing")
    home.give_label(ids[1], "Slope")
    home.give_label(ids[2], "Slope")
    home.labels.add([Label(ids[2], "unsure")], "page", "dan", home.tick())
    assert changes(home).merge("Slope", "Skiing", home.tick()) == 1
    assert count(home) == {ids[0]: "Skiing", ids[1]: "Skiing", ids[2]: None}
    home.labels.undo([ids[2]], "command", "ann", home.tick())
    assert count(home)[ids[2]] == "Skiing"
    home.file()
    assert home.place(ids[1]) == "labelled/Skiing/b.avi"
    with home.engine.begin() as connection:
        clips = labelled_contents(connection)
    assert labelled_two_ways(clips, {}) == []
    assert [label.at for label in clips[0].given] == sorted(label.at for label in clips[0].given)


def test_a_retired_class_loses_its_labels_and_is_offered_no_more_until_it_is_used_again(
    home: MadeHome,
) -> None:
    first, second = filed(home, "a", "b")
    home.give_label(first, "Skiing")
    home.give_label(second, "Biking")
    home.give_label(second, "Skiing")
    home.file()
    assert changes(home).retire("Skiing", home.tick()) == 2
    home.file()
    assert count(home) == {second: "Biking"}
    assert home.place(first) == "classified/Biking/a.avi"
    assert search(home) == 0
    with home.engine.begin() as connection:
        shown = {one.name: one.is_retired for one in known_classes(connection)}
    assert shown == {"Biking": False, "Skiing": True}
    home.give_label(first, "Skiing")
    with home.engine.begin() as connection:
        assert not any(one.is_retired for one in known_classes(connection))


def test_copies_of_a_retired_class_leave_its_folder_too(home: MadeHome) -> None:
    for name in ("a", "copy"):
        home.put(f"labelled/Old/{name}.avi", "a")
        search(home)
        home.predict_and_file()
    assert home.files() == {"labelled/Old/a.avi", "labelled/Old/copy.avi"}
    assert changes(home).retire("Old", home.tick()) == 1
    home.file()
    assert home.files() == {"classified/Biking/a.avi", "duplicates/copy.avi"}
    assert search(home) == 0
    assert count(home) == {}


def test_a_change_that_cannot_be_made_changes_nothing(home: MadeHome) -> None:
    (video,) = filed(home, "a")
    home.give_label(video, "Skiing")
    for old, new, reason in (
        ("Rowing", "Boats", "no class 'Rowing'"),
        ("Skiing", "Biking", "vidwatch classes merge"),
        ("Skiing", "@eaDir", "never a class"),
        ("Skiing", "a/b", "folder's name"),
        ("Skiing", "Skiing", "already"),
    ):
        with pytest.raises(VidwatchError, match=reason):
            changes(home).rename(old, new, home.tick())
    with pytest.raises(VidwatchError, match="no class 'Boats'"):
        changes(home).merge("Skiing", "Boats", home.tick())
    assert home.given_labels() == [(video, "labelled", "Skiing", "command")]
    assert changes(home).rename("Skiing", "skiing", home.tick())[1] == 1  # to another case
    assert count(home) == {video: "skiing"}
