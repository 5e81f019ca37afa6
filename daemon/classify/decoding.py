"""The pool of decoder processes, with limits on time and memory.

A crash or a hang costs one file one attempt. What a decoder sends is data, which is checked.
"""

import errno
import logging
import os
import signal
import threading
import time
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from daemon.classify.decoder_process import DecoderProcess, EndedError, SlowError
from daemon.classify.head import BadReplyError, Failure, Kind
from daemon.classify.job import Job, Orders
from daemon.classify.reply import Reply
from daemon.home.identity import Identity
from daemon.home.stages import timed
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip
from learner.window_plan import WindowPlan
from learner.windows import Long, Piece

if TYPE_CHECKING:  # the review page loads its settings by itself
    from daemon.home.settings import Settings

log = logging.getLogger(__name__)

# Processes are renewed now and then: nobody knows what a thousand strange files leave in the memory
# of FFmpeg.
CLIPS_A_PROCESS = 1000
# Seconds for all processes to end. The kernel cannot end one that waits for a share that is away.
LONGEST_END = 4.0
Result = TypeVar("Result", bound=Clip | Long | Piece | str)
PERMANENT = (errno.EACCES, errno.EPERM, errno.ELOOP)


@dataclass(frozen=True)
class Undecoded:
    """Why a file gave no frames."""

    kind: Literal["failed", "crashed", "later", "again"]
    """"failed": it can never be decoded, or not in the time that it has. "crashed": its decoder
    died of it, waited for too long, or took too much memory. "later": something prevents it that
    will pass. "again": the decoder was ended, and not because of this file."""
    reason: str
    cut_short: bool = False
    """It failed, and its end is missing: it may still be being written."""


class UndecodedError(Exception):
    """What the future of a file raises that gave no frames."""

    def __init__(self, outcome: Undecoded) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


ENDED = Undecoded("again", "the decoders were ended")


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
    windows: WindowPlan | None = None
    """How long videos are cut into windows; None if they are not."""
    windows_from: float = 60.0
    """A video is long if it runs for more seconds than this."""

    @classmethod
    def of(cls, spec: ClipSpec, workers: int, settings: "Settings") -> Self:
        """With the limits that the home's settings give."""
        return cls(
            spec=spec,
            workers=workers,
            seconds=settings.decode_seconds,
            gigabytes=settings.decode_gigabytes,
            reading=settings.reading,
            windows=settings.window_plan,
            windows_from=settings.windows_from_seconds,
        )


class Decoders:
    """Processes that decode clips. They die with the process that made them.

    Each process has a thread of its own here, which gives it files, waits for its replies and
    replaces it. So no process can hold up the files of another one.
    """

    def __init__(self, settings: DecoderSettings) -> None:
        """Make the pool; the first `decode` starts the processes."""
        self.settings = settings
        self._jobs: SimpleQueue[tuple[Job, Future[Any]] | None] = SimpleQueue()
        self._slots: list[_Slot] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()  # of the lists, and of what is the last job
        self._is_closed = False

    def decode(
        self, path: bytes, identity: Identity | None = None, sha256: str | None = None
    ) -> Future[Clip]:
        """Start to decode a file, if it is still the one with this `identity`.

        `outcome` gives the result. If `sha256`, that of its content, is given, it is not hashed.
        """
        return self._begin(Job("decode", path, identity, sha256))

    def hash(self, path: bytes, identity: Identity | None = None) -> Future[str]:
        """Start to hash a file (SHA-256), if it is still the one with this `identity`.

        `outcome` gives the result.
        """
        return self._begin(Job("hash", path, identity))

    def read(
        self, path: bytes, identity: Identity, sha256: str | None = None
    ) -> Future[Clip | Long]:
        """As `decode`. But of a long video no frames are read yet, if it is cut into windows."""
        return self._begin(Job("video", path, identity, sha256))

    def windows(
        self, path: bytes, identity: Identity, sha256: str, first: int
    ) -> Future[Clip | Piece]:
        """Start to read the next windows of a long video from number `first` on.

        `outcome` gives the result: a clip of all of it if it cannot be read in windows after all.
        """
        return self._begin(Job("windows", path, identity, sha256, first))

    def part(
        self,
        path: bytes,
        identity: Identity | None,
        part: tuple[float, float],
        sha256: str | None = None,
    ) -> Future[Clip]:
        """As `decode`, of a part of a video: from when to when, in seconds from its beginning."""
        return self._begin(Job("part", path, identity, sha256, part=part))

    def prepare(self) -> None:
        """Start the processes before the first file comes: that takes longer than a short file."""
        with self._lock:
            if not self._threads and not self._is_closed:
                self._start()

    def _begin(self, job: Job) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            if self._is_closed:
                future.set_exception(UndecodedError(ENDED))
                return future
            if not self._threads:
                self._start()
            self._jobs.put((job, future))
        return future

    def outcome(self, future: Future[Result]) -> Result | Undecoded:
        """The clip, or the hash, of a future that is done, or why there is none."""
        try:
            return future.result()
        except UndecodedError as error:
            return error.outcome
        except CancelledError:
            return ENDED

    def close(self) -> None:
        """End all decoder processes, whatever they do."""
        with self._lock:
            self._is_closed = True
            for slot in self._slots:
                slot.close()
                self._jobs.put(None)
        end = time.monotonic() + LONGEST_END
        for thread in self._threads:
            thread.join(max(0, end - time.monotonic()))

    def _start(self) -> None:
        for number in range(self.settings.workers):
            slot = _Slot(self.settings)
            # As a daemon thread it does not keep this process from ending: it may have to wait for
            # a share that is away.
            thread = threading.Thread(
                target=_work, args=(slot, self._jobs), name=f"decoder {number}", daemon=True
            )
            self._slots.append(slot)
            self._threads.append(thread)
            thread.start()


