from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import class_folders

from learner.dataset import LabelledClip, class_names
from learner.errors import VidwatchError
from learner.splits import (
    Part,
    Sources,
    Split,
    deal,
    digest_of_groups,
    folds,
    gather,
    groups_by_class,
    guess_groups,
)

# (class, group) of each clip: groups reach over classes and differ much in size, and some classes
# have few.
CLIPS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=2, max_size=60)


def clips_of(groups: list[tuple[int, int]]) -> list[LabelledClip]:
    return [
        LabelledClip(Path(str(i)), f"c{label}", f"g{group}", str(i))
        for i, (label, group) in enumerate(groups)
    ]


def all_training(clips: list[LabelledClip]) -> dict[str, Part]:
    return {clip.sha256: "training" for clip in clips}


def parts(split: Split) -> list[list[int]]:
    return [list(part) for part in (split.training, split.validation, split.test)]


@settings(deadline=None)
@given(CLIPS, st.integers(0, 3))
def test_a_group_is_never_on_both_sides_and_each_clip_is_held_out_once(
    groups: list[tuple[int, int]], seed: int
) -> None:
    clips = clips_of(groups)
    try:
        found = folds(clips, 5, seed)
    except VidwatchError:
        return
    held_out: list[int] = []
    for known, other in found:
        assert not {clips[i].group for i in known} & {clips[i].group for i in other}
        assert {clips[i].label for i in other} <= {clips[i].label for i in known}
        held_out += list(other)
    assert sorted(held_out) == list(range(len(clips)))


@settings(deadline=None, max_examples=50)
@given(CLIPS, st.integers(0, 3))
def test_no_group_stands_in_two_parts_and_every_class_in_all(
    groups: list[tuple[int, int]], seed: int
) -> None:
    clips = clips_of(groups)
    try:
        split = parts(deal(clips, all_training(clips), "group", seed))
    except VidwatchError:
        return
    assert sorted(chain(*split)) == list(range(len(clips)))
    of_parts = [{clips[i].group for i in part} for part in split]
    assert len(set.union(*of_parts)) == sum(map(len, of_parts))
    assert all({clips[i].label for i in part} == set(class_names(clips)) for part in split)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(3, 8), min_size=2, max_size=4), st.integers(0, 3))
def test_three_groups_a_class_can_always_be_split(groups_of_class: list[int], seed: int) -> None:
    """Where no group reaches over classes."""
    pairs = [
        (label, 100 * label + group)
        for label, count in enumerate(groups_of_class)
        for group in range(count)
    ]
    clips = clips_of(sorted(pairs * 2))
    assert min(map(len, parts(deal(clips, all_training(clips), "group", seed)))) >= len(
        groups_of_class
    )
    assert folds(clips, 5, seed)


def test_a_split_is_the_same_for_the_same_seed_and_takes_a_fifth() -> None:
    clips = clips_of(
        [(label, 20 * label + group) for label in range(3) for group in range(20) for _ in range(3)]
    )
    one, again, other = (deal(clips, all_training(clips), "group", seed) for seed in (0, 0, 1))
    assert parts(one) == parts(again) != parts(other)
    assert len(one.test) == pytest.approx(len(clips) / 5, rel=0.1)
    assert len(one.validation) == pytest.approx((len(clips) - len(one.test)) / 5, rel=0.15)


