"""What there is to know about a home, by queries that only read: as a table for people, or as JSON."""

import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from daemon.database.connection import opened
from daemon.database.tables import (
    STATES,
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

RATE_WINDOW = timedelta(minutes=5)
SHOWN = 10


@dataclass(frozen=True)
class RecentVideo:
    """A video whose way has ended well; `duplicate_of` names the video whose answer it shows.

    `doubt` says why that is unsure, `read_share` how much of the clip was there.
    """

    id: int
    name: str
    path: str
    class_name: str
    probability: float
    doubt: str | None
    read_share: float | None
    duplicate_of: int | None
    at: datetime


@dataclass(frozen=True)
class Problem:
    """A video without an answer, or in temporary trouble, and why."""

    id: int
    name: str
    reason: str


@dataclass(frozen=True)
class TrainingStatus:
    """The newest training, how its comparison ended, and the labels that came since."""

    name: str | None
    state: str | None
    progress: str | None
    error: str | None
    verdict: str | None
    new_labels: int


@dataclass(frozen=True)
class Status:
    """Everything that `vidwatch status` shows. `counts` are videos by state; `in_hand` are claimed or not yet moved."""

    home: Home
    running: Running | None
    settings_are_newer: bool
    model: str | None
    fallback: str | None
    counts: dict[str, int]
    duplicates: int
    clips_a_minute: float
    quality: Quality
    learning: TrainingStatus
    recent: list[RecentVideo]
    failed: list[Problem]
    troubled: list[Problem]

    def to_json(self) -> dict[str, Any]:
        """One object; times in ISO 8601."""
        running = {
            "running": self.running is not None,
            "pid": self.running.pid if self.running else None,
            "since": self.running.since.isoformat() if self.running else None,
            "notices": dict(self.running.notices) if self.running else {},
        }
        recent = [
            {"class": answered.pop("class_name"), **answered, "at": answered.pop("at").isoformat()}
            for answered in map(asdict, self.recent)
        ]
        return {
            "home": str(self.home.root),
            "daemon": {**running, "settings_are_newer": self.settings_are_newer},
            "model": self.model,
            "fallback": self.fallback,
            **self.counts,
            "duplicates": self.duplicates,
            "clips_a_minute": self.clips_a_minute,
            **self.quality.to_json(),
            "training": asdict(self.learning),
            "recent": recent,
            "failures": [asdict(problem) for problem in self.failed],
            "troubles": [asdict(problem) for problem in self.troubled],
        }


def read_status(home: Home, now: datetime) -> Status:
    """Look at a home, with or without a daemon.

    Raises:
        VidwatchError: no home, or its database cannot be read by this user.
    """
    home.require()
    running = home.running()
    with opened(home.database, read_only=True) as engine:
        champion = Decisions(engine).champion()
        with engine.begin() as read:
            model = _name(champion) or read.scalar(
                select(models.c.name).order_by(models.c.used_at.desc()).limit(1)
            )
            return Status(
                home,
                running,
                running is not None and _changed_after(home, running.since),
                model,
                _fallback(read),
                counts(read),
                read.scalar(select(func.count()).where(videos.c.duplicate_of.is_not(None))) or 0,
                _rate(read, now),
                quality(read, Folders(home.root), model, now),
                _learning(read),
                _recent(read),
                _problems(
                    read,
                    select(videos, videos.c.error.label("why")).where(videos.c.error.is_not(None)),
                ),
                _problems(
                    read,
                    select(videos, videos.c.trouble.label("why")).where(
                        videos.c.trouble.is_not(None)
                    ),
                ),
            )


def counts(read: Connection) -> dict[str, int]:
    """The number of videos in each state, and how many are in hand."""
    few = videos.c.state.in_(
        [state for state in STATES if state != "filed"]
    )  # of millions, nearly all are filed
    found: dict[str, int] = {
        row.state: row.n
        for row in read.execute(
            select(videos.c.state, func.count().label("n")).where(few).group_by(videos.c.state)
        )
    }
    found["filed"] = (read.scalar(select(func.count()).select_from(videos)) or 0) - sum(
        found.values()
    )
    unmoved = read.scalar(select(func.count()).where(videos.c.destination.is_not(None))) or 0
    return {
        **{state: found.get(state, 0) for state in STATES},
        "in_hand": found.get("claimed", 0) + unmoved,
    }


def _changed_after(home: Home, since: datetime) -> bool:
    try:
        return home.settings.stat().st_mtime > since.timestamp()
    except OSError:
        return False


def _rate(read: Connection, now: datetime) -> float:
    # Among the conditions, the state would have SQLite look through all that was ever filed.
    filed = select(func.count().filter(videos.c.state == "filed")).where(
        videos.c.finished_at > now - RATE_WINDOW
    )
    return round((read.scalar(filed) or 0) / (RATE_WINDOW / timedelta(minutes=1)), 1)


def _name(champion: str | None) -> str | None:
    """As in `models`, where vidwatch.toml gives the path of one."""
    path = PurePath(champion or "")
    return (path.stem if path.suffix in (".json", ".safetensors") else path.name) or None


def _fallback(read: Connection) -> str | None:
    """Why another model answers than people or a comparison had chosen."""
    row = read.execute(select(decisions).order_by(decisions.c.id.desc()).limit(1)).first()
    return (
        str(row.reason)
        if row and row.verdict == "rolled back" and row.reason.endswith(BY_ITSELF)
        else None
    )


def _learning(read: Connection) -> TrainingStatus:
    known = trainings.c.state.in_(("trained", "failed"))
    last = read.scalar(select(func.max(trainings.c.last_label)).where(known)) or 0
    new = sum(row.n for row in read.execute(new_since(last)))
    row = read.execute(select(trainings).order_by(trainings.c.id.desc()).limit(1)).first()
    if row is None:
        return TrainingStatus(None, None, None, None, None, new)
    compared = (
        select(decisions.c.verdict)
        .where(decisions.c.challenger == row.name)
        .order_by(decisions.c.id.desc())
    )
    return TrainingStatus(
        row.name, row.state, row.progress, row.error, read.scalar(compared.limit(1)), new
    )


def _recent(read: Connection) -> list[RecentVideo]:
    of_content = predictions.c.video_id == func.coalesce(videos.c.duplicate_of, videos.c.id)
    answer = and_(of_content, that_counts())
    ended = (
        select(videos, predictions)
        .join(predictions, answer)
        .where(videos.c.finished_at.is_not(None))
    )
    rows = read.execute(
        ended.order_by(videos.c.finished_at.desc(), videos.c.id.desc()).limit(SHOWN)
    ).mappings()
    return [
        RecentVideo(
            row[videos.c.id],
            row[videos.c.name],
            os.fsdecode(row[videos.c.path]),
            row[predictions.c["class"]],
            row[predictions.c.probability],
            row[predictions.c.doubt],
            row[predictions.c.read_share],
            row[videos.c.duplicate_of],
            row[videos.c.finished_at],
        )
        for row in rows
    ]


def _problems(read: Connection, query: Select[Any]) -> list[Problem]:
    rows = read.execute(query.order_by(videos.c.id.desc()).limit(SHOWN))
    return [Problem(row.id, row.name, row.why or "") for row in rows]
