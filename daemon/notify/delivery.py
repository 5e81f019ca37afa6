"""Sends what waits for one receiver, in the order in which it came.

A receiver that cannot be reached keeps all its events waiting, and is asked again after pauses that
grow. If a receiver refuses an event some times and takes the one after it, the fault lies with that
event: it is given up, so that the others do not wait for ever.
"""

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from sqlalchemy.exc import OperationalError

from daemon.database.connection import reason_of
from daemon.home.clock import now as clock_now
from daemon.notify.content import Content, content_of, is_being_moved
from daemon.notify.outbox import Outbox, Waiting
from daemon.notify.sender import NotDeliveredError, Sender, one_line
from learner.texts import counted

log = logging.getLogger(__name__)

AT_ONCE = 100  # events that are read at once
BUNDLED = 10_000  # events that become one message
LISTED = 5  # of these, so many are listed
IDLE = 0.5  # seconds between two looks whether something waits
MOVED = 0.1  # seconds until a file that is being moved is looked at again
NOTED = 1.0  # seconds: so long after an event was sent, that is noted at the latest
TENDING = 5.0  # seconds
LONGEST_PAUSE = 300.0  # seconds, between two tries
LOCKED = 2.0  # seconds until a database that cannot be used is tried again
TRIES = 5  # of one event, before the next one is tried in its place
TRIMMING = 60.0  # seconds between two counts of what waits

Note = Callable[[str, str | None], None]


