"""Sends notifications for people through Apprise: by mail, chat or phone.

Several events that come at once, or more than the limit lets through, become one message.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from daemon.home.receivers import Notify
from daemon.home.texts import printable
from daemon.notify.content import Content
from daemon.notify.sender import NotDeliveredError, parts_of_url
from learner.errors import VidwatchError
from learner.texts import counted

MISSING = "needs a library: pip install 'vidwatch[notify]'"


class _LastWarning(logging.Handler):
    """Keeps the last warning that the library logs: why a notification was not sent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self.text = record.getMessage()


class MessageSender:
    """Sends to some addresses of Apprise."""

    bundles = True

    def __init__(self, notify: Notify, home: Path) -> None:
        self._urls = notify.urls
        self._home = home
        self._left: list[int] = []  # addresses that have not got the message that failed last
        self._failed: tuple[str, ...] = ()  # the events of that message

    def send(self, events: Sequence[Content], more: int) -> None:
        """Send one message about events.

        If some addresses got it and others did not, only these get it at the next try.

        Raises:
            NotDeliveredError: it was not sent to all addresses.
        """
        ids = tuple(event["event_id"] for event in events)
        left = self._left if ids == self._failed else list(range(len(self._urls)))
        title, body = message(events, more)
        reason = ""
        failed = []
        for at in left:
            if problem := self._notify(self._urls[at], title, body):
                reason = problem
                failed.append(at)
        self._left = failed
        self._failed = ids if failed else ()
        if failed:
            raise NotDeliveredError(reason)

    def _notify(self, url: Any, title: str, body: str) -> str:
        """Send to one address; gives why it was not sent, and nothing if it was."""
        try:
            import apprise
        except ImportError:
            return MISSING
        try:
            text = url.read(self._home)
        except VidwatchError as error:
            return str(error)
        kind = text.partition(":")[0]
        with _captured() as log:
            sender = apprise.Apprise()
            if not sender.add(text):
                return "an address is none that Apprise knows"
            if sender.notify(body=body, title=title):
                return ""
        return f"{kind}: {log.text or 'the notification was not sent'}"

    def tend(self) -> bool:
        """Nothing: there is nobody to reach."""
        return False

    def abort(self) -> None:
        """Nothing: the library gives up by itself after some seconds."""

    def close(self) -> None:
        """Nothing is open."""

    def secrets(self) -> Iterable[str]:
        """The addresses, and their parts."""
        for url in self._urls:
            with suppress(VidwatchError):
                yield from parts_of_url(url.read(self._home))


@contextmanager
def _captured() -> Iterator[_LastWarning]:
    """Keep what the library logs out of the log: it may quote an address."""
    log = logging.getLogger("apprise")
    kept = _LastWarning()
    log.propagate = False
    log.addHandler(kept)
    try:
        yield kept
    finally:
        log.removeHandler(kept)


def message(events: Sequence[Content], more: int) -> tuple[str, str]:
    """The title and the text of one message about events, of which `more` are not listed."""
    lines = [in_words(event) for event in events]
    if len(lines) == 1 and not more:
        title, _, text = lines[0].partition("\n")
        return f"vidwatch: {title}", text or title
    if more:
        lines.append(f"{more} more")
    text = "\n".join(line.replace("\n", ": ") for line in lines)
    return f"vidwatch: {counted(len(events) + more, 'event')}", text


def in_words(event: Content) -> str:
    """One event for people: a title, and in a second line what else there is to say."""
    return printable_lines(_IN_WORDS[event["event"]](event))


def printable_lines(text: str) -> str:
    """A text of some lines, with the control characters in them escaped."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _name(event: Content) -> str:
    name = f"{event['source']}/{event['name']}" if event.get("source") else event.get("name", "")
    return str(name).replace("\n", " ")


def _classified(event: Content) -> str:
    if event.get("class") is None:
        return f"classified\n{_name(event)}"
    unsure = ", unsure" if event["doubt"] else ""
    return f"{event['class']} ({event['probability']:.1%}{unsure})\n{_name(event)}"


def _failed(event: Content) -> str:
    return f"{_name(event)} failed\n{event['error']}"


def _labelled(event: Content) -> str:
    label = event["given"] or event["verdict"]
    return f"{_name(event)} is labelled: {label}\nby {event['given_by']}"


def _promoted(event: Content) -> str:
    return f"model {event['model']} is the champion\n{event['reason']}"


def _training_failed(event: Content) -> str:
    return f"training {event['model']} failed\n{event['error']}"


def _trouble(event: Content) -> str:
    if event["over"]:
        return f"no longer a problem: {event['subject']}"
    return f"trouble: {event['subject']}\n{event['text']}"


def _test(event: Content) -> str:
    return f"a test\n{event['text']}"


_IN_WORDS = {
    "classified": _classified,
    "failed": _failed,
    "labelled": _labelled,
    "promoted": _promoted,
    "training_failed": _training_failed,
    "trouble": _trouble,
    "test": _test,
}
