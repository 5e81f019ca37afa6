"""Shows the progress of slow commands on stderr: bars on a terminal, else a line now and then.

Knows nothing of the work itself.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from learner.fit import Epoch
    from learner.train import Watch

EVERY = 30.0  # seconds between two lines
COUNTED = 11  # lines: over these the files a minute are counted


@contextmanager
def working(what: str) -> Iterator[None]:
    """What is being done. Without a terminal, a line says it if it takes long."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(what):
            yield
        return
    said = Timer(EVERY, lambda: print(what, file=sys.stderr, flush=True))
    said.daemon = True
    said.start()
    try:
        yield
    finally:
        said.cancel()


@contextmanager
def reading(
    what: str = "reading clips", *, beside_output: bool = False
) -> Iterator[Callable[[int, int | None], None]]:
    """A bar of the clips that are read, or of `what` is done; without a terminal, lines.

    It gets how many were read, and of how many; None if that is not known.

    Args:
        what: What is done.
        beside_output: Whether results are printed meanwhile. On a terminal they show how far it is.
    """
    if beside_output and sys.stdout.isatty():
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    console = Console(stderr=True)
    # Else what goes into a file or a pipe meanwhile would be printed beside the bar.
    is_shared = sys.stdout.isatty()
    with Progress(console=console, transient=True, redirect_stdout=is_shared) as bars:
        bar = bars.add_task(what, total=None)

        def show(done: int, total: int | None) -> None:
            known = "" if total is not None else f", {done} so far"
            bars.update(bar, completed=done, total=total, description=f"{what}{known}")

        yield show


def _lines(what: str) -> Callable[[int, int | None], None]:
    """Print a line every `EVERY` seconds."""
    printed_at = time.monotonic()

    def show(done: int, total: int | None) -> None:
        nonlocal printed_at
        if time.monotonic() >= printed_at + EVERY:
            printed_at = time.monotonic()
            of_all = "" if total is None else f" of {total}"
            print(f"{what}: {done}{of_all}", file=sys.stderr, flush=True)

    return show


@contextmanager
def classifying() -> Iterator[Callable[[int, int, int | None], None]]:
    """As `reading`, for work that takes hours: without a terminal, it prints a line now and then.

    It gets how many files are done, how many were known before, and how many there are; None if
    that is not known.
    """
    if sys.stderr.isatty():
        with reading("classifying") as bar:
            yield lambda done, known, total: bar(done + known, total)
        return
    lines = Lines(time.monotonic())

    def show(done: int, known: int, total: int | None) -> None:
        if line := lines.next(done, known, total, time.monotonic()):
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
        if now < self._last + EVERY:
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
    with Progress(
        *columns,
        console=console,
        transient=True,
        disable=not has_terminal,
        redirect_stdout=sys.stdout.isatty(),
    ) as bars:
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