class Delivery:
    """Sends to one receiver, in a thread of its own."""

    def __init__(
        self,
        name: str,
        sender: Sender,
        outbox: Outbox,
        rate: tuple[int, float] | None,
        note: Note,
    ) -> None:
        """Nothing runs yet.

        Args:
            name: The receiver's name.
            sender: The way to it.
            outbox: What waits for it.
            rate: How many messages it gets in how many seconds at most; None for no limit.
            note: Shows a notice under a subject, or takes it back (None).
        """
        self.name = name
        self._sender = sender
        self._outbox = outbox
        self._rate = rate
        self._note = note
        self._sent_at: deque[float] = deque()
        self._sent: list[int] = []  # ids that are not noted yet
        self._sent_since = 0.0
        self._tries = 0  # that failed since something was sent
        self._head: tuple[int, int] = (0, 0)  # the oldest event, and how often it failed
        self._trimmed = -TRIMMING
        self._tended = -TENDING
        self._is_noted = False
        self._was_reached = False
        self.is_over = threading.Event()
        self.has_settled = threading.Event()
        """Whether nothing waits that could be sent now."""
        self.thread = threading.Thread(target=self.run, name=f"to {name}", daemon=True)

    def run(self) -> None:
        """Send until it is over."""
        pause = 0.0
        while not self.is_over.wait(pause):
            try:
                pause = self.step(time.monotonic())
            except OperationalError as error:  # shown by others: locked, or a full disk
                log.debug("%s: the database cannot be used now: %s", self.name, reason_of(error))
                pause = LOCKED
            except Exception as error:
                self._log_bug(error)
                pause = LOCKED
        with suppress(OperationalError):
            self._note_sent()
        self._sender.close()

    def abort(self) -> None:
        """End what is being sent."""
        self._sender.abort()

    def step(self, now: float) -> float:
        """Send what can be sent now; gives the seconds until the next step.

        Args:
            now: The time of the monotonic clock.
        """
        self._trim(now)
        try:
            self._tend(now)
        except NotDeliveredError as error:
            return self._fail(error)
        if (wait := self._wait_for_rate(now)) > 0:
            self.has_settled.set()
            return min(wait, IDLE)
        waiting = self._outbox.oldest(BUNDLED if self._sender.bundles else AT_ONCE)
        if not waiting:
            self.has_settled.set()
            return IDLE
        self.has_settled.clear()
        try:
            return self._send_bundle(waiting) if self._sender.bundles else self._send(waiting)
        except NotDeliveredError as error:
            self._note_sent()
            return self._fail(error)
        finally:
            self._note_sent()

    def _tend(self, now: float) -> None:
        if now < self._tended + TENDING:
            return
        self._tended = now
        if self._sender.tend() and (self._tries or not self._was_reached):
            self._outbox.reached()
            self._was_reached = True
            self._well()

    def _send(self, waiting: Sequence[Waiting]) -> float:
        """Send events one by one, as many as the limit lets through."""
        for event in waiting:
            if self.is_over.is_set() or self._wait_for_rate(time.monotonic()) > 0:
                break
            content, is_moved = self._content(event)
            if is_moved:
                return MOVED
            if content is not None:
                self._hand_over([content], 0)
            self._add_sent([event])
        return 0.0

    def _send_bundle(self, waiting: Sequence[Waiting]) -> float:
        """Send one message about all that waits."""
        listed = []
        known = []
        for event in waiting[:LISTED]:
            content, is_moved = self._content(event)
            if is_moved:
                return MOVED
            if content is not None:
                listed.append(content)
            known.append(event)
        if listed:
            self._hand_over(listed, len(waiting) - len(known))
        self._add_sent(waiting)
        return 0.0

    def _hand_over(self, contents: Sequence[Content], more: int) -> None:
        try:
            self._sender.send(contents, more)
        except NotDeliveredError:
            raise
        except Exception as error:  # a bug, of ours or of a library: others must not wait for ever
            self._log_bug(error)
            raise NotDeliveredError(type(error).__name__, is_refusal=True) from None
        if self._rate:
            self._sent_at.append(time.monotonic())

    def _content(self, event: Waiting) -> tuple[Content | None, bool]:
        """What an event says, and whether its file is being moved now."""
        with self._outbox.engine.begin() as connection:
            if is_being_moved(connection, event, clock_now()):
                return None, True
            content = content_of(connection, event)
        if content is None:
            log.warning("%s: what event %s was about is gone", self.name, event.event_id)
        return content, False

    def _fail(self, error: NotDeliveredError) -> float:
        """Note a failure; gives the pause until the next try."""
        if self.is_over.is_set():  # we have ended it ourselves
            return 0.0
        self._tries += 1
        self._note_failure(error.reason, clock_now())
        waiting = self._outbox.oldest(2)
        if waiting:
            head = waiting[0].id
            self._head = (head, self._head[1] + 1 if self._head[0] == head else 1)
        is_often = self._head[1] >= TRIES and len(waiting) > 1
        if is_often and error.is_refusal and not self._sender.bundles and self._give_up(*waiting):
            return 0.0
        self.has_settled.set()
        return max(min(2.0 ** min(self._tries - 1, 20), LONGEST_PAUSE), error.pause)

    def _give_up(self, head: Waiting, after: Waiting) -> bool:
        """Whether an event was given up or sent, after the one behind it was taken."""
        try:
            self._send([after])
        except NotDeliveredError:
            return False
        if after.id not in self._sent:
            return False
        self._note_sent()
        try:
            self._send([head])  # it may have been the receiver, after all
        except NotDeliveredError as error:
            if not error.is_refusal:
                return False
            text = "%s: event %s is given up, since it fails again and again (%s)"
            log.warning(text, self.name, head.event_id, self._shown(error.reason))
            self._outbox.give_up([head.id])
        return True

    def _note_failure(self, reason: str, now: datetime) -> None:
        reason = self._shown(reason)
        self._outbox.failed(reason, now)
        self._is_noted = True
        self._note(self.subject, f"cannot be told of events, and is tried again ({reason})")

    @property
    def is_failing(self) -> bool:
        """Whether the receiver could not be reached at the last try."""
        return self._tries > 0

    @property
    def subject(self) -> str:
        """Of its notices."""
        return f"receiver {self.name}"

    def _well(self) -> None:
        self._tries = 0
        if self._is_noted:
            self._is_noted = False
            self._note(self.subject, None)

    def _add_sent(self, events: Sequence[Waiting]) -> None:
        if not self._sent:
            self._sent_since = time.monotonic()
        self._sent += [event.id for event in events]
        if time.monotonic() >= self._sent_since + NOTED:
            self._note_sent()

    def _note_sent(self) -> None:
        """Note what was sent: in few transactions, since clips wait for each."""
        if self._sent:
            self._outbox.sent(self._sent, clock_now())
            self._sent = []
            self._well()

    def _wait_for_rate(self, now: float) -> float:
        """The seconds until one more may be sent."""
        if not self._rate:
            return 0.0
        most, period = self._rate
        while self._sent_at and self._sent_at[0] <= now - period:
            self._sent_at.popleft()
        return self._sent_at[0] + period - now if len(self._sent_at) >= most else 0.0

    def _trim(self, now: float) -> None:
        if now < self._trimmed + TRIMMING:
            return
        self._trimmed = now
        if n := self._outbox.trim():
            log.warning("%s: the oldest %s are given up", self.name, counted(n, "event"))

    def _log_bug(self, error: Exception) -> None:
        """Log an error that nobody expected: a library's text may hold a secret."""
        for line in "".join(traceback.format_exception(error)).splitlines():
            log.error("%s: %s", self.name, self._shown(line))

    def _shown(self, text: str) -> str:
        """A text for people, without secrets; if these cannot be read, nothing of it is shown."""
        try:
            return one_line(text, self._sender.secrets())
        except Exception as error:
            return f"{type(error).__name__}, while secrets were taken out of a text"
