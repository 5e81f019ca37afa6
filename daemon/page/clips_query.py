"""What the address of the page of all clips asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from urllib.parse import parse_qsl, urlencode

from daemon.export.filters import WEEKDAYS, Filters
from daemon.home.clock import END
from daemon.page.forms import is_id
from daemon.report.events import UNSURE
from learner.errors import VidwatchError

FIELDS = (
    "class",
    "label",
    "predicted",
    "source",
    "from",
    "to",
    "hour",
    "weekday",
    "by",
    "least",
    "most",
    "state",
    "who",
    "name",
    "view",
)
"""The fields of a search; where it begins is none of them. `by` says which time is meant."""
LONGEST = 300  # characters of a field
VIEWS = ("pictures", "table")
_HOURS = re.compile(r"(\d{1,2})(?::00)?(?:\s*-\s*(\d{1,2})(?::00)?)?")


@dataclass(frozen=True)
class ClipsQuery:
    """A search, as it was typed."""

    fields: Mapping[str, str]
    """Those of `FIELDS` that are not empty."""
    before: int | None = None
    """Only clips that are older than this one."""
    after: int | None = None
    """Only clips that are newer than this one."""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> "ClipsQuery":
        """What the fields of an address or of a form ask for."""
        fields = {name: given.get(name, "").strip()[:LONGEST] for name in FIELDS}
        before, after = (_id(given.get(name, "")) for name in ("before", "after"))
        return cls({name: text for name, text in fields.items() if text}, before, after)

    @classmethod
    def of_text(cls, text: str) -> "ClipsQuery":
        """What the part of an address behind its question mark asks for."""
        return cls.of(dict(parse_qsl(text)))

    @property
    def text(self) -> str:
        """The part of an address behind its question mark."""
        places = {"before": self.before, "after": self.after}
        return urlencode({**self.fields, **{n: at for n, at in places.items() if at is not None}})

    @property
    def search(self) -> str:
        """As `text`, without where it begins and how it is shown."""
        return urlencode({name: text for name, text in self.fields.items() if name != "view"})

    @property
    def is_table(self) -> bool:
        """Whether a table is to be shown, and no pictures."""
        return self.fields.get("view") == "table"

    @property
    def asks_for_something(self) -> bool:
        """Whether there is any filter."""
        return bool(self.search)

    @property
    def words(self) -> str:
        """The filters, for people."""
        shown = []
        for name, text in self.fields.items():
            if name == "weekday" and text in "0123456":
                shown.append(WEEKDAYS[int(text[:1])])
            elif name not in ("view", "by"):
                shown.append(f"{name} {'unsure' if text == UNSURE else text}")
        return ", ".join(shown)

    def at(self, *, before: int | None = None, after: int | None = None) -> str:
        """The same search from another clip on, as `text`."""
        return replace(self, before=before, after=after).text

    def shown_as(self, view: str) -> str:
        """The same search with another view, as `text`."""
        return replace(self, fields={**self.fields, "view": view}).text

    def filters(self, zone: tzinfo | None) -> Filters:
        """What it means, by the clocks of a zone. Blind clips are left out, if it may tell of them.

        Raises:
            VidwatchError: a field cannot be read.
        """
        given = self.fields
        tells = {"class", "label", "predicted", "source", "least", "most", "who", "name"}
        return Filters(
            name=given.get("name"),
            classes=_one(given.get("class")),
            labels=_one(given.get("label")),
            predicted=_one(given.get("predicted")),
            sources=_one(given.get("source")),
            states=_one(given.get("state")),
            labelled_by=_one(given.get("who")),
            start=_moment("from", given.get("from"), zone),
            end=_moment("to", given.get("to"), zone),
            hours=_hours(given.get("hour")),
            least=_share("least", given.get("least")),
            most=_share("most", given.get("most")),
            weekday=_weekday(given.get("weekday")),
            by_arrival=given.get("by") == "arrived",
            zone=zone,
            without_blind=not tells.isdisjoint(given),
        )


def _id(text: str) -> int | None:
    return int(text) if is_id(text) else None


def _one(text: str | None) -> tuple[str, ...]:
    return (text,) if text else ()


def _moment(field: str, text: str | None, zone: tzinfo | None) -> datetime | None:
    """A time of the zone; a day alone, as an end, includes that day."""
    if not text:
        return None
    try:
        given = datetime.fromisoformat(text)
        if field == "to" and _is_day(text):
            given = END if given.date() == date.max else given + timedelta(days=1)
        if given.tzinfo is None:
            given = given.replace(tzinfo=zone)  # None: this machine's
        return given.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        example = "2026-12-24 or 2026-12-24 08:00"
        raise VidwatchError(f"{field}: {text!r} is no time; examples: {example}") from error


def _is_day(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


def _hours(text: str | None) -> tuple[int, int] | None:
    if not text:
        return None
    found = _HOURS.fullmatch(text)
    start = int(found[1]) if found else 24
    end = int(found[2]) if found and found[2] else start + 1
    if start > 23 or not 0 <= end <= 24:
        raise VidwatchError(f"hours of the day: {text!r} is none; examples: 7, 7-9, 22-4")
    return start, end or 24


def _weekday(text: str | None) -> int | None:
    if not text:
        return None
    if text not in "0123456" or len(text) > 1:
        raise VidwatchError(f"weekday: {text!r} is none; 0 is Monday, 6 is Sunday")
    return int(text)


def _share(field: str, text: str | None) -> float | None:
    """A share that was given in percent."""
    if not text:
        return None
    try:
        share = float(text.removesuffix("%").replace(",", ".")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise VidwatchError(f"probability, {field}: {text!r} is not between 0 and 100 %")
    return share
