"""Files are moved by one daemon, and one that was too late notes nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.classify.filing import Filing, NotLeadingError


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    made = MadeHome(tmp_path / "home")
    yield made
    made.close()


@pytest.mark.parametrize("trouble", [False, True])
def test_what_another_daemon_moves_meanwhile_does_not_count_as_taken_away(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch, trouble: bool
) -> None:
    video = home.arrive("a.mp4")
    home.predict()
    (move,) = home.queue.moves(home.now)
    asked = 0

    def progress() -> None:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise NotLeadingError
        # This process stands still, and the daemon that leads now gives the file a number.
        elsewhere = Path(os.fsdecode(move.destination)).with_name("a-2.mp4")
        elsewhere.parent.mkdir(parents=True, exist_ok=True)
        Path(os.fsdecode(move.path)).rename(elsewhere)

    def fail(*_: object) -> None:
        raise OSError("the share is away")

    filing = Filing(home.queue, home.folders, lambda: True, progress, drop_duplicates=False)
    if trouble:
        monkeypatch.setattr(filing, "_move", fail)
    before = home.row(video)
    with pytest.raises(NotLeadingError):
        filing.file([move], home.now)
    assert home.row(video) == before
    assert before.moving_to == move.destination
