"""What there is to know about a home, by queries that only read: for people, or as JSON."""

import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from daemon.database.connection import opened
from daemon.database.tables import (
    STATES,
    content_of_video,
    decisions,
    models,
    predictions,
    that_counts,
    trainings,
    videos,
)
from daemon.home.folder import Home, Running
from daemon.home.folders import Folders
from daemon.labels.queries import new_since
from daemon.report.accuracy import Quality, quality
from daemon.training.decisions import BY_ITSELF, Decisions
from learner.catalogue import model_name

RATE_WINDOW = timedelta(minutes=5)
SHOWN = 10  # videos in each table, at most


@dataclass(frozen=True)
class RecentVideo:
    """A video that was finished lately, with its prediction."""

    id: int
    name: str
    path: str
    class_name: str
    probability: float
    unsure: str | None
    """Why the prediction is unsure; None if it is not."""
    read_share: float | None
    """How much of the clip could be read; None if that is not known."""
    duplicate_of: int | None
    """The first video with the same content, whose prediction this is; None if it is its own."""
    at: datetime
    """When the video was finished."""

    def to_json(self) -> dict[str, Any]:
        """One object; the time in ISO 8601."""
        return {
            "class": self.class_name,
            "id": self.id,
            "name": self.name,
            "path": self.path,
            "probability": self.probability,
            "doubt": self.unsure,
            "read_share": self.read_share,
            "duplicate_of": self.duplicate_of,
            "at": self.at.isoformat(),
        }


@dataclass(frozen=True)
class Problem:
    """A video that failed, or is in temporary trouble."""

    id: int
    name: str
    reason: str


@dataclass(frozen=True)
class TrainingStatus:
    """The newest training, and the labels that came since. All but `new_labels` may be None."""

    name: str | None
    """The model that comes of it; None if there was no training yet."""
    state: str | None
    """A value of `trainings.state`."""
    progress: str | None
    """How far it is, for people."""
    error: str | None
    """Why it failed."""
    verdict: str | None
    """How its model compared with the champion: a value of `decisions.verdict`."""
    new_labels: int
    """How many labels came since the last training that ended by itself."""


@dataclass(frozen=True)
class Status:
    """Everything that `vidwatch status` shows."""

    home: Home
    running: Running | None
    """The daemon; None if it does not run."""
    settings_are_newer: bool
    """Whether vidwatch.toml was changed after the daemon started."""
    model: str | None
    """The champion; None before the first start."""
    fallback: str | None
    """Why the daemon went back to an earlier model by itself; None if it did not."""
    counts: dict[str, int]
    """The number of videos in each state, and `in_hand`: those claimed or not moved yet."""
    duplicates: int
    clips_a_minute: float
    """How many were filed, on average over `RATE_WINDOW`."""
    quality: Quality
    training: TrainingStatus
    recent: list[RecentVideo]
    """The videos finished last, the newest first."""
    failed: list[Problem]
    troubled: list[Problem]
    """The videos in temporary trouble, which are tried again."""

    def to_json(self) -> dict[str, Any]:
        """One object; times in ISO 8601."""
        daemon = {
            "running": self.running is not None,
            "pid": self.running.pid if self.running else None,
            "since": self.running.since.isoformat() if self.running else None,
            "notices": dict(self.running.notices) if self.running else {},
            "settings_are_newer": self.settings_are_newer,
        }
        return {
            "home": str(self.home.root),
            "daemon": daemon,
            "model": self.model,
            "fallback": self.fallback,
            **self.counts,
            "duplicates": self.duplicates,
            "clips_a_minute": self.clips_a_minute,
            **self.quality.to_json(),
            "training": asdict(self.training),
            "recent": [video.to_json() for video in self.recent],
            "failures": [asdict(problem) for problem in self.failed],
            "troubles": [asdict(problem) for problem in self.troubled],
        }


def read_status(home: Home, now: datetime) -> Status:
    """The status of a home, with or without a daemon.

    Raises:
        VidwatchError: there is no home, or this user cannot read its database.
    """
    home.require()
    running = home.running()
    with opened(home.database, read_only=True) as engine:
        champion = Decisions(engine).champion()
        with engine.begin() as connection:
            model = model_name(champion) if champion else _last_used(connection)
            return Status(
                home=home,
                running=running,
                settings_are_newer=running is not None and _changed_after(home, running.since),
                model=model,
                fallback=_fallback(connection),
                counts=counts(connection),
                duplicates=_duplicates(connection),
                clips_a_minute=_clips_a_minute(connection, now),
                quality=quality(connection, Folders(home.root), model, now),
                training=_training(connection),
                recent=_recent(connection),
                failed=_problems(connection, videos.c.error),
                troubled=_problems(connection, videos.c.trouble),
            )


