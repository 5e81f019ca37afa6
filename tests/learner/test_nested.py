import numpy as np
import pytest

from learner import nested
from learner.nested import MOTION_WEIGHTS, choose, fit_best, gains_of
from learner.pooling import Statistics

STATISTICS = Statistics(20, 10)


def clips(tells: str, count: int = 48, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Statistics of clips of two classes that only one block tells apart."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, STATISTICS.width)).astype(np.float32)
    truth = np.arange(count) % 2
    block = STATISTICS.slices[tells]  # type: ignore[index]
    values[:, block] += 2.0 * np.where(truth, 1, -1)[:, None]
    return values, truth, np.array([f"g{i // 4}" for i in range(count)])


def test_motion_counts_where_it_tells_classes_apart() -> None:
    values, truth, groups = clips("motion")
    best, order_free = choose(STATISTICS, values, truth, groups, 2)
    assert best.weights["motion"] in MOTION_WEIGHTS
    assert "motion" not in order_free.weights
    fresh, fresh_truth, _ = clips("motion", seed=1)
    head, baseline = fit_best(STATISTICS, values, truth, groups, 2)
    assert (head.logits(fresh).argmax(1) == fresh_truth).mean() > 0.95
    free = fresh[:, : STATISTICS.slices["deviation"].stop]
    assert (baseline.logits(free).argmax(1) == fresh_truth).mean() < 0.8


def test_motion_is_left_out_where_it_is_noise() -> None:
    values, truth, groups = clips("mean")
    best, _ = choose(STATISTICS, values, truth, groups, 2)
    assert best.weights.get("motion", 0) < 1


def test_appearance_and_motion_have_the_same_variance() -> None:
    weights = {"mean": 1.0, "deviation": 1.0, "change": 1.0, "motion": 1.0}
    squares = np.square(gains_of(STATISTICS, weights))  # type: ignore[arg-type]
    motion = STATISTICS.slices["motion"]
    assert squares[: motion.start].sum() == pytest.approx(1)
    assert squares[motion].sum() == pytest.approx(1)


@pytest.mark.parametrize("groups", [["a", "b"] * 3, ["a"] * 3 + ["b"] * 3])
def test_too_few_groups_to_choose_by_is_no_error(groups: list[str]) -> None:
    values, truth, _ = clips("mean", 6)
    head, _ = fit_best(STATISTICS, values, truth, np.array(groups), 2)
    assert np.isfinite(head.logits(values)).all()


def test_a_class_with_one_clip_is_no_error() -> None:
    values, truth, groups = clips("mean", 6)
    truth = np.array([0, 0, 0, 0, 0, 1])
    head, _ = fit_best(STATISTICS, values, truth, groups, 2)
    assert np.isfinite(head.logits(values)).all()


def test_settings_of_many_clips_are_chosen_on_some_of_whole_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nested, "CHOOSING_CLIPS", 16)
    _, truth, groups = clips("mean")
    some = nested._some(truth, groups, 2)
    assert np.bincount(truth[some]).tolist() == [8, 8]
    assert len(set(groups[some])) == 4


def test_a_rare_class_does_not_keep_the_others_from_choosing() -> None:
    _, truth, groups = clips("mean", 80)
    truth[0] = 2  # its only clip
    folds = list(nested._inner_folds(truth, groups))
    assert folds
    for known, held_out in folds:
        assert 0 in known
        assert not set(groups[known]) & set(groups[held_out]) - {groups[0]}


@pytest.mark.parametrize("each", [2, 3, 5])
def test_few_clips_of_each_class_choose_too(each: int) -> None:
    values, truth, _ = clips("mean", 2 * each)
    folds = list(nested._inner_folds(truth, np.arange(2 * each)))
    assert len(folds) == min(each, nested.INNER_FOLDS)
    choose(STATISTICS, values, truth, np.arange(2 * each), 2)


def test_all_clips_of_a_rare_class_take_part_in_the_choice() -> None:
    truth = np.array([0] * 3000 + [1] * 4)
    groups = np.array([f"g{i // 2}" for i in range(len(truth))])
    assert set(range(3000, 3004)) <= set(nested._some(truth, groups, 2))
