"""How many clips a minute are classified while there are any. Only reads."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from daemon.database.tables import videos

MINUTES = 5
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Rate:
    """How many clips were filed in the last `MINUTES`."""

    clips: int
    minutes: int
    """In how many of these minutes there were any."""

    @property
    def clips_a_minute(self) -> float:
        """The mean of the minutes in which there were any; 0 if there were none."""
        return round(self.clips / self.minutes, 1) if self.minutes else 0.0

    def in_words(self) -> str:
        """The figure, and which minutes it is of."""
        if not self.minutes:
            return f"none in the last {MINUTES} minutes"
        when = f"over the last {MINUTES} minutes"
        if self.minutes < MINUTES:
            when = f"in the {self.minutes} of the last {MINUTES} minutes that had any"
        return f"{self.clips_a_minute:.1f} on average, {when}"


def read_rate(connection: Connection, now: datetime) -> Rate:
    """The rate of the last minutes."""
    # With the state as a condition, SQLite would read all videos that were ever filed.
    is_filed = videos.c.state == "filed"
    at = videos.c.finished_at
    begins = [now - n * _MINUTE for n in range(MINUTES, 0, -1)]
    # What was filed while the clock was far ahead is not recent.
    ends = [*begins[1:], now + MINUTES * _MINUTE]
    each = [
        func.count().filter(is_filed, at >= begin, at < end)
        for begin, end in zip(begins, ends, strict=True)
    ]
    is_recent = at.between(begins[0], ends[-1])
    counts = connection.execute(select(*each).where(is_recent)).one()
    return Rate(sum(counts), sum(n > 0 for n in counts))
