"""What each browser has done since it opened the page. Kept in memory."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MOST_SESSIONS = 64
MOST_ACTIONS = 100


@dataclass(frozen=True)
class Action:
    """One action on videos, which left the queue by it."""

    kind: Literal["labelled", "skipped"]
    ids: tuple[int, ...]
    """The videos."""
    labels: Mapping[int, int] = field(default_factory=dict)
    """The label that each video got, by ids; empty for "skipped"."""


@dataclass
class Session:
    """What one browser has done."""

    actions: list[Action] = field(default_factory=list)
    """The actions that can be undone, the newest last."""
    skipped: set[int] = field(default_factory=set)
    """These videos are not shown."""
    count: int = 0
    """How many clips were labelled or skipped."""
    message: str = ""
    """Shown on the next page."""

    def add(self, action: Action) -> None:
        """Remember an action, so that it can be undone. The oldest ones are forgotten."""
        self.count += len(action.ids)
        self.actions = [*self.actions[1 - MOST_ACTIONS :], action]
        if action.kind == "skipped":
            self.skipped |= set(action.ids)

    def undo(self) -> Action | None:
        """Forget the last action and return it; None if there is none."""
        if not self.actions:
            return None
        last = self.actions.pop()
        self.count -= len(last.ids)
        if last.kind == "skipped":
            self.skipped -= set(last.ids)
        return last


class Sessions:
    """All sessions by a random name, which a cookie holds.

    The sessions that were unused for longest are forgotten.
    """

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str | None) -> tuple[str, Session]:
        """The session with this name, or a new one; with its name."""
        with self._lock:
            if name is None or name not in self._sessions:
                name = secrets.token_urlsafe(16)
                self._sessions[name] = Session()
            self._sessions.move_to_end(name)
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return name, self._sessions[name]