def test_the_reports_split_is_scikit_learns_clip_by_clip() -> None:
    from sklearn.model_selection import train_test_split

    clips = clips_of([(i % 10, i // 5) for i in range(500)])
    split = deal(clips, all_training(clips), "random", 42)
    rest, test = train_test_split(np.arange(500), test_size=0.2, random_state=42)
    training, validation = train_test_split(rest, test_size=0.2, random_state=42)
    assert parts(split) == [list(training), list(validation), list(test)]
    assert {clips[i].group for i in split.training} & {clips[i].group for i in split.test}


@pytest.mark.parametrize("least", [2, 3])
def test_a_class_with_too_few_groups_is_named(least: int) -> None:
    clips = clips_of([(0, 0), (0, 1), (0, 2), *[(1, 3 + group) for group in range(least - 1)]])
    with pytest.raises(
        VidwatchError, match=rf"class 'c1' has clips of {least - 1} group.*needs {least}"
    ):
        folds(clips, 5, 0) if least == 2 else deal(clips, all_training(clips), "group", 0)


def test_groups_that_bind_all_classes_together_are_an_error() -> None:
    clips = clips_of([(0, 0), (1, 0), (0, 1), (2, 1), (1, 2), (2, 2)])
    with pytest.raises(VidwatchError, match=r"groups reach over several classes|has clips of"):
        deal(clips, all_training(clips), "group", 0)


def test_too_few_clips_for_a_random_split_are_an_error() -> None:
    clips = clips_of([(0, 0), (1, 1)])
    with pytest.raises(VidwatchError, match=r"(2 clips|1 clip): too few"):
        deal(clips, all_training(clips), "random", 0)


def test_the_groups_of_each_class_are_counted_once() -> None:
    assert groups_by_class(clips_of([(0, 0), (0, 0), (0, 1), (1, 1)])) == {
        "c0": {"g0", "g1"},
        "c1": {"g1"},
    }


def test_clips_of_other_folders_keep_their_part(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", groups=3)
    move(root, tmp_path / "test", 2)
    clips, of_content = gather(Sources(root, test=tmp_path / "test"))
    split = deal(clips, of_content, "group", 0)
    assert {clips[i].path.parts[-3] for i in split.test} == {"test"}
    assert {clips[i].path.parts[-3] for i in (*split.training, *split.validation)} == {"data"}


def move(root: Path, to: Path, group: int) -> None:
    for label in ("bright", "dark"):
        (to / label).mkdir(parents=True)
        name = f"v_{label}_g{group:02}_c01.avi"
        (root / label / name).rename(to / label / name)


def test_the_same_video_cannot_teach_and_judge(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", groups=3)
    (tmp_path / "test" / "dark").mkdir(parents=True)
    (tmp_path / "test" / "dark" / "renamed.avi").write_bytes(
        (root / "dark" / "v_dark_g00_c01.avi").read_bytes()
    )
    with pytest.raises(
        VidwatchError, match=r"v_dark_g00_c01\.avi and .*renamed\.avi are the same video"
    ):
        gather(Sources(root, test=tmp_path / "test"))


def test_a_group_cannot_teach_and_judge(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", groups=3)
    move(root, tmp_path / "test", 2)
    (tmp_path / "test" / "dark" / "v_dark_g02_c01.avi").rename(
        tmp_path / "test" / "dark" / "v_dark_g01_c02.avi"
    )
    with pytest.raises(VidwatchError, match=r"are of one group \(v_dark_g01\)"):
        gather(Sources(root, test=tmp_path / "test"))


def test_a_class_that_nothing_teaches_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "data", groups=3)
    move(root, tmp_path / "test", 2)
    (tmp_path / "test" / "dark").rename(tmp_path / "test" / "zebra")
    with pytest.raises(VidwatchError, match="nothing to learn the classes zebra from"):
        gather(Sources(root, test=tmp_path / "test"))


def test_of_few_groups_that_bind_classes_together_each_is_held_out_alone() -> None:
    """Whichever two parts these three groups make, one of them lacks a class."""
    clips = clips_of([(0, 0), (1, 0), (0, 1), (2, 1), (1, 2), (2, 2)])
    found = folds(clips, 5, 0)
    assert [{clips[i].group for i in held_out} for _, held_out in found] == [{"g0"}, {"g1"}, {"g2"}]
    assert [sorted([*known, *held_out]) for known, held_out in found] == [list(range(6))] * 3


def test_clips_of_a_folder_that_judges_keep_their_groups(tmp_path: Path) -> None:
    """Only clips that are dealt are grouped; a stated group is no guess."""
    clips = [LabelledClip(tmp_path / "x", "a", str(n), str(n)) for n in range(4)]
    clips.append(LabelledClip(tmp_path / "x", "a", "cam1", "4"))
    parts_of_clips: dict[str, Part] = {clip.sha256: "training" for clip in clips} | {"3": "test"}
    grouped, found = guess_groups(clips, parts_of_clips, {})
    assert [clip.group for clip in grouped] == ["#clip 0", "#clip 1", "#clip 2", "3", "cam1"]
    assert found.how == "clips"
    assert digest_of_groups(clips, grouped) == ""  # the same clips are together
    together = [LabelledClip(clip.path, "a", "all", clip.sha256) for clip in clips]
    assert digest_of_groups(clips, together) not in ("", digest_of_groups(together, clips))
