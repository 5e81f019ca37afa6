"""What a reply of a decoder process begins with, and the failures that it can tell of."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

from learner.colours import Remark
from learner.errors import VidwatchError
from learner.safe_open import VideoError

_HEAD = struct.Struct("<8sQBBHiIdqiBd32sH")
# Another one whenever what is sent changes: an upgrade may come while the daemon runs.
_MAGIC = b"vwreply5"
HEAD_SIZE = _HEAD.size  # bytes
NO_TIME = -(2**63)
NO_STREAM = -1
NO_MOVEMENT = -1.0
# What was done to colours, by the number that is sent.
COLOURS: tuple[Remark | None, ...] = (None, "hdr", "nearest")
MOST_TEXT = 2000  # bytes


class Kind(IntEnum):
    """What a reply says."""

    READY = 0
    """The process is prepared. Its first reply, and never another one."""
    CLIP = 1
    HASH = 2
    """The SHA-256 of a file, and nothing else."""
    REFUSED = 3
    """A `VidwatchError`."""
    NOT_READ = 4
    """An `OSError`."""
    NO_MEMORY = 5
    ERROR = 6
    """Any other error."""
    LONG = 7
    """A long video, which is to be read in windows."""
    PIECE = 8
    """Some windows of it."""


FAILURES = (Kind.REFUSED, Kind.NOT_READ, Kind.NO_MEMORY, Kind.ERROR)


@dataclass(frozen=True)
class Failure:
    """Why a file gave neither a clip nor a hash."""

    kind: Kind
    """One of `FAILURES`."""
    text: str = ""
    errno: int = 0
    """Of an `OSError`; 0 if it has none."""
    cut_short: bool = False
    """As `VideoError.cut_short`."""

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """The failure that an error in a decoder is."""
        if isinstance(error, VidwatchError):
            is_cut_short = isinstance(error, VideoError) and error.cut_short
            return cls(Kind.REFUSED, str(error), cut_short=is_cut_short)
        if isinstance(error, OSError):
            number = error.errno if isinstance(error.errno, int) else 0
            number = number if abs(number) < 2**31 else 0
            return cls(Kind.NOT_READ, str(error.strerror or error), number)
        if isinstance(error, MemoryError):
            return cls(Kind.NO_MEMORY)
        return cls(Kind.ERROR, f"{type(error).__name__}: {error}")


class Head(NamedTuple):
    """What a reply begins with. A field that its kind does not need has its default."""

    token: int
    """Of the job."""
    kind: int
    cut_short: int = 0
    """0 or 1."""
    length: int = 0
    """Bytes of the text that follows."""
    errno: int = 0
    frames_read: int = 0
    read_share: float = 0.0
    recorded: int = NO_TIME
    """As `Clip.recorded`; `NO_TIME` if that is not known."""
    stream: int = NO_STREAM
    """As `Clip.stream`; `NO_STREAM` if that is None."""
    colours: int = 0
    """As `Clip.colours`, by its place in `COLOURS`."""
    movement: float = NO_MOVEMENT
    """As `Clip.movement`; `NO_MOVEMENT` if that is None."""
    sha256: bytes = b""
    uncut: int = 0
    """So many bytes at the end of the text say why the clip was not cut into windows."""

    def to_bytes(self) -> bytes:
        """As it is sent."""
        return _HEAD.pack(_MAGIC, *self)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray) -> Self:
        """A head that was sent.

        Raises:
            BadReplyError: it is none.
        """
        magic, *fields = _HEAD.unpack(data)
        head = cls(*fields)
        if magic != _MAGIC or head.kind not in list(Kind) or head.cut_short > 1:
            raise BadReplyError
        has_text = head.kind not in (Kind.READY, Kind.HASH, Kind.PIECE)
        if head.length > (MOST_TEXT if has_text else 0):
            raise BadReplyError
        if head.uncut > (head.length if head.kind == Kind.CLIP else 0):
            raise BadReplyError
        if head.kind not in FAILURES and (head.cut_short or head.errno):
            raise BadReplyError
        return head


class BadReplyError(Exception):
    """A decoder sent something else than a reply."""
