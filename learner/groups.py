"""Groups: which clips show the same recording, camera or scene, by their names, or by fingerprints. Opens no file."""

import re
from collections.abc import Sequence

from learner.errors import VidwatchError

# UCF101's names, `v_<Class>_g<group>_c<clip>`: one group shows one person or scene.
GROUP_PATTERN = r"^(.+_g\d+)_c\d+"

# Of 512 bits. Within UCF101's groups 48 % of the pairs of clips differ in no more, of other pairs 1 in 20,000.
ALIKE = 70


def alike(fingerprint: bytes, others: Sequence[bytes]) -> int | None:
    """The position of the fingerprint in `others` that is most like this one; None where none shows the same scene."""
    bits = int.from_bytes(fingerprint)
    distances = [(bits ^ int.from_bytes(other)).bit_count() for other in others]
    nearest = min(range(len(distances)), key=distances.__getitem__, default=None)
    return nearest if nearest is not None and distances[nearest] <= ALIKE else None


def group_of(name: str, folders: Sequence[str], pattern: re.Pattern[str]) -> str | None:
    """What `pattern` finds in the clip's name (its first group, where it has one), else its sub-folders, else None."""
    if match := pattern.match(name):
        return match[1] if pattern.groups and match[1] else match[0]
    return "/".join(folders) or None


def compile_pattern(text: str) -> re.Pattern[str]:
    """A pattern that a person wrote.

    Raises:
        VidwatchError: it is no regular expression.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise VidwatchError(
            f"group pattern {text!r} is not a regular expression: {error}"
        ) from error
