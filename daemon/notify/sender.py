"""What all ways to send an event have in common."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Protocol
from urllib.parse import unquote, urlsplit

from daemon.home.texts import printable
from daemon.notify.content import Content

LONGEST_REASON = 300  # characters
SHORTEST_SECRET = 4  # characters: what is shorter is part of many words
# What follows the password or the token in an address that a library prints.
_CREDENTIALS = re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/@]*@", re.IGNORECASE)


class NotDeliveredError(Exception):
    """An event was not delivered. The text says why in one line, and holds no secret."""

    def __init__(self, reason: str, *, pause: float = 0.0, is_refusal: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_refusal = is_refusal
        """Whether the receiver was reached, so that the fault may lie with the event."""
        self.pause = pause
        """After so many seconds the receiver wants to be asked again."""


class Sender(Protocol):
    """A way to one receiver. Its methods are called by one thread, but for `abort`."""

    @property
    def bundles(self) -> bool:
        """Whether several events become one message if they would be too many."""

    def send(self, events: Sequence[Content], more: int) -> None:
        """Send events, one alone unless it bundles; and say how many `more` there are.

        Raises:
            NotDeliveredError: the receiver has not said that it has them.
        """

    def tend(self) -> bool:
        """Called every few seconds; gives whether the receiver was reached by that.

        Raises:
            NotDeliveredError: the receiver cannot be reached.
        """

    def abort(self) -> None:
        """End what is being sent: the daemon stops."""

    def close(self) -> None:
        """Take leave of the receiver."""

    def secrets(self) -> Iterable[str]:
        """What must not be in a text that is shown."""


def as_json(content: Content) -> bytes:
    """The object in ASCII: a name that is no text stays what JSON can hold."""
    return json.dumps(content).encode()


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    """A text for people: one line, of a limited length, without secrets or control characters."""
    text = _CREDENTIALS.sub(r"\1…@", text)
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "…")
    text = printable(" ".join(text.split()))
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def parts_of_url(url: str) -> list[str]:
    """The parts of an address that may be secret: all but its scheme and its host."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return [url]
    found = [url, parts.query, parts.path, parts.fragment, parts.username, password]
    found += [*parts.path.split("/"), *re.split("[&=]", parts.query)]
    if parts.scheme not in ("http", "https"):  # in others, the host may be a token
        found += re.split("[/@:?&=]+", url.partition("://")[2])
    pieces = [piece for piece in found if piece]
    return [*pieces, *(unquote(piece) for piece in pieces)]
