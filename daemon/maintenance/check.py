"""Files against rows and rows against files: what does not fit. Changes nothing; `repair` does, where told to.

What a daemon that runs may have in flight is looked at twice, or left out.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DatabaseError

from daemon.database.connection import opened
from daemon.database.files import PREDICTED, predicted_row, unexplained
from daemon.database.integrity import SHOWN, damage
from daemon.database.tables import predictions, that_counts, videos
from daemon.home import settings
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found, files_below
from daemon.home.identity import identify
from daemon.home.moving import reason_texts, sha256_if_readable
from daemon.labels.class_folders import is_label
from daemon.maintenance.backup import found
from daemon.maintenance.finding import Finding
from daemon.maintenance.leftovers import leftovers
from daemon.maintenance.repair import Repair
from daemon.training.decisions import Decisions
from learner.catalogue import find_models
from learner.errors import VidwatchError

BATCH = 500
GONE = "gone"  # what is no error: people take answered clips away
AGAIN = 3.0  # seconds after which what was found beside a daemon at work is looked at again

Progress = Callable[[int, int], None]


class Check:
    """Looks at all of a home; `quick` reads no clips, no weights and no backups.

    `writes` is whether its findings may be mended: the caller holds the home's lock then. After `findings`, `gone`
    names the filed videos whose files people have taken away.
    """

    def __init__(self, home: Home, *, quick: bool, writes: bool, progress: Progress) -> None:
        self._home, self._quick, self._progress = home, quick, progress
        self._running = not writes and home.running() is not None
        self._writes = writes
        self._engine: Engine
        self._mending: Repair
        self.gone: list[str] = []

    def findings(self) -> Iterator[Finding]:
        """All that does not fit, as it is found.

        Raises:
            VidwatchError: no home, or its database cannot be read by this user.
        """
        self._home.require()
        if unusable := self._database():
            yield from unusable
            return
        with opened(self._home.database, read_only=not self._writes) as engine:
            self._engine = engine
            self._mending = Repair(self._home, engine)
            yield from self._dangling()
            yield from self._rows()
            yield from self._files()
            yield from leftovers(self._home, engine, is_running=self._running)
            yield from self._models()
        if not self._quick:
            yield from self._backups()

    def _database(self) -> list[Finding]:
        path, back = self._home.database, "'vidwatch restore' brings the newest backup back"
        if not path.stat().st_size:
            return [Finding("database", str(path), f"is empty; {back}")]
        if problems := damage(path, thorough=not self._quick):
            return [Finding("database", str(path), f"is damaged ({'; '.join(problems)}); {back}")]
        from daemon.database.upgrade import head

        schema = _schema(path)
        if schema != head():
            hint = (
                "'vidwatch init' brings an older one up to date; for a newer one, upgrade vidwatch"
            )
            return [
                Finding(
                    "database", str(path), f"has the schema {schema} instead of {head()}; {hint}"
                )
            ]
        return []

    def _dangling(self) -> Iterator[Finding]:
        with self._engine.begin() as read:
            rows = read.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(SHOWN)
        for table, row, other, _ in rows:
            yield Finding(
                "reference", f"{table} {row}", f"refers to a row of {other} that is not there"
            )

    def _rows(self) -> Iterator[Finding]:
        with self._engine.begin() as read:
            total = read.scalar(select(func.count()).select_from(videos)) or 0
        last = done = 0
        while rows := self._some(videos.c.id > last):
            said = [finding for row in rows for finding in self._of_row(row)]
            if self._running and any(finding.what != GONE for finding in said):
                time.sleep(AGAIN)
                again = self._some(videos.c.id.in_([row.id for row in rows]))
                still = {finding for row in again for finding in self._of_row(row)}
                said = [finding for finding in said if finding in still]
            self.gone += [finding.where for finding in said if finding.what == GONE]
            yield from (finding for finding in said if finding.what != GONE)
            last, done = rows[-1].id, done + len(rows)
            self._progress(done, total)

    def _some(self, which: Any) -> Sequence[Any]:
        original = videos.alias()
        content = func.coalesce(videos.c.duplicate_of, videos.c.id)
        answers = select(func.count()).where(predictions.c.video_id == content, that_counts())
        is_there = select(original.c.id).where(original.c.id == content).exists()
        names = ("id", "name", "path", "size", "sha256", "state", "destination", "duplicate_of")
        is_finished = videos.c.finished_at.is_not(None).label("is_finished")
        others = (
            is_finished,
            answers.scalar_subquery().label("answers"),
            is_there.label("has_original"),
        )
        query = select(*(videos.c[name] for name in names), *others).where(which)
        with self._engine.begin() as read:
            return read.execute(query.order_by(videos.c.id).limit(BATCH)).all()

    def _of_row(self, row: Any) -> Iterator[Finding]:
        where = f"video {row.id} ({row.name})"
        if row.state in PREDICTED:
            anew = "answer it anew", partial(self._mending.answer_anew, row)
            if not row.has_original:
                yield Finding(
                    "original",
                    where,
                    f"is a copy of video {row.duplicate_of}, which is not there",
                    *anew,
                )
            elif not row.answers:
                yield Finding("answer", where, "was filed without an answer", *anew)
            elif row.answers > 1 and row.duplicate_of is None:
                first = (
                    "keep the first as the answer, and the others beside it",
                    partial(self._mending.keep_first, row),
                )
                yield Finding("answer", where, f"has {row.answers} answers", *first)
            if row.is_finished and row.destination is None:
                yield from self._of_file(row, where)
        elif self._running or row.is_finished:
            return
        elif row.state == "claimed":
            repair = "put it back into the queue"
            yield Finding(
                "claim",
                where,
                "is in hand of a daemon that has ended",
                repair,
                self._mending.recover,
            )
        elif identify(row.path) is None:
            said = f"waits for an answer, and {os.fsdecode(row.path)} is not there"
            yield Finding("missing", where, said, "give it up", partial(self._mending.give_up, row))

    def _of_file(self, row: Any, where: str) -> Iterator[Finding]:
        """A filed video's file; that it is gone is no error, since people take them away."""
        path = os.fsdecode(row.path)
        try:
            there = identify(row.path)
        except OSError as error:
            yield Finding("file", path, f"cannot be looked at ({error.strerror}): {where}")
            return
        gone = Finding(GONE, where, "was filed, and its file is not there any more", harmless=True)
        if there is None:
            yield gone
        elif there.size != row.size:
            with self._engine.begin() as read:
                if unexplained(read, [Found(row.path, there)]):
                    yield Finding("content", path, f"is not the file that was answered: {where}")
                else:
                    yield gone  # another one has its place
        elif (
            not self._quick
            and row.sha256
            and (digest := sha256_if_readable(row.path)) != row.sha256
        ):
            with self._engine.begin() as read:
                others = (
                    read.execute(select(videos.c.sha256).where(videos.c.path == row.path))
                    .scalars()
                    .all()
                )
            if digest is None:
                yield Finding("file", path, f"cannot be read: {where}")
            elif digest not in others:
                yield Finding(
                    "content",
                    path,
                    f"its content is not what was answered (SHA-256 differs): {where}",
                )

    def _files(self) -> Iterator[Finding]:
        texts = reason_texts(self._home.root / "failed")
        ours = {text for some in texts.values() for text in some}
        for top in ("classified", "duplicates", "failed"):
            for files in files_below(self._home.root / top):
                strangers = self._strangers([file for file in files if file.path not in ours])
                if strangers and self._running:
                    time.sleep(AGAIN)
                    strangers = self._strangers(
                        [file for file in strangers if identify(file.path) == file.identity]
                    )
                for file in strangers:
                    yield self._of_stranger(file, texts.get(file.path, []))
        for video, some in texts.items():
            if identify(video) is None:
                for text in some:
                    path = Path(os.fsdecode(text))
                    said = "says why a file failed that is not there any more"
                    yield Finding("text", str(path), said, "remove it", path.unlink, harmless=True)

    def _strangers(self, files: list[Found]) -> list[Found]:
        """Not those that a person has moved from one class folder to another: the daemon notes what that says."""
        with self._engine.begin() as read:
            return [file for file in unexplained(read, files) if predicted_row(read, file) is None]

    def _of_stranger(self, file: Found, texts: Sequence[bytes]) -> Finding:
        """One that a person has put into a class folder is a label that no daemon has seen yet, and stays."""
        folders, where = Folders(self._home.root), os.fsdecode(file.path)
        said = "no row of the database knows it"
        with self._engine.begin() as read:
            if is_label(read, folders, file):
                said += "; the daemon will take its folder for what a person says of it"
                return Finding("label", where, said, harmless=True)
        if (
            file.path.startswith(folders.root + b"/classified/")
            and folders.class_folder(file.path) is None
        ):
            said += ", and it is in no class folder"
        mend = partial(self._mending.put_back, file, texts)
        return Finding("stranger", where, said, "put it into the inbox", mend)

    def _models(self) -> Iterator[Finding]:
        history, used = Decisions(self._engine), set[str]()
        try:
            used.add(settings.load(self._home.settings).model)
        except VidwatchError as error:
            yield Finding("settings", str(self._home.settings), str(error))
        undecided = history.undecided()
        used |= {
            name
            for name in (history.champion(), undecided.challenger if undecided else None)
            if name
        }
        if not self._quick:
            from learner import checkpoint

            for name in sorted(used):
                try:
                    checkpoint.load(self._home.model_or_starter(name))
                except VidwatchError as error:
                    yield Finding("model", name, f"cannot be used: {error}")
        for entry in find_models(self._home.models):
            if entry.problem and (self._quick or entry.name not in used):
                yield Finding("model", entry.name, f"cannot be used: {entry.problem}")

    def _backups(self) -> Iterator[Finding]:
        for path in found(self._home.backups, now()):
            if problems := damage(path):
                yield Finding("backup", str(path), f"is damaged ({problems[0]}); remove it")


def _schema(path: Path) -> str | None:
    """The schema of the database at `path`; None if it has none."""
    with opened(path, read_only=True) as engine:
        try:
            with engine.connect() as connection:
                query = "SELECT version_num FROM alembic_version"
                found: str | None = connection.exec_driver_sql(query).scalar()
                return found
        except DatabaseError:
            return None
