"""What there is to know about a home, by queries that only read: for people, or as JSON."""

import os
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, and_, func, select

from daemon.database.connection import opened
from daemon.database.daemons import Member, members
from daemon.database.expressions import as_now, content_of_video, that_counts
from daemon.database.tables import models, predictions, videos
from daemon.home.address import Server
from daemon.home.folder import Home, Running
from daemon.home.folders import Folders
from daemon.home.left_alone import LeftAlone
from daemon.home.links import links_in
from daemon.home.loose_files import loose_files_in_words
from daemon.home.pause import Pause, read_pause
from daemon.home.unsure import UnsureRule
from daemon.labels.classes import starter_is_outgrown
from daemon.labels.odd_names import odd_names
from daemon.labels.queries import label_of
from daemon.report.accuracy import Quality, quality
from daemon.report.counts import counts as counts
from daemon.report.later import Later, later_predictions
from daemon.report.long_in_hand import LongInHand, long_in_hand
from daemon.report.model_in_use import entry_of, fallback, first_model, has_run, unsure_rule_of
from daemon.report.problems import Problem, problems, troubles
from daemon.report.rate import Rate, read_rate
from daemon.report.receivers import ReceiverStatus, read_receivers
from daemon.report.training import TrainingStatus, read_forecast, read_training
from daemon.report.trash import TrashContent, removed_in_words, trash_content
from daemon.report.waits import Wait, waits
from daemon.training.decisions import Decisions
from learner.catalogue import model_name

PATIENCE = 5.0  # seconds for a database that is locked: a person waits
SHOWN = 10  # videos in each table, at most


@dataclass(frozen=True)
class RecentVideo:
    """A video that was finished lately, with its prediction."""

    id: int
    name: str
    source: str | None
    """The folder of the inbox that it came from; None if it lay in the inbox itself."""
    path: str
    class_name: str
    probability: float
    unsure: str | None
    """Why the prediction is unsure; None if it is not."""
    read_share: float | None
    """How much of the clip could be read; None if that is not known."""
    label: str | None
    """The class of its label, or of a copy's; None if it has none."""
    is_corrected: bool
    """Whether its label is of another class than was predicted."""
    duplicate_of: int | None
    """The first video with the same content, whose prediction this is; None if it is its own."""
    dropped: bool
    """Whether its file was removed, since another one has the same content."""
    removed: str | None
    """"trash" if its file lies there, "deleted" if it was deleted from there; None else."""
    at: datetime
    """When the video was finished."""
    model: str
    """The model that predicted it."""
    starter: bool
    """Whether that was the starter, and people have labelled classes of their own since."""
    familiarity: float | None
    """The share of the model's known clips that look stranger; None if it could not say."""
    recorded_at: datetime | None
    """None if nothing says it."""
    recorded_by: str | None
    """What says when it was recorded: "container", "name" or "file"."""
    camera: str | None
    """Its make and model; None if the container does not name them."""
    movement: float | None
    """The share of the picture that changes; None if it was not measured."""
    stream: int | None
    """Of several films in the file, the stream that was predicted, from 0; None if there is one."""
    colours: str | None
    """What was done to the colours: "hdr" or "nearest"; None if nothing was."""
    later: Later | None
    """What the champion says of it since `vidwatch rescore`; None if that was not asked."""

    def to_json(self) -> dict[str, Any]:
        """One object; the time in ISO 8601."""
        return {
            "class": self.class_name,
            "id": self.id,
            "name": self.name,
            "source": self.source,
            "path": self.path,
            "probability": self.probability,
            "doubt": self.unsure,
            "read_share": self.read_share,
            "label": self.label,
            "corrected": self.is_corrected,
            "duplicate_of": self.duplicate_of,
            "dropped": self.dropped,
            "removed": self.removed,
            "at": self.at.isoformat(),
            "model": self.model,
            "starter": self.starter,
            "familiarity": self.familiarity,
            "recorded_at": self.recorded_at.isoformat() if self.recorded_at else None,
            "recorded_by": self.recorded_by,
            "camera": self.camera,
            "movement": self.movement,
            "stream": self.stream,
            "colours": self.colours,
            "later": asdict(self.later) if self.later else None,
        }


