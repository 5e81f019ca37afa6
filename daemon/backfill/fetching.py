"""Brings an object of a store to this machine while it is read."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.classify.decoding import Undecoded
from daemon.home.folders import Found


def is_remote(path: bytes) -> bool:
    """Whether a path names an object of a store, as `s3://bucket/clip.mp4` does."""
    return not path.startswith(b"/")


@contextmanager
def fetched(file: Found) -> Iterator[bytes | Undecoded]:
    """Where the content of a file lies on this machine meanwhile, or why it does not."""
    if not is_remote(file.path):
        yield file.path
        return
    from daemon.backfill.stores import fetch

    with tempfile.TemporaryDirectory(prefix="vidwatch-") as folder:
        target = Path(folder, "object")
        trouble = fetch(os.fsdecode(file.path), file.identity.size, target)
        yield trouble or os.fsencode(target)
