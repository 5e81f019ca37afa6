"""Joins windows of a long video to events. Pure: knows neither files nor the database.

The rules:

- A moment belongs to the newest label of a person that covers it. Without one, it belongs to the
  class whose windows there have the highest sum of probabilities, which is the highest mean over
  all windows there if a window counts as 0 for the classes that it does not predict. If two
  classes have the same, the one that the earlier window predicts has it.
- A window whose prediction is unsure counts if a sure window of the class that it predicts overlaps
  or adjoins it: weak signs count beside strong ones (hysteresis, as in the edge detector of Canny,
  1986, IEEE PAMI 8, doi:10.1109/TPAMI.1986.4767851). Else it speaks for no class. A moment that
  only such windows cover is `_unsure`.
- Neighbouring moments of one class are one event. Its probability is the mean of those of its
  windows. What a person labelled is an event of its own, without a probability.
- A moment that no window covers, since its frames could not be decoded, belongs to no event. No
  event goes on over such a gap.
"""

import itertools
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from statistics import fmean
from typing import NamedTuple

UNSURE = "_unsure"
"""What stands for the class of an event whose windows are all unsure. No class has this name."""
PRECISION = 6  # decimals of a second: times are stored as floats of exact fractions
ROUNDING = 10**-PRECISION


@dataclass(frozen=True)
class Span:
    """A window, and what was predicted for it."""

    start: float
    """Seconds from the video's first picture, as `end`."""
    end: float
    class_name: str
    probability: float
    is_unsure: bool = False
    number: int = 0
    """Its place among the windows of the video."""


@dataclass(frozen=True)
class Labelled:
    """A part of a video that a person labelled."""

    start: float
    end: float
    class_name: str


@dataclass(frozen=True)
class Event:
    """A part of a video in which one class was found."""

    start: float
    """Seconds from the video's first picture, as `end`."""
    end: float
    class_name: str
    """`UNSURE` if all of its windows are unsure."""
    probability: float | None
    """The mean of its windows' probabilities; None if a person labelled it."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    @property
    def is_labelled(self) -> bool:
        """Whether a person labelled it."""
        return self.probability is None


class _Moment(NamedTuple):
    """Between two times at which a window or a label begins or ends."""

    start: float
    end: float
    class_name: str
    is_labelled: bool
    windows: tuple[int, ...]
    """Those that predict the class, by their places."""


def find_events(windows: Sequence[Span], labels: Sequence[Labelled] = ()) -> list[Event]:
    """The events of a video, in order; they do not overlap.

    Args:
        windows: Its windows, in any order, which may overlap.
        labels: What people labelled of it, the oldest first.
    """
    spans = _with_support(sorted(windows, key=lambda span: (span.start, span.end)))
    return [_event(run, spans) for run in _runs(_moments(spans, labels))]


def seconds_of(events: Iterable[Event]) -> dict[str, float]:
    """For how long each class was found, in seconds; the longest first."""
    total = Counter[str]()
    for event in events:
        total[event.class_name] += event.seconds  # type: ignore[assignment]
    return {name: round(seconds, PRECISION) for name, seconds in total.most_common()}


def _with_support(spans: Sequence[Span]) -> list[Span]:
    """The windows, in order; those that a sure window of their class supports are not unsure."""
    sure: dict[str, list[list[float]]] = defaultdict(list)  # what sure windows cover, by class
    for span in spans:
        if span.is_unsure:
            continue
        covered = sure[span.class_name]
        if covered and span.start <= covered[-1][1] + ROUNDING:
            covered[-1][1] = max(covered[-1][1], span.end)
        else:
            covered.append([span.start, span.end])
    return [
        replace(span, is_unsure=False)
        if span.is_unsure and _touches(span, sure[span.class_name])
        else span
        for span in spans
    ]


def _touches(span: Span, covered: Sequence[Sequence[float]]) -> bool:
    """Whether a window overlaps or adjoins one of these stretches of time, which are in order."""
    after = bisect_right(covered, span.end + ROUNDING, key=itemgetter(0))
    return after > 0 and covered[after - 1][1] >= span.start - ROUNDING


def _moments(spans: Sequence[Span], labels: Sequence[Labelled]) -> Iterator[_Moment]:
    """What each moment belongs to, in order. Gaps are left out."""
    # At each time, what begins and what ends: windows by their places, labels by theirs.
    begins: dict[float, list[tuple[bool, int]]] = defaultdict(list)
    ends: dict[float, list[tuple[bool, int]]] = defaultdict(list)
    parts: list[tuple[bool, int, Span | Labelled]] = []
    parts += [(False, place, span) for place, span in enumerate(spans)]
    parts += [(True, place, label) for place, label in enumerate(labels)]
    for is_label, place, part in parts:
        start = round(part.start, PRECISION)
        end = round(part.end, PRECISION)
        if start < end:
            begins[start].append((is_label, place))
            ends[end].append((is_label, place))
    there: set[tuple[bool, int]] = set()
    times = sorted({*begins, *ends})
    for time, following in itertools.pairwise(times):
        there.difference_update(ends[time])
        there.update(begins[time])
        if not there:
            continue
        if given := [place for is_label, place in there if is_label]:
            yield _Moment(time, following, labels[max(given)].class_name, True, ())
            continue
        name, own = _predicted(spans, sorted(place for _, place in there))
        yield _Moment(time, following, name, False, own)


def _predicted(spans: Sequence[Span], there: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """The class that the windows at a moment predict, and those of them that do."""
    sums: dict[str, float] = {}
    for place in there:
        span = spans[place]
        if not span.is_unsure:
            sums[span.class_name] = sums.get(span.class_name, 0.0) + span.probability
    if not sums:
        return UNSURE, tuple(there)
    best = max(sums, key=sums.__getitem__)  # the first of equal ones
    own = (n for n in there if spans[n].class_name == best and not spans[n].is_unsure)
    return best, tuple(own)


def _runs(moments: Iterable[_Moment]) -> Iterator[list[_Moment]]:
    """The moments that make an event together."""
    run: list[_Moment] = []
    for moment in moments:
        if run and not _belongs_to(run[-1], moment):
            yield run
            run = []
        run.append(moment)
    if run:
        yield run


def _belongs_to(before: _Moment, moment: _Moment) -> bool:
    is_same = (before.class_name, before.is_labelled) == (moment.class_name, moment.is_labelled)
    return is_same and before.end == moment.start


def _event(run: Sequence[_Moment], spans: Sequence[Span]) -> Event:
    first = run[0]
    places = sorted({place for moment in run for place in moment.windows})
    probability = fmean(spans[place].probability for place in places) if places else None
    return Event(first.start, run[-1].end, first.class_name, probability)
