"""Compares files with rows and rows with files, and finds what does not fit.

Changes nothing: `repair` does that, if a person says so. While a daemon runs, files are on their
way: what is found then counts if it is still so a moment later, or is left out.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, func, select

from daemon.database.connection import explaining, opened
from daemon.database.daemons import running_elsewhere
from daemon.database.expressions import content_of_video, shown_name, that_counts
from daemon.database.files import PLACES, other_names, predicted_row, unexplained
from daemon.database.integrity import SHOWN, broken_references
from daemon.database.root import follow_home
from daemon.database.tables import PREDICTED, predictions, videos
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found
from daemon.home.identity import Identity, identify, is_there
from daemon.home.left_alone import LeftAlone
from daemon.home.loose_files import HINT, loose_file_of, loose_files
from daemon.home.moving import sha256_if_readable
from daemon.home.reasons import our_files, reason_texts
from daemon.home.settings import load_left_alone
from daemon.home.sidecars import is_sidecar
from daemon.home.sources import is_reachable, lies_in
from daemon.home.texts import shortened, shown_path
from daemon.labels.class_folders import is_label
from daemon.labels.classes import KnownClasses
from daemon.maintenance.finding import Finding
from daemon.maintenance.leftovers import leftovers
from daemon.maintenance.repair import Repair
from daemon.maintenance.schema import why_unusable
from daemon.maintenance.stored import check_backups, check_models

BATCH = 500
GONE = "gone"  # no error: people take clips away after they were classified
REPLACED = "replaced"  # no error either: another video's file has the path now
AGAIN = 3.0  # seconds after which something found beside a running daemon is checked again

Progress = Callable[[int, int | None], None]


class Check:
    """Checks all of a home.

    After `findings`, `gone` names the filed videos whose files people have taken away, and
    `replaced` those with another video's file at their path.
    """

    def __init__(self, home: Home, *, quick: bool, may_repair: bool, progress: Progress) -> None:
        """Nothing is read yet.

        Args:
            home: The home.
            quick: Whether to read no clips, no weights and no backups.
            may_repair: Whether findings may be repaired; the caller then holds the home's lock.
            progress: Called with the number of videos done, and of all; then with the number of
                files looked at, and None.
        """
        self._home = home
        self._quick = quick
        self._may_repair = may_repair
        self._progress = progress
        self._is_running = not may_repair and bool(home.running() or running_elsewhere(home))
        self._engine: Engine
        self._repair: Repair
        self.gone: list[str] = []
        self.replaced: list[str] = []
        self._away: set[bytes] = set()
        """Archives and sources that are not there."""
        self._is_reachable = cache(is_reachable)

    def findings(self) -> Iterator[Finding]:
        """All that does not fit, as it is found.

        Raises:
            VidwatchError: there is no home, or this user cannot read its database.
        """
        self._home.require()
        with explaining(self._home.database):
            unusable = why_unusable(self._home.database, quick=self._quick)
        if unusable:
            yield unusable
            return
        with opened(self._home.database, read_only=not self._may_repair) as engine:
            self._engine = engine
            self._repair = Repair(self._home, engine)
            if self._may_repair:
                follow_home(engine, self._home.root)
            yield from self._check_references()
            yield from self._check_rows()
            for folder in sorted(self._away):
                problem = "is empty or not there: mount it; its videos were not checked"
                yield Finding("archive", shown_path(folder), problem, harmless=True)
            yield from self._check_files()
            yield from leftovers(self._home, engine, is_running=self._is_running)
            yield from check_models(self._home, engine, quick=self._quick)
        if not self._quick:
            yield from check_backups(self._home)

    def _check_references(self) -> Iterator[Finding]:
        with self._engine.begin() as connection:
            rows = broken_references(connection, SHOWN)
        for table, row, other in rows:
            problem = f"refers to a row of {other} that does not exist"
            yield Finding("reference", f"{table} {row}", problem)

    def _check_rows(self) -> Iterator[Finding]:
        with self._engine.begin() as connection:
            total = connection.scalar(select(func.count()).select_from(videos)) or 0
        last = 0
        done = 0
        while rows := self._read_rows(videos.c.id > last):
            for finding in self._lasting(rows, done, total):
                if finding.what == GONE:
                    self.gone.append(finding.where)
                elif finding.what == REPLACED:
                    self.replaced.append(finding.where)
                else:
                    yield finding
            last = rows[-1].id
            done += len(rows)

    def _lasting(self, rows: Sequence[Any], done: int, total: int) -> list[Finding]:
        """What is found in these rows; beside a running daemon, what is found there twice.

        `done` of all `total` rows were checked before.
        """
        found: list[Finding] = []
        for n, row in enumerate(rows, start=1):
            found += self._check_row(row)
            self._progress(done + n, total)
        if not self._is_running or all(one.what in (GONE, REPLACED) for one in found):
            return found
        time.sleep(AGAIN)
        rows = self._read_rows(videos.c.id.in_([row.id for row in rows]))
        again = {finding for row in rows for finding in self._check_row(row)}
        return [finding for finding in found if finding in again]

    def _read_rows(self, condition: ColumnElement[bool]) -> Sequence[Any]:
        """At most `BATCH` videos, with four columns more.

        `is_finished`, `n_predictions`: how many count for its content, `has_own`: whether it has
        any itself, and `has_original`: whether the first video with its content exists.
        """
        original = videos.alias()
        content = content_of_video()
        own = select(func.count()).where(predictions.c.video_id == content, that_counts())
        names = ["id", "name", "inode", "size", "mtime_ns", "sha256", "state"]
        names += ["origin", "on_filed", "left_at"]
        query = select(
            *(videos.c[name] for name in names),
            *(videos.c.duplicate_of, videos.c.dropped_at, videos.c.removed_at, *PLACES),
            shown_name(),
            videos.c.finished_at.is_not(None).label("is_finished"),
            own.scalar_subquery().label("n_predictions"),
            select(predictions.c.id)
            .where(predictions.c.video_id == videos.c.id)
            .exists()
            .label("has_own"),
            select(original.c.id).where(original.c.id == content).exists().label("has_original"),
        )
        query = query.where(condition).order_by(videos.c.id).limit(BATCH)
        with self._engine.begin() as connection:
            return connection.execute(query).all()

    def _check_row(self, row: Any) -> Iterator[Finding]:
        where = f"video {row.id} ({row.shown_name})"
        is_outside = lies_in(row.origin, row.path)
        if is_outside and not self._is_reachable(row.origin, row.on_filed):
            self._away.add(row.origin)
        elif row.state in PREDICTED:
            yield from self._check_prediction(row, where)
            # A file that we have removed is not missed.
            is_removed = row.dropped_at is not None or row.removed_at is not None
            if row.is_finished and row.destination is None and not is_removed:
                yield from self._check_file(row, where)
        elif not self._is_running:
            yield from self._check_unpredicted(row, where)

    def _check_prediction(self, row: Any, where: str) -> Iterator[Finding]:
        predict_again = partial(self._repair.predict_again, row)
        if not row.has_original:
            problem = f"is a duplicate of video {row.duplicate_of}, which does not exist"
            yield Finding("original", where, problem, "predict it again", predict_again)
        elif not row.n_predictions:
            problem = "was filed without a prediction"
            yield Finding("answer", where, problem, "predict it again", predict_again)
        elif row.n_predictions > 1 and row.duplicate_of is None:
            problem = f"has {row.n_predictions} predictions that count"
            repair = "let only the first one count"
            keep_first = partial(self._repair.keep_first, row)
            yield Finding("answer", where, problem, repair, keep_first)

    def _check_unpredicted(self, row: Any, where: str) -> Iterator[Finding]:
        """A video that is not predicted yet, or failed, while no daemon runs."""
        if row.state != "failed" and (row.is_finished or row.has_own):
            # The daemon could not write its prediction: the database allows one a model, and one
            # unfinished video a file.
            problem = "waits for a prediction, and was predicted or finished before"
            predict_again = partial(self._repair.predict_again, row)
            yield Finding("answer", where, problem, "predict it again", predict_again)
        elif row.is_finished:
            return
        elif row.state == "claimed":
            problem = "is claimed by a daemon that has ended"
            repair = "put it back into the queue"
            yield Finding("claim", where, problem, repair, self._repair.recover)
        elif not is_there(row.path, row.destination, row.moving_to):
            problem = f"waits for a prediction, and {os.fsdecode(row.path)} is not there"
            give_up = partial(self._repair.give_up, row)
            yield Finding("missing", where, problem, "mark it as failed", give_up)

    def _check_file(self, row: Any, where: str) -> Iterator[Finding]:
        """A filed video's file. That it is gone is no error, since people take them away."""
        path = os.fsdecode(row.path)
        try:
            identity = identify(row.path)
        except OSError as error:
            yield Finding("file", path, f"cannot be accessed ({error.strerror}): {where}")
            return
        if identity is None and (loose := loose_file_of(self._loose_files, row)):
            problem = f"lies in no class folder, and has no label: {where}; {HINT}"
            yield Finding("loose", str(loose), problem, harmless=True)
            return
        if identity is None:
            problem = "was filed, and its file is not there any more"
            yield Finding(GONE, where, problem, harmless=True)
        elif identity.size != row.size and self._is_explained(row, identity):
            problem = "was filed, and another video's file has its path now"
            yield Finding(REPLACED, where, problem, harmless=True)
        elif identity.size != row.size:
            yield Finding("content", path, f"is not the file that was classified: {where}")
        elif not self._quick and row.sha256:
            yield from self._check_content(row, where)

    @cached_property
    def _loose_files(self) -> list[Path]:
        """The files beside the class folders, read once: many rows may miss their files."""
        return loose_files(self._home.root, lambda: self._left_alone)

    @cached_property
    def _left_alone(self) -> LeftAlone:
        return load_left_alone(self._home.settings)

    def _is_explained(self, row: Any, identity: Identity) -> bool:
        """Whether the file at the path of `row` is that of another row."""
        with self._engine.begin() as connection:
            return not unexplained(connection, [Found(row.path, identity)])

    def _check_content(self, row: Any, where: str) -> Iterator[Finding]:
        digest = sha256_if_readable(row.path)
        if digest == row.sha256:
            return
        path = os.fsdecode(row.path)
        if digest is None:
            yield Finding("file", path, f"cannot be read: {where}")
            return
        at_path = select(videos.c.sha256).where(videos.c.path == row.path)
        with self._engine.begin() as connection:
            known = connection.execute(at_path).scalars().all()
        if digest not in known:
            problem = f"its content is not what was classified (SHA-256 differs): {where}"
            yield Finding("content", path, problem)

    def _check_files(self) -> Iterator[Finding]:
        texts = reason_texts(self._home.root / "failed")
        unread: list[OSError] = []
        looked_at = 0
        for files in our_files(self._home.root, texts, unread.append, self._left_alone):
            looked_at += len(files)
            self._progress(looked_at, None)
            for file in self._strangers(files):
                yield self._check_stranger(file, texts.get(file.path, []))
        for error in unread:
            folder = shortened(os.fsdecode(error.filename))
            yield Finding("folder", folder, f"cannot be searched ({error.strerror})")
        for video, of_video in texts.items():
            if identify(video) is None:
                for text in of_video:
                    yield _needless_text(Path(os.fsdecode(text)))

    def _strangers(self, files: Sequence[Found]) -> list[Found]:
        """The files that no row explains; beside a running daemon, those found so twice."""
        strangers = self._unknown(files)
        if not strangers or not self._is_running:
            return strangers
        time.sleep(AGAIN)
        return self._unknown([file for file in strangers if identify(file.path) == file.identity])

    def _unknown(self, files: Sequence[Found]) -> list[Found]:
        """The files that no row explains, without new labels, second names and sidecars."""
        with self._engine.begin() as connection:
            return [
                file
                for file in unexplained(connection, files)
                if predicted_row(connection, file) is None
                and not other_names(connection, [file])
                and not is_sidecar(file.path)
            ]

    @cached_property
    def _classes(self) -> KnownClasses:
        with self._engine.begin() as connection:
            return KnownClasses(connection)

    def _check_stranger(self, file: Found, texts: Sequence[bytes]) -> Finding:
        """A file that no row explains.

        If a person has put it into a class folder, it is a label that no daemon has seen yet, and
        stays.
        """
        folders = Folders(self._home.root)
        where = os.fsdecode(file.path)
        problem = "is not in the database"
        with self._engine.begin() as connection:
            if is_label(connection, folders, file, self._classes):
                problem += "; the daemon will take its folder for a label"
                return Finding("label", where, problem, harmless=True)
        is_classified = file.path.startswith(folders.root + b"/classified/")
        if is_classified and folders.class_folder(file.path) is None:
            problem += ", and lies in no class folder"
        put_back = partial(self._repair.put_back, file, texts)
        return Finding("stranger", where, problem, "put it into the inbox", put_back)


def _needless_text(path: Path) -> Finding:
    problem = "says why a file failed that is not there any more"
    return Finding("text", str(path), problem, "remove it", path.unlink, harmless=True)
