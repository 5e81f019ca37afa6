"""What goes into the queue and comes out of it, as data."""

from dataclasses import dataclass

from daemon.home.identity import Identity


@dataclass(frozen=True)
class Arrival:
    """A whole file; `group` is its recording, camera or scene, where its name tells."""

    path: bytes
    identity: Identity
    group: str | None


@dataclass(frozen=True)
class Claimed:
    """A video in hand."""

    id: int
    path: bytes
    identity: Identity


@dataclass(frozen=True)
class Opinion:
    """What another model said of the same clip."""

    model_id: int
    class_name: str
    class_index: int
    probability: float
    logits: list[float]


@dataclass(frozen=True)
class Answer:
    """A video's prediction; `logits` in the order of the model's classes.

    `read_share` is the share of the clip that was there, `doubt` says why the answer is not to be relied on;
    `fingerprint` is what is compared where nothing else tells the clip's group.
    """

    video_id: int
    path: bytes
    sha256: str
    class_name: str
    class_index: int
    probability: float
    logits: list[float]
    frames_asked: int
    frames_read: int
    decoder: str
    doubt: str | None = None
    fingerprint: bytes | None = None
    shadow: Opinion | None = None
    read_share: float = 1.0


@dataclass(frozen=True)
class Move:
    """A file on its way from `path` to `destination`; `reason` is what is written beside a failed one."""

    id: int
    path: bytes
    destination: bytes
    identity: Identity
    sha256: str | None
    reason: str | None


@dataclass(frozen=True)
class Placed:
    """Where a file is after it was to be moved to `tried`; None where a person took it away first."""

    path: bytes | None
    tried: bytes
