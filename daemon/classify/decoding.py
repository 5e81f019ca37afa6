"""The pool of decoder processes, with limits on time and memory.

A crash or a hang costs one file one attempt.
"""

import errno
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import cv2
from pebble import ProcessExpired, ProcessPool

from daemon.classify.confinement import confine
from daemon.home.identity import Identity, version_of_open
from learner.errors import VidwatchError
from learner.files import sha256_of_open
from learner.process import die_with, keep_freed_memory
from learner.safe_open import File, VideoError, open_regular
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip, read_open

if TYPE_CHECKING:  # a decoder process loads no settings
    from daemon.home.settings import Settings

log = logging.getLogger(__name__)

SLACK = 30.0  # seconds beyond the time limit of a file, after which the pool counts as stuck
CLIPS_A_PROCESS = 1000
Result = TypeVar("Result", Clip, str)
PERMANENT = (errno.EACCES, errno.EPERM, errno.ELOOP)


@dataclass(frozen=True)
class Undecoded:
    """Why a file gave no frames."""

    kind: Literal["failed", "crashed", "later", "again"]
    """"failed": it can never be decoded. "crashed": its decoder died of it, or it took too much
    time or memory. "later": something prevents it that will pass. "again": the decoder was ended,
    and not because of this file."""
    reason: str
    cut_short: bool = False
    """It failed, and its end is missing: it may still be being written."""


@dataclass(frozen=True)
class DecoderSettings:
    """How many decoder processes there are, and what each may do."""

    spec: ClipSpec
    """Which frames are decoded, and to which size."""
    workers: int
    """How many processes."""
    seconds: float
    """The longest time for one file."""
    gigabytes: float = 2.0
    """The most memory for one process, besides what it needs itself."""
    reading: ReadOptions = field(default_factory=ReadOptions)
    """How strictly files are read."""

    @classmethod
    def of(cls, spec: ClipSpec, workers: int, settings: "Settings") -> Self:
        """With the limits that the home's settings give."""
        return cls(
            spec=spec,
            workers=workers,
            seconds=settings.decode_seconds,
            gigabytes=settings.decode_gigabytes,
            reading=settings.reading,
        )


