"""Labelled clips in class folders, their groups, and the cached features of a frozen backbone."""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
import torch

from learner.checkpoint import CLASS_NAME_RULE, is_class_name
from learner.classifier import Classifier, decoded
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern, group_of
from learner.video import Clip, read_clip

log = logging.getLogger(__name__)

# Raised whenever the same file may give other frames than before: cached features of the old ones are left behind.
DECODING = 2


@dataclass(frozen=True)
class LabelledClip:
    """`group` is the clip's recording, camera or scene: clips of one group are never on both sides of a split."""

    path: Path
    label: str
    group: str
    sha256: str


@dataclass(frozen=True)
class Features:
    """`values` `(N, T, F)` half precision, in the order of `clips`; `skipped` tells which files gave none, and why."""

    clips: list[LabelledClip]
    values: torch.Tensor
    skipped: dict[str, str]


def find_clips(root: Path, group_pattern: str = GROUP_PATTERN) -> list[LabelledClip]:
    """Every file in a class folder of `root`, sorted; the same content is taken once.

    A clip's group is what `group_pattern` finds in its name, else its sub-folder of the class folder, else itself.

    Raises:
        VidwatchError: no class folders or no clips, a folder that cannot be a class, the same content in two classes,
            or `group_pattern` is no regular expression.
    """
    if not root.is_dir():
        raise VidwatchError(f"{root} is not a folder; give one that holds a folder of clips for each class")
    pattern = compile_pattern(group_pattern)
    by_content: dict[str, LabelledClip] = {}
    for path in sorted(_files(root)):
        label, *folders, name = path.relative_to(root).parts
        if not is_class_name(label):
            raise VidwatchError(f"{root}: folder {label!r}: {CLASS_NAME_RULE}; rename it or move it away")
        group = group_of(name, folders, pattern) or f"{label}/{name}"
        clip = LabelledClip(path, label, group, _sha256(path))
        same = by_content.setdefault(clip.sha256, clip)
        if same.label != label:
            raise VidwatchError(f"{same.path} and {path} hold the same video in two classes; remove the wrong one")
    if not by_content:
        raise VidwatchError(f"{root} holds no clips in class folders; put clips into folders named after their classes")
    return list(by_content.values())


def class_names(clips: list[LabelledClip]) -> tuple[str, ...]:
    """The labels in alphabetical order."""
    return tuple(sorted({clip.label for clip in clips}))


def extract(
    clips: list[LabelledClip], classifier: Classifier, progress: Callable[[int, int], None] = lambda done, of: None
) -> Features:
    """The backbone's features of each clip, from the cache where they are in it."""
    cache = _cache_folder(classifier)
    stored = {clip.sha256: values for clip in clips if (values := _cached(cache / f"{clip.sha256}.npy")) is not None}
    missing = {os.fspath(clip.path): clip.sha256 for clip in clips if clip.sha256 not in stored}
    skipped: dict[str, str] = {}
    progress(len(clips) - len(missing), len(clips))
    for batch in decoded(missing, lambda path: read_clip(path, classifier.spec)):
        skipped |= {path: clip for path, clip in batch if isinstance(clip, str)}
        read = [(path, clip) for path, clip in batch if isinstance(clip, Clip)]
        # Features of one content under the hash of another would be believed for ever.
        whole = [(path, clip) for path, clip in read if clip.sha256 == missing[path]]
        skipped |= {path: "changed while it was read" for path, clip in read if clip.sha256 != missing[path]}
        if whole:
            values = classifier.features(np.stack([clip.frames for _, clip in whole])).numpy()
            for (path, _), value in zip(whole, values, strict=True):
                stored[missing[path]] = value
                _store(cache / f"{missing[path]}.npy", value)
        progress(len(stored) + len(skipped), len(clips))
    kept = [clip for clip in clips if clip.sha256 in stored]
    if not kept:
        path, reason = next(iter(skipped.items()))
        raise VidwatchError(f"none of the {len(clips)} clips can be read; the first, {path}: {reason}")
    return Features(kept, torch.from_numpy(np.stack([stored[clip.sha256] for clip in kept])), skipped)


def groups_by_class(clips: list[LabelledClip]) -> dict[str, set[str]]:
    """The different groups of each class."""
    groups = defaultdict(set)
    for clip in clips:
        groups[clip.label].add(clip.group)
    return dict(groups)


def _files(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".")]
        if Path(folder) != root:
            yield from (Path(folder, name) for name in files if not name.startswith(".") and name != "Thumbs.db")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VidwatchError(f"{path} cannot be read ({error.strerror})") from error


def _cache_folder(classifier: Classifier) -> Path:
    """One folder for each backbone, its weights, the clip spec and the precision: all that features depend on."""
    digest = hashlib.sha256(repr((classifier.manifest.network.backbone, classifier.manifest.network.stage)).encode())
    digest.update(repr((classifier.spec, classifier.precision, DECODING)).encode())
    for name, tensor in sorted(classifier.network.backbone.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return Path(platformdirs.user_cache_dir("vidwatch"), "features", digest.hexdigest()[:24])


def _cached(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]] | None:
    try:
        return np.load(path)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError):
        return None


def _store(path: Path, value: np.ndarray[tuple[int, ...], np.dtype[np.float16]]) -> None:
    """Keep features for the next run. A cache that cannot be written (read-only, a full disk) costs time only."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.save(file, value)
        part.replace(path)
    except OSError as error:
        log.warning("features not cached file=%s reason=%s", path, error.strerror)
