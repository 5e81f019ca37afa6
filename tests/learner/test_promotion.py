import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import pi
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multinomial

from learner.paired import Paired, quantile
from learner.promotion import Evidence, Rule, Verdict
from learner.promotion import judge as judge_by

OLD = ("a", "b", "c")
WITH_NEW = (*OLD, "new")
Z95 = NormalDist().inv_cdf(0.975)


settings.register_profile("exact", deadline=None)  # exact tests take a while at the first call
settings.load_profile("exact")

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


@pytest.mark.parametrize("margin", [0.1, 0.05, 0.0])
@pytest.mark.parametrize("n", [5, 12, 20, 35, 50])
def test_few_clips_pass_no_more_often_than_the_level_whatever_the_models(
    n: int, margin: float
) -> None:
    """To the last digit: over every table of counts, with its probability, at several looks."""
    gains, losses = (axis.ravel() for axis in np.mgrid[: n + 1, : n + 1])
    is_table = gains + losses <= n
    gains, losses = gains[is_table], losses[is_table]
    tables = np.stack([gains, losses, n - gains - losses], 1)
    for look in (1, 5):
        level = 0.05 * 6 / (pi * look) ** 2
        pairs = zip(gains.tolist(), losses.tolist(), strict=True)
        found = [Paired(n, b, c, b + c).is_above(-margin, level) for b, c in pairs]
        passing = tables[np.array(found)]
        for root in np.linspace(0, ((1 - margin) / 2) ** 0.5, 30):
            gained = root**2
            shares = [gained, gained + margin, max(0.0, 1 - 2 * gained - margin)]
            assert multinomial.pmf(passing, n, shares).sum() <= level


def test_the_score_alone_passed_too_often() -> None:
    """What the exact test is for: 35 clips without a loss, 33 at a level of 0.0304."""
    level = 0.05 * 6 / pi**2
    assert Paired(32, 0, 0, 0).z(-0.1) > quantile(level)
    assert 0.9**32 > level
    fewest = next(n for n in range(1, 99) if Paired(n, 0, 0, 0).is_above(-0.1, level))
    assert fewest == 35


def test_many_clips_are_judged_fast() -> None:
    began = time.perf_counter()
    assert Paired(10**6, 900, 500, 1400).is_above(-0.1, 1e-4)
    assert Paired(500, 20, 5, 25).is_above(-0.1, 1e-4)
    assert time.perf_counter() - began < 2


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
        "the challenger 26: too few to say.",
    )
    assert verdict.figures["next"] == (
        "Label about 23 more clips, above all of b, c, a; corrections do not count."
    )
    assert verdict.figures["label"] == {"a": 8, "b": 8, "c": 8}
    assert verdict.figures["missing"] == {
        "clips": 23,
        "above_all": ["b", "c", "a"],
        "new_classes": {},
    }


