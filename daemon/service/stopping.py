"""How the daemon is told to stop, and its children with it.

Installed before anything slow is imported, so that a signal always counts.
"""

import signal
from typing import Any


class Stop:
    """Set by SIGTERM and Ctrl-C: the batch in hand is finished, the rest waits. A second one ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Take over both signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: Any) -> None:
        self.asked = True
        # Ctrl-C again unwinds as an exception, which leaves the terminal as it was.
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )
