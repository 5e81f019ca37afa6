"""The program of a decoder that the file it reads takes over: the text of the file says what it
does then. Other files are decoded as ever.
"""

import ctypes
import errno
import fcntl
import os
import pickle
import resource
import signal
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.classify import decoder
from daemon.classify.head import Failure, Head, Kind
from daemon.classify.job import Job, Orders
from daemon.classify.reading import read
from learner.spec import ClipSpec

libc = ctypes.CDLL(None, use_errno=True)
MARK = b"take over: "
Deed = Callable[[int, bytes], object]


class SentError(Exception):
    """It has sent what it had to."""


class Bomb:
    """What, unpickled, makes a folder."""

    def __init__(self, folder: bytes) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return os.mkdir, (self.folder,)


token = 0


def head(
    kind: int,
    text: int = 0,
    frames_read: int = 1,
    share: float = 1.0,
    code: int = 0,
    **more: Any,
) -> bytes:
    return Head(token, kind, 0, text, code, frames_read, share, **more).to_bytes()


def send(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def endless(pipe: int, data: bytes) -> None:
    while True:
        send(pipe, data)


def trickle(pipe: int, size: int) -> None:
    send(pipe, head(Kind.REFUSED, size))
    for _ in range(size):
        send(pipe, b"\0")
        time.sleep(0.1)


def die_sending(pipe: int, folder: bytes) -> None:
    send(pipe, head(Kind.REFUSED, 1000) + bytes(500))
    os.kill(os.getpid(), signal.SIGKILL)


def stop_sending(pipe: int, folder: bytes) -> None:
    send(pipe, head(Kind.REFUSED, 1000) + bytes(500))
    os.kill(os.getpid(), signal.SIGSTOP)


def path(folder: bytes) -> Path:
    return Path(os.fsdecode(folder))


def good(folder: bytes) -> Path:
    """A file beside it."""
    return path(folder).with_name("good.mp4")


def check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def shared_file() -> int:
    """The descriptor of the memory that the daemon reads frames from."""
    open_ones = Path("/proc/self/fd").iterdir()
    return next(int(one.name) for one in open_ones if "memfd:" in str(one.readlink()))


def write_memory(process: int) -> None:
    data = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(data), 8)
    check(libc.process_vm_writev(process, vector, 1, vector, 1, 0))


def threaded(pipe: int) -> None:
    done: list[int] = []
    thread = threading.Thread(target=done.append, args=(1,))
    thread.start()
    thread.join()
    send(pipe, head(Kind.REFUSED, 6) + b"thread")


def close(pipe: int, folder: bytes) -> None:
    os.close(pipe)
    time.sleep(600)


