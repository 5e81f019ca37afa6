"""What a decoder process is told, as lines of JSON on its standard input."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from typing import Literal, Self

from daemon.home.identity import Identity
from learner.spec import ClipSpec, ReadOptions
from learner.window_plan import WindowPlan


@dataclass(frozen=True)
class Orders:
    """What holds for all jobs of a process: its first line."""

    parent: int
    """The process that it dies with."""
    gigabytes: float
    """The most memory, besides what it needs itself."""
    spec: ClipSpec
    """Which frames are decoded, and to which size."""
    reading: ReadOptions
    """How strictly files are read."""
    windows: WindowPlan | None = None
    """How long videos are cut into windows; None if they are not."""
    windows_from: float = 0.0
    """A video is long if it runs for more seconds than this."""
    shared: int | None = None
    """The descriptor of `shared_frames.new_memory`; None if there is none."""

    def to_line(self) -> bytes:
        """As a line."""
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """The orders that a line holds."""
        fields = json.loads(line)
        return cls(
            fields["parent"],
            fields["gigabytes"],
            ClipSpec.from_json(fields["spec"]),
            ReadOptions(**fields["reading"]),
            WindowPlan(**fields["windows"]) if fields["windows"] else None,
            fields["windows_from"],
            fields["shared"],
        )


@dataclass(frozen=True)
class Job:
    """What is to be read of a file."""

    what: Literal["decode", "video", "windows", "part", "hash"]
    """"decode": a clip. "video": a clip, or that it is long, and is to be read in windows.
    "windows": some of these. "part": a part of a video, as a clip. "hash": its SHA-256 alone."""
    path: bytes
    identity: Identity | None
    """The file is read only if this is its identity; any file if it is None."""
    sha256: str | None = None
    """Of the content of a file to decode; None if it has to be hashed, too."""
    first: int = 0
    """The number of the first window that is wanted."""
    part: tuple[float, float] = (0.0, 0.0)
    """When the part begins and ends that is wanted, in seconds."""
    token: int = field(default_factory=lambda: secrets.randbits(64))
    """The reply has to repeat it."""

    def to_line(self) -> bytes:
        """As a line."""
        path = os.fsdecode(self.path)
        what = [self.what, path, self.identity, self.sha256, self.first, self.part, self.token]
        return _line(what)

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """The job that a line holds."""
        what, path, identity, sha256, first, part, token = json.loads(line)
        file = identity and Identity(*identity)
        return cls(what, os.fsencode(path), file, sha256, first, tuple(part), token)


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
