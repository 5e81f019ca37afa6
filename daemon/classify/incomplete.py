"""How long a clip that is cut short may still be arriving.

Its file's date says nothing of that: an interrupted rsync leaves 1970, a copy may keep its
original's date, and a file server's clock may be wrong.
"""

from datetime import datetime, timedelta

CUT_SHORT = "cut short: the rest may still be arriving"


def complete_at(changed: datetime, now: datetime, patience: timedelta) -> datetime | None:
    """When a clip that is cut short counts as complete; None if it does already.

    Args:
        changed: When vidwatch last saw its file change.
        now: The time. It is before `changed` if the clock was set back.
        patience: How long the file has to stay as it is.
    """
    until = seen_change(changed, now) + patience
    return until if until > now else None


def seen_change(changed: datetime, now: datetime) -> datetime:
    """The time of a change, as it is to be noted: now, if the clock was set back since then.

    Else the file would wait until the clock shows the former time again.
    """
    return min(changed, now)