def test_of_how_many_other_recordings_the_missing_clips_have_to_be_is_said() -> None:
    evidence = [*alike(8), *clips("a", "nn")]
    shared = [replace(clip, group=f"g{number // 4}") for number, clip in enumerate(evidence)]
    missing = judge(shared, OLD, OLD, 1).figures["missing"]["clips"]
    recordings = -(-missing * 7 // 26)
    text = f"Label about {missing} more clips of about {recordings} other recordings, above all of"
    assert judge(shared, OLD, OLD, 1).figures["next"].startswith(text)


def test_not_worse_is_not_enough_without_a_new_class() -> None:
    verdict = judge([*alike(40), *clips("a", "n")], OLD, OLD, 1)
    assert verdict.verdict == "undecided"
    assert verdict.reason.endswith(
        "it is not worse by 5 points, beyond chance; whether it is better is open."
    )
    assert verdict.figures["next"].startswith("The champion is right on 120 of 121 clips, and ")


@pytest.mark.parametrize(("n", "group_size"), [(15, 1), (15, 5), (30, 1), (30, 10), (54, 18)])
def test_a_champion_that_is_right_on_all_clips_asks_for_no_label(n: int, group_size: int) -> None:
    """No number of clips would make another model the champion."""
    crossed = [
        replace(clip, group=f"{clip.label}{i // group_size}") for i, clip in enumerate(alike(n))
    ]
    verdict = judge_by([], OLD, OLD, 1, Rule(), crossed)
    assert verdict.verdict != "promoted"
    assert verdict.figures["next"] == (
        f"The champion is right on {3 * n} of {3 * n} clips, and stays. "
        "Nothing has to be done; if it is wrong on other clips, label these."
    )
    assert verdict.figures["label"] == {}


def test_a_champion_that_is_right_on_nearly_all_clips_asks_for_no_label() -> None:
    for challenger in "b", "-", "n":
        crossed = [*alike(8), *clips("a", challenger)]
        verdict = judge_by([], OLD, OLD, 1, Rule(), crossed)
        assert verdict.verdict == "undecided", verdict
        assert "Nothing has to be done" in verdict.figures["next"]
    two_wrong = judge_by([], OLD, OLD, 1, Rule(), [*alike(5), *clips("a", "nn")])
    assert two_wrong.figures["next"].startswith("Label about ")


def test_no_number_is_named_if_so_many_clips_like_these_would_promote_nothing() -> None:
    """One of 15 is wrong, for both."""
    verdict = judge_by([], OLD, OLD, 1, Rule(), [*alike(4), *clips("b", "bb-")])
    assert verdict.verdict == "undecided"
    assert verdict.figures["next"] == ("The champion stays. What helps most are more labels of b.")
    assert verdict.figures["label"] == {"b": 5}


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
        "it is not worse as counted; at most 2 points may be lost, with probability 95 %. "
        "New classes, of which 70% has to be recognised: new 4 of 5 clips."
    )


def test_a_new_class_does_not_promote_a_challenger_that_is_worse_as_counted() -> None:
    verdict = judge(
        [*alike(20), *clips("a", "o"), *clips("b", "o"), *clips("new", "nnnnn")], OLD, WITH_NEW, 1
    )
    assert verdict.verdict == "undecided"
    assert "it is worse as counted" in verdict.reason
    assert verdict.figures["next"].startswith("Label about ")


def test_a_new_class_that_is_not_recognised_is_no_gain() -> None:
    verdict = judge([*alike(40), *clips("new", "nnn--")], OLD, WITH_NEW, 1)
    assert verdict.verdict == "refused"
    assert verdict.reason.endswith("new 3 of 5 clips.")


@pytest.mark.parametrize(
    ("right", "group", "lack"),
    [("nn", "", "1 more needed"), ("nnnnnn", "one", "1 more needed, of another group")],
)
def test_a_new_class_with_too_few_clips_or_groups_is_waited_for(
    right: str, group: str, lack: str
) -> None:
    verdict = judge([*alike(40), *clips("new", right, group=group)], OLD, WITH_NEW, 1)
    assert verdict.verdict == "undecided"
    assert f"({lack})" in verdict.reason
    assert verdict.figures["label"] == {"new": 1}


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
    verdict = judge([*clips("x", "nnnn-"), *clips("y", "nnnnn")], OLD, ("x", "y"), 1)
    assert verdict.verdict == "promoted"
    assert verdict.reason == (
        "Right on 9 of 10 labelled clips, each predicted by a model that did not learn from it or "
        "its group; guessing (always x) is right on 5, the champion, which knows none of these "
        "classes, on 0: it is better, beyond chance. The weakest class is x, right on 4 of 5."
    )
    assert verdict.figures["next"] == "Label more of x, which is right on 4 of 5."


def test_without_shared_classes_one_prediction_for_all_does_not_promote() -> None:
    others = [replace(clip, challenger="x") for clip in clips("y", "-", of=6)]
    verdict = judge([*clips("x", "n", of=20), *others], OLD, ("x", "y"), 1)
    assert verdict.verdict == "refused"
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


def test_a_class_without_a_label_is_dropped_if_the_others_are_not_worse_as_counted() -> None:
    """The rule of a class that is added."""
    labelled = set(OLD)
    verdict = judge_by([], "abcd", OLD, 1, Rule(), alike(18), labelled=labelled)
    assert verdict.verdict == "promoted"
    assert verdict.reason == (
        "On the classes that both know, of 54 clips (all by cross-validation) the champion "
        "predicts 54 right, the challenger 54: it is not worse as counted; "
        "at most 5 points may be lost, with probability 95 %. "
        "It drops d, which has no label any more."
    )
    assert verdict.figures["dropped"] == ["d"]
    assert verdict.figures["risk"] == pytest.approx(0.05, abs=0.005)
    worse = judge_by([], "abcd", OLD, 1, Rule(), [*alike(4), *clips("a", "o")], labelled=labelled)
    assert worse.verdict == "undecided"
    assert "it is worse as counted" in worse.reason
    apart = judge_by(
        [], "abcd", OLD, 1, Rule(), [*alike(18), *clips("a", "o" * 8)], labelled=labelled
    )
    assert apart.reason.startswith("Class a falls apart")


