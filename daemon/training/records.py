"""A training and a decision, as `decisions.py` gives and takes them, and how one is found."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, select

from daemon.database.connection import new_id
from daemon.database.events import Event, note_events
from daemon.database.tables import decisions

NO_TAKEOVER = ("refused", "undecided")
"""The verdicts after which the champion stays the same."""
WATCH = "watch"
"""The key in `figures` of a promotion whose model is watched, and of the end of that watch."""


def takeover() -> Select[Any]:
    """The decision that made the champion the champion."""
    takeovers = select(decisions).where(decisions.c.verdict.not_in(NO_TAKEOVER))
    return takeovers.order_by(decisions.c.id.desc()).limit(1)


def newest_decision(challenger: str) -> Select[Any]:
    """The newest decision about a model."""
    about = select(decisions).where(decisions.c.challenger == challenger)
    return about.order_by(decisions.c.id.desc()).limit(1)


@dataclass(frozen=True)
class KnownLabels:
    """The newest labels that a training knows; 0 if there is none."""

    label: int = 0
    """The id of a label of a video."""
    part: int = 0
    """The id of a label of a part of a video."""

    def include(self, other: "KnownLabels") -> bool:
        """Whether a training that knows these knows the others, too."""
        return self.label >= other.label and self.part >= other.part


@dataclass(frozen=True)
class Training:
    """A training that was requested, or has begun."""

    id: int
    name: str
    """Of its model."""


@dataclass(frozen=True)
class Decision:
    """How a comparison ended."""

    verdict: str
    reason: str
    """For people."""
    figures: Mapping[str, Any]
    """What the verdict rests on."""


@dataclass(frozen=True)
class DecisionRow:
    """A decision as it is stored."""

    verdict: str
    challenger: str
    """The model that the decision is about."""
    champion: str | None
    """The champion at that time; None if there was none."""
    reason: str
    figures: Mapping[str, Any]
    created_at: datetime

    @property
    def outcome(self) -> str:
        """The verdict, for people. A watch's end is stored as a refusal of the former model."""
        is_end = self.verdict in NO_TAKEOVER and WATCH in self.figures
        return "stays behind" if is_end else self.verdict

    def to_json(self) -> dict[str, Any]:
        """One object; the time in ISO 8601."""
        return {**vars(self), "created_at": self.created_at.isoformat()}


def add_decision(connection: Connection, decision: DecisionRow, setting: str) -> None:
    """Store a decision, with the setting `model` of that time."""
    columns = {**vars(decision), "figures": dict(decision.figures), "setting": setting}
    new = new_id(connection.execute(insert(decisions).values(**columns)))
    # The first champion of a home replaces none.
    if decision.verdict not in NO_TAKEOVER and decision.champion is not None:
        note_events(connection, "promoted", [Event(new)], decision.created_at)
