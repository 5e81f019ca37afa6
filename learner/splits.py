"""Which clips a model learns from and which judge it: by group, so that no scene is in both."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from learner.dataset import LabelledClip, class_names, find_clips
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, ClipFacts, Grouping, find_groups, recorded_at
from learner.texts import counted

Indices = np.ndarray[Any, np.dtype[np.intp]]
Part = Literal["training", "validation", "test"]
# The clips that are known, and those that are held out.
Fold = tuple[Indices, Indices]
HoldOut = Callable[[list[LabelledClip], Indices, int, int], Fold]

PARTS = 5  # a fifth is held out
TRIES = 20
FEW_GROUPS = 20  # so many may be held out one by one: each costs a training
ENTANGLED = (
    "the groups cannot be split so that every class is on both sides: groups reach over several "
    "classes; add clips of other recordings, or see --group-pattern"
)


@dataclass(frozen=True)
class Sources:
    """Where clips come from."""

    root: Path | None = None
    """Class folders to learn from."""
    validation: Path | None = None
    """Class folders to validate on; None to keep clips of `root` back."""
    test: Path | None = None
    """Class folders to test on; None to keep clips of `root` back."""
    group_pattern: str = GROUP_PATTERN
    split: Literal["group", "random"] = "group"
    """How clips are kept back; "random", as in the course report, flatters."""
    clips: tuple[LabelledClip, ...] = ()
    """Clips that are known already with their groups, instead of a folder."""
    optimistic: str | None = None
    """Why figures by the groups of `clips` are optimistic; None if they are not."""


@dataclass(frozen=True)
class Split:
    """Positions in a list of clips; each clip is in one part at most."""

    training: Indices
    validation: Indices
    test: Indices


def gather(sources: Sources) -> tuple[list[LabelledClip], dict[str, Part]]:
    """All clips, and by their content the part that their folder is for.

    Clips of "training" may still be dealt to another part.

    Raises:
        VidwatchError: fewer than two classes, or the folder of a part that judges shares a clip or
            a group with another folder.
    """
    clips = find_clips(sources.root, sources.group_pattern) if sources.root else list(sources.clips)
    parts: dict[str, Part] = {clip.sha256: "training" for clip in clips}
    if len(class_names(clips)) < 2:
        where = sources.root or "the labels"
        raise VidwatchError(
            f"{where}: one class only; a model needs at least two class folders to tell apart"
        )
    folders: tuple[tuple[Part, Path | None], ...] = (
        ("validation", sources.validation),
        ("test", sources.test),
    )
    for part, root in folders:
        if root:
            found = find_clips(root, sources.group_pattern)
            _require_apart(clips, found, root)
            clips = clips + found
            parts |= {clip.sha256: part for clip in found}
    return clips, parts


def guess_groups(
    clips: list[LabelledClip], parts: Mapping[str, Part], fingerprints: Mapping[str, bytes]
) -> tuple[list[LabelledClip], Grouping]:
    """The clips with their groups: those that nothing states are guessed, as `find_groups` does.

    Args:
        clips: As `find_clips` gives them. A clip without a stated group has its own content for it.
        parts: As `gather` gives them. Clips of folders that judge stay as they are.
        fingerprints: By content; empty if no features were computed.
    """
    dealt = [i for i, clip in enumerate(clips) if parts[clip.sha256] == "training"]
    found = find_groups([_facts(clips[i], fingerprints) for i in dealt])
    grouped = list(clips)
    for i, group in zip(dealt, found.groups, strict=True):
        grouped[i] = replace(clips[i], group=group)
    return grouped, found


def digest_of_groups(stated: list[LabelledClip], clips: list[LabelledClip]) -> str:
    """SHA-256 of the guessed groups; "" if these part the same clips as the stated ones."""
    pairs = {(one.group, other.group) for one, other in zip(stated, clips, strict=True)}
    before = {clip.group for clip in stated}
    after = {clip.group for clip in clips}
    if len(pairs) == len(before) == len(after):
        return ""
    return hashlib.sha256(repr([clip.group for clip in clips]).encode()).hexdigest()


def _facts(clip: LabelledClip, fingerprints: Mapping[str, bytes]) -> ClipFacts:
    facts = ClipFacts(clip.label, own=clip.sha256, content=clip.sha256)
    if clip.group != clip.sha256:
        return replace(facts, stated=clip.group)
    try:
        recorded = recorded_at(clip.path.stat().st_mtime_ns)
    except OSError:
        recorded = None
    return replace(facts, fingerprint=fingerprints.get(clip.sha256), recorded=recorded)


def deal(
    clips: list[LabelledClip], parts: dict[str, Part], split: Literal["group", "random"], seed: int
) -> Split:
    """Fill the parts that have no folder.

    A fifth of the clips is for the test, a fifth of the others for validation.

    Raises:
        VidwatchError: a class has too few groups for that, or there are too few clips.
    """
    training, validation, test = (
        np.array([i for i, clip in enumerate(clips) if parts[clip.sha256] == part], np.intp)
        for part in ("training", "validation", "test")
    )
    hold_out: HoldOut = _hold_out_groups if split == "group" else _hold_out_clips
    if not len(test):
        training, test = hold_out(clips, training, seed, 1 + (not len(validation)))
    if not len(validation):
        training, validation = hold_out(clips, training, seed, 1)
    return Split(training, validation, test)


def folds(clips: list[LabelledClip], count: int, seed: int) -> list[Fold]:
    """Up to `count` splits into known and held-out clips.

    Each clip is held out once, with all of its group. If groups are few, and some class has fewer
    than `count`, or groups reach over several classes so that no such split keeps all classes, each
    group is held out alone.

    Raises:
        VidwatchError: a class has one group only: a model that never saw it would judge it.
    """
    everything = np.arange(len(clips))
    most = min(count, _require_groups(clips, everything, 2))
    # Each class has two groups, so that it keeps one whichever group is held out.
    groups = sorted({clip.group for clip in clips})
    one_by_one = [_without(clips, group) for group in groups if len(groups) <= FEW_GROUPS]
    if one_by_one and most < count:
        return one_by_one
    for parts in range(most, 1, -1):
        splits = list(_group_folds(clips, everything, parts, seed))
        if all(_labels(clips, held_out) <= _labels(clips, known) for known, held_out in splits):
            return splits
    if not one_by_one:
        raise VidwatchError(ENTANGLED)
    return one_by_one


def _without(clips: list[LabelledClip], group: str) -> Fold:
    is_held_out = np.array([clip.group == group for clip in clips])
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def groups_by_class(clips: list[LabelledClip]) -> dict[str, set[str]]:
    """The different groups of each class."""
    groups = defaultdict(set)
    for clip in clips:
        groups[clip.label].add(clip.group)
    return dict(groups)


def _require_apart(known: list[LabelledClip], found: list[LabelledClip], root: Path) -> None:
    contents = {clip.sha256: clip for clip in known}
    groups = {clip.group: clip for clip in known}
    for clip in found:
        if same := contents.get(clip.sha256):
            raise VidwatchError(
                f"{same.path} and {clip.path} are the same video: "
                "a clip cannot judge a model that learned from it"
            )
        if same := groups.get(clip.group):
            raise VidwatchError(
                f"{same.path} and {clip.path} are of one group ({clip.group}), "
                "which cannot be on both sides; see --group-pattern"
            )
    if new := set(class_names(found)) - set(class_names(known)):
        raise VidwatchError(
            f"{root}: there is nothing to learn the classes {', '.join(sorted(new))} from; "
            "take them out of there"
        )


def _hold_out_groups(
    clips: list[LabelledClip], among: Indices, seed: int, held_out_parts: int
) -> Fold:
    """The fold in which the share of each class comes nearest to a fifth.

    Every class is on both sides. The clips that are left are of enough groups for the parts that
    are still to be held out of them.
    """
    most = min(PARTS, _require_groups(clips, among, held_out_parts + 1))
    best = np.inf
    found = None
    for attempt in range(TRIES):
        for known, held_out in _group_folds(clips, among, most, seed + attempt):
            fewest = min(map(len, groups_by_class([clips[i] for i in known]).values()), default=0)
            has_all_classes = _labels(clips, known) == _labels(clips, held_out)
            if fewest < held_out_parts or not has_all_classes:
                continue
            off = _imbalance(clips, known, held_out)
            if off < best:
                best = off
                found = (known, held_out)
        if found:
            return found
    raise VidwatchError(ENTANGLED)


def _imbalance(clips: list[LabelledClip], known: Indices, held_out: Indices) -> float:
    """How far the worst class is from having a fifth held out."""
    counts = {label: np.zeros(2) for label in _labels(clips, known)}
    for side, part in enumerate((known, held_out)):
        for i in part:
            counts[clips[i].label][side] += 1
    return max(float(abs(out / (kept + out) - 1 / PARTS)) for kept, out in counts.values())


def _hold_out_clips(clips: list[LabelledClip], among: Indices, seed: int, _: int) -> Fold:
    try:
        known, held_out = train_test_split(among, test_size=1 / PARTS, random_state=seed)
    except ValueError as error:
        raise VidwatchError(
            f"{counted(len(among), 'clip')}: too few to split into training, validation and test"
        ) from error
    return known, held_out


def _group_folds(
    clips: list[LabelledClip], among: Indices, parts: int, seed: int
) -> Iterator[Fold]:
    labels = [clips[i].label for i in among]
    groups = [clips[i].group for i in among]
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    for known, held_out in splitter.split(labels, labels, groups):
        if len(held_out):
            yield among[known], among[held_out]


def _require_groups(clips: list[LabelledClip], among: Indices, least: int) -> int:
    """The number of groups of the class that has the fewest.

    Raises:
        VidwatchError: it is less than `least`.
    """
    groups = groups_by_class([clips[i] for i in among])
    label = min(groups, key=lambda name: len(groups[name]))
    if len(groups[label]) < least:
        is_alone = sum(clips[i].label == label for i in among) == 1
        hint = "take its one clip away" if is_alone else "see --group-pattern"
        raise VidwatchError(
            f"class {label!r} has clips of {len(groups[label])} group(s) (recordings, scenes) and "
            f"needs {least}, so that it can be judged on one that it did not learn from; "
            f"add clips of others, or {hint}"
        )
    return len(groups[label])


def _labels(clips: list[LabelledClip], part: Indices) -> set[str]:
    return {clips[i].label for i in part}
