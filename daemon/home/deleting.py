"""Deletes a file for good, and never another one that somebody has put in its place."""

import os
from collections.abc import Iterable
from contextlib import suppress

from daemon.home.doors import Doors
from daemon.home.identity import Identity
from learner.folders import new_name


def delete_file(
    doors: Doors, path: bytes, identity: Identity, besides: Iterable[bytes] = ()
) -> bool:
    """Delete the file with this identity at `path`; False if it is not there.

    It first gets a hidden name, which nobody else knows, and is looked at once more under it. If
    that was begun before a crash, it is completed. The files `besides` are deleted before it, so
    that they go, too, if this is ended in between; one that cannot be deleted stays.

    Raises:
        OSError: it cannot be deleted now.
    """
    folder = os.path.dirname(path)
    # `vidwatch check` knows such names: see `daemon/maintenance/leftovers.py`.
    begin = f"{identity.inode}-{identity.size}-"
    if is_file(doors, path, identity):
        hidden = [folder + b"/" + os.fsencode(new_name(begin))]
        doors.rename(path, hidden[0])
    else:
        left = os.fsencode(f".vidwatch-{begin}")
        hidden = [folder + b"/" + name for name in doors.names(folder) if name.startswith(left)]
    is_deleted = False
    for name in hidden:
        if is_file(doors, name, identity):
            for other in besides:
                with suppress(OSError):
                    doors.remove(other)
            doors.remove(name)
            is_deleted = True
        else:
            with suppress(FileExistsError):  # `vidwatch check` finds it
                doors.rename(name, path)
    return is_deleted


def is_file(doors: Doors, path: bytes, identity: Identity) -> bool:
    """Whether the file with this identity lies at `path`; False if that cannot be known now."""
    with suppress(OSError):
        return identity.has_numbers_of(doors.identify(path))
    return False
