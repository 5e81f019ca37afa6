"""The mark in a home's folder by which a daemon knows that its share is mounted.

Only homes whose database is on a server have one. It is a line that no other home has, and the
database holds the same.
"""

from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from learner import files
from learner.errors import PassingError, VidwatchError

NAME = ".vidwatch-home"


def read_mark(root: Path) -> str | None:
    """What the mark says; None if there is none, or if it cannot be read."""
    with suppress(OSError, UnicodeDecodeError):
        return (root / NAME).read_text(encoding="utf-8").strip()
    return None


def make_mark(root: Path) -> str:
    """The mark of the home at `root`; it is made if there is none.

    Raises:
        PassingError: it cannot be written now.
    """
    if mark := read_mark(root):
        return mark
    try:
        files.write(root / NAME, f"{uuid4().hex}\n".encode(), mode=0o644)
    except OSError as error:
        raise PassingError(f"{root / NAME} cannot be written ({error.strerror})") from error
    return read_mark(root) or ""


def require_mark(root: Path, mark: str) -> None:
    """Check that the home with this mark lies at `root`.

    Raises:
        PassingError: nothing that is a home lies there: its share is not mounted.
        VidwatchError: another home lies there.
    """
    found = read_mark(root)
    if found is None:
        trouble = f"{root} is not the home that this database belongs to, or is not mounted"
        hint = "mount it, or give this home a database of its own"
        lost = f"if it is that home, and {NAME} in it was lost: that file holds {mark}"
        raise PassingError(f"{trouble} on this machine: {hint} ({lost})")
    if found != mark:
        trouble = f"{root} is not the home that this database belongs to ({NAME} differs)"
        raise VidwatchError(f"{trouble}: mount that one, or give this one a database of its own")
