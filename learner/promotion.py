"""Decides whether a challenger replaces the champion.

The evidence is both models' predictions for the holdout clips. Knows no file and no database.

The holdout is used again and again. If twenty challengers are worse, and each passes with a
probability of 5 %, one of them is likely to pass. So the k-th comparison with a champion is held to
the level odds * 6 / (pi^2 k^2). The levels of all comparisons add up to `odds`. The probability
that any comparison goes wrong is at most that sum (Boole's inequality). This is true however alike
the challengers are, and although the clips are the same.

It needs challengers that do not depend on the holdout clips. No model trains on the holdout. All
that a later challenger can know of it is that the earlier ones were not promoted, and up to the
first promotion that is always so. So the sequence of challengers up to the first promotion does not
depend on the holdout: it could be written down beforehand.

Not promised: the odds count anew with each champion; each new class may cost up to the margin
again; a new class's recall is taken as it is; and a person who tunes the training by these figures
makes it depend on the clips. A champion that was lucky on the holdout is only harder to replace.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from math import pi
from typing import Any

from learner.paired import Paired
from learner.trial import Evidence, Outcome, Rule, Trial, by_class, count, quantile

__all__ = ["DEFAULT", "Evidence", "Outcome", "Rule", "Verdict", "judge"]

DEFAULT = Rule()


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison."""

    verdict: Outcome
    reason: str
    """For a person."""
    figures: dict[str, Any]
    """The counts behind it, as JSON can hold them."""


def judge(
    evidence: Sequence[Evidence],
    champion_classes: Collection[str],
    challenger_classes: Collection[str],
    comparison_number: int,
    rule: Rule = DEFAULT,
) -> Verdict:
    """Decide by `rule`.

    Promoted: on classes that both know it is not worse by the margin, none of the champion's
    classes falls apart, and it is better or recognises a new class. Refused: a class falls apart;
    or it is worse by the margin; or there is no new class and no gain, and a gain worth having
    would have shown. Else undecided.

    Args:
        evidence: the holdout clips.
        champion_classes: the classes that the champion knows.
        challenger_classes: the classes that the challenger knows.
        comparison_number: counts the comparisons with this champion from 1, this one included.
        rule: what a challenger has to show.
    """
    unbiased = [clip for clip in evidence if not clip.biased]
    known = by_class(unbiased, set(champion_classes))
    shared = {name: known[name] for name in known if name in set(challenger_classes)}
    judged = [clip for clip in unbiased if clip.label in shared]
    new = by_class(evidence, set(challenger_classes) - set(champion_classes))
    groups = Counter(label for label, _ in {(clip.label, clip.group) for clip in evidence})
    level = rule.odds * 6 / (pi * comparison_number) ** 2
    # Clips of one group are alike, so a new class needs clips of two groups. If no class has two
    # groups, as with a single camera, this cannot be met: then one group is enough.
    needed = min(2, max(groups.values(), default=1))
    trial = Trial(
        total=count(judged),
        paired=Paired.of(clip.outcome() for clip in judged),
        known=known,
        shared=shared,
        new=new,
        groups=needed,
        z=quantile(level),
        rule=rule,
    )
    biased = sum(clip.biased and clip.label in shared for clip in evidence)
    figures = {
        # The keys are stored in the database: they must not change.
        "look": comparison_number,
        "level": level,
        "picked": biased,
        **trial.figures(),
        "rule": asdict(rule),
    }
    return Verdict(trial.outcome, trial.reason(), figures)
