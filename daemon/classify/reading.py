"""Reads a file in a decoder process, if it is still the one that was claimed."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from daemon.classify.job import Job, Orders
from daemon.home.identity import Identity, version_of_open
from daemon.home.texts import shown
from learner.files import sha256_of_open
from learner.measured import NotCutError
from learner.safe_open import File, open_regular
from learner.video import Clip, read_open
from learner.window_plan import WindowPlan
from learner.windows import Long, Piece, long_video, read_part, read_piece

log = logging.getLogger(__name__)


def read(job: Job, orders: Orders) -> Clip | Long | Piece | str:
    """Decode the file of a job, or hash it (SHA-256).

    A long video gives no frames at first, if it is to be read in windows; then a piece for each job
    of windows. It is read as any clip if it turns out that it cannot be read in windows.

    Another file may have taken its place, also by a link in its path: that one is not read. If it
    is written to meanwhile, its SHA-256 and its frames may be of two contents: it gives no clip.

    Raises:
        VideoError: as `learner.video.read_clip`.
        OSError: it is gone, is another file, was written to, or may not be read.
    """
    with _opened(job.path, job.identity) as file:
        if job.what == "hash":
            return sha256_of_open(file)
        if job.what == "part":
            sha256 = job.sha256 or sha256_of_open(file)
            return read_part(file, orders.spec, *job.part, sha256)
        uncut = None
        if job.what != "decode" and orders.windows:
            try:
                if found := _long(file, job, orders, orders.windows):
                    return found
            except NotCutError as error:
                uncut = str(error)
                if job.what == "windows":
                    log.warning("%s: is predicted as one clip, %s", shown(job.path), error)
        return replace(read_open(file, orders.spec, orders.reading, job.sha256), uncut=uncut)


def _long(file: File, job: Job, orders: Orders, plan: WindowPlan) -> Long | Piece | None:
    if job.what == "windows":
        least = orders.reading.min_read_share
        return read_piece(file, orders.spec, plan, job.first, job.sha256 or "", least)
    return long_video(file, orders.spec, plan, orders.windows_from, orders.reading, job.sha256)


@contextmanager
def _opened(path: bytes, identity: Identity | None) -> Iterator[File]:
    with open_regular(path, follow_links=False) as file:
        before = version_of_open(file.fileno())
        if identity and before.identity != identity:
            raise OSError(errno.ESTALE, "it is not the file that came")
        yield file
        if version_of_open(file.fileno()).identity != before.identity:
            raise OSError(errno.ESTALE, "it was written to while it was read")