def test_a_class_that_is_dropped_counts_as_before_if_it_has_labels_or_that_is_not_known() -> None:
    for labelled in ({*OLD, "d"}, None):
        verdict = judge_by(alike(18), "abcd", OLD, 1, Rule(), alike(18), labelled=labelled)
        assert verdict.verdict != "promoted"
        assert verdict.figures["dropped"] == []


def test_a_class_is_dropped_by_what_the_holdout_and_cross_validation_say() -> None:
    verdict = judge_by(alike(20), "abcd", OLD, 1, Rule(), alike(5), labelled=set(OLD))
    assert (verdict.verdict, verdict.figures["n"]) == ("promoted", 75)


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


@pytest.mark.slow
def test_a_later_comparison_asks_for_more() -> None:
    evidence = [*alike(50), *clips("a", "nnnnn")]
    assert [judge(evidence, OLD, OLD, number).verdict for number in (1, 2, 3)] == [
        "promoted",
        "undecided",
        "undecided",
    ]
    levels = [judge(evidence, OLD, OLD, number).figures["level"] for number in range(1, 30)]
    assert sum(levels) == pytest.approx(RULE.odds, abs=1.1e-3)


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
                truth,
                f"{group if group else f'own {i}'}",
                says[0],
                says[1],
                draw(st.integers(0, 9)) == 0,
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


@pytest.mark.slow
@given(evidence(), numbers)
def test_the_same_predictions_promote_nothing_without_a_new_class(
    evidence: list[Evidence], number: int
) -> None:
    same = [replace(clip, challenger=clip.champion) for clip in evidence]
    assert judge(same, OLD, OLD, number).verdict != "promoted"


@pytest.mark.slow
@given(evidence(), known, numbers, numbers)
def test_no_later_comparison_promotes_what_an_earlier_one_did_not(
    evidence: list[Evidence], classes: tuple[str, ...], number: int, more: int
) -> None:
    if judge(evidence, OLD, classes, number).verdict != "promoted":
        assert judge(evidence, OLD, classes, number + more).verdict != "promoted"


@pytest.mark.slow
@given(evidence(), known, numbers, st.randoms())
def test_the_order_of_clips_does_not_matter(
    evidence: list[Evidence], classes: tuple[str, ...], number: int, generator: random.Random
) -> None:
    shuffled = generator.sample(evidence, len(evidence))
    assert judge(shuffled, OLD, classes, number) == judge(evidence, OLD, classes, number)


@pytest.mark.slow
@given(evidence(), known, numbers)
def test_figures_survive_json_and_hold_the_difference_between_its_bounds(
    evidence: list[Evidence], classes: tuple[str, ...], number: int
) -> None:
    figures = judge(evidence, OLD, classes, number).figures
    assert json.loads(json.dumps(figures)) == figures
    if figures["n"]:
        assert -1 <= figures["lower"] <= figures["difference"] <= figures["upper"] <= 1


@pytest.mark.slow
@given(evidence(), known, numbers)
def test_a_promotion_rests_on_its_figures(
    evidence: list[Evidence], classes: tuple[str, ...], number: int
) -> None:
    figures = (verdict := judge(evidence, OLD, classes, number)).figures
    if verdict.verdict != "promoted":
        assert figures["next"] or figures["n"] == 0
    elif not set(classes) & set(OLD):
        assert figures["first"]["is_shown"]
    elif any(of["told"] for of in figures["new_classes"].values()):
        assert figures["difference"] >= -0.05 / 4
        assert "risk" in figures or figures["lower"] > 0
    else:
        assert figures["lower"] > 0


