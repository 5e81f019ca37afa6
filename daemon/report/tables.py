"""The status as tables for a terminal."""

from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.text import Text

from daemon.home.address import Server
from daemon.home.clock import local_time
from daemon.home.folder import Home, Running
from daemon.home.machine import machine_name
from daemon.home.pause import Pause, read_pause
from daemon.home.texts import clock, familiarity_in_words, printable, with_source
from daemon.home.unsure import DOUBTS
from daemon.labels.next_clips import unsure_in_words
from daemon.report.accuracy import Quality
from daemon.report.daemons import add_daemons
from daemon.report.fitting import Column, Facts, FittingTable
from daemon.report.problems import Problem
from daemon.report.receivers import ReceiverStatus
from daemon.report.status import SHOWN, RecentVideo, Status
from daemon.report.training import TrainingStatus
from daemon.report.waits import Wait
from learner.texts import counted, share_in_words


def render(status: Status, now: datetime) -> RenderableType:
    """The status as tables for a terminal."""
    parts: list[RenderableType] = [_overview(status, now)]
    if status.recent:
        parts.append(_recent_table(status.recent, now))
    if status.waits:
        parts.append(_wait_table(status.waits, now))
    if status.troubled:
        parts.append(_problem_table("In trouble, tried again by itself", status.troubled, "yellow"))
    if status.failed:
        shown = f", the last {SHOWN}" if len(status.failed) == SHOWN else ""
        parts.append(_problem_table(f"Failed{shown}", status.failed, "red"))
    return Group(*parts)


def render_without_database(home: Home, now: datetime) -> RenderableType:
    """What is known of a home whose database cannot be read now: the daemon and its notices."""
    grid = _grid(home)
    running = home.running()
    if isinstance(home.database, Server):
        unknown = "not known: the server of the database cannot be asked"
        grid.add_row("daemons", Text(unknown, "bold red"))
    if running or isinstance(home.database, Path):
        _add_daemon(grid, running, now)
    _add_rest(grid, read_pause(home.pause, now), running)
    return grid


def _overview(status: Status, now: datetime) -> Facts:
    grid = _grid(status.home)
    if status.daemons is None:
        _add_daemon(grid, status.running, now)
    else:
        add_daemons(grid, status.daemons, machine_name(), now)
    _add_rest(grid, status.pause, status.running)
    if status.settings_are_newer:
        grid.add_row("", Text("vidwatch.toml was changed since it started: restart it", "yellow"))
    _add_model(grid, status)
    _add_counts(grid, status)
    _add_quality(grid, status.quality)
    _add_training(grid, status.training, is_running=status.is_running)
    for at, receiver in enumerate(status.receivers):
        grid.add_row("" if at else "told", _receiver(receiver, now))
    notes = (
        ("classes", status.odd_names),
        ("links", status.links),
        ("no label", status.loose_files),
    )
    for subject, problems in notes:
        for at, problem in enumerate(problems):
            grid.add_row("" if at else subject, Text(problem, "yellow"))
    return grid


def _grid(home: Home) -> Facts:
    grid = Facts("vidwatch")
    grid.add_row("home", printable(str(home.root)))
    return grid


def _add_daemon(grid: Facts, running: Running | None, now: datetime) -> None:
    if running is None:
        grid.add_row("daemon", Text("not running", "bold red"))
    else:
        since = f" for {_span(now - running.since)}"
        process = f", process {running.pid}"
        state = ("starting", "bold yellow") if running.is_starting else ("running", "bold green")
        text = Text.assemble(state, since, (process, "dim"))
        grid.add_row("daemon", text)
        for subject, notice in running.notices.items():
            grid.add_row("", Text(f"{subject}: {notice}", "yellow"))


def _add_rest(grid: Facts, pause: Pause | None, running: Running | None) -> None:
    """Why no new clip begins, and until when."""
    if pause:
        hint = "; 'vidwatch resume' ends it" if pause.until else ""
        grid.add_row("paused", Text(f"{pause.in_words()}{hint}", "bold yellow"))
    if running and running.closed_until:
        text = f"outside of them: no new clip begins until {local_time(running.closed_until)}"
        grid.add_row("working hours", Text(text, "yellow"))


