"""All receivers of a home: each has a thread of its own, so that none holds up another one."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine

from daemon.database.connection import connect
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.receivers import AnyReceiver, Command, Mqtt, Notify, Webhook
from daemon.notify.delivery import Delivery, Note
from daemon.notify.outbox import Outbox, follow_settings
from daemon.notify.sender import NotDeliveredError, Sender, one_line

log = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds for a locked database
LONGEST_END = 2.0  # seconds that `stop` waits for what is being sent
LONGEST_REST = 30.0  # seconds that `finish` waits


def sender_of(receiver: AnyReceiver, home: Path, engine: Engine | None = None) -> Sender:
    """The way to a receiver. A library is imported only if it is used.

    Args:
        receiver: The receiver.
        home: The home.
        engine: For the state that a broker keeps; None if this is no daemon.
    """
    match receiver:
        case Command():
            from daemon.notify.commands import CommandSender

            return CommandSender(receiver, home)
        case Webhook():
            from daemon.notify.webhooks import WebhookSender

            return WebhookSender(receiver, home)
        case Mqtt():
            from daemon.notify.mqtt import MqttSender
            from daemon.notify.state import state_of

            def state() -> dict[str, object]:
                assert engine
                with engine.begin() as connection:
                    return state_of(connection, now())

            return MqttSender(receiver, home, state if engine else None)
        case Notify():
            from daemon.notify.messages import MessageSender

            return MessageSender(receiver, home)


class Deliveries:
    """The threads that send what waits."""

    def __init__(self, home: Home, receivers: Mapping[str, AnyReceiver], note: Note) -> None:
        """Nothing is sent yet.

        Args:
            home: The home.
            receivers: Who is told of events, by name.
            note: Shows a notice under a subject, or takes it back (None).
        """
        self._home = home
        self._receivers = receivers
        self._note = note
        self._engine: Engine | None = None
        self._all: list[Delivery] = []

    def follow(self, engine: Engine) -> None:
        """Note who is told of events from now on."""
        self._ids = follow_settings(engine, self._receivers, now())

    def start(self) -> None:
        """Begin to send."""
        if not self._receivers:
            return
        # Its own: what is slow here must not take a connection that clips wait for.
        self._engine = connect(self._home.database, patience=PATIENCE)
        for name, receiver in self._receivers.items():
            sender = sender_of(receiver, self._home.root, self._engine)
            outbox = Outbox(self._engine, self._ids[name])
            self._all.append(Delivery(name, sender, outbox, receiver.rate, self._note))
        for delivery in self._all:
            delivery.thread.start()

    def finish(self, is_over: Callable[[], bool]) -> None:
        """Wait until all is sent that can be sent now, but not for long."""
        deadline = time.monotonic() + LONGEST_REST
        for delivery in self._all:
            delivery.has_settled.clear()
        while time.monotonic() < deadline and not is_over():
            if all(one.has_settled.is_set() or one.is_failing for one in self._all):
                return
            time.sleep(0.05)

    def stop(self) -> None:
        """End. What is not sent yet is sent after the next start."""
        for delivery in self._all:
            delivery.is_over.set()
            delivery.abort()
        deadline = time.monotonic() + LONGEST_END
        for delivery in self._all:
            delivery.thread.join(max(deadline - time.monotonic(), 0))
        at_work = [delivery.name for delivery in self._all if delivery.thread.is_alive()]
        if at_work:
            log.warning("still being sent while the daemon ends: to %s", ", ".join(at_work))
        elif self._engine is not None:
            self._engine.dispose()


def try_out(name: str, receiver: AnyReceiver, home: Path) -> str:
    """Send a test event to a receiver; gives why it failed, and nothing if it was delivered."""
    sender = sender_of(receiver, home)
    text = f"This is a test of the receiver {name!r} by 'vidwatch notify test'."
    at = now().isoformat()
    event = {"event": "test", "event_id": uuid4().hex, "event_at": at, "text": text}
    try:
        sender.send([event], 0)
    except NotDeliveredError as error:
        return one_line(error.reason, sender.secrets())
    finally:
        sender.close()
    return ""
