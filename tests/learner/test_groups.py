import random
import re
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.errors import VidwatchError
from learner.fingerprint import fingerprint
from learner.groups import (
    GROUP_PATTERN,
    ClipFacts,
    Grouping,
    compile_pattern,
    find_groups,
    group_of,
    is_found_by_likeness,
    is_guessed,
    readable,
    recorded_at,
)
from learner.likeness import COMPARED, alike, earlier_alike

UCF101 = re.compile(GROUP_PATTERN)


def features(seed: int, noise: float = 0.0) -> np.ndarray:
    clip = np.random.default_rng(seed).standard_normal((16, 200))
    return (clip + noise * np.random.default_rng(99).standard_normal(clip.shape)).astype(np.float16)


@pytest.mark.parametrize(
    ("name", "folders", "group"),
    [
        ("v_Biking_g08_c02.avi", [], "v_Biking_g08"),
        ("v_Biking_g08_c02.avi", ["cam1"], "v_Biking_g08"),
        ("001.avi", ["cam1", "monday"], "cam1/monday"),
        ("001.avi", [], None),
    ],
)
def test_a_group_is_found_in_the_name_else_in_the_folder(
    name: str, folders: list[str], group: str | None
) -> None:
    assert group_of(name, folders, UCF101) == group


def test_a_pattern_that_is_none_is_named() -> None:
    with pytest.raises(VidwatchError, match=r"group pattern '\(' is not a regular expression"):
        compile_pattern("(")


def test_a_clip_is_like_itself_and_like_one_that_hardly_differs() -> None:
    prints = [fingerprint(features(seed)) for seed in range(20)]
    assert {len(one) for one in prints} == {64}
    assert alike(fingerprint(features(7)), prints) == 7
    assert alike(fingerprint(features(7, noise=0.1)), prints) == 7


def test_other_clips_are_not_alike() -> None:
    prints = [fingerprint(features(seed)) for seed in range(20)]
    assert alike(fingerprint(features(1000)), prints) is None
    assert alike(fingerprint(features(1000)), []) is None


@given(
    st.binary(min_size=64, max_size=64), st.lists(st.binary(min_size=64, max_size=64), max_size=5)
)
def test_of_several_the_most_alike_is_found(own: bytes, others: list[bytes]) -> None:
    assert alike(own, [*others, own]) is not None
    assert [*others, own][alike(own, [*others, own]) or 0] == own


@pytest.mark.parametrize("bits", [0, 30, 60, 256])
def test_the_earlier_clip_that_looks_the_same_is_found_as_one_by_one(bits: int) -> None:
    """Few scenes, many, one (30 bits differ, so that pairs are near the limit), and none."""
    draw = np.random.default_rng(bits)
    scenes = draw.integers(0, 2, (1 + bits // 5, 512), dtype=np.uint8)
    seen = scenes[draw.integers(0, len(scenes), COMPARED + 90)]
    flipped = draw.random(seen.shape) < bits / 512
    prints = [bytes(one) for one in np.packbits(seen ^ flipped, axis=1)]
    for at in (0, 1, 5, 17, 100, COMPARED - 1, COMPARED, COMPARED + 1, COMPARED + 89):
        first = max(0, at - COMPARED)
        nearest = alike(prints[at], prints[first:at])
        assert earlier_alike(prints)[at] == (None if nearest is None else first + nearest)


# How groups are found. `DAWN` is the time of recording of the first clip.

DAWN = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=n) for n in (1, 60, 3600, 86_400))


@cache
def scene(seed: int) -> bytes:
    return fingerprint(features(seed))


def clip(
    number: int, label: str = "a", looks: int | None = 0, after: timedelta | None = None
) -> ClipFacts:
    """A clip that looks like the others of the same `looks`, recorded so long after dawn."""
    recorded = None if after is None else DAWN + after
    fingerprint_ = None if looks is None else scene(looks)
    return ClipFacts(label, str(number), f"{number:064x}", None, fingerprint_, recorded)


def parts(found: Grouping) -> set[frozenset[int]]:
    """The positions of the clips, group by group."""
    members = defaultdict(set)
    for position, name in enumerate(found.groups):
        members[name].add(position)
    return {frozenset(positions) for positions in members.values()}


