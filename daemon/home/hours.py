"""Working hours: spans of the week's days, in local time.

A time that a change of the clock leaves out counts as the same time before the change: 02:30 is
then 03:30. Of one that comes twice, the first counts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEK = 7
RULE = 'an entry is days and times, such as "Mon-Fri 20:00-07:00" or "Sat,Sun 00:00-24:00"'
_TIMES = re.compile(r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)")


@dataclass(frozen=True)
class Span:
    """One entry: a span of time on some days of the week. It may end on the next day."""

    days: frozenset[int]
    """On which it begins; 0 is Monday."""
    begin: time
    end: time
    """On the next day if it is not after `begin`. Midnight is the end of the day."""

    @classmethod
    def parse(cls, text: str) -> "Span":
        """The span that a text names.

        Raises:
            ValueError: it names none; the message names the text and the rule.
        """
        days, _, times = text.strip().rpartition(" ")
        match = _TIMES.fullmatch(times)
        if match is None:
            raise ValueError(f"{text!r} names no times; {RULE}")
        begin = f"{match[1]:0>2}:{match[2]}"
        end = f"{match[3]:0>2}:{match[4]}"
        try:
            span = cls(
                frozenset(_days(days)),
                time.fromisoformat(begin),
                time.fromisoformat("00:00" if end == "24:00" else end),
            )
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}; {RULE}") from error
        if begin == end:
            raise ValueError(f"{text!r} ends when it begins; a whole day is 00:00-24:00")
        return span

    def on(self, day: date, zone: tzinfo | None) -> tuple[datetime, datetime]:
        """When the span that begins on this day begins and ends, in UTC."""
        last = day if self.end > self.begin else day + timedelta(days=1)
        return _at(day, self.begin, zone), _at(last, self.end, zone)


@dataclass(frozen=True)
class WorkingHours:
    """When new work may begin."""

    spans: tuple[Span, ...]
    """Work may begin in any of them; always, if there are none."""
    zone: tzinfo | None = None
    """Of the times; None for that of this machine."""

    @classmethod
    def parse(cls, entries: Sequence[str]) -> "WorkingHours":
        """The hours that these entries name.

        Raises:
            ValueError: an entry is wrong; the message names it.
        """
        return cls(tuple(map(Span.parse, entries)))

    def closed_until(self, now: datetime) -> datetime | None:
        """When the next span begins, in UTC; None if work may begin now."""
        now = now.astimezone(UTC)
        spans = list(self._around(now))
        if not self.spans or any(begin <= now < end for begin, end in spans):
            return None
        return min(begin for begin, _ in spans if begin > now)

    def _around(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The spans from the day before until a week later."""
        today = now.astimezone(self.zone).date()
        for days in range(-1, WEEK + 1):
            day = today + timedelta(days=days)
            for span in self.spans:
                if day.weekday() in span.days:
                    yield span.on(day, self.zone)


def _at(day: date, at: time, zone: tzinfo | None) -> datetime:
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


def _days(text: str) -> Iterator[int]:
    """The days that a text such as "Mon-Thu,Sat" names; all if it is empty."""
    if not text.strip():
        yield from range(WEEK)
        return
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        begin = _day(first)
        length = (_day(last) - begin) % WEEK if dash else 0
        yield from ((begin + at) % WEEK for at in range(length + 1))


def _day(word: str) -> int:
    """The number of a day, by its name or the beginning of it, of three letters at least."""
    for number, name in enumerate(DAYS):
        if len(word) >= 3 and name.startswith(word.lower()):
            return number
    raise ValueError(f"{word!r} is no day: they are Mon, Tue, Wed, Thu, Fri, Sat, Sun")
