"""Text for people, also of unknown origin."""

import os
from contextlib import suppress
from functools import lru_cache
from urllib.parse import quote

from daemon.home.identity import display_name
from learner.prediction import LEAST_FAMILIARITY

FORMULAS = frozenset("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
"""What a text begins with that spreadsheets run as a formula; the last four are full-width signs
(https://owasp.org/www-community/attacks/CSV_Injection)."""


def printable(text: str) -> str:
    """Text of unknown origin, with its control characters escaped.

    Shown like this, it cannot send control characters to a terminal or forge a line of a log.
    """
    if text.isprintable():  # nearly all names: a million of them are exported at once
        return text
    with suppress(UnicodeEncodeError):  # half a character, which is escaped below
        # As bytes of a path, whatever the locale's encoding is: not by `os.fsencode`.
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(_escaped(character) for character in text)


def shown(path: bytes) -> str:
    """The name of the file at a path, for a line of a log: as `printable`, without its folder."""
    return printable(display_name(path))


def shown_path(path: bytes) -> str:
    """A path for people, as `printable`."""
    return printable(os.fsdecode(path))


def uri(path: bytes) -> str:
    """A path as an address (RFC 8089), from which its exact bytes can be made again.

    An object of a store has its own address: `s3://bucket/clip.mp4`.
    """
    scheme, _, path = path.rpartition(b"://")
    folder, slash, name = path.rpartition(b"/")
    return f"{scheme.decode() or 'file'}://{_quoted(folder + slash)}{quote(name)}"


@lru_cache(1000)
def _quoted(folder: bytes) -> str:
    # To quote takes long, and many files lie in one folder.
    return quote(folder)


def with_source(name: str, source: str | None) -> str:
    """The name of a video, with the folder of the inbox that it came from, if it is known."""
    return f"{source}/{name}" if source else name


def without_formula(text: str) -> str:
    """A text that no spreadsheet runs: one that begins like a formula gets an apostrophe in front.

    So does a text that begins with an apostrophe and what such a text would have after it: without
    the first apostrophe before one of these signs, each text is what it was.
    """
    is_like_one = text[:1] == "'" and text[1:2] in FORMULAS | {"'"} and len(text) > 1
    return f"'{text}" if text[:1] in FORMULAS or is_like_one else text


def shortened(text: str, length: int = 120) -> str:
    """As `printable`; of a long text only its beginning and its end."""
    text = printable(text)
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def clock(seconds: float) -> str:
    """A time in a video, as h:mm:ss. Rounded down, so that it is never after the video's end."""
    whole = int(seconds + 1e-6)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def exact_clock(seconds: float) -> str:
    """As `clock`, with the fraction of a second if there is one."""
    milliseconds = round(1000 * seconds)
    rest = milliseconds % 1000
    fraction = f".{rest:03}".rstrip("0") if rest else ""
    return f"{clock(milliseconds / 1000)}{fraction}"


def familiarity_in_words(familiarity: float | None) -> str:
    """How familiar a clip looks, for people; empty if that is not known, or nothing is strange.

    Args:
        familiarity: The share of known clips that look stranger, from 0 to 1.
    """
    if familiarity is None or familiarity >= LEAST_FAMILIARITY:
        return ""
    stranger = round(100 * (1 - familiarity))
    if stranger >= 100:
        return "looks stranger than every known clip"
    return f"looks stranger than {stranger} of 100 known clips"


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