def _add_model(grid: Facts, status: Status) -> None:
    model = Text(status.model or "none yet")
    if status.model and not status.is_running:
        when = "when it last ran" if status.model_has_run else "from the next start on"
        model.append(f"  {when}", "dim")
    elif status.running and status.running.runs_on:
        model.append(f"  on {status.running.runs_on}", "dim")
    grid.add_row("model", model)
    if status.guessing:
        hint = "'vidwatch labels' says what to label"
        grid.add_row("", Text(f"it is {status.guessing}: {hint}", "yellow"))
    if status.optimistic:
        grid.add_row("", Text(printable(f"its accuracy is {status.optimistic}")))
    if status.unsure_rule:
        style = "yellow" if status.unsure_rule.problem else ""
        grid.add_row("automatic", Text(printable(status.unsure_rule.in_words()), style))
    if status.fallback:
        grid.add_row("", Text(printable(status.fallback), "yellow"))


def _add_counts(grid: Facts, status: Status) -> None:
    count = status.counts
    waiting = f", and {count['waiting']} waiting to be whole" if count["waiting"] else ""
    last = f", {count['background']} of them after all others" if count["background"] else ""
    grid.add_row("queued", f"{count['queued']}{last}{waiting}")
    grid.add_row("in hand", str(count["in_hand"]))
    for video in status.long_in_hand:
        name = with_source(video.name, video.source)
        done = f"its first {clock(video.predicted_until)} are predicted"
        grid.add_row("", Text(f"{printable(name)}: {done}", "dim"))
    duplicates = f", {status.duplicates} of them duplicates" if status.duplicates else ""
    grid.add_row("filed", f"{count['filed']}{duplicates}")
    if status.trash.files:
        files = counted(status.trash.files, "file")
        grid.add_row("in the trash", f"{files}, {decimal(status.trash.bytes)}")
    forgotten = f", and {count['forgotten']} forgotten" if count["forgotten"] else ""
    failed = Text(f"{count['failed']}{forgotten}", "red" if count["failed"] else "")
    grid.add_row("failed", failed)
    grid.add_row("clips a minute", status.rate.in_words())


def _add_quality(grid: Facts, quality: Quality) -> None:
    if quality.counted or quality.awaiting:
        grid.add_row("unsure", _unsure(quality))
    live = quality.live
    if live and live.n:
        low, high = live.interval
        share = f"{live.right / live.n:.1%} ({low:.1%} to {high:.1%})"
        grid.add_row("live accuracy", f"{share} of {counted(live.n, 'clip')} drawn at random")
    elif quality.to_review:
        grid.add_row("live accuracy", Text("not reviewed yet: vidwatch review", "dim"))
    for warning in quality.drift:
        grid.add_row("drift", Text(printable(warning), "yellow"))


def _unsure(quality: Quality) -> str:
    text = "no predictions in the last 7 days"
    if quality.counted:
        text = f"{quality.unsure / quality.counted:.1%} of the last 7 days' predictions"
    if quality.awaiting:
        text += f"; {unsure_in_words(quality.awaiting)}: vidwatch review"
    return text


def _add_training(grid: Facts, training: TrainingStatus, *, is_running: bool) -> None:
    if training.state is not None:
        grid.add_row("training", _training(training, is_running=is_running))
        if training.reason:
            grid.add_row("", Text(printable(training.reason), "yellow"))
        if training.next and training.state == "trained":
            grid.add_row("next", Text(printable(training.next)))
    if training.outlook and training.state not in ("training", "asked"):
        subject = "training" if training.state is None else ""
        grid.add_row(subject, Text(f"{training.outlook}; see 'vidwatch labels'"))


def _training(training: TrainingStatus, *, is_running: bool) -> Text:
    """What became of the newest training."""
    name = training.name
    if training.state == "training" and not is_running:
        return Text(f"{name} ended with the daemon")
    if training.state == "training":
        return Text(f"{name} {training.progress or 'begins'}")
    if training.state == "asked":
        return Text(f"{name} {training.progress or 'is asked for'}")
    if training.state == "failed":
        hint = "'vidwatch retrain' tries it again at once"
        return Text(printable(f"{name} failed: {training.error}; {hint}"), "yellow")
    least = "at least " if training.new_labels_at_least else ""
    labels = f"{least}{counted(training.new_labels, 'new label')} since"
    if training.state == "stopped":
        return Text(f"{name} stopped with the daemon, {labels}")
    return Text(f"{name} {training.verdict or 'trained'}, {labels}")


