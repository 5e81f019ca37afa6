"""Asks the daemon to stop when a signal comes, and ends it if that takes too long.

It is installed before anything slow is imported, so that no signal is missed.
"""

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

# Seconds after which the daemon ends, whatever is still going on: a disk that does not answer, a
# database that is locked, a query that takes minutes. A kill loses nothing, and the next start goes
# on. systemd and people wait for ten seconds.
LONGEST = 8.0


class Stop:
    """Set by SIGTERM and Ctrl-C, and by SIGHUP if that says that the terminal was closed.

    The daemon then finishes the batch in hand; the rest waits for the next start. A second signal
    ends it at once.

    A service has no terminal: there SIGHUP means "read your settings again", which this daemon does
    at its start alone. It is logged, and the daemon goes on.
    """

    def __init__(self) -> None:
        self.asked = False
        self.last_words: Callable[[], int] | None = None
        """Called before the process is ended for taking too long; gives its exit status."""
        self._has_terminal = False

    def install(self) -> None:
        """Handle these signals from now on."""
        self._has_terminal = _has_terminal()
        # A signal handler of Python waits until the main thread is back from the library that it is
        # in. What is written to this pipe comes at once.
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(reading, True)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reading,), name="stop", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
            signal.signal(signal.SIGHUP, self._hang_up)

    def leave(self, status: int = 0) -> None:
        """End the process with this exit status if it was told to stop and all is done.

        Python would take itself apart first, which takes seconds on a busy machine.
        """
        if self.asked:
            atexit._run_exitfuncs()
            sys.stdout.flush()
            os._exit(status)

    def _watch(self, reading: int) -> None:
        while (number := os.read(reading, 1)[0]) not in (signal.SIGTERM, signal.SIGINT):
            if number == signal.SIGHUP and self._has_terminal:
                log.warning("SIGHUP: the terminal was closed; ending as by SIGTERM")
                break
            if number == signal.SIGHUP:
                log.warning("SIGHUP changes nothing: restart the daemon to have settings read")
        self.asked = True
        time.sleep(LONGEST)
        names = (thread.name for thread in threading.enumerate() if thread.name != "stop")
        text = "ended without waiting any longer, after %g s; at work were still: %s"
        log.warning(text, LONGEST, ", ".join(sorted(names)))
        os._exit(self.last_words() if self.last_words else 0)

    def _hang_up(self, number: int, _: Any) -> None:
        # What it logs, the other thread logs: a handler may interrupt a line of the log.
        self.asked = self.asked or self._has_terminal

    def _ask(self, number: int, _: Any) -> None:
        self.asked = True
        if number == signal.SIGINT:
            # A second Ctrl-C raises KeyboardInterrupt, which leaves the terminal as it was.
            signal.signal(number, signal.default_int_handler)
        else:
            signal.signal(number, signal.SIG_DFL)


def _has_terminal() -> bool:
    """Whether this process was started in a terminal, which sends SIGHUP when it is closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
