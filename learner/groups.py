"""Groups: which clips show the same recording, camera or scene. Opens no file.

It is found in the names of the clips, or in their fingerprints.
"""

import re
from collections.abc import Sequence

from learner.errors import VidwatchError

# UCF101's names, `v_<Class>_g<group>_c<clip>`: one group shows one person or scene.
GROUP_PATTERN = r"^(.+_g\d+)_c\d+"

# Of 512 bits, so many at most differ. Within UCF101's groups that is true of 48 % of the pairs of
# clips, and of 1 in 20,000 of other pairs.
ALIKE = 70


def alike(fingerprint: bytes, others: Sequence[bytes]) -> int | None:
    """The position of the fingerprint in `others` that is most like this one.

    None if no other one shows the same scene.
    """
    bits = int.from_bytes(fingerprint)
    distances = [(bits ^ int.from_bytes(other)).bit_count() for other in others]
    nearest = min(range(len(distances)), key=distances.__getitem__, default=None)
    return nearest if nearest is not None and distances[nearest] <= ALIKE else None


def group_of(name: str, folders: Sequence[str], pattern: re.Pattern[str]) -> str | None:
    """What `pattern` finds in the clip's name, else the clip's sub-folders, else None.

    If the pattern has a group in parentheses, the first one counts.
    """
    if match := pattern.match(name):
        return match[1] if pattern.groups and match[1] else match[0]
    return "/".join(folders) or None


def compile_pattern(text: str) -> re.Pattern[str]:
    """The regular expression that a person wrote.

    Raises:
        VidwatchError: it is no regular expression.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise VidwatchError(
            f"group pattern {text!r} is not a regular expression: {error}"
        ) from error
