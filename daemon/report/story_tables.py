"""What `vidwatch show` prints of a video's way, and of the probabilities of all classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from daemon.home.identity import is_there
from daemon.home.texts import printable, shown_path
from daemon.report.fitting import Column, FittingTable
from daemon.report.story import Copy, Happening, Story

TIME = "%d %b %Y %H:%M:%S %Z"
STAYS = {
    "leave": "stays where it is",
    "copy": "is copied, and stays where it is, too",
    "hardlink": "gets a second name, and stays where it is, too",
}
WHAT = {
    "moved": "moved",
    "trouble": "could not be read or moved",
    "held": "is read again later",
    "failed": "failed",
    "again": "was tried again",
}
MOST = 10  # classes with a bar
WIDEST = 40  # cells of a bar
NARROWEST = 10
ZERO = 0.0005  # is shown as 0.0%


def way(story: Story) -> dict[str, list[str | datetime]]:
    """The way of a video, by the names of its rows: each is of texts and times, in order."""
    rows: dict[str, list[str | datetime | None]] = {
        "came from": [story.came_from],
        "its file": [STAYS.get(story.on_filed or "")],
        "copied from": [None if story.left_at is None else shown_path(story.left_at)],
        "is moved to": [_goal(story)],
        "finished": [],
        "crashes": [str(story.attempts) if story.attempts else None],
        "tries": [f"{story.tries} in a row without success" if story.tries else None],
    }
    if story.finished_at is not None and story.seconds_taken is not None:
        after = f", {_seconds(story.seconds_taken)} after it came"
        rows["finished"] = [story.finished_at, after]
    again: list[str | datetime | None] = []
    if story.retry_at is not None:
        again = ["; again at ", story.retry_at]
    for name, text in (("trouble", story.trouble), ("waits", story.held)):
        rows[name] = [text, *again] if text else []
    shown = {name: [part for part in parts if part] for name, parts in rows.items()}
    return {name: parts for name, parts in shown.items() if parts}


def in_one_text(parts: Iterable[str | datetime]) -> str:
    """What `way` gives of one row, for a terminal."""
    return "".join(part if isinstance(part, str) else moment(part) for part in parts)


def moment(time: datetime) -> str:
    """A time in the zone of the person."""
    return time.astimezone().strftime(TIME)


def happenings_table(happenings: Sequence[Happening]) -> RenderableType:
    """What befell a video, in order."""
    columns = (Column("at"), Column("what", "bold"), Column("", wraps=True))
    table = FittingTable("What befell it", columns, style="bold")
    for one in happenings:
        table.add_row(moment(one.at), WHAT[one.what], more_of(one))
    return table


def more_of(one: Happening) -> str:
    """What else there is to say of something that befell a video; may be empty."""
    if one.what != "moved" or one.path is None:
        return one.text or ""
    to = "" if one.to is None else f" to {shown_path(one.to)}"
    return f"from {shown_path(one.path)}{to}"


def copies_table(copies: Sequence[Copy]) -> RenderableType:
    """Other videos with the same content."""
    columns = (Column("id", "dim", justify="right"), Column("video"), Column("file", wraps=True))
    table = FittingTable("The same content", columns, style="bold", n_keys=2)
    for one in copies:
        gone = "" if is_there(one.path) else ", not there any more"
        table.add_row(str(one.id), one.name, shown_path(one.path) + gone)
    return table


@dataclass(frozen=True)
class ProbabilityBars:
    """A bar for each of the likeliest classes."""

    model: str
    probabilities: Mapping[str, float]
    """By class, the largest first."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"Probabilities by {printable(self.model)}", "bold")
        shown = [pair for pair in self.probabilities.items() if pair[1] >= ZERO][:MOST]
        names = [printable(name) for name, _ in shown]
        widest = max(map(cell_len, names), default=0)
        room = options.max_width - widest - 10
        width = max(NARROWEST, min(WIDEST, room))
        full, none = ("#", ".") if options.ascii_only else ("█", "·")
        for name, (_, probability) in zip(names, shown, strict=True):
            cells = round(width * probability)
            bar = full * cells + none * (width - cells)
            pad = " " * (widest - cell_len(name))
            share = f"{probability:>6.1%}"
            if room < NARROWEST:
                yield Text(f"{name}  {share.strip()}", overflow="fold")
                yield Text(bar, "green", overflow="crop", no_wrap=True)
            else:
                yield Text.assemble(f"{name}{pad}  ", (bar, "green"), f"  {share}")
        if more := len(self.probabilities) - len(shown):
            yield Text(f"and {more} less likely", "dim")


def _goal(story: Story) -> str | None:
    goals = [path for path in (story.moving_to, story.destination) if path is not None]
    return ", then ".join(map(shown_path, dict.fromkeys(goals))) or None


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
