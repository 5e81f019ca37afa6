"""When a class has enough labelled clips to learn from, and how to begin without any."""

from daemon.database.daemons import running_elsewhere
from daemon.home.folder import Home
from daemon.home.folders import files_below

LEAST_CLASSES = 2  # fewer cannot be distinguished
LEAST_GROUPS = 2  # a model that learned from one recording is measured on none
# A class with fewer clips or groups has none that judge: all of them train.
HOLDOUT_CLIPS = 10
HOLDOUT_GROUPS = 4
ONE_GROUP = "all of one group: one more recording is needed"


def what_is_missing(clips: int, groups: int, least: int) -> str | None:
    """What a class lacks before a model can learn it; None if it has enough.

    Args:
        clips: How many labelled clips of the class a model may learn from.
        groups: How many groups these clips are of.
        least: The setting `min_class_clips`.
    """
    if clips < least:
        return f"{clips} of {least} clips to learn from"
    if groups < LEAST_GROUPS:
        # It was stated: a guess would have made more groups of them.
        return ONE_GROUP
    return None


def how_to_begin(home: Home) -> str:
    """What to do in a home in which no clip has a label that counts yet."""
    if next(files_below(home.root / "labelled"), None) is None:
        return "put clips into labelled/<class>/, or see vidwatch label"
    if home.running() or running_elsewhere(home):
        return "the daemon has not read the clips in labelled/ yet: wait a little"
    return "the daemon reads the clips in labelled/: start it with 'vidwatch run'"
