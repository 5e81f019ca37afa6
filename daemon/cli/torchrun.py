"""How `vidwatch train` speaks if torchrun started it several times: with one voice.

What the processes do together stands in `learner.distributed`.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from learner.errors import VidwatchError

# In so many seconds torchrun has noticed that a process failed, and has ended the others. On a
# machine with ten programs for two cores, 5 were not enough.
LATER = 30.0


def is_first() -> bool:
    """Whether this is the first process, or the only one."""
    return not _is_started_by_torchrun() or os.environ["RANK"] == "0"


@contextmanager
def speaking_once() -> Iterator[None]:
    """Have an error of all processes printed by the first one alone.

    The others wait before they print theirs, and so does whichever loses its connection to one that
    ended: meanwhile torchrun ends them.
    """
    try:
        yield
    except Exception as error:
        is_own = is_first() and isinstance(error, VidwatchError)
        if _is_started_by_torchrun() and not is_own:
            time.sleep(LATER)
        raise


def _is_started_by_torchrun() -> bool:
    # As in torch.distributed.is_torchelastic_launched, without the time that its import takes.
    return "TORCHELASTIC_RUN_ID" in os.environ
