"""One export: which table, in which format, to which place."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from sqlalchemy import Connection, Engine

from daemon.export import destination
from daemon.export.columns import EVENTS, TABLES, VIDEOS, WINDOWS
from daemon.export.filters import Filters
from daemon.export.parts import event_rows, timeline_of, window_rows
from daemon.export.rows import Found, Scores, as_json, find_videos, video_line, video_rows
from daemon.export.since import Marks, marks_of
from daemon.export.tables import CsvTable, ParquetTable, SqliteTables
from daemon.home.folder import Home
from daemon.labels.classes import changed_names
from daemon.report.events import seconds_of
from daemon.report.timeline import event_fields, fields_of
from daemon.report.training import load_settings
from learner.errors import VidwatchError

ENDINGS = {
    "csv": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "db": "sqlite",
    "zip": "camtrap",
}
"""The format, by the ending of a file's name."""
NO_PARTS = as_json({"seconds_by_class": {}, "events": [], "windows": []})
Progress = Callable[[int, int | None], None]
FORMATS = ("csv", "jsonl", "parquet", "sqlite", "camtrap")


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    format: str
    """One of `FORMATS`."""
    target: Path | None = None
    """A file, or a folder that gets a new file; None for the standard output."""
    what: str = "videos"
    """Which of `TABLES`. JSON Lines and SQLite have all three in one."""
    filters: Filters = field(default_factory=Filters)
    since_last: bool = False
    """Only what was not exported to the same target before as it is now."""
    metadata: Path | None = None
    """For Camtrap DP: the file that says what vidwatch does not know."""


@dataclass(frozen=True)
class Outcome:
    """What was exported."""

    videos: int
    rows: int
    target: Path | None
    """The file; None if there is none, since nothing has changed or it is the standard output."""
    left_out: str = ""
    """Which videos were left out, and why, as the end of a line."""


def format_of(target: Path | None, given: str | None) -> str:
    """The format that a person means: the given one, else by the ending of the file's name.

    Raises:
        VidwatchError: neither says it.
    """
    if given:
        return given
    if target is None:
        return "csv"
    ending = target.suffix.lower().removeprefix(".")
    if ending in ENDINGS:
        return ENDINGS[ending]
    raise VidwatchError(f"{target}: its ending names no format; give --format {'|'.join(FORMATS)}")


def export(
    home: Home,
    engine: Engine,
    request: Request,
    progress: Progress = lambda done, total: None,
) -> Outcome:
    """Export, from one snapshot of the database.

    Args:
        home: The home.
        engine: Of its database.
        request: What is asked for.
        progress: Called with the number of videos that were exported, and None.

    Raises:
        VidwatchError: what is asked for does not go together, a filter names what does not exist,
            or the target cannot be written.
        PassingError: the target cannot be written now.
    """
    _check(request)
    settings = load_settings(home)
    moved_from = [one.folder for one in settings.source if not one.in_place] if settings else []
    target = request.target and destination.require_free(request.target, home, moved_from)
    if request.format == "camtrap" and target is not None:
        return _write_camtrap(target, engine, request)
    with ExitStack() as stack:
        marks: Marks | None = None
        if request.since_last and target is not None:
            kind = f"{request.format} {request.what}"
            marks = stack.enter_context(Marks(marks_of(home, target, kind)))
        source = _Source(engine, request.filters, marks, progress)
        if target is not None and target.is_dir():
            target = destination.new_file_in(target, request.format)
        elif target is not None and marks is not None and target.exists():
            hint = "take it away, or name a folder, which gets a new file each time"
            raise VidwatchError(
                f"{target} is there, from the last export with --since-last: {hint}"
            )
        outcome = _write(target, request, source)
        if marks is not None:
            marks.commit()
        return outcome


def _check(request: Request) -> None:
    where = request.format
    if request.target is None and (request.since_last or where not in ("csv", "jsonl")):
        asked = "--since-last" if request.since_last else where
        raise VidwatchError(f"{asked} needs a FILE to write to: name one")
    if request.what != "videos" and where not in ("csv", "parquet"):
        raise VidwatchError(f"--what goes with csv and parquet: {where} has all tables in one")
    if request.since_last and where == "camtrap":
        raise VidwatchError("--since-last does not go with camtrap: a package is a whole")
    if request.metadata is not None and where != "camtrap":
        raise VidwatchError(f"--metadata goes with camtrap alone: {where} has no place for it")


class _NothingChanged(Exception):  # noqa: N818 (no error)
    """No video has changed since the last export."""


