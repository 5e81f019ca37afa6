"""What there is to know about a home, by queries that only read: as a table for people, or as JSON."""

import os
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, Select, and_, func, select
from sqlalchemy.exc import DatabaseError

from daemon.database.integrity import SAFE, is_damage
from daemon.database.queue import connect
from daemon.database.tables import STATES, decisions, models, predictions, trainings, videos
from daemon.home.folder import Home, Running
from daemon.home.identity import printable
from daemon.home.moving import Folders
from daemon.labels.labels import new_since
from daemon.report.accuracy import Quality, quality
from daemon.training.decisions import BY_ITSELF, History
from learner.errors import VidwatchError

RATE_WINDOW = timedelta(minutes=5)
SHOWN = 10


@dataclass(frozen=True)
class Answered:
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
class Learning:
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
    learning: Learning
    recent: list[Answered]
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
    engine = connect(home.database, read_only=True)
    try:
        champion = History(engine).champion()
        with engine.begin() as read:
            model = _name(champion) or read.scalar(select(models.c.name).order_by(models.c.used_at.desc()).limit(1))
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
                _problems(read, select(videos, videos.c.error.label("why")).where(videos.c.error.is_not(None))),
                _problems(read, select(videos, videos.c.trouble.label("why")).where(videos.c.trouble.is_not(None))),
            )
    except DatabaseError as error:
        reason, hint = str(error.orig), ""
        if is_damage(error.orig) or not home.database.stat().st_size:
            raise VidwatchError(f"database {home.database} is damaged ({reason}): {SAFE}") from error
        if "unable to open" in reason or "readonly" in reason:
            hint = "; run this as the daemon's user"
        elif "no such" in reason:
            hint = f"; it is not up to date: run vidwatch init {home.root}"
        raise VidwatchError(f"database {home.database}: {reason}{hint}") from error
    finally:
        engine.dispose()


def counts(read: Connection) -> dict[str, int]:
    """The number of videos in each state, and how many are in hand."""
    few = videos.c.state.in_([state for state in STATES if state != "filed"])  # of millions, nearly all are filed
    found: dict[str, int] = {
        row.state: row.n
        for row in read.execute(select(videos.c.state, func.count().label("n")).where(few).group_by(videos.c.state))
    }
    found["filed"] = (read.scalar(select(func.count()).select_from(videos)) or 0) - sum(found.values())
    unmoved = read.scalar(select(func.count()).where(videos.c.destination.is_not(None))) or 0
    return {**{state: found.get(state, 0) for state in STATES}, "in_hand": found.get("claimed", 0) + unmoved}


def render(status: Status, now: datetime) -> RenderableType:
    """The status as a table for a terminal."""
    parts: list[RenderableType] = [_overview(status, now)]
    if status.recent:
        parts.append(_recent_table(status.recent, now))
    if status.troubled:
        parts.append(_problem_table("In trouble, tried again by itself", status.troubled, "yellow"))
    if status.failed:
        shown = f", the last {SHOWN}" if len(status.failed) == SHOWN else ""
        parts.append(_problem_table(f"Failed{shown}", status.failed, "red"))
    return Group(*parts)


def _changed_after(home: Home, since: datetime) -> bool:
    try:
        return home.settings.stat().st_mtime > since.timestamp()
    except OSError:
        return False


def _rate(read: Connection, now: datetime) -> float:
    # Among the conditions, the state would have SQLite look through all that was ever filed.
    filed = select(func.count().filter(videos.c.state == "filed")).where(videos.c.finished_at > now - RATE_WINDOW)
    return round((read.scalar(filed) or 0) / (RATE_WINDOW / timedelta(minutes=1)), 1)


def _name(champion: str | None) -> str | None:
    """As in `models`, where vidwatch.toml gives the path of one."""
    path = PurePath(champion or "")
    return (path.stem if path.suffix in (".json", ".safetensors") else path.name) or None


def _fallback(read: Connection) -> str | None:
    """Why another model answers than people or a comparison had chosen."""
    row = read.execute(select(decisions).order_by(decisions.c.id.desc()).limit(1)).first()
    return str(row.reason) if row and row.verdict == "rolled back" and row.reason.endswith(BY_ITSELF) else None


def _learning(read: Connection) -> Learning:
    known = trainings.c.state.in_(("trained", "failed"))
    last = read.scalar(select(func.max(trainings.c.last_label)).where(known)) or 0
    new = sum(row.n for row in read.execute(new_since(last)))
    row = read.execute(select(trainings).order_by(trainings.c.id.desc()).limit(1)).first()
    if row is None:
        return Learning(None, None, None, None, None, new)
    compared = select(decisions.c.verdict).where(decisions.c.challenger == row.name).order_by(decisions.c.id.desc())
    return Learning(row.name, row.state, row.progress, row.error, read.scalar(compared.limit(1)), new)


