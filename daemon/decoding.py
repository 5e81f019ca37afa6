"""The pool of decoder processes, with a time limit a file: a crash or a hang costs one file one attempt."""

import errno
import multiprocessing
import os
import signal
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Literal

from pebble import ProcessExpired, ProcessPool

from daemon.stopping import die_with
from learner.errors import VidwatchError
from learner.spec import ClipSpec
from learner.video import Clip, read_clip

PERMANENT = (errno.EACCES, errno.EPERM, errno.ELOOP)


@dataclass(frozen=True)
class Undecoded:
    """No frames, and what follows from it.

    `failed`: there never will be. `crashed`: the decoder died of the file, or ran out of time. `later`: something is in
    the way that will pass. `again`: it had nothing to do with the file.
    """

    verdict: Literal["failed", "crashed", "later", "again"]
    reason: str


class Decoders:
    """`workers` processes that read clips as `spec` asks; they die with the process that made them."""

    def __init__(self, spec: ClipSpec, workers: int, seconds: float) -> None:
        self.spec, self.workers, self.seconds = spec, workers, seconds
        self._pool = self._new_pool()

    def decode(self, path: bytes) -> Future[Clip]:
        """Begin to read a clip; `outcome` tells what became of it."""
        if not self._pool.active:  # pebble gives up a pool whose idle worker was killed
            self.close()
            self._pool = self._new_pool()
        return self._pool.schedule(read_clip, args=(path, self.spec), timeout=self.seconds)

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
            return Undecoded("failed", str(error))
        except OSError as error:
            if isinstance(error, TimeoutError) and not isinstance(error.errno, int):  # pebble's, not the file system's
                return Undecoded("crashed", f"decoding took longer than {self.seconds:g} s (decode_seconds)")
            permanent = error.errno in PERMANENT
            return Undecoded("failed" if permanent else "later", f"cannot be read ({error.strerror or error})")
        except MemoryError:
            return Undecoded("crashed", "its decoder ran out of memory")
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
        return ProcessPool(self.workers, max_tasks=1000, initializer=_prepare, initargs=(os.getpid(),), context=spawn)


def _prepare(parent: int) -> None:
    """In a new decoder process: die with the daemon, and leave Ctrl-C to it."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"exit status {code}"
