import pytest

from daemon.classify.batch_size import FIRST, LONGEST, BatchSize


@pytest.mark.parametrize(
    ("seconds_a_clip", "found"), [(0.001, 64), (0.01, 64), (0.05, 16), (0.2, 4), (0.5, 2), (5, 1)]
)
def test_batches_grow_or_shrink_until_they_take_half_a_second_to_one(
    seconds_a_clip: float, found: int
) -> None:
    size = BatchSize(64)
    for _ in range(20):
        size.took(size.now, size.now * seconds_a_clip)
    assert size.now == found
    assert size.now == 1 or size.now * seconds_a_clip <= LONGEST


def test_a_batch_that_was_not_full_does_not_change_the_size() -> None:
    size = BatchSize(64)
    size.took(FIRST - 1, 0.001)
    assert size.now == FIRST


def test_batches_grow_again_when_the_device_is_free_but_never_above_the_setting() -> None:
    size = BatchSize(6)
    size.took(4, 1.5)
    assert size.now == 2
    for _ in range(5):
        size.took(size.now, 0.1)
    assert size.now == 6