@dataclass(frozen=True)
class Status:
    """Everything that `vidwatch status` shows."""

    home: Home
    at: datetime
    """When this was read."""
    running: Running | None
    """The daemon of this machine; None if it does not run."""
    daemons: list[Member] | None
    """All that share the database on a server; None if it is a file."""
    pause: Pause | None
    """None if no person has asked for one, or if it is over."""
    settings_are_newer: bool
    """Whether vidwatch.toml was changed after the daemon started."""
    model: str | None
    """The champion; before the first start, the model that it begins with. None if the settings
    cannot be read.
    """
    model_has_run: bool
    """Whether the daemon has loaded this model."""
    guessing: str
    """That the champion is no better than guessing, in words; empty if it is."""
    optimistic: str
    """Why its accuracy is optimistic, in words; empty if nothing makes it so."""
    unsure_rule: UnsureRule | None
    """Below which probability its predictions are unsure, if `unsure_target` is set."""
    fallback: str | None
    """Why the daemon went back to an earlier model by itself; None if it did not."""
    counts: dict[str, int]
    """As `counts` gives them."""
    long_in_hand: list[LongInHand]
    duplicates: int
    trash: TrashContent
    rate: Rate
    quality: Quality
    training: TrainingStatus
    odd_names: list[str]
    """What is wrong with the names of classes, and what to do."""
    links: list[str]
    """Which links in the home's folders are left alone."""
    loose_files: list[str]
    """Which files lie beside the class folders instead of in one."""
    recent: list[RecentVideo]
    """The videos finished last, the newest first."""
    failed: list[Problem]
    troubled: list[Problem]
    """The videos in temporary trouble, which are tried again."""
    waits: list[Wait]
    """The videos that are read again later, although nothing is wrong."""
    receivers: list[ReceiverStatus]

    @property
    def is_running(self) -> bool:
        """Whether a daemon runs, on this machine or on another one."""
        others = self.daemons or []
        return self.running is not None or any(one.is_at_work(self.at) for one in others)

    @property
    def state(self) -> str:
        """Of the daemon: "running", "starting" or "not running"."""
        if self.running is None:
            return "not running"
        return "starting" if self.running.is_starting else "running"

    def to_json(self) -> dict[str, Any]:
        """One object; times in ISO 8601."""
        closed_until = self.running.closed_until if self.running else None
        others = self.daemons
        daemon = {
            "running": self.running is not None,
            "state": self.state,
            "pid": self.running.pid if self.running else None,
            "since": self.running.since.isoformat() if self.running else None,
            "notices": dict(self.running.notices) if self.running else {},
            "settings_are_newer": self.settings_are_newer,
            "runs_on": self.running.runs_on if self.running else None,
            "closed_until": closed_until.isoformat() if closed_until else None,
        }
        return {
            "home": str(self.home.root),
            "daemon": daemon,
            **({"daemons": [one.to_json(self.at) for one in others]} if others is not None else {}),
            "paused": self.pause.to_json() if self.pause else None,
            "model": self.model,
            "guessing": self.guessing or None,
            "optimistic": self.optimistic or None,
            "unsure_rule": self.unsure_rule.to_json() if self.unsure_rule else None,
            "fallback": self.fallback,
            **self.counts,
            "long_in_hand": [asdict(video) for video in self.long_in_hand],
            "duplicates": self.duplicates,
            "trash": asdict(self.trash),
            "clips_a_minute": self.rate.clips_a_minute,
            **self.quality.to_json(),
            "training": asdict(self.training),
            "odd_names": self.odd_names,
            "links": self.links,
            "loose_files": self.loose_files,
            "recent": [video.to_json() for video in self.recent],
            "failures": [asdict(problem) for problem in self.failed],
            "troubles": [asdict(problem) for problem in self.troubled],
            "waits": [wait.to_json() for wait in self.waits],
            "receivers": [receiver.to_json() for receiver in self.receivers],
        }


