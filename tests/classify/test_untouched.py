"""No way through the program touches a file that is to stay where it is."""

import shutil
from pathlib import Path

import pytest
from test_in_place import Lab, state_of
from test_in_place import lab as lab
from test_pipeline import decoders as decoders

from daemon.database.sources import follow_sources
from daemon.home.folders import Folders, Found
from daemon.home.identity import identify
from daemon.home.names import OtherNames
from daemon.home.sidecars import Sidecars
from daemon.home.sources import Source


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def put_in_class_folder(lab: Lab, path: Path) -> None:
    lab.class_folders.notice([lab.found(path)], lab.now)


def test_a_link_into_a_class_folder_labels_and_leaves_the_archive_as_it_is(lab: Lab) -> None:
    path = lab.film("old/a.avi")
    (lab.outside / "old/a.thm").write_text("side file")
    lab.add(lab.outside / "old")
    lab.work()
    second = lab.root / "labelled/red/a.avi"
    second.parent.mkdir()
    second.hardlink_to(path)
    put_in_class_folder(lab, second)
    lab.work()
    assert names_in(path.parent) == ["a.avi", "a.thm"]
    assert [label[:3] for label in lab.given_labels()] == [(1, "labelled", "red")]
    # From now on it is a file of the home, which labels move.
    lab.give_label(1, "dark")
    lab.work()
    assert lab.files() == {"labelled/dark/a.avi"}
    assert names_in(path.parent) == ["a.avi", "a.thm"]
    # And the archive is still known, also if its disk numbers its files anew.
    shutil.copy2(path, lab.outside / "copy")
    (lab.outside / "copy").replace(path)
    assert lab.add(lab.outside / "old").n_known == 1


def test_a_clip_that_a_person_moves_from_an_archive_into_a_class_folder_is_the_homes(
    lab: Lab,
) -> None:
    path = lab.film("old/a.avi")
    (lab.outside / "old/a.thm").write_text("side file")
    lab.add(lab.outside / "old")
    lab.work()
    (lab.root / "labelled/red").mkdir()
    path.rename(lab.root / "labelled/red/a.avi")
    put_in_class_folder(lab, lab.root / "labelled/red/a.avi")
    lab.give_label(1, "dark")
    lab.work()
    assert lab.files() == {"labelled/dark/a.avi"}
    assert names_in(lab.outside / "old") == ["a.thm"]
    row = lab.row(1)
    assert (row["on_filed"], row["left_at"]) == (None, None)


@pytest.mark.parametrize("step", ["queued", "predicted", "failed"])
def test_a_source_that_is_set_in_place_keeps_what_was_to_be_moved(lab: Lab, step: str) -> None:
    folder = lab.outside / "barn"
    moving = Folders(lab.root, sources=[Source(bytes(folder), "barn")])
    path = lab.film("barn/a.avi")
    if step == "failed":
        path.write_text("no video")
    lab.arrive_from(moving, path)
    if step == "predicted":
        lab.predict(lab.model_prediction("dark"))
    if step == "failed":
        (video,) = lab.claim()
        lab.queue.fail(video.id, "no video", moving.failed(video.path), lab.now)
    before = state_of(folder)
    staying = Folders(lab.root, sources=[Source(bytes(folder), "barn", "leave")])
    follow_sources(lab.engine, staying, lab.now)
    lab.pipeline = lab.made_pipeline(staying)
    lab.work()
    assert state_of(folder) == before
    assert [row.state for row in lab.rows()] == ["failed" if step == "failed" else "filed"]
    assert lab.rows()[0].finished_at is not None


@pytest.mark.parametrize("step", ["queued", "predicted"])
def test_nothing_of_a_source_that_was_removed_from_the_settings_is_moved(
    lab: Lab, step: str
) -> None:
    folder = lab.outside / "barn"
    lab.arrive_from(
        Folders(lab.root, sources=[Source(bytes(folder), "barn")]), lab.film("barn/a.avi")
    )
    if step == "predicted":
        lab.predict(lab.model_prediction("dark"))
    before = state_of(folder)
    follow_sources(lab.engine, lab.folders, lab.now)
    lab.work()
    assert state_of(folder) == before
    (row,) = lab.rows()
    assert (row.state, row.finished_at is None) == (
        "filed" if step == "predicted" else "failed",
        False,
    )


def test_a_link_in_a_source_does_not_lead_us_to_set_another_name_aside(lab: Lab) -> None:
    source = Source(bytes(lab.outside / "barn"), "barn")
    folders = Folders(lab.root, sources=[source])
    path = lab.film("elsewhere/a.avi")
    (lab.outside / "barn").mkdir()
    (lab.outside / "barn/day1").symlink_to(lab.outside / "elsewhere")
    through = bytes(lab.outside / "barn/day1/a.avi")
    identity = identify(through)
    assert identity
    assert not OtherNames(folders).set_aside(Found(through, identity))
    assert path.is_file()


def test_a_link_in_a_source_does_not_lead_us_to_move_the_side_files_of_another(lab: Lab) -> None:
    (lab.outside / "elsewhere").mkdir()
    (lab.outside / "elsewhere/a.xml").write_text("somebody's")
    (lab.outside / "barn").mkdir()
    (lab.outside / "barn/day1").symlink_to(lab.outside / "elsewhere")
    sidecars = Sidecars(bytes(lab.root), [bytes(lab.outside / "barn")])
    target = bytes(lab.root / "classified/dark/a.avi")
    sidecars.follow(bytes(lab.outside / "barn/day1/a.avi"), target)
    assert (lab.outside / "elsewhere/a.xml").is_file()
