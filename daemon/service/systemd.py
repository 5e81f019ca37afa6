"""Tells systemd the state of the daemon: ready, alive, stopping.

Silent if systemd did not start the daemon.

The protocol is that of sd_notify(3): lines of KEY=VALUE, in a datagram to the socket that
NOTIFY_SOCKET names. Knows nothing of what the loops do.
"""

import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

log = logging.getLogger(__name__)

SENDING = 1  # second: if systemd is too busy to read a message, clips matter more
PINGS = 4  # in each period of the watchdog, so that a late one does no harm


@dataclass(frozen=True)
class Notifier:
    """Sends messages to the service manager."""

    address: str = ""
    """Of its socket; empty if there is none."""
    watchdog_seconds: float | None = None
    """It ends a daemon that is silent for longer; None if it never does."""

    @classmethod
    def from_environment(cls) -> Self:
        """As systemd set the environment.

        WATCHDOG_PID names the process that the watchdog is for.
        """
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        is_for_us = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
        watchdog = None
        if is_for_us and microseconds.isdecimal():
            watchdog = int(microseconds) / 1e6 or None  # 0 means that there is no watchdog
        return cls(os.environ.get("NOTIFY_SOCKET", ""), watchdog)

    def ready(self) -> None:
        """The daemon works from now on: units that wait for it may start."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send("STATUS=" + " ".join(text.split()))

    def stopping(self) -> None:
        """The daemon was asked to stop, and finishes what is in hand."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Ping the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, line: str) -> None:
        if not self.address.startswith(("/", "@")):
            return
        address = self.address
        if address.startswith("@"):  # a name without a file
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SENDING)
                sender.sendto(line.encode(), address)
        except OSError as error:
            key = line.partition("=")[0]
            log.warning("%s cannot be sent to systemd: %s", key, error.strerror or error)


class LoopMonitor:
    """Pings the watchdog, but only while every loop goes on.

    Loops call `beat` in threads of their own. One of them, or a timer, calls `tend`. Every `now` is
    of the monotonic clock.
    """

    def __init__(self, notifier: Notifier, limits: Mapping[str, float], now: float) -> None:
        """`limits`: after how many seconds without a beat each loop counts as stuck."""
        self._notifier = notifier
        self._limits = limits
        self._last_beat = dict.fromkeys(limits, now)
        self._next_ping = now

    def beat(self, loop: str, now: float) -> None:
        """Note that the loop goes on."""
        self._last_beat[loop] = now

    def stuck(self, now: float) -> list[str]:
        """The loops that were silent for longer than their limit."""
        return [loop for loop, limit in self._limits.items() if now > self._last_beat[loop] + limit]

    def tend(self, now: float) -> None:
        """Ping if it is time."""
        seconds = self._notifier.watchdog_seconds
        if not seconds or now < self._next_ping:
            return
        self._next_ping = now + seconds / PINGS
        if stuck := self.stuck(now):
            log.error("stuck, systemd will soon end the daemon: %s", ", ".join(stuck))
        else:
            self._notifier.alive()
