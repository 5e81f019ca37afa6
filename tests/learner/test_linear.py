import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from learner import linear
from learner.linear import Axes, Standard, fit


def clips(count: int, width: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    values = generator.normal(size=(count, width)) + generator.normal(size=(classes, width))[truth]
    return values.astype(np.float32), truth


@pytest.mark.parametrize(("count", "width"), [(30, 200), (200, 20)])
def test_it_is_the_regression_of_scikit_learn(count: int, width: int) -> None:
    values, truth = clips(count, width)
    own = fit(values, truth, 3, np.ones(width, np.float32), 0.1)
    other = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8)
    other.fit((values - own.mean) / own.std, truth)
    theirs = other.predict_log_proba((values - own.mean) / own.std)
    logits = own.logits(values).astype(float)
    ours = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(ours, theirs, atol=0.02)


def test_statistics_without_gain_count_nothing() -> None:
    values, truth = clips(60, 10)
    gains = np.ones(10, np.float32)
    gains[5:] = 0
    own = fit(values, truth, 3, gains, 1.0)
    assert not own.weight[5:].any()
    assert own.weight[:5].any()
    changed = values.copy()
    changed[:, 5:] = 7
    np.testing.assert_array_equal(own.logits(changed), own.logits(values))


def test_clips_that_are_all_alike_give_their_shares() -> None:
    truth = np.array([0, 0, 0, 1])
    own = fit(np.ones((4, 5), np.float32), truth, 2, np.ones(5, np.float32), 100.0)
    assert np.isfinite(own.logits(np.ones((1, 5), np.float32))).all()
    logits = own.logits(np.ones((1, 5), np.float32))[0]
    assert 1 / (1 + np.exp(logits[1] - logits[0])) == pytest.approx(0.75, abs=0.02)


def test_a_statistic_that_hardly_differs_does_not_become_huge() -> None:
    values = np.zeros((10, 1), np.float32)
    values[0] = 1e-6
    assert Standard.of(values).std == pytest.approx(0.01)


def test_half_precision_and_many_clips_give_nearly_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, truth = clips(400, 30)
    gains = np.full(30, 30**-0.5, np.float32)
    exact = fit(values, truth, 3, gains, 1.0).logits(values)
    monkeypatch.setattr(linear, "LANDMARKS", 60)
    monkeypatch.setattr(linear, "CHUNK", 64)
    few = fit(values.astype(np.float16), truth, 3, gains, 1.0).logits(values)
    np.testing.assert_allclose(few, exact, atol=0.05)


def test_coordinates_keep_lengths_and_angles() -> None:
    values, _ = clips(20, 50)
    gains = np.full(50, 0.1, np.float32)
    axes = Axes.spanned_by(values, gains)
    scaled = axes.standard.scaled(values, gains)
    places = axes.of(values)
    np.testing.assert_allclose(places @ places.T, scaled @ scaled.T, atol=1e-3)


def test_a_rounded_model_is_what_half_precision_holds() -> None:
    values, truth = clips(30, 8)
    own = fit(values, truth, 3, np.ones(8, np.float32), 1.0).rounded()
    assert (own.weight == own.weight.astype(np.float16)).all()
