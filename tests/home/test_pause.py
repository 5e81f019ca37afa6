"""What people may write of a pause, and what the file of it says."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.home.pause import Pause, end_pause, read_pause, write_pause
from daemon.home.times import after, duration, moment_named, next_time
from learner.errors import VidwatchError

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of this machine is that of Berlin: 13:00 at `NOW`."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1.5H", timedelta(minutes=90)),
        ("3d 2h", timedelta(days=3, hours=2)),
    ],
)
def test_lengths_of_time(text: str, length: timedelta) -> None:
    assert duration(text) == length


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "-2h", "0h", "2h!", "9" * 400 + "d"])
def test_what_is_no_length_of_time_is_one_line_with_examples(text: str) -> None:
    with pytest.raises(VidwatchError, match="is no length of time; examples: 90s"):
        duration(text)


def test_a_length_beyond_all_times_ends_with_them() -> None:
    assert after(NOW, duration("999999999d")).year == 9999


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20:00", "2026-01-05T19:00Z"),
        ("13:00", "2026-01-06T12:00Z"),  # it is 13:00 now
        ("7:05", "2026-01-06T06:05Z"),
        ("2026-07-01", "2026-06-30T22:00Z"),
        ("2026-07-01 8:00", "2026-07-01T06:00Z"),
        ("2026-07-01T08:00+00:00", "2026-07-01T08:00Z"),
    ],
)
def test_times_are_local_and_a_time_of_day_is_the_next_one(
    berlin: None, text: str, moment: str
) -> None:
    assert next_time(text, NOW) == datetime.fromisoformat(moment)


def test_a_time_of_day_may_also_be_that_of_today(berlin: None) -> None:
    assert moment_named("7:05", NOW) == datetime(2026, 1, 5, 6, 5, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "noon", "25:00", "2026-02-30", "0001-01-01"])
def test_what_is_no_time_is_one_line_with_examples(berlin: None, text: str) -> None:
    with pytest.raises(VidwatchError, match="is no time; examples: 20:00"):
        next_time(text, NOW)


def test_a_pause_is_kept_until_it_is_over_or_ended(tmp_path: Path) -> None:
    path = tmp_path / ".paused"
    assert read_pause(path, NOW) is None
    asked = Pause(NOW, NOW + timedelta(hours=2), "ann")
    write_pause(path, asked)
    assert read_pause(path, NOW + timedelta(hours=1)) == asked
    assert read_pause(path, NOW + timedelta(hours=2)) is None
    for_good = Pause(NOW, None, "bob\n")
    write_pause(path, for_good)
    assert read_pause(path, NOW + timedelta(days=1000)) == for_good
    assert for_good.in_words().endswith(r"until 'vidwatch resume', by bob\n")
    end_pause(path)
    end_pause(path)
    assert read_pause(path, NOW) is None


def test_the_last_time_that_there_is_can_be_shown(berlin: None) -> None:
    pause = Pause(NOW, after(NOW, duration("999999999d")), "ann")
    assert "until 9999-12-31 23:59 UTC" in pause.in_words()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        100_000 * "[",
        '{"since": "x", "until": null, "by": "ann"}',
        '{"since": "0001-01-01T00:00:00+14:00", "until": null, "by": "ann"}',
    ],
)
def test_a_file_that_cannot_be_read_pauses_and_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".paused"
    path.write_text(text)
    found = read_pause(path, NOW)
    assert found is not None
    assert (found.until, str(path) in found.by) == (None, True)
