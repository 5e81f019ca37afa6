"""What one browser has done since it opened the page: what it skipped, and what it can take back. Kept in memory."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

MOST_SESSIONS = 64
MOST_ACTIONS = 100


@dataclass(frozen=True)
class Done:
    """One action, by which `ids` left the queue. `newest` is the last label when it was done."""

    kind: Literal["said", "skipped"]
    ids: tuple[int, ...]
    newest: int = 0


@dataclass
class Session:
    """`skipped` is not shown again; `count` clips were answered or skipped; `message` is for the next page."""

    done: list[Done] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)
    count: int = 0
    message: str = ""

    def note(self, done: Done) -> None:
        """It can be taken back."""
        self.count += len(done.ids)
        self.done = [*self.done[1 - MOST_ACTIONS :], done]
        if done.kind == "skipped":
            self.skipped |= set(done.ids)

    def take_back(self) -> Done | None:
        """The last action, which is no more; None where there is none."""
        if not self.done:
            return None
        last = self.done.pop()
        self.count -= len(last.ids)
        if last.kind == "skipped":
            self.skipped -= set(last.ids)
        return last


class Sessions:
    """The sessions by a random name, which a cookie holds; the ones unused for longest are forgotten."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str | None) -> tuple[str, Session]:
        """The session of that name, or a new one with its name."""
        with self._lock:
            if name is None or name not in self._sessions:
                name = secrets.token_urlsafe(16)
                self._sessions[name] = Session()
            self._sessions.move_to_end(name)
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return name, self._sessions[name]
