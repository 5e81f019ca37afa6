"""Makes the files of a home and a database that was restored fit together again."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select, update

from daemon.database.connection import opened
from daemon.database.expressions import content_of_video
from daemon.database.filed import of_the_home
from daemon.database.files import in_its_place, other_names, predicted_row, unexplained
from daemon.database.tables import labels, part_labels, videos
from daemon.home import settings
from daemon.home.address import Database
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found, files_below, group_at
from daemon.home.identity import display_name
from daemon.home.moving import put_back
from daemon.home.reasons import our_files, reason_texts
from daemon.home.settings import load_left_alone
from daemon.home.sidecars import Sidecars, is_sidecar
from daemon.labels.class_folders import ClassFolders
from daemon.labels.labels import newest_label
from daemon.labels.parts import counting
from daemon.labels.queries import newest
from learner.errors import VidwatchError

Progress = Callable[[int, int | None], None]


def sort_files(
    engine: Engine, home: Home, progress: Progress = lambda done, total: None
) -> tuple[int, int]:
    """Put the files that no row explains into the inbox, with the texts about them removed.

    Gives how many there were, and how many others go back to where their rows say. `progress` gets
    how many files were looked at.

    Raises:
        OSError: a file cannot be moved.
    """
    texts = reason_texts(home.root / "failed")
    n_put_back = 0
    returned = 0
    left_alone = load_left_alone(home.settings)
    looked_at = 0
    for files in our_files(home.root, texts, left_alone=left_alone):
        strangers, n_returned = _follow(engine, Folders(home.root), files)
        looked_at += len(files)
        progress(looked_at, None)
        returned += n_returned
        for file in strangers:
            if (placed := put_back(file, home.inbox)) is not None:
                n_put_back += 1
                Sidecars(os.fsencode(home.root)).follow(file.path, placed)
            for text in texts.get(file.path, ()):
                Path(os.fsdecode(text)).unlink()
    return n_put_back, returned


def note_labels(engine: Engine, home: Home, pattern: re.Pattern[str]) -> int:
    """Note the labels of files in `labelled/` that the backup does not know; gives how many.

    The daemon would note them, too. But it would take each unknown file for a clip that came with
    its label, and such clips judge models. Here it may be a correction of a prediction that the
    backup does not know, and corrections do not judge. Sidecars are no clips, as for the daemon.
    """
    class_folders = ClassFolders(engine, settings.load_folders(home.settings))
    root = os.fsencode(home.root)
    with engine.begin() as connection:
        last = newest_label(connection)
    left_alone = load_left_alone(home.settings)
    for files in files_below(home.root / "labelled", left_alone=left_alone):
        clips = [file for file in files if not is_sidecar(file.path)]
        grouped = [file._replace(group=group_at(file.path, root, pattern)) for file in clips]
        class_folders.notice(grouped, now())
    is_new = labels.c.id > last
    with engine.execution_options(writes=True).begin() as connection:
        by_folder = update(labels).where(is_new, labels.c.source == "folder")
        connection.execute(by_folder.values(source="moved"))
        return connection.scalar(select(func.count()).where(is_new)) or 0


def count_lost_labels(kept: Database | None, engine: Engine) -> int | None:
    """How many labels of the database before have no file any more that has the same label now.

    Labels of parts have no file: they are lost if the database does not have them now.
    """
    if kept is None:
        return None
    try:
        with opened(kept, read_only=True) as engine_before:
            before = _labelled_files(engine_before)
            parts_before = _labelled_parts(engine_before)
    except VidwatchError:  # damaged, or of an older vidwatch
        return None
    now_labelled = set[Any]().union(*_labelled_files(engine))
    lost = sum(1 for files in before if not files & now_labelled)
    return lost + len(parts_before - _labelled_parts(engine))


def _labelled_parts(engine: Engine) -> set[tuple[Any, ...]]:
    """The content, the times and the class of each label of a part that counts."""
    names = ("start_s", "end_s", "class")
    query = select(videos.c.sha256, *(part_labels.c[name] for name in names)).join(part_labels)
    with engine.begin() as connection:
        return {tuple(row) for row in connection.execute(query.where(counting()))}


def _follow(engine: Engine, folders: Folders, files: Sequence[Found]) -> tuple[list[Found], int]:
    """Let rows follow their files that have other names now.

    Gives the files that no row explains, and how many others go back to where their rows say.
    Second names (hard links) of files that rows explain stay where they are.
    """
    strangers = []
    returned = 0
    with engine.execution_options(writes=True).begin() as connection:
        for file in unexplained(connection, files):
            if other_names(connection, [file]):
                continue  # a second name, which was set aside or is a label: it is no new clip
            row = predicted_row(connection, file)
            # If the file of the row is still there, this one is a copy.
            if row is None or in_its_place(row) is not None:
                if not is_sidecar(file.path):
                    strangers.append(file)
                continue
            destination = _destination(row, file, folders)
            change = {
                "path": file.path,
                "name": display_name(file.path),
                "destination": destination,
                "moving_to": None,
                **of_the_home(row),
            }
            connection.execute(update(videos).where(videos.c.id == row["id"]).values(**change))
            if destination is not None:
                returned += 1
    return strangers, returned


def _destination(row: Any, file: Found, folders: Folders) -> bytes | None:
    """Where the file of `row` is to be moved; None if it is in the right folder."""
    if row["destination"]:
        return bytes(row["destination"])
    folder = folders.class_folder(row["path"])
    was_filed = folder is not None or row["path"].startswith(folders.duplicates() + b"/")
    is_elsewhere = folder != folders.class_folder(file.path)
    return bytes(row["path"]) if was_filed and is_elsewhere else None


def _labelled_files(engine: Engine) -> list[set[Any]]:
    """For each label that counts: the files of its content, wherever they lie.

    A file is its size, its date, and what the label says.
    """
    given = newest().subquery()
    content = content_of_video()
    query = select(
        given.c.video_id,
        videos.c.size,
        videos.c.mtime_ns,
        given.c.verdict,
        given.c["class"],
    )
    files: dict[int, set[Any]] = defaultdict(set)
    with engine.begin() as connection:
        for video, *file in connection.execute(query.join(videos, content == given.c.video_id)):
            files[video].add(tuple(file))
    return list(files.values())
