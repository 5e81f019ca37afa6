import numpy as np
import pytest
from scipy.special import softmax

from learner.calibration import Calibration, automatic, calibrate, losses, reliability
from learner.evaluate import calibration_error


def drawn(count: int, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes drawn with the probabilities that they say."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, classes))
    truth = [generator.choice(classes, p=row) for row in softmax(logits, axis=1)]
    return logits, np.array(truth)


def test_logits_three_times_too_large_are_divided_by_three() -> None:
    logits, truth = drawn(4000)
    own = Calibration.fitted(3 * logits, truth)
    assert own.temperature == pytest.approx(3, rel=0.1)
    before = calibration_error((3 * logits).astype(np.float32), truth)
    after = calibration_error(own.calibrated(3 * logits).astype(np.float32), truth)
    assert after < 0.03 < before


def test_a_few_clips_all_predicted_right_do_not_make_the_model_sure() -> None:
    logits = np.array([[2.0, 0], [0, 2]] * 7, np.float32)
    assert 0.4 < Calibration.fitted(logits, np.array([0, 1] * 7)).temperature < 2


def test_biases_are_used_where_they_help_and_only_there() -> None:
    logits, truth = drawn(1000)
    folds = np.array_split(np.arange(1000), 5)
    plain, _ = calibrate(logits, truth, folds)
    assert plain.bias == ()
    off = logits + np.array([2.0, 0, 0, 0, 0])
    biased, calibrated = calibrate(off, truth, folds)
    assert biased.bias[0] - np.mean(biased.bias[1:]) == pytest.approx(-2, abs=0.3)
    assert losses(calibrated, truth).mean() < losses(off, truth).mean() - 0.1


def test_no_clip_has_a_part_in_its_own_calibration() -> None:
    logits, truth = drawn(60)
    folds = np.array_split(np.arange(60), 3)
    _, calibrated = calibrate(logits, truth, folds)
    others = np.concatenate(folds[1:])
    own = Calibration.fitted(logits[others], truth[others])
    np.testing.assert_allclose(calibrated[folds[0]], own.calibrated(logits[folds[0]]))


def test_a_higher_threshold_leaves_less_to_the_model_and_less_of_it_wrong() -> None:
    logits, truth = drawn(2000)
    rows = np.array(automatic(3 * logits, truth))
    assert (np.diff(rows[:, 0]) > 0).all()
    assert (np.diff(rows[:, 1]) <= 0).all()
    assert rows[0, 1] == 1
    assert rows[0, 2] == pytest.approx((logits.argmax(1) != truth).mean())
    assert rows[-10, 2] < rows[0, 2] - 0.15


def test_reliability_says_what_was_promised_and_what_was_kept() -> None:
    logits, truth = drawn(4000)
    for promised, kept, count in reliability(logits, truth):
        assert abs(promised - kept) < 4 * 0.5 / np.sqrt(count)
    assert sum(count for *_, count in reliability(logits, truth)) == 4000
