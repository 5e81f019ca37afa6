"""What `vidwatch restore` takes for a file that no row explains."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.maintenance.reconcile import sort_files


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
