"""The first model of one's own: compared with a champion that knows none of its classes."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from learner.exact import at_least
from learner.guessing import FOR_ACCURACY, p_of_accuracy, p_of_classes, p_of_either
from learner.promotion import Evidence, Verdict, judge
from learner.sequential import evidence_of_loss

SPORTS = ("Biking", "Drumming")
LEVEL = 0.030


def clips(
    label: str, right: int, of: int, size: int = 1, *, guessed: bool = False
) -> list[Evidence]:
    """`of` clips in groups of `size`; the challenger is right on the first `right`.

    For the others, `first` puts another class into the place of "?".
    """
    return [
        Evidence(
            label,
            f"{label}{number // size}",
            "Biking",
            label if number < right else "?",
            guessed=guessed,
        )
        for number in range(of)
    ]


def first(crossed: Sequence[Evidence], look: int = 1) -> Verdict:
    names = sorted({clip.label for clip in crossed})
    other = {name: names[names.index(name) - 1] for name in names}
    found = [
        replace(clip, challenger=other[clip.label]) if clip.challenger == "?" else clip
        for clip in crossed
    ]
    return judge([], SPORTS, names, look, crossed=found)


def test_three_classes_of_five_clips_take_over_if_all_are_right() -> None:
    verdict = first([*clips("a", 5, 5), *clips("b", 5, 5), *clips("c", 5, 5)])
    assert verdict.verdict == "promoted"
    assert verdict.figures["first"]["p"] == pytest.approx((1 / 3) ** 15 / FOR_ACCURACY)
    assert (verdict.figures["first"]["n"], verdict.figures["first"]["right"]) == (15, 15)
    assert verdict.figures["next"] == ""


def test_two_classes_of_three_clips_take_over_only_if_all_are_right() -> None:
    """Of two groups each, 2 and 1 clips: the fewest that are trained on."""
    verdict = first([*clips("a", 3, 3, 2), *clips("b", 3, 3, 2)])
    assert verdict.verdict == "promoted"
    assert verdict.figures["first"]["p"] == pytest.approx(0.5**6 / FOR_ACCURACY)
    assert 0.05 < verdict.figures["first"]["p_groups"] < 0.1
    one_wrong = first([*clips("a", 2, 3, 2), *clips("b", 3, 3, 2)])
    assert one_wrong.verdict == "undecided"
    assert one_wrong.reason.endswith(
        "too few to rule out chance. The weakest class is a, right on 2 of 3."
    )
    assert one_wrong.figures["next"].startswith("Label about ")
    assert "recordings:" not in one_wrong.figures["next"]


def test_its_accuracy_is_said_plainly_with_the_weakest_class() -> None:
    verdict = first([*clips("x", 1, 4), *clips("y", 8, 8), *clips("z", 8, 8)])
    assert verdict.verdict == "promoted"
    assert verdict.reason.startswith("Right on 17 of 20 labelled clips")
    assert verdict.reason.endswith("The weakest class is x, right on 1 of 4.")
    assert verdict.figures["next"] == "Label more of x, which is right on 1 of 4."


def test_a_model_no_better_than_guessing_is_refused_with_what_guessing_gives() -> None:
    verdict = first([*clips("a", 4, 8), *clips("b", 2, 6), *clips("c", 1, 6)])
    assert verdict.verdict == "refused"
    assert "Right on 7 of 20" in verdict.reason
    assert "guessing (always a) is right on 8" in verdict.reason
    assert "it is no better than guessing" in verdict.reason
    assert "Check that the labels are right" in verdict.figures["next"]
    assert verdict.figures["label"] == {"a": 5, "b": 5, "c": 5}


def test_groups_that_somebody_named_count_as_far_as_their_clips_are_alike() -> None:
    few = [*clips("a", 8, 10, 5), *clips("b", 8, 10, 5)]
    verdict = first(few)
    assert (verdict.verdict, verdict.figures["first"]["p"] < LEVEL) == ("undecided", True)
    assert "too few recordings" in verdict.reason
    assert verdict.figures["next"].startswith("Label clips of about ")
    assert verdict.figures["next"].endswith(
        "The clips so far count as 4 recordings: 'vidwatch groups' shows which, and how to tell "
        "recordings apart."
    )
    guessed = [*clips("a", 8, 10, 5, guessed=True), *clips("b", 8, 10, 5, guessed=True)]
    assert first(guessed).verdict == "promoted"
    camera = [*clips("a", 8, 10, 10), *clips("b", 8, 10, 10)]  # a single one: it shows nothing
    assert first(camera).verdict == "promoted"


def test_the_recordings_that_are_missing_do_not_grow_with_clips_of_the_same_ones() -> None:
    def two_cameras(each: int) -> list[Evidence]:
        return [
            Evidence(name, f"camera {number % 2}", "Biking", name)
            for name in ("a", "b")
            for number in range(each)
        ]

    texts = {first(two_cameras(each)).figures["next"] for each in (6, 20, 100)}
    assert len(texts) == 1
    assert texts.pop().startswith("Label clips of about 2 other recordings (another camera or day)")
    others = [replace(clip, group=f"new {clip.group}") for clip in two_cameras(6)]
    assert first([*two_cameras(6), *others]).verdict == "promoted"


def test_clips_of_one_class_alone_prove_nothing() -> None:
    verdict = judge([], SPORTS, ("x", "y"), 1, crossed=clips("x", 20, 20))
    assert verdict.verdict == "undecided"
    assert verdict.figures["next"].startswith("Label about ")
    assert list(verdict.figures["label"]) == ["y", "x"]


def test_counts_by_guessed_groups_are_called_optimistic() -> None:
    few = [*clips("a", 3, 3, guessed=True), *clips("b", 3, 3, guessed=True)]
    why = "optimistic, since nothing tells which clips show the same recording"
    verdict = judge([], SPORTS, ("a", "b"), 1, crossed=few, optimistic=why)
    assert verdict.reason.endswith(f" These counts are {why}.")
    assert "optimistic" not in judge([], SPORTS, ("a", "b"), 1, crossed=few).reason


def test_no_clip_at_all_is_undecided() -> None:
    verdict = judge([], SPORTS, ("x", "y"), 1)
    assert verdict.verdict == "undecided"
    assert verdict.reason.endswith("no labelled clip can judge.")
    assert json.loads(json.dumps(verdict.figures)) == verdict.figures


def test_a_common_class_raises_what_guessing_gives() -> None:
    assert first([*clips("a", 60, 60), *clips("b", 0, 4)]).verdict == "refused"
    assert first([*clips("a", 60, 60), *clips("b", 4, 4)]).verdict == "promoted"


def test_a_model_that_is_right_no_more_often_may_still_recognise_a_class() -> None:
    """Right on 60 of 80, as always predicting the commonest class is."""
    verdict = first([*clips("a", 46, 60), *clips("b", 14, 20)])
    assert verdict.verdict == "promoted"
    assert "guessing (always a) is right on 60" in verdict.reason
    assert "it recognises b, beyond chance: 14 of its 20 clips get it, and 14 of the 60 others" in (
        verdict.reason
    )


def test_a_class_that_only_the_champion_knows_must_not_fall_apart() -> None:
    lost = [Evidence("Biking", f"g{i}", "Biking", "a") for i in range(4)]
    verdict = judge([], SPORTS, ("a", "b"), 1, crossed=[*clips("a", 20, 20), *lost])
    assert verdict.verdict == "refused"
    assert "class Biking falls apart" in verdict.reason


def test_a_rare_class_is_shown_by_few_clips_among_thousands() -> None:
    verdict = first([*clips("a", 10_000, 10_000, 50), *clips("b", 3, 4)])
    assert verdict.verdict == "promoted"
    assert "it recognises a, beyond chance" in verdict.reason
    one_recording = first([*clips("a", 10_000, 10_000, 50), *clips("b", 3, 4, 4)])
    assert one_recording.verdict == "undecided"
    assert "too few recordings" in one_recording.reason


def test_clips_of_three_classes_that_are_confused_at_random_show_no_class() -> None:
    confusion = np.array([[8, 7, 7], [6, 7, 6], [7, 6, 7]])
    assert p_of_either(p_of_accuracy(confusion), p_of_classes(confusion)) > 0.5


@pytest.mark.parametrize(("a", "b"), [(3, 3), (5, 4), (8, 7), (15, 15), (20, 5), (30, 2)])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 1.0])
def test_guessing_passes_no_more_often_than_the_level(a: int, b: int, share: float) -> None:
    """A model that predicts class a with a probability that does not depend on the clip."""
    passing = 0.0
    for of_a in range(a + 1):
        for of_b in range(b + 1):
            counts = np.array([[of_a, a - of_a], [of_b, b - of_b]])
            if p_of_either(p_of_accuracy(counts), p_of_classes(counts)) <= LEVEL:
                passing += float(binom.pmf(of_a, a, share) * binom.pmf(of_b, b, share))
    assert passing <= LEVEL + 4e-4


def test_perfect_predictions_of_six_clips_are_beyond_chance() -> None:
    counts = np.diag([3, 3])
    assert p_of_either(p_of_accuracy(counts), p_of_classes(counts)) <= LEVEL


def test_the_binomial_tail_is_exact_and_continuous_between_whole_clips() -> None:
    for right, n, share in ((6, 6, 0.5), (5, 8, 0.375), (40, 60, 0.4)):
        assert at_least(right, n, share) == pytest.approx(binom.sf(right - 1, n, share))
    assert at_least(4, 4, 0.5) < at_least(3.6, 3.6, 0.5) < at_least(3, 3, 0.5)


def test_looking_again_and_again_finds_a_loss_that_is_not_there_no_more_often_than_the_odds() -> (
    None
):
    """All ways of 40 differences, of which each is a loss with probability one half."""
    alive = {(0, 0): 1.0}
    stopped = 0.0
    for _ in range(40):
        step: dict[tuple[int, int], float] = {}
        for (gains, losses), share in alive.items():
            for one in ((gains + 1, losses), (gains, losses + 1)):
                if evidence_of_loss(*one) >= 20:
                    stopped += share / 2
                else:
                    step[one] = step.get(one, 0.0) + share / 2
        alive = step
    assert 0.01 < stopped <= 0.05
    assert evidence_of_loss(0, 7) >= 20 > evidence_of_loss(0, 6)