def _receiver(receiver: ReceiverStatus, now: datetime) -> Text:
    """Whether a receiver of events can be reached."""
    when = "nothing sent yet"
    if receiver.delivered_at:
        when = f"last sent {_span(now - receiver.delivered_at)} ago"
    words = receiver.in_words()
    text = f"{receiver.name}: {when}" + (f"; {words}" if words else "")
    if receiver.failing_since:
        text += f" (for {_span(now - receiver.failing_since)})"
    return Text(printable(text), "yellow" if receiver.failure else "")


# By what was done to the colours of a video.
COLOURS = {"hdr": "HDR, shown as SDR", "nearest": "colours are about right"}


def _recent_table(recent: list[RecentVideo], now: datetime) -> FittingTable:
    columns = (Column("class", "bold"), Column("probability", justify="right"), Column())
    table = _video_table("Last predictions", "bold", *columns)
    for video in recent:
        style = "yellow" if video.unsure else "green"
        # Of a clip that was predicted wrongly, the model's probability would seem the label's.
        probability = "" if video.is_corrected else f"{video.probability:.1%}"
        table.add_row(
            str(video.id),
            with_source(video.name, video.source),
            video.label or video.class_name,
            Text(probability, style),
            Text(_remarks(video, now), "dim"),
        )
    return table


def _remarks(video: RecentVideo, now: datetime) -> str:
    remarks = []
    if video.is_corrected:
        predicted = f"{printable(video.class_name)} {video.probability:.1%}"
        remarks.append(f"labelled, not {predicted}")
    elif video.label:
        remarks.append("labelled")
    elif video.starter:
        remarks.append("starter")
    if video.later and not video.label:
        later = f"{video.later.class_name} {video.later.probability:.1%}"
        remarks.append(printable(f"{video.later.model} says {later}"))
    if video.duplicate_of:
        remarks.append(f"as video {video.duplicate_of}")
    if video.dropped:
        remarks.append("dropped")
    if video.removed:
        remarks.append("in the trash" if video.removed == "trash" else "deleted")
    if not video.label:  # which settles what the model doubts
        remarks += _doubts(video)
    if video.read_share is not None and video.read_share < 1:
        remarks.append(f"cut short ({share_in_words(video.read_share)} was there)")
    remarks += picture_remarks(video.stream, video.colours)
    remarks.append(f"{_span(now - video.at)} ago")
    return ", ".join(remarks)


def _doubts(video: RecentVideo) -> list[str]:
    doubts = [DOUBTS[video.unsure]] if video.unsure else []
    strange = familiarity_in_words(video.familiarity)
    return [*doubts, strange] if strange else doubts


def picture_remarks(stream: int | None, colours: str | None) -> list[str]:
    """Of which film of a file the frames are, if it has several, and what was done to colours."""
    remarks = [] if stream is None else [f"stream {stream} of several"]
    return [*remarks, COLOURS[colours]] if colours else remarks


def _wait_table(waits: list[Wait], now: datetime) -> FittingTable:
    table = _video_table("Waiting, read again later", "bold", Column("why", wraps=True))
    for wait in waits:
        left = "now" if wait.until <= now else f"in {_span(wait.until - now)}"
        why = f"{wait.why}; it is read again {left}"
        table.add_row(str(wait.id), with_source(wait.name, wait.source), why)
    return table


def _problem_table(title: str, problems: list[Problem], style: str) -> FittingTable:
    table = _video_table(title, f"bold {style}", Column("why", wraps=True))
    for problem in problems:
        others = f" and {problem.n_more} more" if problem.n_more else ""
        name = with_source(problem.name, problem.source)
        table.add_row(str(problem.id), f"{name}{others}", problem.reason)
    return table


def _video_table(title: str, style: str, *more: Column) -> FittingTable:
    columns = (Column("id", "dim", justify="right"), Column("video"), *more)
    return FittingTable(title, columns, style=style, n_keys=2)


def _span(time: timedelta) -> str:
    """A length of time in its largest unit of which there are at least two."""
    seconds = max(int(time.total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
