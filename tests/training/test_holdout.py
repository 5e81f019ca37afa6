from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.training.holdout import LabelledVideo, sides_of_new_groups
from daemon.training.job import labelled_files

SHARE = 0.3


def clip(number: int, label: str, group: str, sha256: str = "") -> LabelledVideo:
    return LabelledVideo(number, number, sha256 or f"sha{number}", b"/a.avi", group, label, False)


def clips(sizes: list[tuple[str, int]]) -> list[LabelledVideo]:
    """For each label and size, a group of so many clips."""
    numbers = count(1)
    return [
        clip(next(numbers), label, f"{label}{g}")
        for g, (label, size) in enumerate(sizes)
        for _ in range(size)
    ]


groups = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=40)


@given(groups)
def test_each_class_keeps_two_training_groups_and_gets_its_share_of_holdout(
    sizes: list[tuple[str, int]],
) -> None:
    found = clips(sizes)
    sides = sides_of_new_groups(found, {}, SHARE, [])
    for label in {one.class_name for one in found}:
        own = [one for one in found if one.class_name == label]
        learned = {one.group for one in own if sides[one.group] == "training"}
        held = sum(sides[one.group] == "holdout" for one in own)
        assert len(learned) >= min(2, len({one.group for one in own}))
        largest = max(Counter(one.group for one in own).values())
        assert held <= SHARE * len(own) + largest
        if len({one.group for one in own}) > 10 * largest:
            assert held >= SHARE * len(own) - 3 * largest


@given(groups, st.integers(0, 40))
def test_a_group_with_a_side_never_gets_another(sizes: list[tuple[str, int]], cut: int) -> None:
    found = clips(sizes)
    first = sides_of_new_groups(found[:cut], {}, SHARE, [])
    assert not sides_of_new_groups(found, first, SHARE, []).keys() & first.keys()


def test_clips_keep_their_side_if_their_group_gets_another_name_or_is_parted() -> None:
    """As by a clip that was recorded earlier, or when a class needs another way."""
    before = [clip(10 * g + k, "a", f"#{10 * g}") for g in range(9) for k in range(3)]
    sides = sides_of_new_groups(before, {}, SHARE, [])
    assert {"holdout", "training"} == set(sides.values())
    renamed = [replace(one, group=f"#{1000 + one.video_id // 10}") for one in before]
    parted = [replace(one, group=f"#clip {one.video_id}") for one in before]
    for after in (renamed, parted):
        again = sides | sides_of_new_groups(after, sides, SHARE, [])
        assert [again[one.group] for one in after] == [sides[one.group] for one in before]


def test_groups_that_are_joined_train_if_one_of_them_did() -> None:
    before = [clip(10 * g, "a", f"#{10 * g}") for g in range(20)]
    sides = sides_of_new_groups(before, {}, SHARE, [])
    judging = next(one for one in before if sides[one.group] == "holdout")
    training = next(one for one in before if sides[one.group] == "training")
    for name in (judging.group, training.group, "#7"):
        joined = [replace(one, group=name) for one in (judging, training)]
        again = sides | sides_of_new_groups(joined, sides, SHARE, [])
        assert again[name] == "training"
        assert again[judging.group] == "training"  # also when it is alone again


def test_clips_that_the_champion_was_trained_on_and_their_groups_never_judge() -> None:
    found = clips([("a", 1)] * 20)
    trained_on = [("elsewhere", "a", found[5].group), (found[6].sha256, "a", "other")]
    sides = sides_of_new_groups(found, {}, 0.9, trained_on, {found[7].sha256})
    assert {sides[found[i].group] for i in (5, 6, 7)} == {"training"}
    assert "holdout" in sides.values()


def test_if_the_champion_was_trained_on_a_class_its_first_new_group_may_judge() -> None:
    trained_on = [(f"x{n}", "a", f"old{n % 3}") for n in range(9)]
    held = {
        sides: group
        for group, sides in reversed(
            sides_of_new_groups(clips([("a", 1)] * 3), {}, SHARE, trained_on).items()
        )
    }
    assert held["holdout"] == "a1"
    held = {
        sides: group
        for group, sides in reversed(
            sides_of_new_groups(clips([("a", 1)] * 10), {}, SHARE, []).items()
        )
    }
    assert held["holdout"] == "a2"


@pytest.mark.parametrize(
    ("sizes", "judges"),
    [([1] * 9, False), ([1] * 10, True), ([4, 4, 4], False), ([4, 3, 3, 3], True)],
)
def test_a_class_has_no_holdout_before_it_has_ten_clips_of_four_groups(
    sizes: list[int], judges: bool
) -> None:
    sides = sides_of_new_groups(clips([("a", size) for size in sizes]), {}, SHARE, [])
    assert ("holdout" in sides.values()) is judges


def test_one_huge_group_does_not_become_the_holdout() -> None:
    sides = sides_of_new_groups(clips([("a", 10), ("a", 10), ("a", 500)]), {}, SHARE, [])
    assert set(sides.values()) == {"training"}


def test_biased_labels_of_a_known_class_are_for_training_since_they_cannot_judge() -> None:
    corrections = [replace(clip(n, "a", f"g{n}"), biased=True) for n in range(1, 41)]
    assert set(sides_of_new_groups(corrections, {}, SHARE, [("x", "a", "old")]).values()) == {
        "training"
    }
    assert (
        "holdout" in sides_of_new_groups(corrections, {}, SHARE, [("x", "b", "old")]).values()
    )  # of a new class they can


def test_a_folder_whose_name_begins_like_a_guess_is_a_stated_group() -> None:
    found = [clip(n, "a", group) for n, group in enumerate(("#1 door", "#1", "#clip 1"))]
    assert [file.guessed for file in labelled_files(found)] == [False, True, True]