class Decoders:
    """Processes that decode clips. They die with the process that made them."""

    def __init__(self, settings: DecoderSettings) -> None:
        self.settings = settings
        self._pool = self._new_pool()
        self._running: set[Future[Any]] = set()
        self._last_progress = time.monotonic()

    def decode(
        self, path: bytes, identity: Identity | None = None, sha256: str | None = None
    ) -> Future[Clip]:
        """Start to decode a file, if it is still the one with this `identity`.

        `outcome` gives the result. If `sha256`, that of its content, is given, it is not hashed.
        """
        arguments = (path, identity, self.settings.spec, self.settings.reading, sha256)
        return self._start(_read, arguments)

    def hash(self, path: bytes, identity: Identity | None = None) -> Future[str]:
        """Start to hash a file (SHA-256), if it is still the one with this `identity`.

        `outcome` gives the result.
        """
        return self._start(_hash, (path, identity))

    def _start(self, job: Callable[..., Result], arguments: tuple[Any, ...]) -> Future[Result]:
        self.tend()
        if not self._running:
            self._last_progress = time.monotonic()
        future: Future[Result]
        future = self._pool.schedule(job, args=arguments, timeout=self.settings.seconds)
        self._running.add(future)
        future.add_done_callback(self._end)
        return future

    def tend(self) -> None:
        """Replace the processes if they would never end; all files in them must be decoded again.

        pebble gives up a pool if an idle process of it was killed, or if one of its own threads has
        ended. It then forgets the files in hand. And it measures time by a clock that people set.
        """
        silent = time.monotonic() - self._last_progress
        is_stuck = bool(self._running) and silent > self.settings.seconds + SLACK
        if self._pool.active and not is_stuck:
            return
        reason = "they are stuck" if is_stuck else "one of them was killed"
        log.warning("the decoders are started again (%s)", reason)
        self.close()
        self._pool = self._new_pool()
        for future in list(self._running):
            if not future.done():
                future.set_exception(BrokenProcessPool())

    def _end(self, future: Future[Any]) -> None:
        self._running.discard(future)
        self._last_progress = time.monotonic()

    def outcome(self, future: Future[Result]) -> Result | Undecoded:
        """The clip, or the hash, of a future that is done, or why there is none."""
        try:
            return future.result()
        except (ProcessExpired, BrokenProcessPool, CancelledError) as error:
            return _ended(error)
        except VidwatchError as error:
            is_cut_short = isinstance(error, VideoError) and error.cut_short
            return Undecoded("failed", str(error), is_cut_short)
        except OSError as error:
            return self._not_read(error)
        except MemoryError:
            limit = f"{self.settings.gigabytes:g} GB of memory (decode_gigabytes)"
            return Undecoded("crashed", f"decoding takes more than {limit}")
        except Exception as error:  # a decoder's own error about this file; the row records it
            return Undecoded("failed", f"cannot be decoded ({type(error).__name__}: {error})")

    def _not_read(self, error: OSError) -> Undecoded:
        # The file system's TimeoutError has a number, pebble's has a text in its place.
        if isinstance(error, TimeoutError) and not isinstance(error.errno, int):
            limit = f"{self.settings.seconds:g} s (decode_seconds)"
            return Undecoded("crashed", f"decoding took longer than {limit}")
        reason = f"cannot be read ({error.strerror or error})"
        if error.errno in PERMANENT:
            return Undecoded("failed", reason)
        return Undecoded("later", reason)

    def close(self) -> None:
        """End all decoder processes, whatever they do."""
        self._pool.stop()
        self._pool.join()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            self.settings.workers,
            # Processes are renewed now and then: nobody knows what a thousand strange files leave
            # in the memory of FFmpeg.
            max_tasks=CLIPS_A_PROCESS,
            initializer=_prepare,
            initargs=(os.getpid(), self.settings.gigabytes),
            # A forked child would inherit the locks of the threads, and the state of the GPU.
            context=multiprocessing.get_context("spawn"),
        )


def _prepare(parent: int, gigabytes: float) -> None:
    """Prepare a new decoder process: it dies with the daemon, and can do little but decode."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon handles Ctrl-C
    keep_freed_memory()
    cv2.setNumThreads(1)  # there are as many decoders as cores
    confine(gigabytes)


def _read(
    path: bytes,
    identity: Identity | None,
    spec: ClipSpec,
    reading: ReadOptions,
    sha256: str | None = None,
) -> Clip:
    """Decode the file, in a decoder process.

    Another file may have taken its place, also by a link in its path: that one is not read. If it
    is written to meanwhile, its SHA-256 and its frames may be of two contents: it gives no clip.
    """
    with _opened(path, identity) as file:
        return read_open(file, spec, reading, sha256)


def _hash(path: bytes, identity: Identity | None) -> str:
    """As `_read`, for the SHA-256 of the file's content."""
    with _opened(path, identity) as file:
        return sha256_of_open(file)


@contextmanager
def _opened(path: bytes, identity: Identity | None) -> Iterator[File]:
    with open_regular(path, follow_links=False) as file:
        before = version_of_open(file.fileno())
        if identity and before.identity != identity:
            raise OSError(errno.ESTALE, "it is not the file that came")
        yield file
        if version_of_open(file.fileno()).identity != before.identity:
            raise OSError(errno.ESTALE, "it was written to while it was read")


def _ended(error: ProcessExpired | BrokenProcessPool | CancelledError) -> Undecoded:
    """What follows if a decoder process ended."""
    if not isinstance(error, ProcessExpired):
        return Undecoded("again", "the decoders had to be started again")
    if error.exitcode in (signal.SIGTERM, -signal.SIGTERM):
        return Undecoded("again", "its decoder was asked to stop")
    return Undecoded("crashed", f"its decoder crashed ({_described(error.exitcode)})")


def _described(code: int) -> str:
    if -code in set(signal.Signals):
        return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"
