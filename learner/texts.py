"""Text for people."""

from collections.abc import Sequence
from math import floor


def counted(n: float, noun: str, nouns: str = "") -> str:
    """A number and its noun: "1 label", "2 labels"; `nouns` if the plural is no s at the end."""
    number = f"{n:g}" if isinstance(n, float) else str(n)
    return f"{number} {noun}" if n == 1 else f"{number} {nouns or noun + 's'}"


def share_in_words(share: float) -> str:
    """A share in whole percent, rounded down: 100% is said of what is whole alone."""
    return f"{floor(100 * share + 1e-6)}%"


def listed(names: Sequence[str], most: int, noun: str = "") -> str:
    """The first names, and how many more there are: "a.avi, b.avi and 3 more".

    Args:
        names: All names.
        most: How many are given at most.
        noun: What they are, if "3 more" alone is not clear: "and 3 clips more".
    """
    text = ", ".join(names[:most])
    if (more := len(names) - most) <= 0:
        return text
    return f"{text} and {counted(more, noun) if noun else more} more"
