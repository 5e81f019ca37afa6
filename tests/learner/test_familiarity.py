import numpy as np
import pytest

from learner.familiarity import Reference, Scale, energies
from learner.prediction import LEAST_FAMILIARITY


def test_energy_is_the_log_sum_exp() -> None:
    assert energies(np.array([[0.0, 0.0]])) == pytest.approx(np.log(2))


def clips(count: int, seed: int, away: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Statistics, classes and logits of clips of three classes, or of things `away` from them."""
    generator = np.random.default_rng(seed)
    truth = np.arange(count) % 3
    centres = np.random.default_rng(9).normal(size=(4, 40)) * 2
    values = generator.normal(size=(count, 40)) + (centres[3] * away if away else centres[truth])
    logits = values @ centres[:3].T / 10
    return values.astype(np.float32), truth, logits.astype(np.float32)


def test_known_clips_are_kept_and_strange_ones_are_found() -> None:
    values, truth, _ = clips(150, 0)
    reference = Reference.of(values, truth, 3)
    held_out, _, logits = clips(200, 1)
    scale = Scale.of(reference.figures(held_out, logits))
    fresh, _, logits = clips(200, 2)
    known = scale.familiarity(reference.figures(fresh, logits))
    assert (known >= LEAST_FAMILIARITY).mean() == pytest.approx(0.95, abs=0.05)
    strange, _, logits = clips(200, 3, away=1.5)
    assert (scale.familiarity(reference.figures(strange, logits)) < LEAST_FAMILIARITY).mean() > 0.9


def test_familiarity_is_a_share_of_known_clips() -> None:
    figures = np.random.default_rng(0).normal(size=(5000, 3))
    familiar = Scale.of(figures).familiarity(figures)
    assert familiar.min() == pytest.approx(1 / 5001)
    assert familiar.max() == 1
    assert np.quantile(familiar, 0.3) == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize("count", [4, 6, 10, 18])
def test_a_few_clips_cannot_show_that_any_clip_is_strange(count: int) -> None:
    scale = Scale.of(np.random.default_rng(0).normal(size=(count, 3)))
    assert scale.familiarity(np.full((1, 3), -1000.0))[0] >= LEAST_FAMILIARITY


def test_twenty_clips_can() -> None:
    scale = Scale.of(np.random.default_rng(0).normal(size=(20, 3)))
    assert scale.familiarity(np.full((1, 3), -1000.0))[0] < LEAST_FAMILIARITY


def test_a_reference_comes_back_from_its_tensors() -> None:
    values, truth, logits = clips(30, 0)
    own = Reference.of(values, truth, 3)
    again = Reference.of_tensors({"other": None, **own.tensors()})  # type: ignore[dict-item]
    assert again is not None
    np.testing.assert_array_equal(again.figures(values, logits), own.figures(values, logits))
    assert Reference.of_tensors({}) is None


def test_the_reference_of_ten_thousand_clips_is_small() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(10_000, 300)).astype(np.float32)
    own = Reference.of(values, np.arange(10_000) % 10, 10)
    rounded = [
        tensor.half() if tensor.is_floating_point() else tensor for tensor in own.tensors().values()
    ]
    assert sum(tensor.nbytes for tensor in rounded) < 5e6


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_few_clips_or_clips_that_are_all_alike_are_no_error(count: int) -> None:
    values, _, logits = clips(count, 0)
    truth = np.arange(count) % 2
    for some in (values, np.ones_like(values)):
        figures = Reference.of(some, truth, 2).rounded().figures(some, logits)
        assert np.isfinite(figures).all()


def test_clips_that_are_all_alike_do_not_make_the_slightest_difference_strange() -> None:
    scale = Scale.of(np.ones((10, 3)))
    assert scale.familiarity(np.ones((1, 3)) - 1e-5)[0] >= LEAST_FAMILIARITY
