"""Windows become events by the rules at the top of `daemon/report/events.py`."""

import itertools
import random
from collections import defaultdict

import pytest

from daemon.report.events import UNSURE, Labelled, Span, find_events, seconds_of


def spans(*windows: tuple[float, float, str, float]) -> list[Span]:
    return [Span(start, end, name, p, name == UNSURE) for start, end, name, p in windows]


def found(windows: list[Span], *labels: Labelled) -> list[tuple[float, float, str, float | None]]:
    return [
        (one.start, one.end, one.class_name, one.probability and round(one.probability, 6))
        for one in find_events(windows, labels)
    ]


def test_neighbouring_windows_of_one_class_are_one_event_with_their_mean_probability() -> None:
    windows = spans((0, 10, "a", 0.9), (10, 20, "a", 0.7), (20, 30, "b", 0.6), (30, 35.5, "a", 0.5))
    assert found(windows) == [(0, 20, "a", 0.8), (20, 30, "b", 0.6), (30, 35.5, "a", 0.5)]
    assert seconds_of(find_events(windows)) == {"a": 25.5, "b": 10}


def test_a_moment_of_overlapping_windows_belongs_to_the_class_of_the_highest_mean() -> None:
    """From 5 to 10, "a" has 0.9 of two windows, and "b" has 0.6."""
    windows = spans((0, 10, "a", 0.9), (5, 15, "b", 0.6), (10, 20, "b", 0.8))
    assert found(windows) == [(0, 10, "a", 0.9), (10, 20, "b", 0.7)]


def test_two_windows_of_a_class_outvote_one_that_is_surer() -> None:
    windows = spans((0, 10, "a", 0.5), (0, 10, "b", 0.9), (0, 10, "a", 0.5))
    assert found(windows) == [(0, 10, "a", 0.5)]


def test_unsure_windows_stay_unsure_and_give_way_to_those_that_are_not() -> None:
    windows = spans((0, 10, "a", 0.9), (5, 15, UNSURE, 0.3), (15, 25, UNSURE, 0.2))
    assert found(windows) == [(0, 10, "a", 0.9), (10, 25, UNSURE, 0.25)]


def test_an_unsure_window_counts_beside_a_sure_one_of_its_class() -> None:
    windows = [
        Span(0, 10, "a", 0.9),
        Span(10, 20, "a", 0.4, True),
        Span(20, 30, "a", 0.4, True),
        Span(30, 40, "b", 0.4, True),
        Span(40, 50, "a", 0.8),
    ]
    assert found(windows) == [(0, 20, "a", 0.65), (20, 40, UNSURE, 0.4), (40, 50, "a", 0.8)]


def test_a_gap_is_never_bridged() -> None:
    windows = spans((0, 10, "a", 0.9), (20, 30, "a", 0.9))
    assert found(windows) == [(0, 10, "a", 0.9), (20, 30, "a", 0.9)]


def test_a_persons_newest_label_counts_within_its_part_and_not_beyond() -> None:
    windows = spans((0, 10, "a", 0.9), (10, 20, "a", 0.7))
    labels = (Labelled(4, 12, "b"), Labelled(8, 10, "a"))
    assert found(windows, *labels) == [
        (0, 4, "a", 0.9),
        (4, 8, "b", None),
        (8, 10, "a", None),
        (10, 12, "b", None),
        (12, 20, "a", 0.7),
    ]


def test_times_that_were_stored_as_floats_meet() -> None:
    windows = spans((0.1 * 2, 0.1 * 3, "a", 0.5), (0.3, 0.4, "a", 0.5))
    assert len(find_events(windows)) == 1


def test_no_window_is_no_event() -> None:
    assert find_events([]) == []


@pytest.mark.parametrize("seed", range(20))
def test_events_are_what_the_rules_say_of_each_moment(seed: int) -> None:
    draw = random.Random(seed)
    windows = [
        Span(
            start,
            start + draw.randint(1, 6),
            draw.choice("abc"),
            draw.random(),
            draw.random() < 0.2,
        )
        for start in (draw.randint(0, 40) for _ in range(25))
    ]
    events = find_events(windows)
    assert all(one.end <= other.start for one, other in itertools.pairwise(events))
    for moment in range(50):
        there = [span for span in windows if span.start <= moment + 0.5 < span.end]
        votes: dict[str, float] = defaultdict(float)
        for span in there:
            votes[span.class_name if _counts(span, windows) else UNSURE] += span.probability
        sure = {name: votes[name] for name in votes if name != UNSURE} or votes
        expected = max(sure, key=sure.__getitem__) if there else None
        own = [one.class_name for one in events if one.start <= moment + 0.5 < one.end]
        assert own == ([expected] if expected else [])


def _counts(span: Span, windows: list[Span]) -> bool:
    return not span.is_unsure or any(
        not other.is_unsure
        and other.class_name == span.class_name
        and other.start <= span.end
        and other.end >= span.start
        for other in windows
    )
