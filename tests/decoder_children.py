"""The decoder processes of the process that runs the tests."""

from contextlib import suppress

import psutil


def decoders_of_this_process() -> list[psutil.Process]:
    """Those that live now."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # one that is ending
            if "daemon.classify.decoder" in child.cmdline():
                found.append(child)
    return found