class _Slot:
    """One place of the pool, with the process that is in it. All but `close` is for one thread."""

    def __init__(self, settings: DecoderSettings) -> None:
        self._settings = settings
        self._process: DecoderProcess | None = None
        self._spent: DecoderProcess | None = None
        """The process before, until it has ended."""
        self._lock = threading.Lock()
        self._is_closed = False

    @timed("decode")
    def read(self, job: Job) -> Clip | Long | Piece | str | Undecoded:
        """What becomes of a file."""
        process = self.prepared()
        if isinstance(process, Undecoded):
            return process
        try:
            return self._outcome(process.read(job, self._settings.seconds))
        except EndedError as error:
            reason = f"its decoder crashed ({_described(error.code)})"
        except SlowError as error:
            limit = f"{self._settings.seconds:g} s"
            if error.is_busy:
                self.end_process()
                hint = "raise decode_seconds, or convert the video"
                return Undecoded("failed", f"decoding took longer than {limit}: {hint}")
            reason = f"decoding took longer than {limit} (decode_seconds)"
        except BadReplyError:
            reason = "its decoder sent something that is no clip"
            if process.clips > 1:  # a file before may have taken it over
                self.end_process()
                return self.read(job)
        self.end_process()
        return ENDED if self._is_closed else Undecoded("crashed", reason)

    def prepared(self) -> DecoderProcess | Undecoded:
        """A process that can be used; else why there is none."""
        process = self._process
        if process and (process.clips >= CLIPS_A_PROCESS or not process.is_idle()):
            self.end_process()
        while self._spent and not self._spent.end():
            if self._is_closed:
                return ENDED
        self._spent = None
        return self._process or self._started()

    def _started(self) -> DecoderProcess | Undecoded:
        settings = self._settings
        orders = Orders(
            os.getpid(),
            settings.gigabytes,
            settings.spec,
            settings.reading,
            settings.windows,
            settings.windows_from,
        )
        try:
            with self._lock:
                if self._is_closed:
                    return ENDED
                self._process = DecoderProcess(orders)
            self._process.require_ready()
            return self._process
        except OSError as error:
            reason = error.strerror
        except EndedError as error:
            reason = _described(error.code)
        except SlowError:
            reason = "it takes too long"
        except BadReplyError:
            reason = "it is of another version; restart the daemon"
        self.end_process()
        if self._is_closed:
            return ENDED
        log.warning("a decoder cannot be started (%s)", reason)
        return Undecoded("later", f"its decoder cannot be started ({reason})")

    def end_process(self) -> None:
        """End the process that is in this place; the next file gets a new one."""
        with self._lock:
            self._spent = self._process or self._spent
            self._process = None
        if self._spent and not self._spent.end():
            log.warning("a decoder does not end; it may wait for a share that is away")

    def close(self) -> None:
        """End the process at once, and have no other one; may be called by any thread."""
        with self._lock:
            self._is_closed = True
            if self._process:
                self._process.kill()

    def _outcome(self, reply: Reply) -> Clip | Long | Piece | str | Undecoded:
        if not isinstance(reply, Failure):
            return reply
        if reply.kind == Kind.REFUSED:
            return Undecoded("failed", reply.text, reply.cut_short)
        if reply.kind == Kind.NOT_READ:
            kind: Literal["failed", "later"] = "failed" if reply.errno in PERMANENT else "later"
            return Undecoded(kind, f"cannot be read ({reply.text})")
        if reply.kind == Kind.NO_MEMORY:
            limit = f"{self._settings.gigabytes:g} GB of memory (decode_gigabytes)"
            return Undecoded("crashed", f"decoding takes more than {limit}")
        return Undecoded("failed", f"cannot be decoded ({reply.text})")


def _work(slot: _Slot, jobs: "SimpleQueue[tuple[Job, Future[Any]] | None]") -> None:
    """Read the files that come, until None comes."""
    while True:
        slot.prepared()  # before it takes a file, which another process could decode meanwhile
        if (next_one := jobs.get()) is None:
            break
        job, future = next_one
        if not future.set_running_or_notify_cancel():
            continue
        try:
            outcome = slot.read(job)
        except Exception as error:  # whatever it is, this thread has to go on; a row records it
            log.exception("a decoder's reply cannot be used")
            slot.end_process()
            reason = f"what its decoder sent cannot be used ({type(error).__name__})"
            outcome = Undecoded("crashed", reason)
        if isinstance(outcome, Undecoded):
            future.set_exception(UndecodedError(outcome))
        else:
            future.set_result(outcome)
    slot.end_process()


def _described(code: int | None) -> str:
    """How a process ended, for people."""
    if code is None:
        return "it closed its pipe"
    if -code in set(signal.Signals):
        return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"
