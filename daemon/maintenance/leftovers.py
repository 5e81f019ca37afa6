"""What is left in a home after a kill or on a full disk: copies and models that are incomplete."""

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from daemon.database.tables import trainings, videos
from daemon.home.doors import Doors
from daemon.home.folder import Home
from daemon.home.folders import Found
from daemon.home.identity import identify
from daemon.home.moving import put_back, sha256_if_readable
from daemon.home.reasons import REASON
from daemon.maintenance.finding import Finding
from learner import files
from learner.catalogue import read_manifest_file
from learner.errors import VidwatchError
from learner.folders import walk

YOUNG = 600  # seconds: a daemon at work may still need what was changed within them
# In versions before, names of files that are not whole yet had no part that nobody can guess.
_COPY_NAME = re.compile(rb"\.vidwatch-(-?\d+)-(\d+)(?:-[0-9a-f]{16})?\.part")
_NEW_NAME = re.compile(rb"\.vidwatch-[0-9a-f]{16}\.part")
_TOPS = ("inbox", "classified", "labelled", "duplicates", "failed", "trash")


def leftovers(home: Home, engine: Engine, *, is_running: bool) -> Iterator[Finding]:
    """All leftovers, but for what a daemon or a training at work may still need."""
    for finding, path in _all(home, engine):
        if not (is_running and _is_young(path)):
            yield finding


def _all(home: Home, engine: Engine) -> Iterator[tuple[Finding, Path]]:
    """All leftovers, each with its path."""
    for top in _TOPS:
        for _, folder, names in walk(home.root / top):
            for name in names:
                if found := _in_folder(home, engine, folder, name):
                    yield found
    yield from _beside_the_database(home)
    for part in home.models.glob("*.part"):
        if found := _model(part):
            yield found
    for part in home.backups.glob("vidwatch-*.db.part"):
        if not _is_young(part):
            yield _removable(part, "a backup that was not completed")
    yield from _runs(home, engine)


def _beside_the_database(home: Home) -> Iterator[tuple[Finding, Path]]:
    for folder in (home.root, home.backups):
        for part in folder.glob(".vidwatch-*.part"):
            if _NEW_NAME.fullmatch(os.fsencode(part.name)):
                yield _removable(part, "a file that was not completed")


def _in_folder(
    home: Home, engine: Engine, folder: bytes, name: bytes
) -> tuple[Finding, Path] | None:
    """The finding about a file in a folder of clips; None if it is no leftover."""
    path = folder + b"/" + name
    if match := _COPY_NAME.fullmatch(name):
        return _copy(home, engine, path, inode=int(match[1]), size=int(match[2]))
    is_text = _NEW_NAME.fullmatch(name) or (name.startswith(b".") and name.endswith(b".txt.part"))
    if is_text and _is_reason(home, path):
        return _removable(Path(os.fsdecode(path)), "a text that was not completed")
    return None


def _copy(
    home: Home, engine: Engine, path: bytes, inode: int, size: int
) -> tuple[Finding, Path] | None:
    """The finding about a copy to another file system; None if the daemon completes it.

    The original is removed before the copy gets its name: the copy may be all there is of a clip.

    Args:
        home: The home.
        engine: Its database.
        path: The copy.
        inode: The original's inode, from the copy's name.
        size: The original's size in bytes, from the copy's name.
    """
    copy = identify(path)
    shown = Path(os.fsdecode(path))
    if copy is None:
        return None
    of_original = select(videos).where(videos.c.inode == inode, videos.c.size == size)
    with engine.begin() as connection:
        rows: Sequence[Any] = connection.execute(of_original.order_by(videos.c.id.desc())).all()
    # The name has no device: a newer row may be that of a file on another disk.
    if any(row.destination is not None for row in rows):
        return None  # the daemon goes on with it
    row: Any = rows[0] if rows else None
    if copy.size < size:
        return _removable(shown, "a copy that was not completed; the original is where it was")
    original = identify(row.path) if row else None
    if (
        original
        and original.size == size
        and sha256_if_readable(row.path) == sha256_if_readable(path)
    ):
        return _removable(shown, "a copy of a file that lies in its place")
    name = os.fsencode(row.name) if row else b"found-%d" % inode
    apply_repair = partial(put_back, Found(path, copy), home.inbox, name)
    problem = "may be all there is of a clip"
    return Finding("copy", str(shown), problem, "put it into the inbox", apply_repair), shown


def _model(part: Path) -> tuple[Finding, Path] | None:
    """The finding about a model's file that was not put in its place; None if it is none.

    If only the manifest is missing, and the weights are whole, the model can be completed.
    """
    if part.name.endswith(".json.part"):
        manifest = part.with_suffix("")
        digest = sha256_if_readable(os.fsencode(manifest.with_suffix(".safetensors")))
        if digest and digest == _weights_digest(part) and digest != _weights_digest(manifest):
            problem = "its manifest was not put in its place"
            apply_repair = partial(files.commit, manifest)
            return Finding("model", manifest.stem, problem, "put it there", apply_repair), part
    is_new = _NEW_NAME.fullmatch(os.fsencode(part.name))
    if is_new or part.name.endswith((".json.part", ".safetensors.part")):
        return _removable(part, "a model that was not saved to the end")
    return None


def _runs(home: Home, engine: Engine) -> Iterator[tuple[Finding, Path]]:
    """The folders of trainings that ended without a model."""
    with engine.begin() as connection:
        rows = connection.execute(select(trainings.c.name, trainings.c.state))
        states = {row.name: row.state for row in rows}
    for folder in home.models.glob("auto-*.run"):
        is_ours = re.fullmatch(r"auto-\d+", folder.stem) is not None
        has_model = folder.with_suffix(".safetensors").exists()
        is_under_way = states.get(folder.stem) in ("asked", "training")
        if is_ours and not has_model and not is_under_way:
            problem = "what is left of a training that gave no model, with its log"
            remove = partial(shutil.rmtree, folder)
            yield Finding("run", str(folder), problem, "remove it", remove, harmless=True), folder


def _removable(path: Path, problem: str) -> tuple[Finding, Path]:
    remove = partial(path.unlink, missing_ok=True)
    return Finding("leftover", str(path), problem, "remove it", remove), path


def _is_young(path: Path) -> bool:
    """By the time of its last change (ctime), which no program can set.

    The modification time is of no use: a copy has that of its original.
    """
    try:
        return abs(time.time() - path.lstat().st_ctime) < YOUNG
    except OSError:
        return True


def _is_reason(home: Home, path: bytes) -> bool:
    """Whether a file begins as our texts do, as far as it was written."""
    try:
        with Doors(os.fsencode(home.root)).open(path) as file:
            return REASON.startswith(file.read(len(REASON)))
    except OSError:
        return False


def _weights_digest(manifest: Path) -> str | None:
    """The SHA-256 that a manifest gives of its weights; None if it cannot be read."""
    try:
        return str(read_manifest_file(manifest)["weights_sha256"])
    except (VidwatchError, KeyError):
        return None
