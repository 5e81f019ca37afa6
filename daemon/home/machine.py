"""The name of this machine among those that share a database."""

import os
import re
import socket

from learner.errors import VidwatchError

VARIABLE = "VIDWATCH_MACHINE"
ANOTHER_NAME = f"set {VARIABLE} to another name on one of the two, or stop that daemon"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def machine_name() -> str:
    """What VIDWATCH_MACHINE says; the host's name if it is not set.

    Raises:
        VidwatchError: that cannot be a name.
    """
    name = os.environ.get(VARIABLE) or socket.gethostname()
    if not _NAME.fullmatch(name):
        rule = "at most 64 letters, digits, dots, '-' and '_', and a letter or a digit at first"
        raise VidwatchError(f"{VARIABLE}: {name!r} cannot be the name of a machine: {rule}")
    return name
