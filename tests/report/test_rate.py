"""Clips a minute."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from homes import MadeHome

from daemon.report.rate import Rate, read_rate

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def rate(tmp_path: Path, *seconds_ago: int) -> Rate:
    home = MadeHome(tmp_path, now=NOW)
    with home.writing() as connection:
        for n, seconds in enumerate(seconds_ago):
            at = NOW - timedelta(seconds=seconds)
            home.add_video(connection, inode=n, path=b"/%d" % n, finished_at=at)
    with home.engine.begin() as connection:
        return read_rate(connection, NOW)


def test_empty_minutes_do_not_count(tmp_path: Path) -> None:
    found = rate(tmp_path, 5, 6, 7, 8, 130, 3600)
    assert found == Rate(clips=5, minutes=2)
    assert found.in_words() == "2.5 on average, in the 2 of the last 5 minutes that had any"


def test_if_each_minute_had_clips_it_is_the_mean_of_all(tmp_path: Path) -> None:
    assert (
        rate(tmp_path, 5, 65, 125, 185, 245).in_words() == "1.0 on average, over the last 5 minutes"
    )


def test_if_none_came_lately_that_is_said(tmp_path: Path) -> None:
    found = rate(tmp_path, 301, -3600)
    assert (found.clips_a_minute, found.in_words()) == (0.0, "none in the last 5 minutes")
