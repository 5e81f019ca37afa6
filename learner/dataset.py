"""Labelled clips in class folders, their groups, and their frames or features, computed once."""

import logging
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learner import files
from learner.cache import Cache, Shelf
from learner.classes import class_named, is_no_class, is_no_clip, normal_name, why_not_a_class
from learner.classifier import Classifier, decoded
from learner.errors import VidwatchError
from learner.folders import walk
from learner.groups import GROUP_PATTERN, compile_pattern, group_of
from learner.shelves import features_shelf, frames_shelf
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip, read_clip

log = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], None]

# The share of the clips that may be unreadable: if there are more, something else is wrong.
TOLERATED_UNREADABLE = 0.1
# Values that take more bytes than this lie in a file.
IN_MEMORY = 500_000_000
ROWS_TO_RELEASE = 2000


def silent(done: int, of: int) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class LabelledClip:
    """A clip of which the class is known."""

    path: Path
    label: str
    group: str
    """Its recording, camera or scene: clips of one group are never on both sides of a split."""
    sha256: str


@dataclass(frozen=True)
class Samples:
    """Frames or features of clips."""

    clips: list[LabelledClip]
    values: list[Array]
    """In the order of `clips`."""
    skipped: dict[str, str]
    """Files that gave nothing, and why."""

    def tensor(self) -> torch.Tensor:
        """All values in one tensor, clips first."""
        return torch.from_numpy(np.stack(self.values))


def find_clips(root: Path, group_pattern: str = GROUP_PATTERN) -> list[LabelledClip]:
    """Every file in a class folder of `root`, sorted; the same content is taken once.

    A clip's group is what `group_pattern` finds in its name, else its sub-folder of the class
    folder, else its own content.

    Raises:
        VidwatchError: no class folders, one without clips, one that cannot be a class, the same
            content in two classes, or `group_pattern` is no regular expression.
    """
    if not root.is_dir():
        raise VidwatchError(
            f"{root} is not a folder; give one that holds a folder of clips for each class"
        )
    pattern = compile_pattern(group_pattern)
    by_content: dict[str, LabelledClip] = {}
    labels = set[str]()
    for path in sorted(_files(root)):
        folder_name, *folders, name = path.relative_to(root).parts
        label = class_named(folder_name, labels)
        if label not in labels:
            if reason := why_not_a_class(label, labels):
                hint = "rename it or move it away"
                raise VidwatchError(f"{root}: folder {label!r}: {reason}; {hint}")
            labels.add(label)
        sha256 = _sha256(path)
        clip = LabelledClip(path, label, group_of(name, folders, pattern) or sha256, sha256)
        same = by_content.setdefault(clip.sha256, clip)
        if same.label != label:
            raise VidwatchError(
                f"{same.path} and {path} hold the same video in two classes; remove the wrong one"
            )
    if not by_content:
        raise VidwatchError(
            f"{root} holds no clips in class folders; "
            "put clips into folders named after their classes"
        )
    clips = list(by_content.values())
    empty = sorted({normal_name(name) for name in _class_folders(root)} - labels)
    if empty:
        raise VidwatchError(
            f"{root}: class folder {empty[0]!r} holds no clips; put some into it, or remove it"
        )
    return clips


def class_names(clips: list[LabelledClip]) -> tuple[str, ...]:
    """The labels in alphabetical order."""
    return tuple(sorted({clip.label for clip in clips}))


def read_frames(
    clips: list[LabelledClip],
    spec: ClipSpec,
    cache: Cache | None = None,
    progress: Progress = silent,
    *,
    exact: bool = False,
) -> Samples:
    """Each clip's frames, `(T, H, W, 3)` uint8 RGB, from the cache if they are there.

    `exact` is as in `ReadOptions`.

    Raises:
        VidwatchError: more than a tenth of the clips cannot be read.
    """
    cache = cache or Cache()
    return _compute(
        clips,
        lambda path: read_clip(path, spec, ReadOptions(exact=exact)),
        frames_shelf(spec, cache, exact=exact),
        lambda batch: [clip.frames for clip in batch],
        progress,
        cache.root,
    )


def extract(
    clips: list[LabelledClip],
    classifier: Classifier,
    cache: Cache | None = None,
    progress: Progress = silent,
    tolerated: float = TOLERATED_UNREADABLE,
) -> Samples:
    """Features of each clip, `(T, F)` half precision, from the cache if they are there.

    Args:
        clips: to be read.
        classifier: gives the backbone, the clip spec and how clips are read.
        cache: where features are kept.
        progress: called with the clips done, and of how many.
        tolerated: the share of the clips that may be unreadable.

    Raises:
        VidwatchError: a larger share of the clips cannot be read.
    """
    cache = cache or Cache()
    shelf = features_shelf(classifier, cache)

    def compute(batch: list[Clip]) -> list[Array]:
        return list(classifier.features(batch).numpy())

    # A model learns from whole clips alone, whatever is required of those that it predicts.
    reading = replace(classifier.reading, min_read_share=1.0)
    return _compute(
        clips,
        lambda path: read_clip(path, classifier.spec, reading),
        shelf,
        compute,
        progress,
        cache.root,
        tolerated,
    )


