"""What each browser has done since it opened the page. Kept in memory.

Labels are not kept here: they are rows of the database, by which they can be undone after a
restart, too.
"""

import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from daemon.page.cards import Card
from daemon.page.forms import Submission
from daemon.page.queue import Wish

MOST_SESSIONS = 64
MOST_SKIPS = 100
MOST_QUESTIONS = 100


@dataclass(frozen=True)
class Skip:
    """Some videos that were skipped at once."""

    ids: tuple[int, ...]
    at: datetime


@dataclass(frozen=True)
class Question:
    """Labels that wait: somebody else labelled one of the videos since the page was made."""

    submission: Submission
    """What the person asked for. Its newest label is the newest one at the time of the question."""
    names: Mapping[int, str]
    """The videos that have other labels by now: how they are named to the person, by id."""
    cards: tuple[Card, ...]
    """Those of them that have a card: a video that turned out to be a copy has none."""
    reports: tuple[str, ...]
    """Who gave which label: one for each of these videos."""
    wanted: str
    """What the person asked for, in words."""


@dataclass(frozen=True)
class Goal:
    """Some clips that a person has begun to review: an end in sight."""

    wish: Wish
    total: int
    begun_at: int
    """The session's count when it was begun."""


@dataclass
class Session:
    """What one browser has done."""

    skips: list[Skip] = field(default_factory=list)
    """These can be undone, the newest last."""
    skipped: set[int] = field(default_factory=set)
    """These videos are not shown."""
    passed: set[datetime] = field(default_factory=set)
    """The times of actions of which no label could be undone: undo goes on to the one before."""
    questions: OrderedDict[str, Question] = field(default_factory=OrderedDict)
    """The open questions, the oldest first, by random names."""
    count: int = 0
    """How many clips were labelled or skipped."""
    goal: Goal | None = None
    """What the person reviews now."""
    first: list[int] = field(default_factory=list)
    """These videos are shown first if they still wait: what was undone, or marked as wrong."""
    message: str = ""
    """Shown on the next page."""

    def skip(self, skip: Skip) -> None:
        """Remember videos that were skipped. Which ones came together is forgotten in time."""
        self.count += len(skip.ids)
        self.skips = [*self.skips[1 - MOST_SKIPS :], skip]
        self.skipped |= set(skip.ids)

    def undo_skip(self) -> Skip:
        """Forget the last skip and return it."""
        last = self.skips.pop()
        self.count = max(0, self.count - len(last.ids))
        self.skipped -= set(last.ids)
        return last

    def show_skipped(self) -> None:
        """Forget all skips."""
        self.skips.clear()
        self.skipped.clear()

    def ask(self, question: Question) -> None:
        """Keep a question until it is answered. Of very many, the oldest are forgotten."""
        self.questions[secrets.token_urlsafe(8)] = question
        while len(self.questions) > MOST_QUESTIONS:
            self.questions.popitem(last=False)


class Sessions:
    """All sessions by a random name, which a cookie holds.

    The sessions that were unused for longest are forgotten.
    """

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str | None) -> tuple[str, Session]:
        """The session with this name, or a new one; with its name.

        A browser keeps the name that it has: else the message about the first form that it sends
        after the server's restart would be lost.
        """
        with self._lock:
            if name is None or not re.fullmatch(r"[\w-]{22}", name, re.ASCII):
                name = secrets.token_urlsafe(16)
            self._sessions.setdefault(name, Session())
            self._sessions.move_to_end(name)
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return name, self._sessions[name]
