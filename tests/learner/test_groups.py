import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.errors import VidwatchError
from learner.fingerprint import fingerprint
from learner.groups import GROUP_PATTERN, alike, compile_pattern, group_of

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
