import json
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import pi
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from learner.paired import Paired
from learner.promotion import Evidence, Rule, Verdict
from learner.promotion import judge as judge_by

OLD = ("a", "b", "c")
WITH_NEW = (*OLD, "new")
Z95 = NormalDist().inv_cdf(0.975)


RULE = Rule(margin=0.05)
judge = partial(judge_by, rule=RULE)


def paired(evidence: Sequence[Evidence]) -> Paired:
    return Paired.of(clip.outcome() for clip in evidence)


def clips(
    label: str, right: str, *, of: int = 1, group: str = "", biased: bool = False
) -> list[Evidence]:
    """`of` clips for each letter of `right`: (b)oth, (o)ld or (n)ew model, or (-) none is right."""
    return [
        Evidence(
            label,
            group or f"{label}{i}",
            label if how in "bo" else "?",
            label if how in "bn" else "?",
            biased,
        )
        for i, how in enumerate(right * of)
    ]


def alike(n: int) -> list[Evidence]:
    """`n` clips of each old class, predicted right by both models."""
    return [clip for label in OLD for clip in clips(label, "b", of=n)]


def test_the_bounds_are_tangos() -> None:
    """By two R packages: contingencytables for its two examples, PropCIs for the third."""
    for paired, z, bounds in (
        (Paired(161, 6, 16, 22), Z95, (-0.1240, -0.0054)),
        (Paired(21, 1, 7, 8), Z95, (-0.517, -0.026)),
        (Paired(618, 28, 25, 53), NormalDist().inv_cdf(0.95), (-0.0148, 0.0247)),
    ):
        assert (paired.lower(z), paired.upper(z)) == pytest.approx(bounds, abs=5e-4)


def test_without_a_margin_it_is_mcnemars_test() -> None:
    assert Paired(100, 9, 4, 13).z(0) == pytest.approx(5 / 13**0.5)


def test_clips_that_are_groups_of_their_own_have_no_design_effect() -> None:
    assert paired(clips("a", "bonn-", of=9)).design_effect == 1


def test_a_group_predicted_alike_counts_as_one_clip() -> None:
    """Also where the models never differ, which shows nothing of how alike groups are."""
    for right in "n", "b":
        compared = paired(
            [clip for g in range(40) for clip in clips("a", right * 7, group=f"g{g}")]
        )
        assert compared.design_effect == pytest.approx(7)


def test_many_differences_spread_over_groups_show_that_these_are_not_alike() -> None:
    compared = paired([clip for g in range(400) for clip in clips("a", "bbbbbno", group=f"g{g}")])
    assert compared.design_effect == 1


