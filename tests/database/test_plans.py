"""How SQLite finds rows that are looked for in each round: not by reading all that were filed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.database.contents import Contents
from daemon.database.due import Which
from daemon.report.counts import counts

pytestmark = pytest.mark.of_sqlite


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


@pytest.mark.parametrize(
    "which", [Which(), Which("owls"), Which(without=(b"/archive",)), Which("owls", (b"/archive",))]
)
def test_what_is_next_is_found_without_reading_what_waits(home: MadeHome, which: Which) -> None:
    home.arrive("a.avi")
    plans = home.plans(lambda: home.queue.claim(1, home.now, which))
    assert {step for step in plans if not step.startswith("LIST")} <= {
        "SEARCH videos USING COVERING INDEX ix_videos_queue (background=? AND own_model=?)",
        "SEARCH videos USING INTEGER PRIMARY KEY (rowid=?)",
        "USE TEMP B-TREE FOR ORDER BY",
    }
    assert any("ix_videos_queue" in step for step in plans)


def test_what_waits_is_counted_without_being_read(home: MadeHome) -> None:
    with home.engine.begin() as connection:
        plans = home.plans(lambda: counts(connection))
    assert any("COVERING INDEX ix_videos_queue (background=?)" in step for step in plans)
