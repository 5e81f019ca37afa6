"""What slow commands say of their progress where there is no terminal."""

import pytest

from daemon.cli import progress
from daemon.cli.progress import Lines, classifying


def test_a_line_now_and_then_says_how_far_how_fast_and_how_long() -> None:
    lines = Lines(0.0)
    assert lines.next(5, 100, 10_000, 29.0) is None
    assert lines.next(17, 1000, 10_000, 30.0) == (
        "1,017 of 10,000 files, 34 a minute, about 4 h left"
    )
    assert lines.next(20, 1000, 10_000, 59.0) is None
    assert lines.next(35, 1000, None, 60.0) == "1,035 files, 35 a minute"
    assert lines.next(3_000, 1000, 4_010, 90.0) == (
        "4,000 of 4,010 files, 2,000 a minute, about 1 min left"
    )


def test_only_the_last_minutes_count_for_the_speed() -> None:
    lines = Lines(0.0)
    for at in range(1, 40):
        line = lines.next(1000, 0, 2000, at * 30.0)
    assert line == "1,000 of 2,000 files, 0 a minute"


def test_lines_go_where_no_bar_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.0)
    with classifying() as show:
        show(3, 4, 10)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("7 of 10 files, ")
    assert said.err.count("\n") == 1
