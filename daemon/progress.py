"""How far a command is that takes long: bars on a terminal, lines elsewhere. Knows nothing of the work itself."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from learner.fit import Epoch
    from learner.train import Watch


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """A bar over the clips that are read, where there is a terminal."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        bar = bars.add_task("reading clips", total=None)
        yield lambda done, of: bars.update(bar, completed=done, total=of)


@contextmanager
def training(quick: bool) -> "Iterator[Watch]":
    """Bars on a terminal; elsewhere a line an epoch, but for a head that is trained in seconds (`quick`)."""
    from learner.train import Watch

    terminal = sys.stderr.isatty()
    columns = (*Progress.get_default_columns()[:3], TimeRemainingColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not terminal) as bars:
        reading = bars.add_task("reading clips", total=None, said="")
        steps = bars.add_task("training", total=None, said="", visible=False)
        last = ""

        def step(done: int, of: int, loss: float) -> None:
            bars.update(steps, completed=done, total=of, visible=True, said=f"loss {loss:.3f}{last}")

        def epoch(done: "Epoch") -> None:
            nonlocal last
            last = f" after {_line(done)}"
            if not terminal and not quick:
                print(_line(done), file=sys.stderr, flush=True)

        yield Watch(lambda done, of: bars.update(reading, completed=done, total=of, visible=done < of), step, epoch)


def _line(epoch: "Epoch") -> str:
    said = f"epoch {epoch.epoch}: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.1%}"
    if epoch.validation_loss is None:
        return said
    return f"{said}, validation loss {epoch.validation_loss:.3f}, accuracy {epoch.validation_accuracy:.1%}"
