"""Shows the progress of slow commands: bars on a terminal, else lines.

Knows nothing of the work itself.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from learner.fit import Epoch
    from learner.train import Watch

INTERVAL = 30.0  # seconds between two lines
COUNTED = 11  # lines: over these the files a minute are counted


@contextmanager
def working(what: str) -> Iterator[None]:
    """What is being done, if there is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def reading(what: str = "reading clips") -> Iterator[Callable[[int, int | None], None]]:
    """A bar of the clips that are read, or of `what` is done, if there is a terminal.

    It gets how many were read, and of how many; None if that is not known.
    """
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
        bar = bars.add_task(what, total=None)

        def show(done: int, total: int | None) -> None:
            known = "" if total is not None else f", {done} so far"
            bars.update(bar, completed=done, total=total, description=f"{what}{known}")

        yield show


@contextmanager
def classifying() -> Iterator[Callable[[int, int, int | None], None]]:
    """As `reading`, for work that takes hours: without a terminal, it prints a line now and then.

    It gets how many files are done, how many were known before, and how many there are; None if
    that is not known.
    """
    lines = Lines(time.monotonic())
    with reading("classifying") as bar:

        def show(done: int, known: int, total: int | None) -> None:
            bar(done + known, total)
            line = lines.next(done, known, total, time.monotonic())
            if line and not sys.stderr.isatty():
                print(line, file=sys.stderr, flush=True)

        yield show


class Lines:
    """Says now and then how far the work is, how fast it is, and when it will be done."""

    def __init__(self, now: float) -> None:
        """Nothing is done at `now`, in seconds."""
        self._last = now
        self._counted = deque([(now, 0)], maxlen=COUNTED)

    def next(self, done: int, known: int, total: int | None, now: float) -> str | None:
        """The next line, if it is time for it.

        Args:
            done: How many files are done.
            known: How many were done before. They say nothing of the speed.
            total: How many there are; None if that is not known.
            now: In seconds.
        """
        if now < self._last + INTERVAL:
            return None
        self._last = now
        began, before = self._counted[0]
        self._counted.append((now, done))
        a_minute = (done - before) * 60 / (now - began)
        files = f"{done + known:,}" if total is None else f"{done + known:,} of {total:,}"
        line = f"{files} files, {a_minute:,.0f} a minute"
        if total is None or not a_minute:
            return line
        return f"{line}, about {_minutes((total - done - known) / a_minute)} left"


def _minutes(minutes: float) -> str:
    if minutes < 120:
        return f"{max(minutes, 1):.0f} min"
    return f"{minutes / 60:.0f} h" if minutes < 72 * 60 else f"{minutes / 60 / 24:.0f} days"


@contextmanager
def training(*, quick: bool) -> "Iterator[Watch]":
    """Bars on a terminal; else a line for each epoch.

    A training of a few seconds (`quick`) prints no line for an epoch.
    """
    from learner.train import Watch

    has_terminal = sys.stderr.isatty()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[figures]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not has_terminal) as bars:
        clips = bars.add_task("reading clips", total=None, figures="")
        steps = bars.add_task("training", total=None, figures="", visible=False)
        validation = ""
        if not has_terminal:
            print("reading clips", file=sys.stderr, flush=True)

        def show_reading(done: int, total: int) -> None:
            bars.update(clips, completed=done, total=total, visible=done < total)

        def show_step(done: int, total: int, loss: float) -> None:
            figures = f"loss {loss:.3f}{validation}"
            bars.update(steps, completed=done, total=total, visible=True, figures=figures)

        def show_epoch(epoch: "Epoch") -> None:
            nonlocal validation
            validation = ""
            if epoch.validation_accuracy is not None:
                validation = f", validation {epoch.validation_accuracy:.0%}"
            bars.update(steps, description=_place(epoch))
            if not has_terminal and not quick:
                print(_line(epoch), file=sys.stderr, flush=True)

        yield Watch(show_reading, show_step, show_epoch)


def _line(epoch: "Epoch") -> str:
    line = f"{_place(epoch)}: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.1%}"
    if epoch.validation_loss is None:
        return line
    validation = f"validation loss {epoch.validation_loss:.3f}"
    return f"{line}, {validation}, accuracy {epoch.validation_accuracy:.1%}"


def _place(epoch: "Epoch") -> str:
    if epoch.fold:
        return f"fold {epoch.fold}, epoch {epoch.epoch}"
    return f"epoch {epoch.epoch}"