def test_stated_groups_stay_as_they_are_whatever_else_is_known() -> None:
    clips = [replace(clip(n, after=n * DAY), stated="cam1") for n in range(9)]
    found = find_groups(clips)
    assert (set(found.groups), found.ways) == ({"cam1"}, {"a": "stated"})
    assert (found.how, found.optimistic) == ("stated", None)


def test_clips_that_look_the_same_are_of_one_group_if_that_leaves_enough() -> None:
    clips = [clip(10 * look + n, "ab"[look % 2], look) for look in range(6) for n in range(3)]
    found = find_groups(clips)
    assert parts(found) == {frozenset(range(3 * look, 3 * look + 3)) for look in range(6)}
    assert (found.ways, found.optimistic) == ({"a": "alike", "b": "alike"}, None)
    assert found.groups[:3] == ("#0", "#0", "#0")
    assert all(map(is_found_by_likeness, found.groups))


@pytest.mark.parametrize(
    ("step", "how", "n"),
    [(9 * HOUR, "day", 5), (HOUR, "hour", 12), (2 * MINUTE, "runs", 12), (3 * SECOND, "clips", 12)],
    ids=str,
)
def test_of_clips_of_one_fixed_camera_the_time_of_recording_makes_groups_else_each_is_alone(
    step: timedelta, how: str, n: int
) -> None:
    clips = [
        clip(3 * number + at, label, after=number * step + at * SECOND)
        for number in range(12)
        for at, label in enumerate("abc")
    ]
    found = find_groups(clips)
    assert found.ways == dict.fromkeys("abc", how)
    assert (
        len({name for name, one in zip(found.groups, clips, strict=True) if one.label == "a"}) == n
    )
    assert all(is_guessed(name) and not is_found_by_likeness(name) for name in found.groups)


def test_a_long_burst_of_copies_does_not_count_as_hours_of_recording() -> None:
    """Files that were copied for three hours have the times of the copying, seconds apart."""
    copied = [clip(n, "ab"[n % 2], after=n * 8 * SECOND) for n in range(1350)]
    assert {one.recorded.hour for one in copied if one.recorded} == {8, 9, 10, 11}
    assert set(find_groups(copied).ways.values()) == {"clips"}


def test_three_bursts_of_copies_on_three_days_count_as_three() -> None:
    clips = [
        clip(20 * day + n, after=day * DAY + n * SECOND) for day in range(3) for n in range(20)
    ]
    found = find_groups(clips)
    assert (found.ways, len(parts(found))) == ({"a": "day"}, 3)


def test_without_features_likeness_says_nothing_and_times_are_taken() -> None:
    by_time = [clip(n, looks=None, after=n * DAY) for n in range(4)]
    assert find_groups(by_time).ways == {"a": "day"}
    assert find_groups([clip(n, looks=None) for n in range(4)]).ways == {"a": "clips"}


def test_one_class_that_cannot_be_told_apart_does_not_change_the_groups_of_the_others() -> None:
    others = [clip(10 * look + n, "ab"[look % 2], look) for look in range(8) for n in range(3)]
    new = [clip(900 + n, "new", looks=99) for n in range(3)]
    before, after = find_groups(others), find_groups([*others, *new])
    assert after.groups[: len(others)] == before.groups
    assert after.ways == {"a": "alike", "b": "alike", "new": "clips"}
    assert "each clip of new counts as one" in str(after.optimistic)
    assert "of a" not in str(after.optimistic)


def test_most_of_a_home_is_never_one_group() -> None:
    """Each class has other scenes, too, but six of ten clips show the same one."""
    clips = [clip(n, "ab"[n % 2], looks=0 if n % 10 < 6 else n) for n in range(40)]
    assert find_groups(clips).how == "clips"


@pytest.mark.parametrize("size", [1, 2])
def test_a_class_with_few_clips_keeps_all_the_groups_that_it_can_have(size: int) -> None:
    clips = [clip(n, "few") for n in range(size)] + [clip(100 + n, "many") for n in range(30)]
    found = find_groups(clips)
    assert len(set(found.groups[:size])) == size


