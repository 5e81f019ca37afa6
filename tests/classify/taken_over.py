"""The program of a decoder that the file it reads takes over: the text of the file says what it
does then. Other files are decoded as ever.
"""

import errno
import os
import pickle
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.classify import decoder
from daemon.classify.reading import read
from daemon.classify.reply import _HEAD, _MAGIC, Kind
from learner.spec import ClipSpec, ReadOptions

MARK = b"take over: "
Deed = Callable[[int, bytes], object]


class Bomb:
    """What, unpickled, makes a folder."""

    def __init__(self, folder: bytes) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return os.mkdir, (self.folder,)


def head(
    kind: int, text: int = 0, frames_read: int = 1, share: float = 1.0, code: int = 0
) -> bytes:
    return _HEAD.pack(_MAGIC, kind, 0, text, code, frames_read, share, bytes(32))


def send(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def endless(pipe: int, data: bytes) -> None:
    while True:
        send(pipe, data)


def trickle(pipe: int, size: int) -> None:
    send(pipe, head(Kind.CLIP))
    for _ in range(size):
        send(pipe, b"\0")
        time.sleep(0.1)


def die_sending(pipe: int, folder: bytes) -> None:
    send(pipe, head(Kind.CLIP) + bytes(500))
    os.kill(os.getpid(), signal.SIGKILL)


def stop_sending(pipe: int, folder: bytes) -> None:
    send(pipe, head(Kind.CLIP) + bytes(500))
    os.kill(os.getpid(), signal.SIGSTOP)


def close(pipe: int, folder: bytes) -> None:
    os.close(pipe)
    time.sleep(600)


SPEC = ClipSpec(frames=4, size=16)
FRAMES = bytes(4 * 16 * 16 * 3)
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
    "frames for ever": lambda pipe, folder: endless(pipe, head(Kind.CLIP) + FRAMES),
    "a byte too many": lambda pipe, folder: send(pipe, head(Kind.CLIP) + FRAMES + b"\0"),
    "half a head": lambda pipe, folder: send(pipe, head(Kind.CLIP)[:20]),
    "half the frames": lambda pipe, folder: send(pipe, head(Kind.CLIP) + FRAMES[:500]),
    "a byte now and then": lambda pipe, folder: trickle(pipe, 600),
    "that it is ready": lambda pipe, folder: send(pipe, head(Kind.READY)),
    "an unknown kind": lambda pipe, folder: send(pipe, head(77)),
    "a long text": lambda pipe, folder: send(pipe, head(Kind.REFUSED, 65535) + b"x" * 65535),
    "no frame read": lambda pipe, folder: send(pipe, head(Kind.CLIP, frames_read=0) + FRAMES),
    "too many read": lambda pipe, folder: send(pipe, head(Kind.CLIP, frames_read=5) + FRAMES),
    "no share": lambda pipe, folder: send(pipe, head(Kind.CLIP, share=0.0) + FRAMES),
    "a share of no number": lambda pipe, folder: send(
        pipe, head(Kind.CLIP, share=float("nan")) + FRAMES
    ),
    "a share of two": lambda pipe, folder: send(pipe, head(Kind.CLIP, share=2.0) + FRAMES),
    "a reason with control characters": lambda pipe, folder: send(
        pipe, head(Kind.REFUSED, 20) + b"\x1b[2Jred\nnew line\xff\0" + b"end"
    ),
    "an error of a share": lambda pipe, folder: send(
        pipe, head(Kind.NOT_READ, 4, code=errno.ETIMEDOUT) + b"away"
    ),
    "a permanent error": lambda pipe, folder: send(pipe, head(Kind.NOT_READ, 3, code=13) + b"no!"),
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
    # What it tries.
    "connects": lambda pipe, folder: socket.create_connection(("127.0.0.1", 9)),
    "opens a socket": lambda pipe, folder: socket.socket(socket.AF_UNIX),
    "starts a program": lambda pipe, folder: subprocess.run(["true"]),
    "takes memory": lambda pipe, folder: bytearray(300_000_000),
    "says its core limit": lambda pipe, folder: 1 / resource.getrlimit(resource.RLIMIT_CORE)[1],
}


def path_of(folder: Path, deed: str) -> Path:
    """A file that makes its decoder do that."""
    path = folder / f"{deed}.avi"
    path.write_bytes(MARK + deed.encode())
    return path


def main() -> None:
    pipes: list[int] = []

    def send_kept(pipe: Any, reply: Any) -> None:
        pipes[:] = [pipe.fileno()]
        reply_send(pipe, reply)

    def read_it(path: bytes, identity: Any, spec: ClipSpec, reading: ReadOptions) -> Any:
        text = Path(os.fsdecode(path)).read_bytes()
        if not text.startswith(MARK):
            return read(path, identity, spec, reading)
        DEEDS[text.removeprefix(MARK).decode()](pipes[0], os.path.dirname(path) + b"/went-off")
        time.sleep(600)
        raise AssertionError

    reply_send = decoder.send
    decoder.send = send_kept
    decoder.read = read_it
    decoder.main()


if __name__ == "__main__":
    main()
