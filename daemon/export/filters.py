"""Which videos are meant: by name, class, date, source, state and model. Only reads."""

import re
import string
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from daemon.database.expressions import shown_name
from daemon.database.tables import models, videos
from daemon.database.values import STATES
from daemon.export.query import CLASS
from daemon.home.clock import END, local_time, now
from daemon.home.similar import question, similar
from daemon.home.times import moment_named
from daemon.labels.classes import KnownClasses, changed_names
from daemon.report.events import UNSURE
from learner.errors import VidwatchError
from learner.texts import listed

NAMED = 5  # names that a message lists
WILD = "*?["
SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


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
    """A source, or a folder of the inbox, with the folders in it."""
    states: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """The model whose prediction counts."""

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
        return ", ".join(parts)

    def _named(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        return (
            ("class", self.classes),
            ("source", self.sources),
            ("state", self.states),
            ("model", self.models),
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
            found.append(CLASS.in_(_classes(connection, self.classes)))
        when = func.coalesce(videos.c.recorded_at, videos.c.arrived_at)
        if self.start:
            found.append(when >= self.start)
        if self.end:
            found.append(when < self.end)
        if self.sources:
            found.append(or_(*(_is_from(source) for source in self.sources)))
            _require_sources(connection, self.sources)
        if self.states:
            _require("state", self.states, STATES)
            found.append(videos.c.state.in_(self.states))
        if self.models:
            _require("model", self.models, set(connection.scalars(select(models.c.name))))
            found.append(models.c.name.in_(self.models))
        return found


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


def _is_from(source: str) -> ColumnElement[bool]:
    source = source.rstrip("/")
    below = and_(videos.c.source > source + "/", videos.c.source < source + "0")
    return or_(videos.c.source == source, below)


def _classes(connection: Connection, names: Collection[str]) -> list[str]:
    """The present names of classes.

    Raises:
        VidwatchError: there is no such class.
    """
    known = KnownClasses(connection)
    changed = changed_names(connection)
    existing = {*known.existing, UNSURE}
    for classes in connection.scalars(select(models.c.classes)):
        existing |= {changed.get(name) or name for name in classes}
    found = [name if name in existing else known.named(name) for name in names]
    _require("class", found, existing)
    return found


def _require_sources(connection: Connection, sources: Collection[str]) -> None:
    missing = [
        source
        for source in sources
        if connection.scalar(select(videos.c.id).where(_is_from(source)).limit(1)) is None
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
