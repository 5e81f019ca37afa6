"""The one family of errors that a person can mend; everything else that is raised is a bug."""


class VidwatchError(Exception):
    """What happened, to which file or setting, and what to do: one line, shown as it is."""
