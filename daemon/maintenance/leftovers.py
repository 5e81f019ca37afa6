"""What we leave in a home when we are killed or a disk is full: copies and models that were not completed."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from daemon.database.tables import trainings, videos
from daemon.home.folder import Home
from daemon.home.folders import Found
from daemon.home.identity import identify
from daemon.home.moving import REASON, put_back, sha256_if_readable
from daemon.maintenance.finding import Finding
from learner import files
from learner.catalogue import read_manifest_file
from learner.errors import VidwatchError

YOUNG = 600  # seconds: beside a daemon at work, what was changed within them may be in its hands
_COPY = re.compile(rb"\.vidwatch-(-?\d+)-(\d+)\.part")
_TOPS = ("inbox", "classified", "labelled", "duplicates", "failed")


def leftovers(home: Home, engine: Engine, *, is_running: bool) -> Iterator[Finding]:
    """All of it; nothing that a daemon or a training at work may still need."""
    for finding, path in _all(home, engine):
        if not (is_running and _is_young(path)):
            yield finding


def _all(home: Home, engine: Engine) -> Iterator[tuple[Finding, Path]]:
    for top in _TOPS:
        for folder, _, names in os.walk(os.fsencode(home.root / top)):
            for name in names:
                path = folder + b"/" + name
                if match := _COPY.fullmatch(name):
                    yield from _of_copy(home, engine, path, int(match[1]), int(match[2]))
                elif name.startswith(b".") and name.endswith(b".txt.part") and _is_reason(path):
                    yield _removable(Path(os.fsdecode(path)), "a text that was not completed")
    for part in home.models.glob("*.part"):
        yield from _of_model(part)
    for part in home.backups.glob("vidwatch-*.db.part"):
        if not _is_young(part):
            yield _removable(part, "a backup that was not completed")
    yield from _of_runs(home, engine)


def _of_copy(
    home: Home, engine: Engine, path: bytes, inode: int, size: int
) -> Iterator[tuple[Finding, Path]]:
    """A copy to another file system. The original is removed before the copy has its name: it may be all there is."""
    there, shown = identify(path), Path(os.fsdecode(path))
    if there is None:
        return
    with engine.begin() as read:
        same = (
            select(videos)
            .where(videos.c.inode == inode, videos.c.size == size)
            .order_by(videos.c.id.desc())
        )
        row: Any = read.execute(same.limit(1)).first()
    if row and row.destination is not None:
        return  # the daemon goes on with it
    if there.size < size:
        yield _removable(shown, "a copy that was not completed; the original is where it was")
        return
    lies_there = row and identify(row.path)
    if (
        lies_there
        and lies_there.size == size
        and sha256_if_readable(row.path) == sha256_if_readable(path)
    ):
        yield _removable(shown, "a copy of a file that lies in its place")
        return
    name = os.fsencode(row.name) if row else b"found-%d" % inode
    mend = partial(put_back, Found(path, there), home.inbox, name)
    yield (
        Finding("copy", str(shown), "may be all there is of a clip", "put it into the inbox", mend),
        shown,
    )


def _of_model(part: Path) -> Iterator[tuple[Finding, Path]]:
    """A model's file that was not put in its place; a manifest may be all that is missing of it."""
    if part.name.endswith(".json.part"):
        manifest = part.with_suffix("")
        weights = manifest.with_suffix(".safetensors")
        digest = sha256_if_readable(os.fsencode(weights))
        if digest and digest == _stated(part) and digest != _stated(manifest):
            said, repair = "its manifest was not put in its place", "do that"
            yield (
                Finding("model", manifest.stem, said, repair, partial(files.commit, manifest)),
                part,
            )
            return
    if part.name.endswith((".json.part", ".safetensors.part")):
        yield _removable(part, "a model that was not saved to the end")


def _of_runs(home: Home, engine: Engine) -> Iterator[tuple[Finding, Path]]:
    with engine.begin() as read:
        states = {
            row.name: row.state for row in read.execute(select(trainings.c.name, trainings.c.state))
        }
    for folder in home.models.glob("auto-*.run"):
        name, is_model = folder.stem, folder.with_suffix(".safetensors").exists()
        if (
            re.fullmatch(r"auto-\d+", name)
            and not is_model
            and states.get(name) not in ("asked", "training")
        ):
            said = "what is left of a training of which no model came, with its log"
            mend = partial(shutil.rmtree, folder)
            yield Finding("run", str(folder), said, "remove it", mend, harmless=True), folder


def _removable(path: Path, said: str) -> tuple[Finding, Path]:
    return Finding(
        "leftover", str(path), said, "remove it", partial(path.unlink, missing_ok=True)
    ), path


def _is_young(path: Path) -> bool:
    """By the time that no one can set: a copy has the times of its original."""
    try:
        return time.time() - path.lstat().st_ctime < YOUNG
    except OSError:
        return True


def _is_reason(path: bytes) -> bool:
    try:
        with Path(os.fsdecode(path)).open("rb") as file:
            begun = file.read(len(REASON))
        return REASON.startswith(begun)
    except OSError:
        return False


def _stated(manifest: Path) -> str | None:
    try:
        return str(read_manifest_file(manifest)["weights_sha256"])
    except (VidwatchError, KeyError):
        return None
