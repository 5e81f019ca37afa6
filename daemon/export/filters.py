"""Which videos are meant: by name, class, date, source, state and others. Only reads."""

import re
import string
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from sqlalchemy import ColumnElement, Connection, and_, func, not_, or_, select

from daemon.database.expressions import as_now, shown_name
from daemon.database.tables import labels, models, predictions, videos
from daemon.database.values import STATES
from daemon.export.hours import is_in_hours, is_on_weekday
from daemon.export.query import CLASS
from daemon.home.clock import END, local_time, now
from daemon.home.similar import question, similar
from daemon.home.times import moment_named
from daemon.labels.classes import KnownClasses, changed_names
from daemon.labels.queries import is_blind
from daemon.report.events import UNSURE
from learner.errors import VidwatchError
from learner.texts import listed

NAMED = 5  # names that a message lists
WILD = "*?["
SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
WHEN = func.coalesce(videos.c.recorded_at, videos.c.arrived_at)
"""When a video was recorded; when it arrived, if that is not known."""

HERE = "."


@dataclass(frozen=True)
class Filters:
    """What a person asks for. Several values of one kind mean any of them."""

    name: str | None = None
    """A part of the name with its source, or a pattern such as `cam1/*.mp4`."""
    classes: tuple[str, ...] = ()
    """What the video counts as."""
    start: datetime | None = None
    """Recorded then or later; arrived, if it is not known when it was recorded."""
    end: datetime | None = None
    """Recorded before that, as `start`."""
    sources: tuple[str, ...] = ()
    """A source, or a folder of the inbox, with the folders in it; "." is the inbox itself."""
    states: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """The model whose prediction counts."""
    predicted: tuple[str, ...] = ()
    """What was predicted, whatever the label says; `_unsure` if the prediction is unsure."""
    labels: tuple[str, ...] = ()
    """What a person said; `_unsure` if the person cannot tell."""
    labelled_by: tuple[str, ...] = ()
    """Who gave the label that counts."""
    least: float | None = None
    """The least probability of the prediction, from 0 to 1."""
    most: float | None = None
    """The greatest."""
    hours: tuple[int, int] | None = None
    """From which hour of the day on, until before which: (22, 4) is a night. As `start`."""
    weekday: int | None = None
    """A day of the week, 0 for Monday. As `start`."""
    by_arrival: bool = False
    """Whether all times are those of the arrival, whenever a video was recorded."""
    zone: tzinfo | None = None
    """By whose clocks; None for this machine's."""
    without_blind: bool = False
    """Without clips of the random share that await review: nothing that tells of their class may be
    shown. So they are also left out whenever something else is asked for that tells of it."""

    @property
    def asks_for_answers(self) -> bool:
        """Whether it depends on predictions or labels which videos are meant."""
        asked = (self.classes, self.models, self.predicted, self.labels, self.labelled_by)
        return any(asked) or (self.least, self.most) != (None, None)

    def words(self) -> str:
        """The filters in words; empty if there are none."""
        parts = [f"name {self.name!r}"] if self.name else []
        for noun, values in self._named():
            if values:
                parts.append(f"{noun} {' or '.join(repr(value) for value in values)}")
        if self.start:
            parts.append(f"from {local_time(self.start)}")
        if self.end:
            parts.append(f"before {local_time(self.end)}")
        if self.hours:
            parts.append(f"from {self.hours[0]}:00 to {self.hours[1]}:00 of the day")
        if self.weekday is not None:
            parts.append(f"on {WEEKDAYS[self.weekday]}")
        if self.least is not None:
            parts.append(f"probability at least {self.least:.1%}")
        if self.most is not None:
            parts.append(f"probability at most {self.most:.1%}")
        return ", ".join(parts)

    def _named(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        return (
            ("class", self.classes),
            ("source", self.sources),
            ("state", self.states),
            ("model", self.models),
            ("prediction", self.predicted),
            ("label", self.labels),
            ("labelled by", self.labelled_by),
        )

    def conditions(self, connection: Connection) -> list[ColumnElement[bool]]:
        """The conditions on rows of `query.videos_query`.

        Raises:
            VidwatchError: a class, source, state or model does not exist; names similar ones.
        """
        found: list[ColumnElement[bool]] = []
        if self.name:
            found.append(_has_name(self.name, connection.dialect.name))
        if self.classes:
            found.append(CLASS.in_(classes_named(connection, self.classes)))
        found += self._of_times()
        if self.sources:
            found.append(or_(*(is_from(source) for source in self.sources)))
            _require_sources(connection, self.sources)
        if self.states:
            _require("state", self.states, STATES)
            found.append(videos.c.state.in_(self.states))
        if self.models:
            _require("model", self.models, set(connection.scalars(select(models.c.name))))
            found.append(models.c.name.in_(self.models))
        found += self._of_answers(connection)
        if self.without_blind:
            found.append(not_(is_blind()))
        return found

    def _of_times(self) -> Iterator[ColumnElement[bool]]:
        when = videos.c.arrived_at if self.by_arrival else WHEN
        if self.start:
            yield when >= self.start
        if self.end:
            yield when < self.end
        if self.hours:
            yield is_in_hours(when, *self.hours, self.zone)
        if self.weekday is not None:
            yield is_on_weekday(when, self.weekday, self.zone)

    def _of_answers(self, connection: Connection) -> Iterator[ColumnElement[bool]]:
        """The conditions on the prediction and the label that count."""
        if self.predicted:
            names = classes_named(connection, self.predicted)
            doubt = predictions.c.doubt
            is_named = and_(doubt.is_(None), as_now(predictions.c["class"]).in_(names))
            yield or_(is_named, doubt.is_not(None)) if UNSURE in names else is_named
        if self.labels:
            names = classes_named(connection, self.labels)
            is_named = labels.c["class"].in_(names)
            yield or_(is_named, labels.c.verdict == "unsure") if UNSURE in names else is_named
        if self.labelled_by:
            yield labels.c.who.in_(self.labelled_by)
        if self.least is not None:
            yield predictions.c.probability >= self.least
        if self.most is not None:
            yield predictions.c.probability <= self.most


def moment(text: str, *, is_end: bool, asked: str | None = None) -> datetime:
    """The time that a person gave, as `2026-01-31` or `2026-01-31 18:00`, or `18:00` of today.

    Without a zone, it is in this machine's zone. A date alone, as an end, includes that day.
    `asked` is what the message calls it, if not as the option of the commands.

    Raises:
        VidwatchError: it is none.
    """
    try:
        day = _date_of(text) if is_end else None
        if day == date.max:
            return END
        return moment_named((day + timedelta(days=1)).isoformat() if day else text, now())
    except VidwatchError as error:
        asked = asked or ("--to" if is_end else "--from")
        raise VidwatchError(f"{asked}: {error}") from error


def _date_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _has_name(text: str, dialect: str) -> ColumnElement[bool]:
    """Whether the name has a text in it, or matches a pattern, whatever the case of A to Z.

    An "ö" may be one character or, as macOS writes names, two.
    """
    name = func.lower(shown_name())
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    wanted = [form.translate(SMALL) for form in sorted(forms)]
    fits = [name.contains(one, autoescape=True) for one in wanted]  # also of "clip [x].mp4"
    if any(sign in text for sign in WILD):
        for whole in (name, func.lower(videos.c.name)):
            if dialect == "sqlite":
                fits += [whole.op("GLOB")(one) for one in wanted]
            else:
                fits += [whole.regexp_match(_as_regex(one)) for one in wanted]
    return or_(*fits)


def _as_regex(pattern: str) -> str:
    """A pattern of SQLite's GLOB, as a regular expression of PostgreSQL."""
    parts = re.findall(r"\[\^?\]?[^]]*\]|.", pattern, re.DOTALL)
    regex = ""
    for part in parts:
        if len(part) > 1:
            regex += part.replace("\\", r"\\")
        else:
            regex += {"*": ".*", "?": "."}.get(part) or re.escape(part)
    return rf"\A{regex}\Z"


def is_from(source: str) -> ColumnElement[bool]:
    """Whether a video is from a source or a folder of the inbox, or from a folder in it.

    "." is the inbox itself, without its folders.
    """
    if source == HERE:
        return videos.c.source.is_(None)
    source = source.rstrip("/")
    below = and_(videos.c.source > source + "/", videos.c.source < source + "0")
    return or_(videos.c.source == source, below)


def classes_named(connection: Connection, names: Collection[str]) -> list[str]:
    """The present names of classes.

    Raises:
        VidwatchError: there is no such class.
    """
    changed = changed_names(connection)
    existing = {UNSURE}
    for classes in connection.scalars(select(models.c.classes)):
        existing |= {changed.get(name) or name for name in classes}
    given = select(labels.c["class"]).where(labels.c["class"].in_(names)).distinct()
    if existing.union(connection.scalars(given)).issuperset(names):
        return list(names)
    known = KnownClasses(connection)  # reads all labels
    existing |= known.existing
    found = [name if name in existing else known.named(name) for name in names]
    _require("class", found, existing)
    return found


def _require_sources(connection: Connection, sources: Collection[str]) -> None:
    missing = [
        source
        for source in sources
        if connection.scalar(select(videos.c.id).where(is_from(source)).limit(1)) is None
    ]
    if missing:
        used = select(videos.c.source).where(videos.c.source.is_not(None)).distinct()
        _require("source", missing, set(connection.scalars(used)))


def _require(noun: str, names: Collection[str], existing: Collection[str]) -> None:
    """Check that names are among those that there are.

    Raises:
        VidwatchError: one is not; offers similar names.
    """
    unknown = [name for name in names if name not in existing]
    if unknown:
        raise VidwatchError("; ".join(_unknown(noun, name, existing) for name in unknown))


def _unknown(noun: str, name: str, existing: Collection[str]) -> str:
    trouble = f"there is no {noun} {name!r}"
    if asked := question(similar(name, existing)):
        return f"{trouble}: {asked}"
    if not existing:
        return f"{trouble}: there is none yet"
    return f"{trouble}: there are {listed(sorted(existing, key=str.casefold), NAMED)}"