def counts(connection: Connection) -> dict[str, int]:
    """The number of videos in each state, and `in_hand`: those claimed or not moved yet."""
    # Of millions of videos, nearly all are filed: only the others are counted one by one.
    not_filed = [state for state in STATES if state != "filed"]
    by_state = select(videos.c.state, func.count().label("n")).group_by(videos.c.state)
    rows = connection.execute(by_state.where(videos.c.state.in_(not_filed)))
    found: dict[str, int] = {row.state: row.n for row in rows}
    total = connection.scalar(select(func.count()).select_from(videos)) or 0
    found["filed"] = total - sum(found.values())
    unmoved = connection.scalar(select(func.count()).where(videos.c.destination.is_not(None))) or 0
    in_hand = found.get("claimed", 0) + unmoved
    return {**{state: found.get(state, 0) for state in STATES}, "in_hand": in_hand}


def _changed_after(home: Home, since: datetime) -> bool:
    try:
        return home.settings.stat().st_mtime > since.timestamp()
    except OSError:
        return False


def _duplicates(connection: Connection) -> int:
    return connection.scalar(select(func.count()).where(videos.c.duplicate_of.is_not(None))) or 0


def _clips_a_minute(connection: Connection, now: datetime) -> float:
    # With the state as a condition, SQLite would read all videos that were ever filed.
    filed = func.count().filter(videos.c.state == "filed")
    recent = select(filed).where(videos.c.finished_at > now - RATE_WINDOW)
    return round((connection.scalar(recent) or 0) / (RATE_WINDOW / timedelta(minutes=1)), 1)


def _last_used(connection: Connection) -> str | None:
    """The model that was used last, in a database without any decision."""
    newest_first = select(models.c.name).order_by(models.c.used_at.desc())
    name: str | None = connection.scalar(newest_first.limit(1))
    return name


def _fallback(connection: Connection) -> str | None:
    newest_first = select(decisions).order_by(decisions.c.id.desc())
    row = connection.execute(newest_first.limit(1)).first()
    if row is None or row.verdict != "rolled back" or not row.reason.endswith(BY_ITSELF):
        return None
    return str(row.reason)


def _training(connection: Connection) -> TrainingStatus:
    has_ended = trainings.c.state.in_(("trained", "failed"))
    known = connection.scalar(select(func.max(trainings.c.last_label)).where(has_ended)) or 0
    new_labels = sum(row.n for row in connection.execute(new_since(known)))
    newest_first = select(trainings).order_by(trainings.c.id.desc())
    row = connection.execute(newest_first.limit(1)).first()
    if row is None:
        return TrainingStatus(None, None, None, None, None, new_labels)
    verdicts = select(decisions.c.verdict).where(decisions.c.challenger == row.name)
    return TrainingStatus(
        name=row.name,
        state=row.state,
        progress=row.progress,
        error=row.error,
        verdict=connection.scalar(verdicts.order_by(decisions.c.id.desc()).limit(1)),
        new_labels=new_labels,
    )


def _recent(connection: Connection) -> list[RecentVideo]:
    content = content_of_video()
    own = and_(predictions.c.video_id == content, that_counts())
    query = (
        select(videos, predictions)
        .join(predictions, own)
        .where(videos.c.finished_at.is_not(None))
        .order_by(videos.c.finished_at.desc(), videos.c.id.desc())
        .limit(SHOWN)
    )
    return [
        RecentVideo(
            id=row[videos.c.id],
            name=row[videos.c.name],
            path=os.fsdecode(row[videos.c.path]),
            class_name=row[predictions.c["class"]],
            probability=row[predictions.c.probability],
            unsure=row[predictions.c.doubt],
            read_share=row[predictions.c.read_share],
            duplicate_of=row[videos.c.duplicate_of],
            at=row[videos.c.finished_at],
        )
        for row in connection.execute(query).mappings()
    ]


def _problems(connection: Connection, reason: ColumnElement[Any]) -> list[Problem]:
    """The newest videos that have something in the column `reason`."""
    query = select(videos.c.id, videos.c.name, reason.label("reason")).where(reason.is_not(None))
    rows = connection.execute(query.order_by(videos.c.id.desc()).limit(SHOWN))
    return [Problem(row.id, row.name, row.reason) for row in rows]
