"""Second names of files (hard links), which hold nothing that the first name does not."""

import logging
import os

from daemon.home.identity import base_name, display_name
from daemon.home.moving import numbered, rename, sync_folders
from daemon.home.texts import printable

log = logging.getLogger(__name__)


class OtherNames:
    """Moves second names of files into `folder`. What cannot be moved is left, and logged once."""

    def __init__(self, folder: bytes) -> None:
        self._folder = folder
        self._left = set[bytes]()

    def set_aside(self, path: bytes) -> bool:
        """Move a second name into the folder; False if that is not possible."""
        name = printable(display_name(path))
        try:
            _set_aside(path, self._folder)
        except OSError as error:
            if path not in self._left:
                text = "%s: a second name (hard link) of a known file, left where it is (%s)"
                log.warning(text, name, error.strerror)
                self._left.add(path)
            return False
        log.info("%s: a second name (hard link) of a known file, moved to duplicates/", name)
        return True


def _set_aside(path: bytes, folder: bytes) -> bytes:
    """Move a second name of a file into `folder`, numbered if that name is taken.

    A name is moved, not removed: another program may be removing the file's other names.

    Returns:
        The name that the file has in `folder`.

    Raises:
        OSError: it cannot be moved, or the folder is on another file system.
    """
    target = os.path.join(folder, base_name(path))
    os.makedirs(folder, exist_ok=True)
    while True:
        try:
            rename(path, target)
        except FileExistsError:
            target = next(name for name in numbered(target) if not os.path.lexists(name))
        else:
            sync_folders({os.path.dirname(path), folder})
            return target