@dataclass
class _Source:
    """The videos to export. It counts them."""

    engine: Engine
    filters: Filters
    marks: Marks | None
    progress: Progress
    n_videos: int = 0
    n_rows: int = 0

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction that reads: all that is read in it is the state of one instant."""
        with self.engine.begin() as connection:
            yield connection

    def scores(self, connection: Connection) -> Scores:
        return Scores.read(connection, self.filters.models)

    def batches(self, connection: Connection, *, with_parts: bool) -> Iterator[Sequence[Found]]:
        """The rows of the videos to export.

        Raises:
            _NothingChanged: none has changed.
        """
        renamed = repr(sorted(changed_names(connection).items()))
        wanted = with_parts or self.marks is not None
        for rows in find_videos(connection, self.filters, with_parts=wanted):
            found = self.marks.changed(rows, renamed) if self.marks else rows
            if found:
                self.n_videos += len(found)
                yield found
                self.progress(self.n_videos, None)
        if self.marks and not self.n_videos:
            raise _NothingChanged


def _write(target: Path | None, request: Request, source: _Source) -> Outcome:
    try:
        if target is None:
            with destination.standard_output() as output:
                _write_file(output, request, source)
        else:
            with destination.new_file(target) as part:
                if request.format == "sqlite":
                    _write_sqlite(part, source)
                else:
                    with part.open("wb") as file:
                        _write_file(file, request, source)
    except _NothingChanged:
        return Outcome(0, 0, None)
    return Outcome(source.n_videos, source.n_rows, target)


def _write_file(file: IO[bytes], request: Request, source: _Source) -> None:
    with source.snapshot() as connection:
        if request.format == "jsonl":
            _write_lines(file, connection, source)
            return
        table = TABLES[request.what]
        scores = source.scores(connection)
        kind = CsvTable if request.format == "csv" else ParquetTable
        columns = scores.columns(table) if table.has_scores else table.columns
        with kind(file, columns) as writer:
            for rows in source.batches(connection, with_parts=table is not VIDEOS):
                for batch in _rows(request.what, connection, rows, scores, kind is CsvTable):
                    source.n_rows += len(batch)
                    writer.write(batch)


def _rows(
    what: str, connection: Connection, rows: Sequence[Found], scores: Scores, as_text: bool
) -> Iterator[list[Any]]:
    """The rows of a table that these videos have, in batches.

    `as_text` is as for `Scores.spread`.
    """
    if what == VIDEOS.name:
        yield video_rows(rows, scores, as_text=as_text)
    elif what == EVENTS.name:
        yield event_rows(connection, rows)
    else:
        yield from window_rows(connection, rows, scores, as_text=as_text)


def _write_lines(file: IO[bytes], connection: Connection, source: _Source) -> None:
    """JSON Lines: an object for each video, in UTF-8."""
    scores = source.scores(connection)
    for rows in source.batches(connection, with_parts=True):
        for batch in _in_pieces(rows):
            lines = (video_line(each, scores, _parts(connection, each)) for each in batch)
            file.write("".join(f"{line}\n" for line in lines).encode())
        source.n_rows += len(rows)


def _in_pieces(rows: Sequence[Found]) -> Iterator[Sequence[Found]]:
    """Videos with windows one by one: the windows of many would fill the memory."""
    plain: list[Found] = []
    for found in rows:
        if found.is_cut:
            if plain:
                yield plain
                plain = []
            yield [found]
        else:
            plain.append(found)
    if plain:
        yield plain


def _parts(connection: Connection, found: Found) -> str:
    """What was found in a long video, when, as `show --json` has it: a JSON object."""
    if not found.is_cut:
        return NO_PARTS
    timeline = timeline_of(connection, found)
    events = timeline.events
    more = {
        "seconds_by_class": seconds_of(events),
        "events": [event_fields(event) for event in events],
        "windows": [fields_of(window) for window in timeline.windows],
    }
    return as_json(more)


def _write_sqlite(path: Path, source: _Source) -> None:
    keys = {VIDEOS: "id", EVENTS: 'video_id, "start"', WINDOWS: "video_id, number"}
    with source.snapshot() as connection, SqliteTables(path) as file:
        scores = source.scores(connection)
        for table, key in keys.items():
            columns = scores.columns(table) if table.has_scores else table.columns
            file.create(table.name, columns, key)
        for rows in source.batches(connection, with_parts=True):
            for table in keys:
                for batch in _rows(table.name, connection, rows, scores, False):
                    file.write(table.name, batch)
            source.n_rows += len(rows)


def _write_camtrap(target: Path, engine: Engine, request: Request) -> Outcome:
    """A Camtrap DP package: a folder, or a file if the name ends in `.zip`."""
    from daemon.export import camtrap
    from daemon.export.camtrap_metadata import read_metadata

    metadata = read_metadata(request.metadata)
    with ExitStack() as stack:
        if target.suffix.lower() == ".zip":
            file = stack.enter_context(destination.new_file(target))
            folder = Path(
                stack.enter_context(TemporaryDirectory(prefix=".vidwatch-", dir=file.parent))
            )
        else:
            folder = stack.enter_context(destination.new_folder(target, camtrap.is_ours))
        with engine.begin() as connection:
            of_package = (request.filters, metadata, request.metadata)
            counts = camtrap.write_package(folder, connection, *of_package)
        if target.suffix.lower() == ".zip":
            camtrap.zipped(folder, file)
        left_out = camtrap.left_out(counts)
    return Outcome(counts.videos, counts.observations, target, left_out)
