"""How far a command is that takes long: bars on a terminal, lines elsewhere. Knows nothing of the work itself."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from learner.fit import Epoch
    from learner.train import Watch


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """A bar over the clips that are read, where there is a terminal."""
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bars:
        bar = bars.add_task("reading clips", total=None)
        yield lambda done, of: bars.update(bar, completed=done, total=of)


@contextmanager
def training(quick: bool) -> "Iterator[Watch]":
    """Bars on a terminal; elsewhere a line an epoch, but for a head that is trained in seconds (`quick`)."""
    from learner.train import Watch

    terminal = sys.stderr.isatty()
    described, bar, share = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
    )
    columns = (
        described,
        bar,
        share,
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not terminal
    ) as bars:
        reading = bars.add_task("reading clips", total=None, said="")
        steps = bars.add_task("training", total=None, said="", visible=False)
        last = ""
        if not terminal:
            print("reading clips", file=sys.stderr, flush=True)

        def step(done: int, of: int, loss: float) -> None:
            bars.update(
                steps, completed=done, total=of, visible=True, said=f"loss {loss:.3f}{last}"
            )

        def epoch(done: "Epoch") -> None:
            nonlocal last
            last = (
                ""
                if done.validation_accuracy is None
                else f", validation {done.validation_accuracy:.0%}"
            )
            bars.update(steps, description=_place(done))
            if not terminal and not quick:
                print(_line(done), file=sys.stderr, flush=True)

        yield Watch(
            lambda done, of: bars.update(reading, completed=done, total=of, visible=done < of),
            step,
            epoch,
        )


def _line(epoch: "Epoch") -> str:
    said = f"{_place(epoch)}: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.1%}"
    if epoch.validation_loss is None:
        return said
    return f"{said}, validation loss {epoch.validation_loss:.3f}, accuracy {epoch.validation_accuracy:.1%}"


def _place(epoch: "Epoch") -> str:
    return f"fold {epoch.fold}, epoch {epoch.epoch}" if epoch.fold else f"epoch {epoch.epoch}"
