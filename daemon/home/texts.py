"""Text for people, also of unknown origin."""

import os


def printable(text: str) -> str:
    """Text of unknown origin, with its control characters escaped.

    Shown like this, it cannot send control characters to a terminal or forge a line of a log.
    """
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(_escaped(character) for character in text)


def counted(n: int, noun: str) -> str:
    """A number and its noun: "1 label", "2 labels"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()
