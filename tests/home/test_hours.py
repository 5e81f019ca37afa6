"""When work may begin, in zones whose clocks change."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from daemon.home.hours import WorkingHours

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def hours(*entries: str) -> WorkingHours:
    return WorkingHours(WorkingHours.parse(entries).spans, BERLIN)


NIGHTS = hours("Mon-Fri 20:00-07:00", "Sat,Sun 00:00-24:00")


# 2026-01-05 is a Monday.
@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-01-05 06:59", "2026-01-05 20:00"),  # Sunday ended at midnight
        ("2026-01-05 19:59", "2026-01-05 20:00"),
        ("2026-01-05 20:00", None),
        ("2026-01-06 00:00", None),
        ("2026-01-06 06:59", None),
        ("2026-01-06 07:00", "2026-01-06 20:00"),
        ("2026-01-10 06:59", None),
        ("2026-01-10 07:00", None),
        ("2026-01-11 23:59", None),
        ("2026-01-12 00:00", "2026-01-12 20:00"),
    ],
)
def test_spans_over_midnight_and_whole_days(moment: str, until: str | None) -> None:
    assert NIGHTS.closed_until(at(moment)) == (at(until) if until else None)


def test_without_entries_it_is_always_time() -> None:
    assert WorkingHours.parse([]).closed_until(at("2026-01-05 12:00")) is None


def test_the_next_span_may_be_a_week_away() -> None:
    assert hours("Mon 8:00-9:00").closed_until(at("2026-01-05 09:00")) == at("2026-01-12 08:00")


@pytest.mark.parametrize(
    ("entry", "opened", "closed"),
    [
        ("22:00-6:00", "2026-01-07 05:59", "2026-01-07 06:00"),  # every day
        ("Sat-Mon 10:00-12:00", "2026-01-05 11:00", "2026-01-06 11:00"),
        ("monday,Wednesday 10:00-12:00", "2026-01-07 11:00", "2026-01-06 11:00"),
        ("Mon-Thu,Sat 00:00-24:00", "2026-01-10 23:59", "2026-01-09 00:00"),
    ],
)
def test_days_are_written_in_several_ways(entry: str, opened: str, closed: str) -> None:
    assert hours(entry).closed_until(at(opened)) is None
    assert hours(entry).closed_until(at(closed)) is not None


def test_a_night_in_which_the_clock_goes_forward_is_an_hour_shorter() -> None:
    night = hours("Sun 01:00-04:00")  # 2026-03-29: 02:00 is followed by 03:00
    assert night.closed_until(at("2026-03-29 00:30")) == at("2026-03-29 01:00")
    assert night.closed_until(at("2026-03-29 03:30")) is None
    assert night.closed_until(at("2026-03-29 04:00")) is not None


def test_a_time_that_the_clock_leaves_out_comes_an_hour_later() -> None:
    missing = hours("Sun 02:30-05:00")
    assert missing.closed_until(at("2026-03-29 01:59")) == at("2026-03-29 03:30")
    assert missing.closed_until(at("2026-03-29 03:30")) is None


def test_of_a_time_that_comes_twice_the_first_counts() -> None:
    night = hours("Sun 02:30-04:00")  # 2026-10-25: 03:00 is followed by 02:00
    assert night.closed_until(at("2026-10-25 02:29")) == at("2026-10-25 02:30")
    assert night.closed_until(at("2026-10-25 02:30")) is None
    assert night.closed_until(at("2026-10-25 02:10", fold=1)) is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("Mon-Fri", "'Mon-Fri' names no times"),
        ("Mon-Fry 10:00-12:00", "'Fry' is no day"),
        ("Mo 10:00-12:00", "'Mo' is no day"),
        ("Mon,, 10:00-12:00", "'' is no day"),
        ("Mon 25:00-26:00", "'Mon 25:00-26:00': hour must be in 0..23"),
        ("Mon 24:00-02:00", "'Mon 24:00-02:00': hour must be in 0..23"),
        ("Mon 10:00-10:00", "ends when it begins"),
        ("Mon 10-12", "names no times"),
    ],
)
def test_a_wrong_entry_is_named(entry: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WorkingHours.parse(["Sat 10:00-12:00", entry])
