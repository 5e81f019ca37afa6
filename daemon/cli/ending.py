"""How each command prints and ends, whatever it does."""

import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from daemon.home.texts import printable
from learner.errors import PassingError, VidwatchError

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 100_000  # cells: wider than every line


def run(command: Callable[[], object]) -> None:
    """Run a command.

    An error that a person can fix is printed in one line, and the exit status is 2. It is 75 if the
    error may pass by itself: a service then starts again. Any other error is a bug.
    """
    _escape_what_cannot_be_shown()
    try:
        command()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the output wants no more of it, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except VidwatchError as error:
        print(f"vidwatch: {printable(str(error))}", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if isinstance(error, PassingError) else 2)
    except KeyboardInterrupt:
        sys.exit(130)


def _escape_what_cannot_be_shown() -> None:
    """Have output that the terminal's encoding cannot show escaped, and no command end by it.

    A name may have an "ö" where the terminal knows ASCII only, or bytes that are no text at all.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def console() -> "Console":
    """Where tables are printed: as wide as the terminal. In a pipe or a file, no line is wrapped.

    So `vidwatch status | grep NAME` finds a whole row, whatever the width of the terminal.
    """
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=WIDE)
