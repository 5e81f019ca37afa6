"""The command that classifies archives at once: `backfill`.

Slow imports stand in the command.
"""

import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.shared import EngineKind, JsonResult, RunsOn, database, examples, model_of, tell
from daemon.cli.videos import left_alone, require_no_troubles
from daemon.home.folder import Home
from learner.errors import VidwatchError
from learner.process import keep_freed_memory, limit_cores
from learner.texts import counted

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Sequence

    from daemon.backfill.backfill import Done
    from daemon.backfill.place import Place
    from daemon.home.folders import Found
    from daemon.home.settings import Settings

PAUSE = 0.001  # seconds after a batch: the work comes first

app = typer.Typer()


@app.command(
    epilog=examples(
        "vidwatch backfill /mnt/archive", "vidwatch backfill /mnt/archive --out predictions/"
    )
)
def backfill(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS…",
            help="Files and folders outside of the home, or addresses such as s3://bucket/folder.",
        ),
    ],
    engine: RunsOn = EngineKind.local,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write Parquet files there, and nothing into the database."
        ),
    ] = None,
    as_json: JsonResult = False,
) -> None:
    """Classify files and folders where they lie, at once. A daemon may run meanwhile.

    What is done already is passed over: a backfill that was stopped goes on where it was. Exit
    status 75 if it was stopped, or if temporary trouble left videos undone.
    """
    from daemon.service.stopping import Stop

    stop = Stop()
    stop.install()
    from daemon.home import settings

    home: Home = context.obj
    loaded = settings.load(home.settings)
    limit_cores(loaded.cores)
    keep_freed_memory()
    from daemon.backfill.backfill import Done
    from daemon.backfill.backfill import backfill as work
    from daemon.cli.progress import classifying

    is_remote = _is_remote(paths, engine, out)
    sought = _stores(home, loaded, paths) if is_remote else _folders(home, loaded, paths)
    done = Done()
    total = _Total(sought.again)
    total.start()

    def say(done: Done) -> None:
        facts = {**asdict(done), "no_videos": sought.others, "troubles": list(sought.troubles)}
        lines = [*_done_in_words(done), *left_alone(sought.others)]
        tell(facts, lines, as_json=as_json)

    def last_words() -> int:
        say(replace(done, is_stopped=True))
        return os.EX_TEMPFAIL

    stop.last_words = last_words
    with _place(home, loaded, out) as place, classifying() as progress:

        def note(now: Done) -> None:
            nonlocal done
            done = now
            progress(done.n_new, done.known, total.n)

        done = work(
            home,
            model_of(home),
            place,
            sought.files,
            lambda: stop.asked,
            note,
            on_cluster=engine is EngineKind.ray,
        )
    say(done)
    require_no_troubles(sought.troubles)
    stop.leave(os.EX_TEMPFAIL)
    if done.left or done.is_stopped:
        raise typer.Exit(os.EX_TEMPFAIL)


def _is_remote(paths: "Sequence[str]", engine: EngineKind, out: Path | None) -> bool:
    """Whether the paths are addresses of a store.

    Raises:
        VidwatchError: some are and some are not, or they do not go with the options.
    """
    remote = [path for path in paths if "://" in path]
    if not remote:
        return False
    if len(remote) < len(paths):
        raise VidwatchError("backfill: name paths or addresses of a store, not both")
    if out is None:
        why = "the database of a home holds files that its daemon can see"
        raise VidwatchError(f"{remote[0]}: {why}; give --out FOLDER for Parquet files")
    if engine is not EngineKind.ray:
        raise VidwatchError(f"{remote[0]}: objects of a store are read by --engine ray alone")
    return True


@dataclass
class _Sought:
    """Files that are looked for, and what else was found."""

    files: "Callable[[], Iterator[list[Found]]]"
    again: "Callable[[], Iterator[list[Found]]]"
    """Lists the same files, and notes nothing of others."""
    others: "Counter[str]"
    troubles: "Sequence[str]"


def _folders(home: Home, loaded: "Settings", paths: "Sequence[str]") -> _Sought:
    from daemon.service.adding import Listing, archives

    local = [Path(path) for path in paths]
    pairs = list(zip(local, archives(local, home.root, loaded), strict=True))
    first = Listing(home.root, loaded, "leave")
    listings = chain([first], (Listing(home.root, loaded, "leave") for _ in count()))

    def listed(listing: Listing) -> "Iterator[list[Found]]":
        for path, archive in pairs:
            yield from listing.videos(path, archive)

    return _Sought(
        files=lambda: listed(next(listings)),
        again=lambda: listed(Listing(home.root, loaded, "leave")),
        others=first.others,
        troubles=first.troubles,
    )


def _stores(home: Home, loaded: "Settings", paths: "Sequence[str]") -> _Sought:
    from daemon.backfill.stores import StoreListing

    first = StoreListing(home.root, loaded)
    listings = chain([first], (StoreListing(home.root, loaded) for _ in count()))

    def listed(listing: StoreListing) -> "Iterator[list[Found]]":
        for path in paths:
            yield from listing.videos(path)

    return _Sought(
        files=lambda: listed(next(listings)),
        again=lambda: listed(StoreListing(home.root, loaded)),
        others=first.others,
        troubles=(),
    )


class _Total(threading.Thread):
    """Counts the files beside the work, which lists them no faster than it does them."""

    def __init__(self, files: "Callable[[], Iterator[list[Found]]]") -> None:
        super().__init__(name="counting files", daemon=True)
        self.n: int | None = None
        """None until all are counted."""
        self._files = files

    def run(self) -> None:
        n = 0
        # What is wrong with a store, the work itself says.
        with suppress(VidwatchError):
            for batch in self._files():
                n += len(batch)
                time.sleep(PAUSE)
            self.n = n


@contextmanager
def _place(home: Home, loaded: "Settings", out: Path | None) -> "Iterator[Place]":
    """The database of the home, or a folder of Parquet parts."""
    from daemon.backfill.archive_queue import signature
    from daemon.backfill.place import NoParts, Place, alone
    from daemon.database.predictions import Predictions
    from daemon.home.clock import now

    folders = loaded.folders(home.root)
    if out is None:
        with database(home) as engine, alone(home.root):
            predictions = Predictions(engine, loaded.review_share, owner=signature())
            yield Place(engine, predictions, folders, loaded, NoParts(), now())
        return
    from daemon.backfill.output import ParquetParts, opened_folder

    if out.resolve().is_relative_to(home.root):
        raise VidwatchError(f"--out {out}: the home is for videos; write to another folder")
    with opened_folder(out) as engine, alone(out):
        parts = ParquetParts(out, engine)
        # What has failed is in a part already: it is not tried again.
        never = datetime.min.replace(tzinfo=UTC)
        yield Place(engine, Predictions(engine, owner=signature()), folders, loaded, parts, never)


def _done_in_words(done: "Done") -> "Iterator[str]":
    more = f", {counted(done.duplicates, 'duplicate')}" if done.duplicates else ""
    more += f", {done.failed} failed" if done.failed else ""
    more += f"; {done.known} were known" if done.known else ""
    yield f"{counted(done.classified, 'video')} classified{more}"
    if done.left:
        yield f"{counted(done.left, 'video')} wait for temporary trouble to pass"
    if done.is_stopped:
        yield "stopped before all was done: the same command goes on"