def test_one_clip_beside_ten_thousand_takes_no_time() -> None:
    clips = [clip(n, "many", looks=n % 7) for n in range(10_000)] + [clip(10_001, "one", looks=99)]
    started = datetime.now(UTC)
    found = find_groups(clips)
    assert datetime.now(UTC) - started < timedelta(seconds=4)
    assert found.ways == {"many": "alike", "one": "alike"}
    assert len(parts(found)) == 8


def test_the_order_in_which_clips_are_given_does_not_matter() -> None:
    clips = [clip(n, "ab"[n % 2], n % 9, n * MINUTE) for n in range(60)]
    mixed = random.Random(0).sample(clips, len(clips))
    named = [
        dict(zip((one.own for one in some), find_groups(some).groups, strict=True))
        for some in (clips, mixed)
    ]
    assert named[0] == named[1]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), min_size=1, max_size=30))
def test_as_clips_are_added_groups_stay_while_their_class_needs_no_other_way(
    kinds: list[tuple[str, int]],
) -> None:
    clips = [clip(n, label, looks, n * DAY) for n, (label, looks) in enumerate(kinds)]
    before, after = find_groups(clips[:-1]), find_groups(clips)
    for one, old, new in zip(clips, before.groups, after.groups, strict=False):
        if before.ways[one.label] == after.ways[one.label]:
            assert old == new


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from([None, None, "cam1", "cam2"]),
            st.integers(0, 3),
            st.integers(0, 200),
        ),
        max_size=30,
    )
)
def test_a_guess_never_keeps_a_class_from_being_learned(
    kinds: list[tuple[str, str | None, int, int]],
) -> None:
    clips = [
        replace(clip(n, label, looks, hours * HOUR), stated=stated)
        for n, (label, stated, looks, hours) in enumerate(kinds)
    ]
    found = find_groups(clips)
    for label in found.ways:
        own = [i for i, one in enumerate(clips) if one.label == label]
        possible = sum(clips[i].stated is None for i in own)
        possible += len({clips[i].stated for i in own} - {None})
        assert len({found.groups[i] for i in own}) >= min(3, possible)
    for one, group in zip(clips, found.groups, strict=True):
        assert one.stated in (None, group)
        assert is_guessed(group) is (one.stated is None)


def test_only_so_many_clips_before_it_are_compared_with_a_clip() -> None:
    clips = [clip(n, looks=n, after=n * DAY) for n in range(3)]
    between = [
        replace(
            one, label="b", own=str(9000 + n), content=f"{9000 + n:064x}", recorded=DAWN + 9 * DAY
        )
        for n in range(COMPARED)
        for one in [clip(n, looks=50)]
    ]
    late = clip(99_999, looks=0, after=30 * DAY)
    assert find_groups([*clips, late]).groups[-1] == "#0"
    found = find_groups([*clips, *between, late])
    assert found.groups[-1] == "#99999"


def test_the_sentence_says_why_and_what_to_do_and_names_a_few_classes() -> None:
    clips = [clip(10 * n + k, f"class {n}") for n in range(6) for k in range(3)]
    text = find_groups(clips).optimistic
    assert text is not None
    assert text.startswith("optimistic, since nothing tells which clips show the same recording")
    assert "each clip of class 0, class 1, class 2, class 3 and 2 more counts as one" in text
    assert text.endswith("`vidwatch groups` shows how")


def test_groups_have_names_for_people() -> None:
    names = ["cam1", "#5", "#clip 5", "#day 2026-03-02"]
    assert list(map(readable, names)) == ["cam1", "alike 5", "clip 5", "day 2026-03-02"]
    assert not any(map(is_guessed, ("#cam", "#1 door", "#day care", "#clip board", "#run 5 b")))


def test_a_file_without_a_date_has_no_time_of_recording() -> None:
    assert recorded_at(0) is None
    assert recorded_at(315_532_800 * 10**9) is None  # of 1980, as some archives write it
    assert recorded_at(int(DAWN.timestamp() * 1e9)) == DAWN
