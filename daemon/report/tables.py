"""The status as tables for a terminal."""

from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from daemon.home.identity import printable
from daemon.report.accuracy import Quality
from daemon.report.status import SHOWN, Problem, RecentVideo, Status, TrainingStatus


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


def _overview(status: Status, now: datetime) -> Panel:
    count = status.counts
    daemon = Text("not running", "bold red")
    if status.running:
        daemon = Text.assemble(
            ("running", "bold green"), f" for {_span(now - status.running.since)}"
        )
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


def _add_learning(grid: Table, learning: TrainingStatus, *, is_running: bool) -> None:
    labelled = f"{learning.new_labels} new label{'s' * (learning.new_labels != 1)}"
    if learning.state == "training" and not is_running:
        grid.add_row("training", f"{learning.name} ended with the daemon")
    elif learning.state in ("asked", "training"):
        doing = learning.progress or ("is asked for" if learning.state == "asked" else "begins")
        grid.add_row("training", Text(f"{learning.name} {doing}"))
    elif learning.state == "failed":
        grid.add_row(
            "training", Text(printable(f"{learning.name} failed: {learning.error}"), "yellow")
        )
        grid.add_row("", f"{labelled} since")
    elif learning.state:
        ended = (
            "stopped with the daemon"
            if learning.state == "stopped"
            else learning.verdict or "trained"
        )
        grid.add_row("training", f"{learning.name} {ended}, {labelled} since")
    elif learning.new_labels:
        grid.add_row("training", f"none yet, {labelled}: vidwatch labels tells what is missing")


def _add_quality(grid: Table, quality: Quality) -> None:
    if quality.looked_at or quality.awaiting:
        share = "no answers in the last 7 days"
        if quality.looked_at:
            share = f"{quality.unsure / quality.looked_at:.1%} of the last 7 days' answers"
        awaiting = (
            f", {quality.awaiting} await{'s' * (quality.awaiting == 1)} review"
            if quality.awaiting
            else ""
        )
        grid.add_row("unsure", share + awaiting)
    if (live := quality.live) and live.n:
        low, high = live.interval
        clips = f"{live.n} clip{'s' * (live.n != 1)} drawn at random"
        grid.add_row(
            "live accuracy", f"{live.right / live.n:.1%} ({low:.1%} to {high:.1%}) of {clips}"
        )
    elif quality.to_review:
        grid.add_row("live accuracy", Text("not reviewed yet: vidwatch review", "dim"))
    for warning in quality.drift:
        grid.add_row("drift", Text(printable(warning), "yellow"))


def _recent_table(recent: list[RecentVideo], now: datetime) -> Table:
    table = _video_table("Last answers", "bold")
    table.add_column("class", style="bold", overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("")
    for answered in recent:
        probability = Text(
            f"{answered.probability:.1%}", "yellow" if answered.probability < 0.5 else "green"
        )
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
        table.add_row(
            str(problem.id), Text(printable(problem.name)), Text(printable(problem.reason))
        )
    return table


def _video_table(title: str, style: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style=style, box=None, padding=(0, 2, 0, 0)
    )
    table.add_column("id", justify="right", style="dim")
    table.add_column("video", no_wrap=True, overflow="ellipsis", max_width=60)
    return table


def _span(time: timedelta) -> str:
    seconds = max(int(time.total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
