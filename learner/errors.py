"""The one family of errors that a person can repair; everything else that is raised is a bug."""


class VidwatchError(Exception):
    """What happened, to which file or setting, and what to do. One line, shown as it is."""


class PassingError(VidwatchError):
    """It cannot go on now, but may later without a changed setting.

    For example a disk is full or away, or something is locked.
    """
