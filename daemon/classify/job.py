"""What a decoder process is told, as lines of JSON on its standard input."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from typing import Literal, Self

from daemon.home.identity import Identity
from learner.spec import ClipSpec, ReadOptions


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
        )


@dataclass(frozen=True)
class Job:
    """A file to decode, or to hash alone."""

    what: Literal["decode", "hash"]
    path: bytes
    identity: Identity | None
    """The file is read only if this is its identity; any file if it is None."""
    sha256: str | None = None
    """Of the content of a file to decode; None if it has to be hashed, too."""
    token: int = field(default_factory=lambda: secrets.randbits(64))
    """The reply has to repeat it."""

    def to_line(self) -> bytes:
        """As a line."""
        path = os.fsdecode(self.path)
        return _line([self.what, path, self.identity, self.sha256, self.token])

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """The job that a line holds."""
        what, path, identity, sha256, token = json.loads(line)
        return cls(what, os.fsencode(path), identity and Identity(*identity), sha256, token)


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
