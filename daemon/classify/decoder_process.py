"""One decoder process, as the daemon sees it: started, given jobs, believed nothing, ended."""

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from fcntl import F_SETPIPE_SZ, fcntl
from pathlib import Path

from daemon.classify.head import BadReplyError, Failure
from daemon.classify.job import Job, Orders
from daemon.classify.reply import Reply, receive
from daemon.classify.shared_frames import SharedFrames, new_memory
from learner.video import Clip
from learner.windows import Long, Piece

PROGRAM = (sys.executable, "-P", "-m", "daemon.classify.decoder")
START = 120.0  # seconds; on a slow disk, loading the libraries takes long
# A process that computed for this share of its time was not waiting: the file takes so long.
BUSY = 0.1
ENDING = 2.0  # seconds in which a process that closed its pipe, or was killed, ends
PIPE = 1 << 20  # bytes: the frames of a window in few pieces
# A decoder computes in one thread. The threads that numpy would make reserve much memory.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


# What a decoder may send for a job, besides a failure.
REPLIES: dict[str, tuple[type, ...]] = {
    "decode": (Clip,),
    "video": (Clip, Long),
    "windows": (Piece, Clip),
    "part": (Clip,),
    "hash": (str,),
}


class EndedError(Exception):
    """The process has ended. `code` is its exit status, negative for a signal."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code
        """None if it only closed its pipe."""


class SlowError(Exception):
    """The process took too long. `is_busy`: it computed, and did not wait for a disk or a share."""

    def __init__(self, is_busy: bool = False) -> None:
        super().__init__(is_busy)
        self.is_busy = is_busy


class DecoderProcess:
    """A decoder process. After any error it is of no use any more, and has to be ended.

    Nothing waits for it beyond the time that it was given: it may send half a reply, or be stopped.
    Only `kill` may be called by other threads than the one that made it: it dies with that thread.
    """

    def __init__(self, orders: Orders) -> None:
        """Start the process; `require_ready` waits until it can be used.

        Raises:
            OSError: it cannot be started.
        """
        self._orders = orders
        self._deadline = time.monotonic() + START
        self.clips = 0
        """How many files it was given."""
        with new_memory(orders.spec) as descriptor:
            self._shared = None if descriptor is None else SharedFrames(descriptor, orders.spec)
            self._process = subprocess.Popen(
                PROGRAM,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **ONE_THREAD},
                pass_fds=() if descriptor is None else (descriptor,),
            )
        self._first_line = replace(orders, shared=descriptor).to_line()
        assert self._process.stdin
        assert self._process.stdout
        self._jobs = self._process.stdin
        self._replies = self._process.stdout
        for pipe in (self._jobs, self._replies):
            os.set_blocking(pipe.fileno(), False)
        with suppress(OSError):  # the system has a limit for all pipes of a user
            fcntl(self._replies, F_SETPIPE_SZ, PIPE)

    def require_ready(self) -> None:
        """Wait until the process is prepared.

        Raises:
            EndedError, SlowError, BadReplyError: it will never be.
        """
        self._send(self._first_line)
        if receive(self._read, 0, self._orders) is not None:
            raise BadReplyError

    def read(self, job: Job, seconds: float) -> Reply:
        """What the process makes of a file, within so many seconds.

        Raises:
            EndedError, SlowError, BadReplyError: it did not reply.
        """
        self._deadline = time.monotonic() + seconds
        self.clips += 1
        computed = self._computed()
        try:
            self._send(job.to_line())
            reply = receive(self._read, job.token, self._orders, job.first, self._shared)
        except SlowError:
            is_busy = self._computed() - computed > BUSY * seconds
            raise SlowError(is_busy) from None
        if reply is None or self._events() & select.POLLIN:
            raise BadReplyError
        if not isinstance(reply, (Failure, *REPLIES[job.what])):
            raise BadReplyError
        return reply

    def is_idle(self) -> bool:
        """Whether it lives, and sends nothing that it was not asked for."""
        return self._process.poll() is None and not self._events()

    def kill(self) -> None:
        """End it at once, also while another thread waits for its reply."""
        self._process.kill()

    def end(self) -> bool:
        """End it, and close its pipes; False if the kernel cannot end it yet, as on a dead share.

        Can be called again.
        """
        self.kill()
        self._jobs.close()
        self._replies.close()
        if self._shared:
            self._shared.close()
        return self._exit_code() is not None

    def _send(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            try:
                left = left[os.write(self._jobs.fileno(), left) :]
            except BlockingIOError:
                self._wait(self._jobs.fileno(), select.POLLOUT)
            except BrokenPipeError:
                raise EndedError(self._exit_code()) from None

    def _read(self, buffer: memoryview) -> None:
        while buffer:
            try:
                count = os.readv(self._replies.fileno(), [buffer])
            except BlockingIOError:
                self._wait(self._replies.fileno(), select.POLLIN)
                continue
            if not count:
                raise EndedError(self._exit_code())
            buffer = buffer[count:]

    def _wait(self, pipe: int, event: int) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        left = self._deadline - time.monotonic()
        if left <= 0 or not poll.poll(1000 * left):
            raise SlowError

    def _events(self) -> int:
        """What the pipe of the replies has now: data (POLLIN), its end (POLLHUP), or nothing."""
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        return sum(events for _, events in poll.poll(0))

    def _computed(self) -> float:
        """The seconds for which it has computed; 0 if it has ended."""
        try:
            text = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return 0.0
        # Behind the program's name: 11 other fields, then the ticks in the program and the kernel.
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _exit_code(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(ENDING)
        return None
