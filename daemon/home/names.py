"""Second names of files (hard links), which hold nothing that the first name does not."""

import logging
import os

from daemon.home.doors import Doors
from daemon.home.folders import Folders, Found
from daemon.home.identity import display_name
from daemon.home.moving import numbered, sync_folders
from daemon.home.texts import printable

log = logging.getLogger(__name__)


class OtherNames:
    """Moves second names into `duplicates/`. What cannot be moved is left, and logged once."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._left = set[bytes]()

    def set_aside(self, file: Found) -> bool:
        """Move a second name into the folder.

        False if that is not possible, or if the name is gone or another file's by now.
        """
        name = printable(display_name(file.path))
        try:
            if not _set_aside(file, self._folders):
                return False
        except OSError as error:
            if file.path not in self._left:
                text = "%s: a second name (hard link) of a known file, left where it is (%s)"
                log.warning(text, name, error.strerror)
                self._left.add(file.path)
            return False
        log.info("%s: a second name (hard link) of a known file, moved to duplicates/", name)
        return True


def _set_aside(file: Found, folders: Folders) -> bool:
    """Move a second name of a file into `duplicates/`, numbered if that name is taken.

    A name is moved, not removed: another program may be removing the file's other names.

    Returns:
        Whether it was moved. It was not if the file no longer has that name: we may have moved it
        on ourselves, and a new file may have come under its name.

    Raises:
        OSError: it cannot be moved, or the folder is on another file system.
    """
    doors = Doors(folders.root, [source.folder for source in folders.sources])
    target = folders.duplicate(file.path)
    folder = os.path.dirname(target)
    with doors.folder(folder, create=True):
        pass
    while doors.identify(file.path) == file.identity:
        try:
            doors.rename(file.path, target)
        except FileExistsError:
            target = next(name for name in numbered(target) if not doors.is_taken(name))
        else:
            sync_folders({os.path.dirname(file.path), folder})
            return True
    return False