def _compute(
    clips: list[LabelledClip],
    read: Callable[[str], Clip],
    shelf: Shelf,
    compute: Callable[[list[Clip]], list[Array]],
    progress: Progress,
    folder: Path,
    tolerated: float = TOLERATED_UNREADABLE,
) -> Samples:
    """The cached values of `clips`; missing ones are computed and cached, batch by batch.

    Args:
        clips: in the order of the result.
        read: decodes a file.
        shelf: where values are kept.
        compute: a batch of clips to a value of each.
        progress: called with the clips done, and of how many.
        folder: where values are kept that are too large for the memory.
        tolerated: the share of the clips that may be unreadable.

    Raises:
        VidwatchError: a larger share of the clips than `tolerated` cannot be read.
    """
    stored = _Table(len(clips), folder)
    for clip in clips:
        values = shelf.get(clip.sha256)
        if values is not None:
            stored.add(clip.sha256, values)
        progress(len(stored), len(clips))
    missing = {os.fspath(clip.path): clip.sha256 for clip in clips if clip.sha256 not in stored}
    skipped: dict[str, str] = {}
    for batch in decoded(missing, read):
        skipped |= {path: reason for path, reason in batch if isinstance(reason, str)}
        clips_read = [(path, clip) for path, clip in batch if isinstance(clip, Clip)]
        # Values of one content under the hash of another one would be used for ever.
        skipped |= {
            path: "changed while it was read"
            for path, clip in clips_read
            if clip.sha256 != missing[path]
        }
        usable = [(path, clip) for path, clip in clips_read if path not in skipped]
        computed = compute([clip for _, clip in usable]) if usable else []
        for (path, _), values in zip(usable, computed, strict=True):
            shelf.put(missing[path], values)
            stored.add(missing[path], values)
        if len(skipped) > len(clips) * tolerated:
            raise VidwatchError(_unreadable(skipped, len(clips)))
        progress(len(stored) + len(skipped), len(clips))
    kept = [clip for clip in clips if clip.sha256 in stored]
    return Samples(kept, [stored[clip.sha256] for clip in kept], skipped)


class _Table:
    """Arrays of one shape by name, in memory or, if they need much of it, in an unnamed file.

    It is one file for all: mapped one by one, they would use up the files that a process may open.
    """

    def __init__(self, count: int, folder: Path) -> None:
        self._count = count
        self._folder = folder
        self._rows: dict[str, int] = {}
        self._values: Array | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Array:
        assert self._values is not None
        return self._values[self._rows[name]]  # type: ignore[no-any-return]

    def add(self, name: str, values: Array) -> None:
        if self._values is None:
            self._values = self._room(values)
        row = self._rows.setdefault(name, len(self._rows))
        self._values[row] = values
        if row % ROWS_TO_RELEASE == 0:
            release_pages(self._values)

    def _room(self, like: Array) -> Array:
        shape = (self._count, *like.shape)
        size = self._count * like.nbytes
        if size <= IN_MEMORY:
            return np.empty(shape, like.dtype)
        folder = self._folder if os.access(self._folder, os.W_OK) else None
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                # A full disk is an error now, not in the middle of training.
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                where = folder or tempfile.gettempdir()
                raise VidwatchError(
                    f"frames or features need {size / 1e9:.1f} GB in {where} ({error.strerror})"
                ) from error
            return np.memmap(file, like.dtype, "r+", shape=shape)


def release_pages(values: Any) -> None:
    """Let the memory go that was used for values which lie in a file: they stay in the file."""
    first = values[0] if len(values) else None
    while first is not None and not isinstance(first, np.memmap):
        first = getattr(first, "base", None)
    if first is not None:
        first._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _unreadable(skipped: dict[str, str], count: int) -> str:
    reasons = "; ".join(f"{path}: {reason}" for path, reason in list(skipped.items())[:3])
    return f"{len(skipped)} of the {count} clips cannot be read, more than a tenth: {reasons}"


def _class_folders(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir() and not is_no_class(path.name)}


def _files(root: Path) -> Iterator[Path]:
    for label in _class_folders(root):
        for _, folder, names in walk(root / label, enter=_is_shown, trouble=_warn_of):
            yield from (
                Path(os.fsdecode(folder), os.fsdecode(name))
                for name in names
                if not is_no_clip(os.fsdecode(name))
            )


def _is_shown(folder: bytes) -> bool:
    return not is_no_class(os.fsdecode(folder.rpartition(b"/")[2]))


def _warn_of(error: OSError) -> None:
    log.warning("left out folder=%s reason=%s", os.fsdecode(error.filename), error.strerror)


def _sha256(path: Path) -> str:
    """Of its content.

    A file that is empty or cannot be read gets a text of its own instead: when it is decoded, the
    error says why.
    """
    try:
        if path.is_file() and path.stat().st_size:
            return files.sha256_of(path)
    except OSError:
        pass
    return f"unreadable {path}"
