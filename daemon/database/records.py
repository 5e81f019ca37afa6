"""What goes into the queue and comes out of it, as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.home.identity import Identity, Version
from daemon.home.sources import OnFiled
from learner.recording import NOT_KNOWN, Recorded

FREED = {
    "claimed_by": None,
    "lease_until": None,
    "retry_at": None,
    "trouble": None,
    "held": None,
}
"""What a row says when nobody works on its video, and nothing is wrong with it."""

READ = ("frames_asked", "frames_read", "decoder", "read_share", "stream", "colours", "uncut")
"""What a prediction says of what was read for it."""


def machine_of(owner: str) -> str:
    """The machine that signs claims so: `gpu1:812`, or `backfill:gpu1:812`."""
    return owner.rpartition(":")[0].rpartition(":")[2]


@dataclass(frozen=True)
class Claimed:
    """A video that this daemon works on."""

    id: int
    path: bytes
    identity: Identity
    """As the row has it: the device may have another number by now."""
    changed_at: datetime
    """When vidwatch last saw its file change."""
    version: Version | None = None
    """Its file as it was when a decoder got it."""
    sha256: str | None = None
    """Of its content, if it was hashed before it is decoded."""
    origin: bytes | None = None
    """As in `Found`, and so is `on_filed`."""
    on_filed: OnFiled | None = None

    @classmethod
    def of(cls, row: Any) -> "Claimed":
        """The video of a row."""
        return cls(
            row.id,
            row.path,
            Identity(row.device, row.inode, row.size, row.mtime_ns),
            row.changed_at or row.arrived_at,
            origin=row.origin,
            on_filed=row.on_filed,
        )

    @property
    def found(self) -> Identity:
        """The file as it was found when the video came into hand: its device may be another one."""
        return self.version.identity if self.version else self.identity


@dataclass(frozen=True)
class ModelPrediction:
    """What one model predicts for a clip; `logits` in the order of the model's classes."""

    model_id: int
    class_name: str
    class_index: int
    probability: float
    logits: Sequence[float]
    familiarity: float | None = None
    """The share of the model's known clips that look stranger; None if it cannot say."""

    def columns(self) -> dict[str, Any]:
        """As columns of a row."""
        columns = dict(vars(self))
        columns["class"] = columns.pop("class_name")
        columns["logits"] = list(self.logits)
        return columns


@dataclass(frozen=True)
class WindowPrediction:
    """The prediction of one window of a long video."""

    video_id: int
    number: int
    """Its place, from 0."""
    start: float
    """Seconds from the first picture of the video, as `end`."""
    end: float
    prediction: ModelPrediction
    frames_read: int
    """How many different frames were decoded."""
    unsure: str | None = None
    """Why the prediction is unsure: one of `tables.DOUBTS`. None if it is not."""
    fingerprint: bytes | None = None
    shadow: ModelPrediction | None = None
    """What the challenger predicts for the same window."""
    movement: float | None = None
    """As `learner.movement.movement`."""
    read_share: float = 1.0
    """As in `learner.cutting.Window`."""


@dataclass(frozen=True)
class Copy:
    """A video whose content is that of an earlier one, by its hash alone: it was not decoded."""

    video_id: int
    path: bytes
    sha256: str
    """Of the file's content."""
    recording: Recorded = NOT_KNOWN
    """When it was recorded, and by which camera."""


@dataclass(frozen=True)
class VideoPrediction:
    """The prediction that decides where a video is filed, and what was read for it."""

    video_id: int
    path: bytes
    sha256: str
    """Of the file's content."""
    prediction: ModelPrediction
    frames_asked: int
    frames_read: int
    """How many different frames were decoded."""
    decoder: str
    unsure: str | None = None
    """Why the prediction is unsure: one of `tables.DOUBTS`. None if it is not."""
    fingerprint: bytes | None = None
    """Compared to find the group of a clip if neither its name nor its folder names one."""
    shadow: ModelPrediction | None = None
    """What the challenger predicts for the same clip."""
    read_share: float = 1.0
    """The share of the clip that was there to be read."""
    recording: Recorded = NOT_KNOWN
    """When it was recorded, and by which camera."""
    stream: int | None = None
    """Of several films in the file, the stream that it is of."""
    colours: str | None = None
    """What was done to the colours: one of `learner.colours.Remark`."""
    movement: float | None = None
    """As `learner.movement.movement`."""
    uncut: str | None = None
    """Why it could not be cut into windows, if that was tried."""
    has_windows: bool = False
    """Whether it is drawn from windows. Those that the video has otherwise do not count."""


@dataclass(frozen=True)
class Move:
    """A file that is moved from `path` to `destination`; `reason` is written beside a failed one.

    A label that a person gives meanwhile does not change `destination`.
    """

    id: int
    path: bytes
    destination: bytes
    identity: Identity
    sha256: str | None
    reason: str | None
    copy_of: int | None = None
    """The first video with the same content."""
    dropped_at: datetime | None = None
    """When its file was to be removed instead: perhaps it was."""
    origin: bytes | None = None
    """As in `Found`."""
    on_filed: OnFiled | None = None
    """"copy" or "hardlink" if that is to be done instead, and was not yet."""
    is_begun: bool = False
    """Whether this may have been done before, and not been noted."""


@dataclass(frozen=True)
class Left:
    """A file that stays where it is, while a copy of it or a link to it was filed."""

    path: bytes
    identity: Identity

    def columns(self) -> dict[str, Any]:
        """As columns of a row of `videos`."""
        size, mtime_ns = self.identity[2:]
        return {"left_at": self.path, "left_size": size, "left_mtime_ns": mtime_ns}


@dataclass(frozen=True)
class Moved:
    """Where a file is after it was to be moved to `tried`; None if a person took it away first."""

    path: bytes | None
    tried: bytes
    identity: Identity | None = None
    """Of the file there: a copy on another file system is another file. None if it is as before."""
    left: Left | None = None
    """The file that it was copied or linked from, which is still there. None if it was moved."""


def prediction_rows(
    batch: Sequence[VideoPrediction], now: datetime, machine: str | None
) -> list[dict[str, Any]]:
    """The rows of videos' predictions, and of the challenger's in their shadow."""
    return [row for found in batch for row in _rows(found, now, machine)]


def _rows(found: VideoPrediction, now: datetime, machine: str | None) -> list[dict[str, Any]]:
    common = {"video_id": found.video_id, "created_at": now, "machine": machine}
    common |= {name: getattr(found, name) for name in READ}
    row = {**common, **found.prediction.columns(), "kind": "answer", "doubt": found.unsure}
    if found.shadow is None or found.shadow.model_id == found.prediction.model_id:
        return [row]
    return [row, {**common, **found.shadow.columns(), "kind": "shadow", "doubt": None}]