def _recent(read: Connection) -> list[Answered]:
    of_content = predictions.c.video_id == func.coalesce(videos.c.duplicate_of, videos.c.id)
    answer = and_(of_content, predictions.c.kind == "answer")
    ended = select(videos, predictions).join(predictions, answer).where(videos.c.finished_at.is_not(None))
    rows = read.execute(ended.order_by(videos.c.finished_at.desc(), videos.c.id.desc()).limit(SHOWN)).mappings()
    return [
        Answered(
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


def _overview(status: Status, now: datetime) -> Panel:
    count = status.counts
    daemon = Text("not running", "bold red")
    if status.running:
        daemon = Text.assemble(("running", "bold green"), f" for {_span(now - status.running.since)}")
        daemon.append(f", process {status.running.pid}", "dim")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    grid.add_row("daemon", daemon)
    if status.settings_are_newer:
        grid.add_row("", Text("vidwatch.toml was changed since it started: restart it", "yellow"))
    for subject, told in status.running.notices.items() if status.running else ():
        grid.add_row("", Text(f"{subject}: {told}", "yellow"))
    when = "" if status.running or not status.model else "  when it last ran"
    grid.add_row("model", Text.assemble(status.model or "none yet", (when, "dim")))
    if status.fallback:
        grid.add_row("", Text(printable(status.fallback), "yellow"))
    arriving = f", and {count['waiting']} waiting to be whole" if count["waiting"] else ""
    grid.add_row("queued", f"{count['queued']}{arriving}")
    grid.add_row("in hand", str(count["in_hand"]))
    doubles = f", {status.duplicates} of them duplicates" if status.duplicates else ""
    grid.add_row("filed", f"{count['filed']}{doubles}")
    grid.add_row("failed", Text(str(count["failed"]), "red" if count["failed"] else ""))
    grid.add_row("clips a minute", f"{status.clips_a_minute:.1f} over the last 5 minutes")
    _add_quality(grid, status.quality)
    _add_learning(grid, status.learning, is_running=status.running is not None)
    return Panel(grid, title=f"vidwatch · {status.home.root}", title_align="left", expand=False)


def _add_learning(grid: Table, learning: Learning, *, is_running: bool) -> None:
    labelled = f"{learning.new_labels} new label{'s' * (learning.new_labels != 1)}"
    if learning.state == "training" and not is_running:
        grid.add_row("training", f"{learning.name} ended with the daemon")
    elif learning.state in ("asked", "training"):
        doing = learning.progress or ("is asked for" if learning.state == "asked" else "begins")
        grid.add_row("training", Text(f"{learning.name} {doing}"))
    elif learning.state == "failed":
        grid.add_row("training", Text(printable(f"{learning.name} failed: {learning.error}"), "yellow"))
        grid.add_row("", f"{labelled} since")
    elif learning.state:
        ended = "stopped with the daemon" if learning.state == "stopped" else learning.verdict or "trained"
        grid.add_row("training", f"{learning.name} {ended}, {labelled} since")
    elif learning.new_labels:
        grid.add_row("training", f"none yet, {labelled}: vidwatch labels tells what is missing")


def _add_quality(grid: Table, quality: Quality) -> None:
    if quality.looked_at or quality.awaiting:
        share = "no answers in the last 7 days"
        if quality.looked_at:
            share = f"{quality.unsure / quality.looked_at:.1%} of the last 7 days' answers"
        awaiting = f", {quality.awaiting} await{'s' * (quality.awaiting == 1)} review" if quality.awaiting else ""
        grid.add_row("unsure", share + awaiting)
    if (live := quality.live) and live.n:
        low, high = live.interval
        clips = f"{live.n} clip{'s' * (live.n != 1)} drawn at random"
        grid.add_row("live accuracy", f"{live.right / live.n:.1%} ({low:.1%} to {high:.1%}) of {clips}")
    elif quality.to_review:
        grid.add_row("live accuracy", Text("not reviewed yet: vidwatch review", "dim"))
    for warning in quality.drift:
        grid.add_row("drift", Text(printable(warning), "yellow"))


def _recent_table(recent: list[Answered], now: datetime) -> Table:
    table = _video_table("Last answers", "bold")
    table.add_column("class", style="bold", overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("")
    for answered in recent:
        probability = Text(f"{answered.probability:.1%}", "yellow" if answered.probability < 0.5 else "green")
        note = f"as video {answered.duplicate_of}, " if answered.duplicate_of else ""
        note += "unsure, " if answered.doubt else ""
        if answered.read_share is not None and answered.read_share < 1:
            note += f"cut short ({answered.read_share:.0%} was there), "
        ago = Text(f"{note}{_span(now - answered.at)} ago", "dim")
        name, answer = Text(printable(answered.name)), Text(printable(answered.class_name))
        table.add_row(str(answered.id), name, answer, probability, ago)
    return table


def _problem_table(title: str, problems: list[Problem], style: str) -> Table:
    table = _video_table(title, f"bold {style}")
    table.add_column("why", overflow="fold")
    for problem in problems:
        table.add_row(str(problem.id), Text(printable(problem.name)), Text(printable(problem.reason)))
    return table


def _video_table(title: str, style: str) -> Table:
    table = Table(title=title, title_justify="left", title_style=style, box=None, padding=(0, 2, 0, 0))
    table.add_column("id", justify="right", style="dim")
    table.add_column("video", no_wrap=True, overflow="ellipsis", max_width=60)
    return table


def _span(time: timedelta) -> str:
    seconds = max(int(time.total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
