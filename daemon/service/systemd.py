"""Tells systemd how the daemon is: ready, alive, stopping. Silent where systemd did not start it.

The protocol of sd_notify(3): lines of KEY=VALUE, in a datagram to the socket that NOTIFY_SOCKET names. Knows nothing of
what the loops do.
"""

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

log = logging.getLogger(__name__)

SENDING = 1  # second: what systemd is too busy to read is not worth a clip's time


@dataclass(frozen=True)
class Notifier:
    """Speaks to the service manager at `address`; `watchdog_seconds` is how long it bears silence, None for ever."""

    address: str = ""
    watchdog_seconds: float | None = None

    @classmethod
    def from_environment(cls) -> Self:
        """As systemd told this process; WATCHDOG_PID keeps what was meant for another process apart."""
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        is_meant = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
        watchdog = int(microseconds) / 1e6 if is_meant and microseconds.isdecimal() else 0
        return cls(os.environ.get("NOTIFY_SOCKET", ""), watchdog or None)

    def ready(self) -> None:
        """The daemon takes work from now on; what waits for it may begin."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))

    def stopping(self) -> None:
        """The daemon was told to stop, and finishes what is in hand."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """A ping for the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, line: str) -> None:
        if not self.address.startswith(("/", "@")):
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SENDING)
                sender.sendto(line.encode(), address)
        except OSError as error:
            log.warning(
                "systemd cannot be told %s: %s", line.partition("=")[0], error.strerror or error
            )


class LoopMonitor:
    """Pings the watchdog only while each loop goes on: `limits` says after how many seconds of silence one is stuck.

    Loops beat in threads of their own; `tend` is called by one of them, or by a timer.
    """

    def __init__(self, notifier: Notifier, limits: Mapping[str, float], now: float) -> None:
        self._notifier, self._limits = notifier, limits
        self._beaten = dict.fromkeys(limits, now)
        self._next_ping = now

    def beat(self, loop: str, now: float) -> None:
        """The loop goes on; `now` is of the monotonic clock, as everywhere here."""
        self._beaten[loop] = now

    def stuck(self, now: float) -> list[str]:
        """The loops that have been silent for longer than they may."""
        return [loop for loop, limit in self._limits.items() if now > self._beaten[loop] + limit]

    def tend(self, now: float) -> None:
        """Ping when it is time, four times as often as is asked for, so that a late one does no harm."""
        seconds = self._notifier.watchdog_seconds
        if not seconds or now < self._next_ping:
            return
        self._next_ping = now + seconds / 4
        if stuck := self.stuck(now):
            log.error("stuck, and soon to be ended by systemd: %s", ", ".join(stuck))
        else:
            self._notifier.alive()
