"""Decides whether a challenger replaces the champion.

The evidence is both models' predictions for clips that they did not learn from: those of the
holdout, and, by cross-validation, those that they did learn from, each predicted by a model that
was trained without the clip's group. Knows no file and no database. Four cases:

- **The models share no class**, as the first model of one's own and the starter: the challenger
  takes over if it is better than guessing, beyond chance (`learner.first_model`).
- **The challenger brings a new class** and recognises it: it takes over if on the old classes it is
  not worse as counted, and none falls apart. How much may be lost is stated, and the daemon watches
  the clips that follow.
- **It drops a class that has no label any more**: it takes over by the same rule.
- **It does neither**, or recognises no new class: it has to be shown not to be worse by the margin,
  and to be better, beyond chance, on the holdout. If the holdout is too small to show that of any
  challenger, cross-validation judges beside it; then "better" is as counted, and it is watched.

The holdout is used again and again. If twenty challengers are worse, and each passes with a
probability of 5 %, one of them is likely to pass. So the k-th comparison with a champion is held to
the level odds * 6 / (pi^2 k^2). The levels of all comparisons add up to `odds`. The probability
that any comparison goes wrong is at most that sum (Boole's inequality). This is true however alike
the challengers are, and although the clips are the same. All comparisons with the same champion
count, also those before it was replaced and came back.

It needs challengers that do not depend on the holdout clips. No model trains on the holdout. All
that a later challenger can know of it is that the earlier ones were not promoted, and up to the
first promotion that is always so. So the sequence of challengers up to the first promotion does not
depend on the holdout: it could be written down beforehand.

Not promised: the odds count anew with each champion; each new class may cost a little, as counted,
and more by bad luck, which only the watch finds; cross-validation depends on the clips that train,
so the odds hold for it only nearly; a new class's recall is taken as it is; and a person who tunes
the training by these figures makes it depend on the clips. A champion that was lucky on the holdout
is only harder to replace.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from math import pi
from typing import Any

from learner import first_model
from learner.evidence import Evidence, Outcome, Rule, by_class, count
from learner.first_model import FirstModel
from learner.paired import Paired
from learner.trial import Trial

__all__ = ["DEFAULT", "Evidence", "Outcome", "Rule", "Verdict", "judge"]

DEFAULT = Rule()


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison."""

    verdict: Outcome
    reason: str
    """For a person."""
    figures: dict[str, Any]
    """The counts behind it, as JSON can hold them. `next` has the next step, for a person."""


def judge(
    evidence: Sequence[Evidence],
    champion_classes: Collection[str],
    challenger_classes: Collection[str],
    comparison_number: int,
    rule: Rule = DEFAULT,
    crossed: Sequence[Evidence] = (),
    optimistic: str | None = None,
    labelled: Collection[str] | None = None,
) -> Verdict:
    """Decide by `rule`.

    Refused: a class falls apart; or it is worse beyond chance; or it is no better than guessing; or
    there is no new class and no gain, and a gain worth having would have shown. Promoted: as the
    module says. Else undecided.

    Args:
        evidence: the holdout clips.
        champion_classes: the classes that the champion knows.
        challenger_classes: the classes that the challenger knows.
        comparison_number: counts the comparisons with this champion from 1, this one included.
        rule: what a challenger has to show.
        crossed: clips of which each model that learned from them predicts by cross-validation.
        optimistic: why counts by the groups of these clips are optimistic; None if they are not.
        labelled: the classes that have a label now; None if that is not known.
    """
    level = rule.odds * 6 / (pi * comparison_number) ** 2
    shared = set(champion_classes) & set(challenger_classes)
    trial: Trial | FirstModel
    if shared:
        classes = (set(champion_classes), set(challenger_classes))
        dropped = classes[0] - classes[1] - set(champion_classes if labelled is None else labelled)
        trial = _trial(evidence, crossed, *classes, dropped, level, rule)
    else:
        trial = first_model.compare(evidence, crossed, sorted(challenger_classes), level, rule)
    figures = {
        # The keys are stored in the database: they must not change.
        "look": comparison_number,
        "level": level,
        "picked": sum(clip.biased and clip.label in shared for clip in evidence),
        **trial.figures(),
        "rule": asdict(rule),
    }
    reason = trial.reason()
    if optimistic and (evidence or crossed):
        reason += f" These counts are {optimistic}."
    return Verdict(trial.outcome, reason, figures)


def _trial(
    evidence: Sequence[Evidence],
    crossed: Sequence[Evidence],
    champion_classes: set[str],
    challenger_classes: set[str],
    dropped: set[str],
    level: float,
    rule: Rule,
) -> Trial:
    """The comparison of two models that share classes; the arguments are those of `judge`.

    `dropped` has the champion's classes that the challenger lacks, and that have no label.
    """
    new_classes = challenger_classes - champion_classes
    shared = champion_classes & challenger_classes
    of_holdout = _unbiased(evidence, shared)
    # If no loss and no gain would not show that it is within the margin, nothing can.
    is_enough = Paired.of((clip.group, True, True) for clip in of_holdout).is_above(
        -rule.margin, level
    )
    has_new = any(clip.label in new_classes for clip in (*evidence, *crossed))
    is_crossed = bool(crossed) and (has_new or bool(dropped) or not is_enough)
    judging = [*evidence, *crossed] if is_crossed else list(evidence)
    judged = _unbiased(judging, shared)
    groups = Counter(label for label, _ in {(clip.label, clip.group) for clip in judging})
    return Trial(
        total=count(judged),
        paired=Paired.of(clip.outcome() for clip in judged),
        known=(known := by_class(_unbiased(judging, champion_classes), champion_classes)),
        shared={name: known[name] for name in known if name in shared},
        new=by_class(judging, new_classes),
        # Clips of one group are alike, so a new class needs clips of two groups. If no class has
        # two groups, as with a single camera, this cannot be met: then one group is enough.
        groups=min(2, max(groups.values(), default=1)),
        level=level,
        rule=rule,
        crossed=len(judged) - len(of_holdout),
        holdout=Paired.of(clip.outcome() for clip in of_holdout),
        is_small=is_crossed and not is_enough,
        dropped=tuple(sorted(dropped)),
    )


def _unbiased(clips: Sequence[Evidence], names: Collection[str]) -> list[Evidence]:
    return [clip for clip in clips if clip.label in names and not clip.biased]
