"""Offers names that are nearly the one that a person gave."""

from collections.abc import Collection

from daemon.home.texts import printable
from learner.classes import likely_meant

SIMILAR = 3  # names that are offered
LIKENESS = 0.6  # of `difflib`: 1 is the same name


def similar(name: str, existing: Collection[str], likeness: float = LIKENESS) -> list[str]:
    """The names that were perhaps meant, the likeliest first; the one that differs by a slip alone.

    Args:
        name: What was given.
        existing: The names that there are.
        likeness: How like a name has to be, from 0 to 1.
    """
    if meant := likely_meant(name, existing):
        return [meant]
    import difflib

    return difflib.get_close_matches(name, sorted(existing), SIMILAR, likeness)


def question(names: Collection[str]) -> str:
    """The question whether one of these was meant; empty if there are none."""
    if not names:
        return ""
    return f"did you mean {' or '.join(repr(printable(name)) for name in names)}?"
