"""The command `demo`: a tour of two minutes, on clips that are drawn.

Slow imports stand in the command.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from daemon.cli.shared import command_of, console, examples, working
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError

app = typer.Typer()


@app.command(epilog=examples("vidwatch demo", "vidwatch demo --keep ~/vidwatch-demo"))
def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            help="Make the home in this folder, which must be new or empty, and keep it.",
        ),
    ] = None,
) -> None:
    """Show all of it in two minutes, on clips that are drawn: your own homes are not touched.

    A home is made, clips are dropped and classified, labelled by folders, a model is trained and
    judged, and new clips are classified by it. Ctrl-C ends it.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    teller = _Printed()
    with _root(keep) as (root, cache):
        home = Home.at(root)
        _run(home, cache, teller)
    teller.title("What to do next")
    if keep is None:
        teller.say("The home of this tour was removed (--keep DIR keeps it). Your own:")
        teller.command("vidwatch init my-home")
        teller.command("vidwatch --home my-home run")
        return
    teller.say(f"The home of this tour is {printable(str(home.root))}. To go on in it:")
    for words in (["run"], ["status"], ["review", "--open"]):
        teller.command(command_of(home, *words))
    teller.say("It is an ordinary folder: remove it when you have seen enough.")


def _run(home: Home, cache: Path | None, teller: "_Printed") -> None:
    from daemon.demo.running import Runner
    from daemon.demo.tour import Tour

    runner = Runner(home, cache)
    try:
        Tour(home, runner, teller).run()
    except KeyboardInterrupt:
        print("\nended by Ctrl-C: the daemon of the tour is stopped", file=sys.stderr)
        raise
    finally:
        runner.stop()


@contextmanager
def _root(keep: Path | None) -> Iterator[tuple[Path, Path | None]]:
    """Where the home is made, and where the cache is; both are removed if the home is not kept.

    Raises:
        VidwatchError: something lies there already.
    """
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="vidwatch-demo-") as folder:
            yield Path(folder, "home"), Path(folder, "cache")
        return
    if os.path.lexists(keep) and not (keep.is_dir() and not any(keep.iterdir())):
        raise VidwatchError(f"demo: {keep} is not empty; give --keep a new or an empty folder")
    yield keep, None


def _end(number: int, frame: object) -> None:
    """End as after Ctrl-C: the daemon is stopped, and the folder removed."""
    sys.exit(128 + number)


class _Printed:
    """Prints the tour, step by step."""

    def __init__(self) -> None:
        self._console = console()
        self._step = 0

    def title(self, text: str) -> None:
        """A new step begins."""
        self._step += 1
        self._console.print()
        self._console.print(Text(f"{self._step}. {text}", "bold"))

    def say(self, text: str) -> None:
        """A sentence of the step."""
        self._console.print(Text(text))

    def command(self, line: str) -> None:
        """A line that a person could give to a shell."""
        self._console.print(Text(f"$ {line}", "cyan"), soft_wrap=True)

    def working(self, what: str) -> AbstractContextManager[None]:
        """Something is waited for."""
        return working(what)
