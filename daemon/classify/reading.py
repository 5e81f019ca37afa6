"""Reads a file in a decoder process, if it is still the one that was claimed."""

import errno

from daemon.home.identity import Identity, version_of_open
from learner.safe_open import open_regular
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip, read_open


def read(path: bytes, identity: Identity | None, spec: ClipSpec, reading: ReadOptions) -> Clip:
    """Decode the file with this identity, or any file if it is None.

    Another file may have taken its place, also by a link in its path: that one is not read. If it
    is written to meanwhile, its SHA-256 and its frames may be of two contents: it gives no clip.

    Raises:
        VideoError: as `learner.video.read_clip`.
        OSError: it is gone, is another file, was written to, or may not be read.
    """
    with open_regular(path, follow_links=False) as file:
        before = version_of_open(file.fileno())
        if identity and before.identity != identity:
            raise OSError(errno.ESTALE, "it is not the file that came")
        clip = read_open(file, spec, reading)
        if version_of_open(file.fileno()).identity != before.identity:
            raise OSError(errno.ESTALE, "it was written to while it was read")
        return clip
