"""The pool of decoder processes, with limits on time and memory: a crash or a hang costs one file one attempt."""

import errno
import logging
import multiprocessing
import os
import signal
import time
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Literal

import cv2
from pebble import ProcessExpired, ProcessPool

from daemon.classify.confinement import confine
from daemon.home.identity import Identity
from learner.errors import VidwatchError
from learner.process import die_with, keep_freed_memory
from learner.safe_open import File, VideoError, open_regular
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip, read_open

log = logging.getLogger(__name__)

SLACK = 30.0  # seconds
PERMANENT = (errno.EACCES, errno.EPERM, errno.ELOOP)


@dataclass(frozen=True)
class Undecoded:
    """No frames, and what follows from it.

    `failed`: there never will be. `crashed`: the decoder died of the file, or ran out of time. `later`: something is in
    the way that will pass. `again`: it had nothing to do with the file. `cut_short`: failed, and its end is missing,
    which may be because it is still being written.
    """

    verdict: Literal["failed", "crashed", "later", "again"]
    reason: str
    cut_short: bool = False


class Decoders:
    """`workers` processes that read clips as `spec` asks; they die with the process that made them.

    Each file may take `seconds`, and `gigabytes` of memory besides what the process itself needs.
    """

    def __init__(
        self,
        spec: ClipSpec,
        workers: int,
        seconds: float,
        gigabytes: float = 2.0,
        reading: ReadOptions | None = None,
    ) -> None:
        self.spec, self.workers, self.seconds, self.gigabytes = spec, workers, seconds, gigabytes
        self.reading = reading or ReadOptions()
        self._pool = self._new_pool()
        self._begun: set[Future[Clip]] = set()
        self._moved = time.monotonic()

    def decode(self, path: bytes, identity: Identity | None = None) -> Future[Clip]:
        """Begin to read a clip; `outcome` tells what became of it. Only the file of this `identity` is read."""
        self.tend()
        if not self._begun:
            self._moved = time.monotonic()
        arguments = (path, identity, self.spec, self.reading)
        future: Future[Clip] = self._pool.schedule(_read, args=arguments, timeout=self.seconds)
        self._begun.add(future)
        future.add_done_callback(self._end)
        return future

    def tend(self) -> None:
        """Begin anew with the processes where what is being read would never end; it is all to be read again.

        pebble gives up a pool whose idle process was killed, or whose own thread has ended, and forgets what it was
        reading then. It takes the time from a clock that people set.
        """
        is_stuck = bool(self._begun) and time.monotonic() - self._moved > self.seconds + SLACK
        if self._pool.active and not is_stuck:
            return
        log.warning(
            "the decoders are started again (%s)",
            "they are stuck" if is_stuck else "one of them was killed",
        )
        self.close()
        self._pool = self._new_pool()
        for future in list(self._begun):
            if not future.done():
                future.set_exception(BrokenProcessPool())

    def _end(self, future: Future[Clip]) -> None:
        self._begun.discard(future)
        self._moved = time.monotonic()

    def outcome(self, future: Future[Clip]) -> Clip | Undecoded:
        """What became of a clip that is done."""
        try:
            return future.result()
        except ProcessExpired as error:
            if error.exitcode in (signal.SIGTERM, -signal.SIGTERM):
                return Undecoded("again", "its decoder was told to stop")
            return Undecoded("crashed", f"its decoder crashed ({_describe(error.exitcode)})")
        except (BrokenProcessPool, CancelledError):
            return Undecoded("again", "the decoders had to be started again")
        except VidwatchError as error:
            return Undecoded(
                "failed", str(error), isinstance(error, VideoError) and error.cut_short
            )
        except OSError as error:
            if isinstance(error, TimeoutError) and not isinstance(
                error.errno, int
            ):  # pebble's, not the file system's
                return Undecoded(
                    "crashed", f"decoding took longer than {self.seconds:g} s (decode_seconds)"
                )
            permanent = error.errno in PERMANENT
            return Undecoded(
                "failed" if permanent else "later", f"cannot be read ({error.strerror or error})"
            )
        except MemoryError:
            return Undecoded(
                "crashed",
                f"decoding takes more than {self.gigabytes:g} GB of memory (decode_gigabytes)",
            )
        except Exception as error:  # a decoder's own complaint about this file; the row records it
            return Undecoded("failed", f"cannot be decoded ({type(error).__name__}: {error})")

    def close(self) -> None:
        """End all decoder processes, whatever they do."""
        self._pool.stop()
        self._pool.join()

    def _new_pool(self) -> ProcessPool:
        # Spawned: a forked child would inherit the threads' locks and the GPU's state. Renewed now and then, since
        # nobody knows what a thousand strange files leave in the memory of FFmpeg.
        spawn = multiprocessing.get_context("spawn")
        given = os.getpid(), self.gigabytes
        return ProcessPool(
            self.workers, max_tasks=1000, initializer=_prepare, initargs=given, context=spawn
        )


def _prepare(parent: int, gigabytes: float) -> None:
    """In a new decoder process: die with the daemon, leave Ctrl-C to it, and have no more than is needed."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed_memory()
    cv2.setNumThreads(1)  # there are as many decoders as cores
    confine(gigabytes)


def _read(path: bytes, identity: Identity | None, spec: ClipSpec, reading: ReadOptions) -> Clip:
    """In a decoder process: read the file, unless another one is in its place by now, be it reached through a link."""
    with open_regular(path, follow_links=False) as file:
        if identity and not _is(file, identity):
            raise OSError(errno.ESTALE, "it is not the file that came")
        return read_open(file, spec, reading)


def _is(file: File, identity: Identity) -> bool:
    info = os.fstat(file.fileno())
    found = info.st_ino, info.st_size, info.st_mtime_ns
    return all(
        (a - b) % 2**64 == 0 for a, b in zip(found, identity, strict=True)
    )  # as signed as a database's numbers


def _describe(code: int) -> str:
    return (
        f"signal {signal.Signals(-code).name}"
        if -code in set(signal.Signals)
        else f"exit status {code}"
    )
