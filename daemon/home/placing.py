"""Gives a file a second place: a copy of it or a hard link, and the file stays where it is.

As with a move, no file is overwritten, and what a crash has interrupted is completed.
"""

from collections.abc import Callable

from daemon.home.doors import Doors
from daemon.home.identity import Identity
from daemon.home.moving import copied, is_copy, numbered


def place_second(
    doors: Doors,
    source: bytes,
    target: bytes,
    identity: Identity,
    sha256: str | None,
    redirect: Callable[[bytes], None],
    progress: Callable[[], None],
    *,
    as_link: bool,
    is_begun: bool,
) -> bytes | None:
    """Copy or link a file to `target`, or to a numbered name beside it if that name is taken.

    Args:
        doors: Of the home, and of the folder that the file lies in.
        source: Where the file is.
        target: Where it is to be, too.
        identity: Identifies the file: only this one is taken.
        sha256: Of its content. By this, a copy is recognised that a crash has kept from being
            noted; if None, by its date.
        redirect: Gets the numbered name before anything is made, to record it.
        progress: Called now and then while the file is copied. An exception from it ends that.
        as_link: Whether to make a hard link.
        is_begun: Whether this may have been done before.

    Returns:
        Where the second one is; None if a person has taken the file away or changed it.

    Raises:
        OSError: it cannot be made now.
    """
    if is_begun and is_copy(doors, target, identity, sha256, progress):
        return target
    found = doors.identify(source)
    if found is None or not found.has_numbers_of(identity):
        return None
    with doors.folder(target.rpartition(b"/")[0], create=True):
        pass
    made = source if as_link else copied(doors, source, target, identity, sha256, progress)
    if made is None:
        return None
    while True:
        try:
            if as_link:
                doors.link(made, target)
            else:
                doors.rename(made, target)
            return target
        except FileExistsError:
            target = next(name for name in numbered(target) if not doors.is_taken(name))
            redirect(target)
