"""The page's key: a secret that outlives the page's server, in a file for its owner alone.

Links for reviewers and the secret in the page's forms are made from it. So both stay good when
`vidwatch review` is started again.
"""

import os
import secrets
import stat
from pathlib import Path

from daemon.home.doors import Doors
from learner.folders import new_name

BYTES = 32


def kept_key(path: Path) -> bytes:
    """The key in the file at `path`. It is made if there is none, or if others may know it.

    Raises:
        OSError: it cannot be read or written.
    """
    doors = Doors(os.fsencode(path.parent))
    return _read(doors, path) or _make(doors, path)


def _read(doors: Doors, path: Path) -> bytes | None:
    """The key; None if there is no file, or none that only its owner can have read and written."""
    try:
        with doors.open(bytes(path)) as file:
            status = os.fstat(file.fileno())
            text = file.read(2 * BYTES + 1)
    except OSError:  # no file, a link, or somebody else's file
        return None
    is_private = stat.S_IMODE(status.st_mode) & 0o077 == 0 and status.st_uid == os.geteuid()
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return None
    return key if is_private and len(key) == BYTES else None


def _make(doors: Doors, path: Path) -> bytes:
    key = secrets.token_bytes(BYTES)
    part = bytes(path.parent / new_name())
    try:
        with doors.create(part, 0o600) as file:
            file.write(key.hex().encode())
            file.flush()
            os.fsync(file.fileno())
        doors.replace(part, bytes(path))
    except OSError:
        if doors.is_taken(part):
            doors.remove(part)
        raise
    return key
