"""Asks the daemon to stop when a signal comes.

It is installed before anything slow is imported, so that no signal is missed.
"""

import signal
from typing import Any


class Stop:
    """Set by SIGTERM and Ctrl-C.

    The daemon then finishes the batch in hand; the rest waits for the next start. A second signal
    ends it at once.
    """

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Handle both signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: Any) -> None:
        self.asked = True
        if number == signal.SIGINT:
            # A second Ctrl-C raises KeyboardInterrupt, which leaves the terminal as it was.
            signal.signal(number, signal.default_int_handler)
        else:
            signal.signal(number, signal.SIG_DFL)
