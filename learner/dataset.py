"""Labelled clips in class folders, their groups, and their frames or features, computed once."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from learner import files
from learner.ahead import decoded
from learner.cache import Cache, Shelf
from learner.classes import class_named, is_no_class, is_no_clip, normal_name, why_not_a_class
from learner.classifier import Classifier
from learner.errors import VidwatchError
from learner.folders import walk
from learner.groups import GROUP_PATTERN, compile_pattern, group_of
from learner.safe_open import open_regular
from learner.shelves import features_shelf, frames_shelf
from learner.spec import ClipSpec, ReadOptions
from learner.stored import Table
from learner.texts import counted
from learner.video import Clip, read_clip
from learner.window_plan import content_of
from learner.windows import read_part

log = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], None]
Fill = Callable[["list[LabelledClip]", Classifier, Cache, Progress], None]
"""Puts the features of clips into the cache, by a classifier's backbone."""

# The share of the clips that may be unreadable: if there are more, something else is wrong.
TOLERATED_UNREADABLE = 0.1


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
    """Of its content. What `part_name` gives if it is a part of a video."""
    part: tuple[float, float] | None = None
    """If it is a part of a long video: when it begins and ends there, in seconds."""

    def __str__(self) -> str:
        where = f" ({self.part[0]:g} to {self.part[1]:g} s)" if self.part else ""
        return f"{self.path}{where}"


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
        lambda clip: _read(clip, spec, ReadOptions(exact=exact)),
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
        lambda clip: _read(clip, classifier.spec, reading),
        shelf,
        compute,
        progress,
        cache.root,
        tolerated,
    )


def _compute(
    clips: list[LabelledClip],
    read: Callable[[LabelledClip], Clip],
    shelf: Shelf,
    compute: Callable[[list[Clip]], list[Array]],
    progress: Progress,
    folder: Path,
    tolerated: float = TOLERATED_UNREADABLE,
) -> Samples:
    """The cached values of `clips`; missing ones are computed and cached, batch by batch.

    Args:
        clips: in the order of the result.
        read: decodes a clip.
        shelf: where values are kept.
        compute: a batch of clips to a value of each.
        progress: called with the clips done, and of how many.
        folder: where values are kept that are too large for the memory.
        tolerated: the share of the clips that may be unreadable.

    Raises:
        VidwatchError: a larger share of the clips than `tolerated` cannot be read.
    """
    stored = Table(len(clips), folder)
    for clip in clips:
        values = shelf.get(clip.sha256)
        if values is not None:
            stored.add(clip.sha256, values)
        progress(len(stored), len(clips))
    missing = {clip.sha256: clip for clip in clips if clip.sha256 not in stored}
    skipped: dict[str, str] = {}
    for batch in decoded(missing, lambda name: read(missing[name])):
        clips_read = {}
        for name, result in batch:
            if isinstance(result, str):
                skipped[str(missing[name])] = result
            elif result.sha256 != content_of(name):
                # Values of one content under the hash of another one would be used for ever.
                skipped[str(missing[name])] = "changed while it was read"
            else:
                clips_read[name] = result
        computed = compute(list(clips_read.values())) if clips_read else []
        for name, values in zip(clips_read, computed, strict=True):
            shelf.put(name, values)
            stored.add(name, values)
        if len(skipped) > len(clips) * tolerated:
            raise VidwatchError(_unreadable(skipped, len(clips)))
        progress(len(stored) + len(skipped), len(clips))
    kept = [clip for clip in clips if clip.sha256 in stored]
    return Samples(kept, [stored[clip.sha256] for clip in kept], skipped)


def _read(clip: LabelledClip, spec: ClipSpec, reading: ReadOptions) -> Clip:
    """Decode a clip: a whole file, or the part of a video.

    Raises:
        VideoError: as `read_clip` and `read_part`.
        OSError: as `read_clip`.
    """
    if clip.part is None:
        return read_clip(clip.path, spec, reading)
    with open_regular(clip.path) as file:
        info = os.fstat(file.fileno())
        sha256 = _sha256_once(str(clip.path), info.st_ino, info.st_size, info.st_mtime_ns)
        return read_part(file, spec, *clip.part, sha256)


@lru_cache(maxsize=1000)
def _sha256_once(path: str, *version: int) -> str:
    """Of a file's content; of many parts of an hour, the file is read once for it."""
    return files.sha256_of(path)


def _unreadable(skipped: dict[str, str], count: int) -> str:
    reasons = "; ".join(f"{path}: {reason}" for path, reason in list(skipped.items())[:3])
    of_all = f"{len(skipped)} of the {counted(count, 'clip')}"
    return f"{of_all} cannot be read, more than a tenth: {reasons}"


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
