"""Whether a challenger replaces the champion, by both models' predictions for the holdout clips.

Knows no file and no database.

The holdout is used again and again. If twenty challengers are worse, and each is tried at odds of
1 in 20, one of them is likely to pass. So the k-th comparison with a champion is held to the level
odds * 6 / (pi^2 k^2). The levels of all comparisons add up to `odds`, and the probability that any
of them goes wrong is at most that sum (Boole), however alike the challengers are and although the
clips are the same.

This needs challengers that do not depend on these clips. None depends on them: nothing trains on
the holdout, and all that a later challenger can know of it is that the earlier ones were not
promoted. That is true of every row of challengers until it ends; the whole row could be written
down beforehand.

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
    look: int,
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
        look: counts the comparisons with this champion from 1, this one included.
        rule: what a challenger has to show.
    """
    unpicked = [clip for clip in evidence if not clip.picked]
    known = by_class(unpicked, set(champion_classes))
    shared = {name: known[name] for name in known if name in set(challenger_classes)}
    judged = [clip for clip in unpicked if clip.label in shared]
    new = by_class(evidence, set(challenger_classes) - set(champion_classes))
    groups = Counter(label for label, _ in {(clip.label, clip.group) for clip in evidence})
    level = rule.odds * 6 / (pi * look) ** 2
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
    picked = sum(clip.picked and clip.label in shared for clip in evidence)
    figures = {
        "look": look,
        "level": level,
        "picked": picked,
        **trial.figures(),
        "rule": asdict(rule),
    }
    return Verdict(trial.outcome, trial.reason(), figures)