def read_status(home: Home, now: datetime) -> Status:
    """The status of a home, with or without a daemon.

    Raises:
        VidwatchError: there is no home, or this user cannot read its database.
        PassingError: another program has locked it for reading, too.
    """
    home.require()
    running = home.running()
    with opened(home.database, read_only=True, patience=PATIENCE) as engine:
        champion = Decisions(engine).champion()
        forecast = read_forecast(engine, home)
        with engine.begin() as connection:
            model = model_name(champion) if champion else first_model(connection, home)
            entry = entry_of(home, champion)
            return Status(
                home=home,
                at=now,
                running=running,
                daemons=members(connection) if isinstance(home.database, Server) else None,
                pause=read_pause(home.pause, now),
                settings_are_newer=running is not None and _changed(home, running.since, now),
                model=model,
                model_has_run=has_run(connection, model),
                guessing=entry.guessing_in_words(),
                optimistic=entry.optimistic,
                unsure_rule=unsure_rule_of(home, champion),
                fallback=fallback(connection),
                counts=counts(connection),
                long_in_hand=long_in_hand(connection, SHOWN),
                duplicates=_duplicates(connection),
                trash=trash_content(connection, home),
                rate=read_rate(connection, now),
                quality=quality(connection, Folders(home.root), model, now),
                training=read_training(connection, forecast),
                odd_names=odd_names(connection, home.root),
                links=links_in(home.root),
                loose_files=loose_files_in_words(home.root, partial(_left_alone, home)),
                recent=_recent(connection),
                failed=problems(connection, videos.c.error, SHOWN),
                troubled=troubles(connection, SHOWN),
                waits=waits(connection, SHOWN),
                receivers=read_receivers(connection),
            )


def _left_alone(home: Home) -> LeftAlone:
    # The status is shown in less time than this import takes.
    from daemon.home.settings import load_left_alone

    return load_left_alone(home.settings)


def _changed(home: Home, since: datetime, now: datetime) -> bool:
    """Whether the settings were changed since then; a date in the future says nothing."""
    try:
        return since.timestamp() < home.settings.stat().st_mtime <= now.timestamp() + 1
    except OSError:
        return False


def _duplicates(connection: Connection) -> int:
    return connection.scalar(select(func.count()).where(videos.c.duplicate_of.is_not(None))) or 0


def _recent(connection: Connection) -> list[RecentVideo]:
    content = content_of_video()
    own = and_(predictions.c.video_id == content, that_counts())
    is_outgrown = starter_is_outgrown(connection)
    query = (
        select(
            videos,
            predictions,
            models.c.name.label("model"),
            content.label("content"),
            as_now(predictions.c["class"]).label("predicted"),
        )
        .join(predictions, own)
        .join(models, models.c.id == predictions.c.model_id)
        .where(videos.c.finished_at.is_not(None))
        .order_by(videos.c.finished_at.desc(), videos.c.id.desc())
        .limit(SHOWN)
    )
    found = []
    rows = connection.execute(query).mappings().all()
    later = later_predictions(connection, [row["content"] for row in rows])
    for row in rows:
        label = label_of(connection, row["content"])
        video = RecentVideo(
            id=row[videos.c.id],
            name=row[videos.c.name],
            source=row[videos.c.source],
            path=os.fsdecode(row[videos.c.path]),
            class_name=row[predictions.c["class"]],
            probability=row[predictions.c.probability],
            unsure=row[predictions.c.doubt],
            read_share=row[predictions.c.read_share],
            label=label,
            is_corrected=label not in (None, row["predicted"]),
            duplicate_of=row[videos.c.duplicate_of],
            dropped=row[videos.c.dropped_at] is not None,
            removed=removed_in_words(connection, row),
            at=row[videos.c.finished_at],
            model=row["model"],
            starter=is_outgrown and row["model"] == "starter",
            familiarity=row[predictions.c.familiarity],
            recorded_at=row[videos.c.recorded_at],
            recorded_by=row[videos.c.recorded_by],
            camera=row[videos.c.camera],
            movement=row[videos.c.movement],
            stream=row[predictions.c.stream],
            colours=row[predictions.c.colours],
            later=later.get(row["content"]),
        )
        found.append(video)
    return found
