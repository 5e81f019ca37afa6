"""Whether a name of a file may be removed. Removes nothing."""

import errno
import os

from daemon.home.identity import base_name


def is_one_name(source: bytes, target: bytes) -> bool:
    """Whether two paths of one file are the same name, and not two hard links."""
    if os.lstat(source).st_nlink == 1:
        return True
    folders = (os.path.dirname(source), os.path.dirname(target))
    return base_name(source) == base_name(target) and os.path.samefile(*folders)


def require_removable(path: bytes) -> None:
    """Check, before gigabytes are copied, that the original can be removed afterwards.

    Raises:
        OSError: it cannot.
    """
    folder = os.path.dirname(path)
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, "it lies on a read-only file system, and stays there")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise OSError(errno.EACCES, "no permission to remove it from its folder")
