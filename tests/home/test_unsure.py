"""Below which probability a prediction is unsure, if a share of wrong predictions is asked for."""

import math
from typing import Any

import pytest
from scipy.stats import beta

from daemon.home.settings import Settings
from daemon.home.unsure import unsure_rule
from learner.catalogue import automatic_rows

ROWS = [[0.0, 1.0, 0.08], [0.6, 0.9, 0.03], [0.8, 0.7, 0.01], [0.95, 0.4, 0.015]]
MEASURED = {"automatic": ROWS, "n": 2000}


@pytest.mark.parametrize(
    ("target", "below", "share"),
    [(0.09, 0.0, 1.0), (0.05, 0.6, 0.9), (0.035, 0.6, 0.9), (0.02, 0.8, 0.7), (0.013, 0.8, 0.7)],
)
def test_the_smallest_threshold_that_keeps_the_target_counts(
    target: float, below: float, share: float
) -> None:
    rule = unsure_rule(0.5, target, MEASURED, "auto-1")
    assert (rule.below, rule.share, rule.problem) == (below, share, None)
    assert f"{share:.1%} of the clips stay automatic" in rule.in_words()
    assert f" of these {2000 * share:.0f} wrong" in rule.in_words()


@pytest.mark.parametrize(("n", "is_shown"), [(6, False), (79, False), (80, True)])
def test_few_clips_without_a_mistake_show_nothing_about_one_in_50(n: int, is_shown: bool) -> None:
    rule = unsure_rule(0.5, 0.02, {"automatic": [[0.55, 1.0, 0.0]], "n": n}, "auto-1")
    assert rule.below == (0.55 if is_shown else math.inf)
    if is_shown:
        assert "0 of these 80 wrong" in rule.in_words()
    else:
        assert f"it was judged by {n}, and 80 are needed: all are unsure" in rule.in_words()


@pytest.mark.parametrize(("wrong", "n", "target"), [(0, 40, 0.05), (3, 200, 0.02), (9, 300, 0.05)])
def test_the_target_is_held_by_the_bound_of_clopper_and_pearson(
    wrong: int, n: int, target: float
) -> None:
    bound = beta.ppf(0.8, wrong + 1, n - wrong)
    measured = {"automatic": [[0.5, 1.0, wrong / n]], "n": n}
    assert (unsure_rule(0.5, target, measured, "auto-1").problem is None) == (bound <= target)


def test_if_no_threshold_keeps_the_target_all_are_unsure() -> None:
    rule = unsure_rule(0.5, 0.005, MEASURED, "auto-1")
    assert rule.below == math.inf
    assert rule.to_json()["below"] is None
    assert "all are unsure" in rule.in_words()
    assert "auto-1" in rule.in_words()


@pytest.mark.parametrize(
    "measured", [{}, {"automatic": None}, {"automatic": [[1, 2]]}, {"automatic": ROWS}]
)
def test_an_older_model_counts_by_the_probability_and_says_so(measured: dict[str, Any]) -> None:
    rule = unsure_rule(0.5, 0.02, measured, "auto-1")
    assert rule.below == 0.5
    assert "unsure_below (0.5) counts" in rule.in_words()


def test_without_a_target_the_probability_counts_and_nothing_is_said() -> None:
    assert Settings().unsure_target == 0
    rule = unsure_rule(0.5, 0.0, MEASURED, "auto-1")
    assert (rule.below, rule.in_words(), rule.problem) == (0.5, "", None)


def test_rows_are_read_by_rising_threshold() -> None:
    rows = automatic_rows({"automatic": ROWS[::-1]})
    assert rows is not None
    assert [row.threshold for row in rows] == [0.0, 0.6, 0.8, 0.95]
