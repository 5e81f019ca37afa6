"""How SQLite finds rows that are looked for in each round: not by reading all that were filed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.database.contents import Contents


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path)
    yield home
    home.close()


def test_known_files_are_found_by_their_inodes_alone(home: MadeHome) -> None:
    files = [home.found(home.put(f"inbox/{number}.avi")) for number in range(3)]
    plans = home.plans(lambda: home.queue.unknown(files))
    assert plans == ["SEARCH videos USING INDEX ix_videos_inode (inode=?)"]


def test_the_first_video_of_a_content_is_found_without_its_duplicates(home: MadeHome) -> None:
    contents = Contents(home.engine)
    plans = home.plans(lambda: contents.firsts(["a" * 64, "b" * 64]))
    found = "SEARCH videos USING INDEX ix_videos_sha256 (sha256=? AND duplicate_of=?)"
    assert plans[0] == found
    assert not [step for step in plans if step.startswith("SCAN")]