SPEC = ClipSpec(frames=4, size=16)
DEEDS: dict[str, Deed] = {
    # What it sends.
    "a pickle": lambda pipe, folder: send(pipe, pickle.dumps(Bomb(folder))),
    "a pickle of its size": lambda pipe, folder: send(
        pipe, len(pickle.dumps(Bomb(folder))).to_bytes(4, "big") + pickle.dumps(Bomb(folder))
    ),
    "a pickle as text": lambda pipe, folder: send(
        pipe, head(Kind.ERROR, len(pickle.dumps(Bomb(folder)))) + pickle.dumps(Bomb(folder))
    ),
    "noise": lambda pipe, folder: send(pipe, os.urandom(100_000)),
    "noise for ever": lambda pipe, folder: endless(pipe, os.urandom(65536)),
    "zeros for ever": lambda pipe, folder: endless(pipe, bytes(65536)),
    "frames for ever": lambda pipe, folder: endless(pipe, head(Kind.CLIP)),
    "a byte too many": lambda pipe, folder: send(pipe, head(Kind.CLIP) + b"\0"),
    "half a head": lambda pipe, folder: send(pipe, head(Kind.CLIP)[:20]),
    "half a text": lambda pipe, folder: send(pipe, head(Kind.REFUSED, 1000) + bytes(500)),
    "a byte now and then": lambda pipe, folder: trickle(pipe, 600),
    "that it is ready": lambda pipe, folder: send(pipe, head(Kind.READY)),
    "a second reply": lambda pipe, folder: send(pipe, 2 * (head(Kind.REFUSED, 4) + b"damn")),
    "a hash alone": lambda pipe, folder: send(pipe, head(Kind.HASH, frames_read=0)),
    "an unknown kind": lambda pipe, folder: send(pipe, head(77)),
    "a long text": lambda pipe, folder: send(pipe, head(Kind.REFUSED, 65535) + b"x" * 65535),
    "no frame read": lambda pipe, folder: send(pipe, head(Kind.CLIP, frames_read=0)),
    "too many read": lambda pipe, folder: send(pipe, head(Kind.CLIP, frames_read=5)),
    "no share": lambda pipe, folder: send(pipe, head(Kind.CLIP, share=0.0)),
    "a share of no number": lambda pipe, folder: send(pipe, head(Kind.CLIP, share=float("nan"))),
    "a share of two": lambda pipe, folder: send(pipe, head(Kind.CLIP, share=2.0)),
    "a stream of a billion": lambda pipe, folder: send(pipe, head(Kind.CLIP, stream=10**9)),
    "a stream below none": lambda pipe, folder: send(pipe, head(Kind.CLIP, stream=-2)),
    "colours of no name": lambda pipe, folder: send(pipe, head(Kind.CLIP, colours=200)),
    "movement of two": lambda pipe, folder: send(pipe, head(Kind.CLIP, movement=2.0)),
    "movement of no number": lambda pipe, folder: send(
        pipe, head(Kind.CLIP, movement=float("nan"))
    ),
    "a reason with control characters": lambda pipe, folder: send(
        pipe, head(Kind.REFUSED, 18) + b"\x1b[2Jred\nnew line\xff\0"
    ),
    "an error of a share": lambda pipe, folder: send(
        pipe, head(Kind.NOT_READ, 4, code=errno.ETIMEDOUT) + b"away"
    ),
    "a permanent error": lambda pipe, folder: send(pipe, head(Kind.NOT_READ, 3, code=13) + b"no!"),
    "that it can start a thread": lambda pipe, folder: threaded(pipe),
    "the reply to another file": lambda pipe, folder: send(
        pipe, Head(7, Kind.CLIP, frames_read=1, read_share=1.0).to_bytes()
    ),
    # How it ends.
    "killed while it sends": die_sending,
    "stopped while it sends": stop_sending,
    "stopped": lambda pipe, folder: os.kill(os.getpid(), signal.SIGSTOP),
    "closes its pipe": close,
    "aborts": lambda pipe, folder: os.abort(),
    "exits": lambda pipe, folder: os._exit(3),
    "ends by SIGTERM": lambda pipe, folder: (
        signal.signal(signal.SIGTERM, signal.SIG_DFL),
        os.kill(os.getpid(), signal.SIGTERM),
    ),
    "hangs": lambda pipe, folder: time.sleep(600),
}
TRIES: dict[str, Deed] = {
    "connects": lambda pipe, folder: socket.create_connection(("127.0.0.1", 9)),
    "opens a socket": lambda pipe, folder: socket.socket(socket.AF_UNIX),
    "starts a program": lambda pipe, folder: subprocess.run(["true"]),
    "takes memory": lambda pipe, folder: bytearray(300_000_000),
    "takes shared memory": lambda pipe, folder: os.posix_fallocate(shared_file(), 0, 1 << 30),
    "takes away the shared memory": lambda pipe, folder: os.ftruncate(shared_file(), 0),
    "writes behind the shared memory": lambda pipe, folder: os.pwrite(shared_file(), b"x", 1 << 30),
    "forks": lambda pipe, folder: os.fork(),
    "writes a file": lambda pipe, folder: path(folder).write_bytes(b""),
    "writes over a file": lambda pipe, folder: good(folder).write_text("x"),
    "makes a folder": lambda pipe, folder: path(folder).mkdir(),
    "removes a file": lambda pipe, folder: good(folder).unlink(),
    "renames a file": lambda pipe, folder: good(folder).rename(path(folder)),
    "changes a mode": lambda pipe, folder: good(folder).chmod(0),
    "changes a date": lambda pipe, folder: os.utime(good(folder), (0, 0)),
    "kills the daemon": lambda pipe, folder: os.kill(os.getppid(), signal.SIGKILL),
    "stops the daemon by pidfd": lambda pipe, folder: os.pidfd_open(os.getppid()),
    "writes to the daemon's memory": lambda pipe, folder: write_memory(os.getppid()),
    "opens the daemon's memory": lambda pipe, folder: os.open(
        f"/proc/{os.getppid()}/mem", os.O_RDWR
    ),
    "limits the daemon": lambda pipe, folder: resource.prlimit(
        os.getppid(), resource.RLIMIT_NOFILE, (0, 0)
    ),
    "slows the daemon": lambda pipe, folder: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
    "locks a file": lambda pipe, folder: fcntl.lockf(
        os.open(good(folder), os.O_RDONLY), fcntl.LOCK_SH
    ),
    "locks a whole file": lambda pipe, folder: fcntl.flock(
        os.open(good(folder), os.O_RDONLY), fcntl.LOCK_EX
    ),
    "sends signals by a pipe": lambda pipe, folder: fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getppid()),
    "types into the terminal": lambda pipe, folder: fcntl.ioctl(2, termios.TIOCSTI, b"x"),
    "outlives the daemon": lambda pipe, folder: check(libc.prctl(1, 0, 0, 0, 0)),
    "says its core limit": lambda pipe, folder: 1 / resource.getrlimit(resource.RLIMIT_CORE)[1],
}


DEEDS |= TRIES


def path_of(folder: Path, deed: str) -> Path:
    """A file that makes its decoder do that."""
    path = folder / f"{deed}.avi"
    path.write_bytes(MARK + deed.encode())
    return path


def main() -> None:
    pipes: list[int] = []

    def send_kept(pipe: Any, token: int, reply: Any, *shared: Any) -> None:
        pipes[:] = [pipe.fileno()]
        if not (isinstance(reply, Failure) and "SentError" in reply.text):
            real_send(pipe, token, reply, *shared)

    def read_it(job: Job, orders: Orders) -> Any:
        global token
        token = job.token
        path = Path(os.fsdecode(job.path))
        text = path.read_bytes()
        if not text.startswith(MARK):
            return read(job, orders)
        deed = text.removeprefix(MARK).decode()
        folder = bytes(path.with_name("went-off"))
        if deed in TRIES:
            TRIES[deed](pipes[0], folder)
            raise RuntimeError("it could")
        DEEDS[deed](pipes[0], folder)
        raise SentError

    real_send = decoder.send
    decoder.send = send_kept
    decoder.read = read_it
    decoder.main()


if __name__ == "__main__":
    main()
