"""What `vidwatch restore` takes for a file that no row explains."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.database.tables import labels, videos
from daemon.maintenance.reconcile import note_labels, sort_files
from learner.groups import compile_pattern


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path)
    yield home
    home.close()


def test_second_names_that_were_set_aside_stay_there(home: MadeHome) -> None:
    home.arrive("a.mp4")
    (video,) = home.predict_and_file()
    second = home.root / "duplicates" / "a.mp4"
    second.hardlink_to(home.path(video))
    home.put("duplicates/stranger.mp4")
    assert sort_files(home.engine, home.home) == (1, 0)
    place = home.place(video)
    assert home.files() == {place, "duplicates/a.mp4", "inbox/stranger.mp4"}


def test_of_two_names_of_a_moved_file_the_row_follows_one_and_the_other_stays(
    home: MadeHome,
) -> None:
    home.arrive("a.mp4")
    (video,) = home.predict_and_file()
    first = home.path(video).rename(home.root / "duplicates" / "a.mp4")
    first.with_name("b.mp4").hardlink_to(first)
    assert sort_files(home.engine, home.home)[0] == 0
    assert home.files() == {"duplicates/a.mp4", "duplicates/b.mp4"}
    assert home.row(video)["path"] in {bytes(first), bytes(first.with_name("b.mp4"))}


def test_sidecars_of_labelled_clips_are_no_clips_and_stay_beside_them(home: MadeHome) -> None:
    """They became videos with a label, failed, and lay in `failed/`, away from their clips."""
    home.arrive("known.mp4")
    (video,) = home.predict_and_file()
    home.give_label(video, "Skiing")
    home.file()
    for name in ("known.SRT", "known.JPG", "new.mp4", "new.THM", "new.XML"):
        home.put(f"labelled/Skiing/{name}")
    before = home.files()
    sort_files(home.engine, home.home)
    assert note_labels(home.engine, home.home, compile_pattern("")) == 1
    assert [row.source for row in home.rows(labels)] == ["command", "moved"]
    names = {Path(os.fsdecode(row.path)).name for row in home.rows(videos)}
    assert names == {"known.mp4", "new.mp4"}
    assert home.files() == before
