"""Places the events of a long video as bars that a template draws, a row for each class. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.home.texts import clock
from daemon.report.events import UNSURE, Event, Span, seconds_of
from daemon.report.timeline import Timeline

WIDTH = 1000.0  # of a row, in units of the picture
# Bars of a class that are nearer to each other are one, and none is narrower: a page of a month of
# video is no larger than one of an hour.
LEAST = WIDTH / 800
MOST_EVENTS = 500  # that a page lists


@dataclass(frozen=True)
class TimeBar:
    """A time in which one class was found."""

    x: float
    width: float
    window: int
    """The number of the window that a click plays."""
    words: str


@dataclass(frozen=True)
class TimeRow:
    """One class."""

    class_name: str
    words: str
    """For how long it was found."""
    bars: list[TimeBar]

    @property
    def is_unsure(self) -> bool:
        """Whether it stands for what the model is not sure of."""
        return self.class_name == UNSURE


@dataclass(frozen=True)
class ListedEvent:
    """An event, for a table."""

    start: str
    end: str
    class_name: str
    probability: float | None
    window: int
    """The number of its window that a click plays: that in its middle."""


@dataclass(frozen=True)
class TimeDrawing:
    """What was found in a video, when."""

    length: str
    """Of the video."""
    rows: list[TimeRow]
    """The classes, those that were found for longest first."""
    events: list[ListedEvent]
    """The first ones."""
    n_events: int
    """How many there are."""
    width: float = WIDTH


def draw_timeline(timeline: Timeline) -> TimeDrawing:
    """The drawing of a video that was cut into windows."""
    events = timeline.events
    length = timeline.seconds
    places = Places(timeline.windows)
    rows = []
    for name, seconds in seconds_of(events).items():
        own = [event for event in events if event.class_name == name]
        words = f"{clock(seconds)} of {clock(length)}, {seconds / length:.0%}"
        rows.append(TimeRow(name, words, _bars(own, length, places)))
    listed = [
        ListedEvent(
            clock(event.start),
            clock(event.end),
            event.class_name,
            event.probability,
            places.window_in(event).number,
        )
        for event in events[:MOST_EVENTS]
    ]
    return TimeDrawing(clock(length), rows, listed, len(events))


class Places:
    """The windows of a video, by when they are."""

    def __init__(self, windows: Sequence[Span]) -> None:
        """Sort them; there is at least one."""
        self._windows = sorted(windows, key=lambda window: window.start)
        self._longest = max(window.end - window.start for window in windows)

    def window_in(self, event: Event) -> Span:
        """The window that plays of an event: of its own class, the one nearest to its middle.

        If a person labelled the event, its class may be that of no window.
        """

        def distance(window: Span) -> tuple[bool, float]:
            from_middle = window.start + window.end - event.start - event.end
            name = UNSURE if window.is_unsure else window.class_name
            return name != event.class_name, abs(from_middle)

        first = self._place(event.start - self._longest)
        there = [one for one in self._windows[first : self._place(event.end)] if _meet(one, event)]
        return min(there or self._windows, key=distance)

    def _place(self, time: float) -> int:
        return bisect_left(self._windows, time, key=lambda window: window.start)


def _meet(window: Span, event: Event) -> bool:
    return window.start < event.end and window.end > event.start


def _bars(events: Sequence[Event], length: float, places: Places) -> list[TimeBar]:
    """The bars of the events of one class."""
    scale = WIDTH / length
    bars: list[TimeBar] = []
    run: list[Event] = []
    for event in events:
        if run and (event.start - run[-1].end) * scale >= LEAST:
            bars.append(_bar(run, scale, places))
            run = []
        run.append(event)
    if run:
        bars.append(_bar(run, scale, places))
    return bars


def _bar(run: Sequence[Event], scale: float, places: Places) -> TimeBar:
    start = run[0].start
    end = run[-1].end
    width = max((end - start) * scale, LEAST)
    longest = max(run, key=lambda event: event.seconds)
    words = f"{clock(start)} to {clock(end)}"
    return TimeBar(
        round(start * scale, 2), round(width, 2), places.window_in(longest).number, words
    )
