"""What is read of a table, list or folder of labels, before anything is looked up."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daemon.home.texts import printable
from learner.errors import VidwatchError

LARGEST = 2 * 1024**3  # bytes of a table, which is read as a whole
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Entry(NamedTuple):
    """A file, and the class that a table gives it."""

    file: str
    """As the table writes it; bytes that are not UTF-8 as `os.fsdecode` gives them."""
    class_name: str
    """As the table writes it."""
    where: str
    """Where in the table it stands, for people."""


@dataclass
class Table:
    """A table, a list or a folder of labels."""

    path: Path
    kind: str
    """The format, for people."""
    folder: Path
    """What the paths of its files begin at."""
    entries: list[Entry] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What is wrong, each with its line."""
    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The lines or files that give no label, by the reason."""
    may_have_several: bool = False
    """Whether a file may have several classes in this format."""
    may_name_others: bool = False
    """Whether this format also names files that are no videos: they are left out."""
    is_folder: bool = False
    """Whether this is no table: nobody has chosen its files one by one."""


def read_bytes(path: Path) -> bytes:
    """What is in a file.

    Raises:
        VidwatchError: it cannot be read, or is too large for a table.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise VidwatchError(f"{printable(str(path))}: too large for a table")
        return path.read_bytes()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise VidwatchError(f"{printable(str(path))}: {reason}") from error


def as_text(data: bytes, path: Path) -> str:
    """The text of a table, which is UTF-8, or UTF-16 as Excel writes it.

    Bytes that are not UTF-8 are kept, as `os.fsdecode` does: a file may have such a name.

    Raises:
        VidwatchError: it is no text.
    """
    try:
        if data.startswith(_UTF16):
            text = data.decode("utf-16")
        else:
            text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise VidwatchError(f"{printable(str(path))}: no text in UTF-8 or UTF-16") from error
    if "\0" in text:
        raise VidwatchError(f"{printable(str(path))}: no text in UTF-8, and no table")
    return text


def encoding_hint(text: str) -> str:
    """What to do about a text that is not in UTF-8; empty if it is."""
    if re.search("[\udc80-\udcff]", text):
        return "; it is not in UTF-8: save the table as UTF-8 ('CSV UTF-8' in Excel)"
    return ""