@pytest.mark.slow
@settings(max_examples=50)
@given(evidence(), numbers)
def test_as_many_more_clips_as_are_missing_decide(evidence: list[Evidence], number: int) -> None:
    def more(verdict: Verdict) -> int:
        return int(verdict.figures["missing"]["clips"])

    n = (verdict := judge(evidence, OLD, OLD, number)).figures["n"]
    if verdict.verdict == "undecided" and n and more(verdict) < 30 * n:
        # Twice as many: the exact test's level goes up and down a little with each clip.
        times = range(2 * -(-more(verdict) // n) + 1)
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


def test_a_class_that_is_added_is_answered_with_what_little_there_is() -> None:
    """Five of five of the new class, the old ones as before: by cross-validation as well."""
    crossed = [*alike(6), *clips("new", "nnn")]
    verdict = judge_by(clips("new", "nn"), OLD, WITH_NEW, 1, Rule(), crossed)
    assert verdict.verdict == "promoted"
    assert verdict.reason == (
        "On the classes that both know, of 18 clips (all by cross-validation) the champion "
        "predicts 18 right, the challenger 18: it is not worse as counted; "
        "at most 13 points may be lost, with probability 95 %. "
        "New classes, of which 70% has to be recognised: new 5 of 5 clips."
    )
    assert verdict.figures["basis"] == "cross-validation"
    assert verdict.figures["risk"] == pytest.approx(0.13, abs=0.005)


def test_a_class_that_is_added_needs_three_clips_of_the_old_ones() -> None:
    verdict = judge(clips("new", "nnnnn"), OLD, WITH_NEW, 1, crossed=clips("a", "bb"))
    assert verdict.verdict == "undecided"
    assert verdict.figures["missing"]["clips"] == 1
    assert verdict.figures["next"].startswith("Label about 1 more clip")


def test_a_class_that_is_added_and_not_recognised_says_what_to_label() -> None:
    verdict = judge(clips("new", "nn---"), OLD, WITH_NEW, 1, crossed=alike(30))
    assert verdict.verdict == "refused"
    assert verdict.figures["next"] == "Label more clips: 5 of new."


def test_an_old_class_that_falls_apart_refuses_an_added_class_and_is_named() -> None:
    crossed = [*alike(6), *clips("d", "ooobbb"), *clips("new", "nnnnn")]
    verdict = judge([], (*OLD, "d"), (*WITH_NEW, "d"), 1, crossed=crossed)
    assert verdict.verdict == "refused"
    assert verdict.reason.startswith("Class d falls apart: of 6 clips the champion predicts 6")
    assert verdict.figures["next"].startswith("Label about 5 more clips of d")


def test_too_small_a_holdout_is_judged_by_cross_validation_too_and_says_so() -> None:
    crossed = [*alike(12), *clips("a", "nnn")]
    verdict = judge_by(alike(1), OLD, OLD, 1, Rule(), crossed)
    assert verdict.verdict == "promoted"
    assert verdict.reason == (
        "On the classes that both know, of 42 clips (3 of the holdout, others by "
        "cross-validation) the champion predicts 39 right, the challenger 42: it is better as "
        "counted; at most 0 points may be lost, with probability 95 %. "
        "The holdout alone has too few clips to judge."
    )
    same = judge_by(alike(1), OLD, OLD, 1, Rule(), alike(12))
    assert same.verdict != "promoted"
    few = judge_by(alike(1), OLD, OLD, 1, Rule(), [*alike(3), *clips("a", "n")])
    assert few.verdict == "undecided"


def test_wrong_labels_that_trained_do_not_outvote_the_holdout() -> None:
    holdout = [*clips("a", "oooooo"), *clips("b", "oooooo")]
    crossed = [*clips("a", "n" * 30), *clips("b", "n" * 30), *clips("c", "n" * 30)]
    verdict = judge_by(holdout, OLD, OLD, 1, Rule(), crossed)
    assert verdict.verdict == "refused"
    assert "on those of the holdout it is worse, beyond chance" in verdict.reason


def test_a_holdout_that_is_large_enough_judges_alone() -> None:
    crossed = [*alike(30), *clips("a", "n", of=30)]
    verdict = judge_by(alike(12), OLD, OLD, 1, Rule(), crossed)
    assert (verdict.verdict, verdict.figures["basis"]) == ("undecided", "holdout")