@pytest.mark.parametrize("gains", [0, 0.01, 0.05])
@pytest.mark.parametrize("n", [60, 150, 300])
def test_worse_by_the_margin_passes_no_more_often_than_the_odds_over_all_comparisons(
    n: int, gains: float
) -> None:
    """To the last digit: over every table of counts, with its probability."""
    shares = multinomial(n, [gains, gains + 0.05, 1 - 2 * gains - 0.05])
    tables = [(b, c) for b in range(n // 4) for c in range(n // 4)]
    chance = [(Paired(n, b, c, b + c).z(-0.05), shares.pmf([b, c, n - b - c])) for b, c in tables]
    quantiles = [-NormalDist().inv_cdf(0.05 * 6 / (pi * number) ** 2) for number in range(1, 51)]
    assert sum(share for z in quantiles for found, share in chance if found > z) <= 0.05


def test_a_better_challenger_is_promoted() -> None:
    verdict = judge([*alike(50), *clips("a", "nnnnnnnno")], OLD, OLD, 1)
    assert (verdict.verdict, verdict.reason) == (
        "promoted",
        "On the classes that both know, of 159 holdout clips the champion predicts 151 right, "
        "the challenger 158: "
        "it is better, beyond chance.",
    )


def test_shuffled_labels_are_refused() -> None:
    """Of 10 classes and few clips, too."""
    generator, classes = random.Random(0), tuple("abcdefghij")
    for per_class in (3, 8, 30):
        evidence = [
            Evidence(c, f"{c}{i}", c, generator.choice(classes))
            for c in classes
            for i in range(per_class)
        ]
        verdict = judge(evidence, classes, classes, 1)
        assert verdict.verdict == "refused"
        assert "falls apart" in verdict.reason


def test_a_worse_challenger_is_refused() -> None:
    verdict = judge([*alike(50), *(c for label in OLD for c in clips(label, "ooo"))], OLD, OLD, 3)
    assert verdict.verdict == "refused"
    assert verdict.reason.endswith(
        "the champion predicts 159 right, the challenger 150: it is worse, beyond chance."
    )


def test_the_same_predictions_are_refused_once_a_gain_would_have_shown() -> None:
    assert judge(alike(17), OLD, OLD, 1).verdict == "undecided"
    verdict = judge(alike(18), OLD, OLD, 9)
    assert verdict.verdict == "refused"
    assert verdict.reason.endswith("no gain, and one of 5 points would have shown.")


def test_too_small_a_holdout_keeps_the_champion_and_says_what_is_missing() -> None:
    verdict = judge([*alike(8), *clips("a", "nn")], OLD, OLD, 1)
    assert (verdict.verdict, verdict.reason) == (
        "undecided",
        "On the classes that both know, of 26 holdout clips the champion predicts 24 right, "
        "the challenger 26: "
        "too few to say. About 22 more are needed, above all of b, c, a; corrections do not count.",
    )
    assert verdict.figures["missing"] == {
        "clips": 22,
        "above_all": ["b", "c", "a"],
        "new_classes": {},
    }


def test_not_worse_is_not_enough_without_a_new_class() -> None:
    verdict = judge([*alike(40), *clips("a", "n")], OLD, OLD, 1)
    assert verdict.verdict == "undecided"
    assert (
        "it is not worse by 5 points, beyond chance; whether it is better is open. About"
        in verdict.reason
    )


def test_no_clip_at_all_is_undecided() -> None:
    verdict = judge([], OLD, OLD, 1)
    assert verdict.verdict == "undecided"
    assert verdict.figures["missing"]["clips"] == 52
    assert (verdict.figures["difference"], verdict.figures["lower"], verdict.figures["upper"]) == (
        None,
        -1,
        1,
    )


def test_a_new_class_promotes_a_challenger_that_is_not_worse() -> None:
    verdict = judge([*alike(40), *clips("new", "nnnn-")], OLD, WITH_NEW, 1)
    assert verdict.verdict == "promoted"
    assert verdict.reason.endswith(
        "it is not worse by 5 points, beyond chance. "
        "New classes, of which 70% has to be recognised: new 4 of 5 clips."
    )


def test_a_new_class_does_not_promote_a_challenger_that_may_be_worse_by_the_margin() -> None:
    verdict = judge(
        [*alike(20), *clips("a", "o"), *clips("b", "o"), *clips("new", "nnnnn")], OLD, WITH_NEW, 1
    )
    assert verdict.verdict == "undecided"
    assert "too few to say. About " in verdict.reason


def test_a_new_class_that_is_not_recognised_is_no_gain() -> None:
    verdict = judge([*alike(40), *clips("new", "nnn--")], OLD, WITH_NEW, 1)
    assert verdict.verdict == "refused"
    assert verdict.reason.endswith("new 3 of 5 clips.")


@pytest.mark.parametrize(
    ("right", "group", "lack"),
    [("nnn", "", "2 more needed"), ("nnnnnn", "one", "1 more needed, of another group")],
)
def test_a_new_class_with_too_few_clips_or_groups_is_waited_for(
    right: str, group: str, lack: str
) -> None:
    verdict = judge([*alike(40), *clips("new", right, group=group)], OLD, WITH_NEW, 1)
    assert verdict.verdict == "undecided"
    assert f"({lack})" in verdict.reason


def test_where_no_class_has_two_groups_one_is_enough() -> None:
    evidence = [*clips("x", "n", of=9, group="camera"), *clips("y", "n", of=9, group="camera")]
    assert judge(evidence, OLD, ("x", "y"), 1).verdict == "promoted"


def test_corrections_of_a_new_class_count() -> None:
    evidence = [*alike(40), *clips("new", "nnnnn", biased=True)]
    assert judge(evidence, OLD, WITH_NEW, 1).verdict == "promoted"


def test_corrections_alone_never_promote_on_shared_classes() -> None:
    verdict = judge([replace(clip, biased=True) for clip in clips("a", "n", of=500)], OLD, OLD, 1)
    assert verdict.verdict == "undecided"
    assert (verdict.figures["n"], verdict.figures["picked"]) == (0, 500)


def test_without_shared_classes_new_ones_alone_promote() -> None:
    verdict = judge([*clips("x", "nnnn-"), *clips("y", "nnnnn")], OLD, ("x", "y"), 7)
    assert verdict.verdict == "promoted"
    assert verdict.reason.startswith("The two models have no class in common. New classes")


def test_without_shared_classes_one_prediction_for_all_does_not_promote() -> None:
    assert (
        judge([*clips("x", "n", of=20), *clips("y", "-", of=6)], OLD, ("x", "y"), 1).verdict
        == "refused"
    )
    assert judge(clips("x", "n", of=20), OLD, ("x", "y"), 1).verdict == "undecided"


def test_a_class_that_falls_apart_refuses_a_better_challenger() -> None:
    verdict = judge(
        [*alike(50), *clips("a", "n", of=40), *clips("d", "boo")], (*OLD, "d"), (*OLD, "d"), 1
    )
    assert (verdict.verdict, verdict.reason) == (
        "refused",
        "Class d falls apart: of 3 holdout clips the champion predicts 3 right, the challenger 1.",
    )


def test_one_clip_of_a_small_class_is_no_class_lost() -> None:
    assert (
        judge([*alike(50), *clips("a", "n", of=40), *clips("d", "bo")], "abcd", "abcd", 1).verdict
        == "promoted"
    )


def test_a_class_that_the_challenger_dropped_falls_apart() -> None:
    evidence = [*alike(50), *clips("a", "n", of=40), *clips("d", "oo")]
    assert judge(evidence, "abcd", "abc", 1).reason.startswith("Class d falls apart")


def test_groups_of_clips_that_are_alike_show_less() -> None:
    grouped = [clip for g in range(8) for clip in clips("abc"[g % 3], "bbbbbbn", group=f"g{g}")]
    whole = [
        clip
        for g in range(8)
        for clip in clips("abc"[g % 3], "n" * 7 if g == 0 else "b" * 7, group=f"g{g}")
    ]
    alone = [replace(clip, group=str(i)) for i, clip in enumerate(whole)]
    assert judge(alone, OLD, OLD, 1).verdict == "promoted"
    assert judge(whole, OLD, OLD, 1).verdict == "undecided"
    assert paired(whole).design_effect > paired(grouped).design_effect


def test_a_later_comparison_asks_for_more() -> None:
    evidence = [*alike(50), *clips("a", "nnnnn")]
    assert [judge(evidence, OLD, OLD, number).verdict for number in (1, 2, 3)] == [
        "promoted",
        "undecided",
        "undecided",
    ]
    levels = [judge(evidence, OLD, OLD, number).figures["level"] for number in range(1, 2000)]
    assert sum(levels) == pytest.approx(RULE.odds, abs=1e-4)


@st.composite
def evidence(draw: st.DrawFn) -> list[Evidence]:
    """Mostly right predictions in groups, some clips biased; repeated, so that there are enough."""
    label, share = st.sampled_from(WITH_NEW), st.floats(0, 1)
    right = draw(share), draw(share)
    found = []
    for i in range(draw(st.integers(0, 30))):
        truth, group = draw(label), draw(st.integers(0, 8))
        says = [truth if draw(share) <= 0.5 + good else draw(label) for good in right]
        found.append(
            Evidence(
                truth, f"{group if group else f'own {i}'}", *says, draw(st.integers(0, 9)) == 0
            )
        )
    times = range(draw(st.integers(1, 12)))
    return [replace(clip, group=f"{clip.group} {again}") for again in times for clip in found]


numbers = st.integers(1, 30)
known = st.sampled_from([OLD, WITH_NEW, ("a", "b", "new"), ("new",)])


def lost(evidence: Sequence[Evidence], label: str) -> tuple[int, int]:
    """Of the unbiased clips of a class: how many more the champion has right, and their number."""
    of = [clip for clip in evidence if clip.label == label and not clip.biased]
    return sum((clip.champion == label) - (clip.challenger == label) for clip in of), len(of)


@given(evidence(), known, numbers)
def test_nothing_is_promoted_with_which_a_class_falls_apart(
    evidence: list[Evidence], classes: tuple[str, ...], number: int
) -> None:
    net = [lost(evidence, label) for label in OLD]
    if any(more > 1 and more > 0.2 * n for more, n in net):
        assert judge(evidence, OLD, classes, number).verdict == "refused"


@given(evidence(), numbers)
def test_the_same_predictions_promote_nothing_without_a_new_class(
    evidence: list[Evidence], number: int
) -> None:
    same = [replace(clip, challenger=clip.champion) for clip in evidence]
    assert judge(same, OLD, OLD, number).verdict != "promoted"


@given(evidence(), known, numbers, numbers)
def test_no_later_comparison_promotes_what_an_earlier_one_did_not(
    evidence: list[Evidence], classes: tuple[str, ...], number: int, more: int
) -> None:
    if judge(evidence, OLD, classes, number).verdict != "promoted":
        assert judge(evidence, OLD, classes, number + more).verdict != "promoted"


@given(evidence(), known, numbers, st.randoms())
def test_the_order_of_clips_does_not_matter(
    evidence: list[Evidence], classes: tuple[str, ...], number: int, generator: random.Random
) -> None:
    shuffled = generator.sample(evidence, len(evidence))
    assert judge(shuffled, OLD, classes, number) == judge(evidence, OLD, classes, number)


@given(evidence(), known, numbers)
def test_figures_survive_json_and_hold_the_difference_between_its_bounds(
    evidence: list[Evidence], classes: tuple[str, ...], number: int
) -> None:
    figures = judge(evidence, OLD, classes, number).figures
    assert json.loads(json.dumps(figures)) == figures
    if figures["n"]:
        assert -1 <= figures["lower"] <= figures["difference"] <= figures["upper"] <= 1


@given(evidence(), known, numbers)
def test_a_promotion_rests_on_its_figures(
    evidence: list[Evidence], classes: tuple[str, ...], number: int
) -> None:
    figures = (verdict := judge(evidence, OLD, classes, number)).figures
    if verdict.verdict == "promoted":
        assert figures["lower"] > 0 or any(of["told"] for of in figures["new_classes"].values())
        assert figures["lower"] > -0.05 or not set(classes) & set(OLD)


@settings(max_examples=50)
@given(evidence(), numbers)
def test_as_many_more_clips_as_are_missing_decide(evidence: list[Evidence], number: int) -> None:
    def more(verdict: Verdict) -> int:
        return int(verdict.figures["missing"]["clips"])

    n = (verdict := judge(evidence, OLD, OLD, number)).figures["n"]
    if verdict.verdict == "undecided" and n and more(verdict) < 30 * n:
        times = range(-(-more(verdict) // n) + 1)
        enough = [
            replace(clip, group=f"{clip.group}/{again}") for again in times for clip in evidence
        ]
        assert judge(enough, OLD, OLD, number).verdict != "undecided"


def test_a_loss_as_counted_is_not_taken_for_a_new_class_though_it_lies_within_the_margin() -> None:
    evidence = [
        *alike(100),
        *clips("a", "o", of=12),
        *clips("b", "n", of=2),
        *clips("new", "nnnnn"),
    ]
    verdict = judge_by(evidence, OLD, WITH_NEW, 1, Rule(margin=0.1))
    assert verdict.verdict == "refused"
    assert "it is worse, beyond chance" in verdict.reason
    evidence = [
        *alike(100),
        *clips("a", "o", of=12),
        *clips("b", "n", of=6),
        *clips("new", "nnnnn"),
    ]
    assert judge_by(evidence, OLD, WITH_NEW, 1, Rule(margin=0.1)).verdict == "promoted"
