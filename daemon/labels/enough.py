"""When a class has enough labelled clips to learn from. Pure."""

LEAST_CLASSES = 2  # fewer cannot be distinguished
LEAST_GROUPS = 2  # a model that learned from one recording is measured on none
# A class with fewer clips or groups has none that judge: all of them train.
HOLDOUT_CLIPS = 10
HOLDOUT_GROUPS = 4


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
        return "all of one group: one more recording is needed"
    return None
