"""Imports labels that were given elsewhere, with their files: either all of a table, or nothing."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from daemon.home.settings import Settings
from daemon.home.sources import OnFiled
from daemon.home.texts import printable
from daemon.labels.classes import KnownClasses
from daemon.labels.importing.applying import Applying, Imported
from daemon.labels.importing.entries import Table
from daemon.labels.importing.known import hashes
from daemon.labels.importing.resolving import Labelled, Resolving
from daemon.labels.labels import Origin
from daemon.labels.lookup import TableClasses
from learner.errors import VidwatchError
from learner.groups import compile_pattern
from learner.texts import counted


class WrongLinesError(VidwatchError):
    """Lines of tables are wrong, so that nothing was imported."""

    def __init__(self, lines: Sequence[str], meant: Mapping[str, str]) -> None:
        super().__init__(f"nothing was imported: {counted(len(lines), 'error')}")
        self.lines = lines
        """What is wrong with each, in the order of the lines."""
        self.meant = meant
        """The classes that were probably meant, by the names in the tables."""


class Import:
    """One import."""

    def __init__(
        self,
        engine: Engine,
        home: Path,
        settings: Settings,
        on_filed: OnFiled,
        progress: Callable[[int, int | None], None],
    ) -> None:
        """Nothing is imported yet.

        Args:
            engine: Of the database.
            home: The home's folder.
            settings: How groups are named, and which sources there are.
            on_filed: What becomes of files that are not known.
            progress: Gets how many files were looked at, and of how many.
        """
        self._engine = engine
        self._folders = settings.folders(home)
        self._pattern = compile_pattern(settings.group_pattern)
        self._on_filed = on_filed
        self._progress = progress

    def add(
        self,
        tables: Sequence[Table],
        who: str,
        now: datetime,
        *,
        new_class: bool = False,
        dry_run: bool = False,
    ) -> Imported:
        """Add the labels of tables, and queue the files that are not known.

        Args:
            tables: The tables.
            who: Who imports them.
            now: The time.
            new_class: Whether a class that is nearly another one is meant.
            dry_run: Only say what would be done.

        Raises:
            WrongLinesError: a line is wrong. Nothing is changed.
        """
        with self._engine.begin() as connection:
            classes = TableClasses(KnownClasses(connection), new_class)
            on_filed = self._on_filed
            resolving = Resolving(self._folders, self._pattern, classes, on_filed, self._progress)
            found = resolving.resolve(tables)
            labelled = [one for one in found if not one.others]
            files = [one.file for one in labelled if one.file is not None]
            contents = {} if resolving.errors else hashes(connection, files, self._progress)
        origin = Origin("csv", who, now)
        with self._engine.execution_options(writes=True).connect() as connection:
            applying = Applying(connection, self._folders, origin, contents)
            applying.add(labelled)
            _require_right(resolving.errors + applying.errors, classes)
            if dry_run:
                connection.rollback()
            else:
                connection.commit()
        imported = applying.imported
        imported.skipped = resolving.skipped
        imported.several = [_with_classes(one) for one in found if one.others]
        return imported


def _require_right(errors: Sequence[str], classes: TableClasses) -> None:
    """Check that nothing was wrong."""
    if errors:
        raise WrongLinesError(sorted(errors, key=_by_numbers), classes.meant)


def _by_numbers(text: str) -> list[str | int]:
    """A key by which line 9 comes before line 10."""
    parts = re.split(r"(\d+)", text)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _with_classes(one: Labelled) -> str:
    names = ", ".join(map(printable, sorted({one.class_name, *one.others})))
    return f"{printable(one.name)} ({names})"
