"""What `vidwatch show` and `vidwatch find` print, for a terminal of any width, or a pipe."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from daemon.home.identity import is_there
from daemon.home.texts import clock, familiarity_in_words, printable, shown_path
from daemon.home.unsure import DOUBTS
from daemon.report.by_class import InVideo
from daemon.report.events import UNSURE, Event, seconds_of
from daemon.report.fitting import Column, Facts, FittingTable
from daemon.report.one_video import Given, Predicted, VideoReport
from daemon.report.story_tables import (
    TIME,
    ProbabilityBars,
    copies_table,
    happenings_table,
    in_one_text,
    moment,
    way,
)
from daemon.report.tables import picture_remarks
from daemon.report.timeline import Timeline
from learner.texts import counted, share_in_words

LIKELIEST = 5  # classes whose logits are shown
WIDEST = 60  # cells of a bar
NARROWEST = 10
FULL = 0.5  # share of a cell's time from which on it is drawn as full


def render(report: VideoReport) -> RenderableType:
    """Everything that is known of a video."""
    parts: list[RenderableType] = [_about(report)]
    parts += [Text(), _predictions(report.predictions)] if report.predictions else []
    for one in report.predictions:
        if one.probabilities is not None:
            parts += [Text(), ProbabilityBars(one.model, one.probabilities)]
    parts += [Text(), _labels(report.labels)] if report.labels else []
    if report.story and report.story.copies:
        parts += [Text(), copies_table(report.story.copies)]
    if report.story and report.story.happenings:
        parts += [Text(), happenings_table(report.story.happenings)]
    if report.timeline.windows:
        events = report.timeline.events
        parts += [Text(), Bars(report.timeline, events), Text(), _events(events)]
    return Group(*parts)


def render_found(class_name: str, found: Sequence[InVideo]) -> RenderableType:
    """The videos in which a class was found."""
    columns = (
        Column("id", "dim", justify="right"),
        Column("video"),
        Column("filed by", "bold"),
        Column("for", justify="right"),
        Column("when", wraps=True),
    )
    table = FittingTable(f"Videos with {class_name}", columns, style="bold", n_keys=2)
    for video in found:
        seconds = "" if video.seconds is None else clock(video.seconds)
        when = ", ".join(f"{clock(one.start)} to {clock(one.end)}" for one in video.events)
        table.add_row(str(video.id), video.name, video.main, seconds, when)
    return table


def _about(report: VideoReport) -> RenderableType:
    facts = Facts()
    rows = {
        "video": f"{report.id}, {report.name}",
        "file": shown_path(report.path) + ("" if is_there(report.path) else ", not there any more"),
        "state": _state(report),
        "in the trash": report.trashed_at and report.trashed_at.astimezone().strftime(TIME),
        "deleted": report.removed_at and report.removed_at.astimezone().strftime(TIME),
        "why": report.error,
        "the same as": None if report.content == report.id else f"video {report.content}",
        "arrived": moment(report.arrived_at),
        **(
            {name: in_one_text(parts) for name, parts in way(report.story).items()}
            if report.story
            else {}
        ),
        "recorded": _recorded(report),
        "camera": report.camera,
        "movement": None if report.movement is None else f"{report.movement:.1%} of the picture",
        "group": report.group,
        "windows": _why_no_windows(report),
        "length": clock(report.timeline.seconds) if report.timeline.windows else None,
    }
    for name, value in rows.items():
        if value:
            facts.add_row(name, printable(value))
    return facts


def _why_no_windows(report: VideoReport) -> str | None:
    """Why a video that may be long has none."""
    why = next((one.uncut for one in report.predictions if one.kind == "answer"), None)
    return f"none, however long it is: {why}" if why else None


def _state(report: VideoReport) -> str:
    if report.predicted_until is None:
        return report.state
    return f"{report.state}: its first {clock(report.predicted_until)} are predicted"


def _recorded(report: VideoReport) -> str | None:
    if report.recorded_at is None:
        return None
    return f"{report.recorded_at.astimezone().strftime(TIME)} (by the {report.recorded_by})"


def _predictions(predictions: Sequence[Predicted]) -> RenderableType:
    columns = (
        Column("model"),
        Column("class", "bold"),
        Column("probability", justify="right"),
        Column("logits", "dim", wraps=True),
        Column("", "yellow", wraps=True),
    )
    table = FittingTable("Predictions", columns, style="bold", n_keys=3)
    for one in predictions:
        best = list(one.logits.items())
        logits = ", ".join(f"{name} {logit:.2f}" for name, logit in best[:LIKELIEST])
        more = f" and {len(best) - LIKELIEST} more" if len(best) > LIKELIEST else ""
        probability = f"{one.probability:.1%}"
        table.add_row(one.model, one.class_name, probability, logits + more, remarks(one))
    return table


def remarks(one: Predicted) -> str:
    """What is to be said of a prediction, beside its class: in a few words."""
    found = [] if one.kind == "answer" else [one.kind]
    if one.machine:
        found.append(f"on {printable(one.machine)}")
    found.append(counted(one.frames_read, "frame"))
    if one.unsure:
        found.append(DOUBTS[one.unsure])
    if strange := familiarity_in_words(one.familiarity):
        found.append(strange)
    if one.read_share is not None and one.read_share < 1:
        found.append(f"{share_in_words(one.read_share)} of it could be read")
    return ", ".join(found + picture_remarks(one.stream, one.colours))


def _labels(labels: Sequence[Given]) -> RenderableType:
    columns = (
        Column("label", "bold"),
        Column("by"),
        Column("how"),
        Column("at"),
        Column("", wraps=True),
    )
    table = FittingTable("Labels of the video, the newest first", columns, style="bold")
    for one in labels:
        name = one.class_name or one.verdict
        at = one.at.astimezone().strftime(TIME)
        more = ", ".join(text for text in (fate(one), one.note) if text)
        table.add_row(name, one.who, one.source, at, more)
    return table


def fate(label: Given) -> str:
    """What became of a label, in a few words; empty if a newer one counts."""
    if label.counts:
        return "counts"
    if label.taken_back_at is None:
        return ""
    return f"taken back by {label.taken_back_by}, {moment(label.taken_back_at)}"


def _events(events: Sequence[Event]) -> RenderableType:
    columns = (
        Column("from"),
        Column("to"),
        Column("class", "bold"),
        Column("probability", justify="right"),
    )
    table = FittingTable("Events", columns, style="bold", n_keys=3)
    for event in events:
        probability = "labelled" if event.probability is None else f"{event.probability:.1%}"
        times = (clock(event.start), clock(event.end))
        table.add_row(*times, event.class_name, probability)
    return table


@dataclass(frozen=True)
class Bars:
    """A bar for each class: when it was found, and for how long."""

    timeline: Timeline
    events: Sequence[Event]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        length = self.timeline.seconds
        classes = seconds_of(self.events)
        texts = {
            name: (printable(name), f"{clock(seconds)}  {seconds / length:.0%}")
            for name, seconds in classes.items()
        }
        widest_name = max(cell_len(name) for name, _ in texts.values())
        widest_time = max(len(time) for _, time in texts.values())
        room = options.max_width - widest_name - widest_time - 4
        is_narrow = room < NARROWEST
        width = max(NARROWEST, min(WIDEST, options.max_width if is_narrow else room))
        yield Text("What is in it, and for how long", "bold")
        for name, (text, time) in texts.items():
            own = [event for event in self.events if event.class_name == name]
            bar = _bar(own, length, width, is_ascii=options.ascii_only)
            style = "yellow" if name == UNSURE else "green"
            if is_narrow:  # the bar stands below
                yield Text(f"{text}  {time}", overflow="fold")
                yield Text(bar, style, overflow="crop", no_wrap=True)
                continue
            pad = " " * (widest_name - cell_len(text))
            line = Text.assemble(f"{text}{pad}  ", (bar, style), f"  {time:>{widest_time}}")
            line.no_wrap = True
            yield line
        indent = 0 if is_narrow else widest_name + 2
        end = clock(length)
        gap = max(1, width - len(clock(0)) - len(end))
        axis = Text(" " * indent + clock(0) + " " * gap + end, "dim")
        axis.no_wrap = True
        yield axis


def _bar(events: Sequence[Event], length: float, width: int, *, is_ascii: bool) -> str:
    """A bar in so many cells, each a part of the video."""
    full, some, none = ("#", "-", ".") if is_ascii else ("█", "▌", "·")
    covered = [0.0] * width
    cell = length / width
    for event in events:
        first = min(int(event.start / cell), width - 1)
        last = min(int(event.end / cell), width - 1)
        for place in range(first, last + 1):
            begin = max(event.start, place * cell)
            covered[place] += max(0.0, min(event.end, (place + 1) * cell) - begin)
    least = 1e-6 * cell
    return "".join(
        full if seconds >= FULL * cell else some if seconds > least else none for seconds in covered
    )
