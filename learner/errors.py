"""The one family of errors that a person can mend; everything else that is raised is a bug."""


class VidwatchError(Exception):
    """What happened, to which file or setting, and what to do: one line, shown as it is."""


class PassingError(VidwatchError):
    """It cannot go on now, but may in a while, with no setting changed: a disk is full or away, something is locked."""
