"""Heads on the features of a frozen backbone: they compete, by cross-validation over groups."""

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from learner.calibration import Calibration, calibrate, crossed, losses
from learner.errors import VidwatchError
from learner.evaluate import HeadScore
from learner.familiarity import Reference, Scale, axes_for, energies
from learner.fit import Epoch, judge
from learner.head import BothHeads, Head, PooledHead
from learner.linear import Linear, Rows
from learner.motion import REVERSED
from learner.nested import fit_best
from learner.network import ClipNetwork
from learner.pooling import ORDER_FREE, Statistics
from learner.rounds import BY_FOLDS, Judged, Outcome, Task, fit_round, judged_by
from learner.splits import Fold, Indices, Split, folds
from learner.stored import release_pages

Array = np.ndarray[Any, Any]
Kind = Literal["pooled", "lstm", "both"]
BothWays = Array
"""`(2, N, C)` logits of clips, and of the clips played backwards."""

# The LSTM competes if the clips are no more than this: beyond it, it would take hours.
LSTM_CLIPS = 2000
# Statistics of more clips than this are kept in half precision: they would take a gigabyte.
MANY_CLIPS = 10_000
# By so many standard errors the pooled head has to be ahead for the LSTM to be given up.
CLEARLY = 1.64
AT_ONCE = 64


@dataclass(frozen=True)
class _Contest:
    """What all rounds share."""

    task: Task
    folds: list[Fold]
    statistics: Statistics
    values: Array
    """`(N, S)` statistics of all clips."""
    reversal: Array
    """`(S,)`, 1 or -1: times this, they are those of the clips played backwards."""
    truth: Array
    groups: Array
    """`(N,)` names."""

    @property
    def judged(self) -> Indices:
        """The clips that the folds hold out, fold after fold."""
        return np.concatenate([held_out for _, held_out in self.folds])

    @property
    def order_free(self) -> int:
        """How many of the statistics, the first ones, know nothing of the order of frames."""
        return int(self.statistics.slices[ORDER_FREE[-1]].stop)

    def empty(self) -> BothWays:
        """Logits that are still to be filled in."""
        return np.zeros((2, len(self.truth), len(self.task.classes)), np.float32)

    def fit(self, known: Indices) -> tuple[Linear, Linear, Reference]:
        """Pooled head, baseline and reference that learn from `known`, as a checkpoint rounds."""
        values = Rows(self.values, known)
        truth = self.truth[known]
        classes = len(self.task.classes)
        head, baseline = fit_best(self.statistics, values, truth, self.groups[known], classes)
        # As many axes for each fold as for the model itself.
        axes = axes_for(min(len(known) for known, _ in self.folds))
        reference = Reference.of(values.first(self.order_free), truth, classes, axes)
        return head.rounded(), baseline.rounded(), reference.rounded()


def compete(task: Task, rounds: list[Fold]) -> Outcome:
    """Let the heads that the recipe allows compete on `rounds`; fit the best on all their clips.

    Each clip is judged by heads that learned without its group, and so did their settings. Which
    kind of head judges the clips of a fold is decided by the other folds.
    """
    with threadpool_limits(1):  # the products are small: threads would wait for one another
        contest = _begin(task, rounds)
        pooled, baseline, figures = _cross_validate_pooled(contest)
        candidates: dict[Kind, BothWays] = {"pooled": pooled}
        history: list[Epoch] = []
        scale = 1.0
        if _may_use_lstm(contest, pooled):
            lstm, history = _cross_validate_lstm(contest, pooled)
            if lstm is not None:
                scale = _scale(contest, pooled, lstm)
                candidates |= {"lstm": lstm, "both": (pooled + scale * lstm) / 2}
        clips = contest.judged
        truth = contest.truth[clips]
        kind = _best(contest, candidates, clips)
        temperature = Calibration.fitted(baseline[clips], truth).temperature
        network, reference, more = _fit_final(contest, kind, scale, temperature)
        figures[:, :1] = energies(candidates[kind][0])
        calibrations = {
            name: calibrate(logits[0, clips], truth, _places(contest))
            for name, logits in candidates.items()
        }
        calibrated = {name: found[1] for name, found in calibrations.items()}
        return Outcome(
            network=network,
            trained_on=clips,
            calibration=calibrations[kind][0],
            history=history + more,
            judged=_judged(contest, candidates, baseline),
            scale=Scale.of(figures[clips]),
            reference=reference,
            heads=_scores(contest, candidates, calibrated, kind),
        )


def hold_out_contest(task: Task, split: Split, method: str) -> Outcome:
    """As `compete` on the clips for training and validation; the test judges what comes of it."""
    known = np.concatenate([split.training, split.validation])
    clips = [task.clips[i] for i in known]
    count = task.recipe.training.folds
    try:
        inner = folds(clips, count, 0)
    except VidwatchError:  # too few groups; and the test judges, so that clips are enough here
        inner = folds([replace(clip, group=clip.sha256) for clip in clips], count, 0)
    outcome = compete(task, [(known[some], known[others]) for some, others in inner])
    judged = judged_by(task, outcome.network, outcome.calibration, split.test, method)
    return replace(outcome, judged=judged)


def _begin(task: Task, rounds: list[Fold]) -> _Contest:
    network = task.untrained
    statistics = Statistics(network.appearance, network.motion)
    count = len(task.clips)
    precision = np.float16 if count > MANY_CLIPS else np.float32
    values = np.empty((count, statistics.width), precision)
    with torch.inference_mode():
        for first in range(0, count, AT_ONCE):
            some = np.arange(first, min(first + AT_ONCE, count))
            values[some] = statistics.of_clips(task.data.batch(some)).numpy()
            release_pages(task.data.values)
    reversal = np.ones(statistics.width, np.float32)
    if statistics.motion:
        reversal[statistics.slices["motion"]] = REVERSED
    groups = np.array([clip.group for clip in task.clips])
    return _Contest(task, rounds, statistics, values, reversal, task.data.truth.numpy(), groups)


def _cross_validate_pooled(contest: _Contest) -> tuple[BothWays, Array, Array]:
    """Logits of the pooled head and of the baseline, and `(N, 3)` figures of familiarity."""
    pooled = contest.empty()
    baseline = contest.empty()[0]
    figures = np.zeros((len(contest.truth), 3))
    for number, (known, held_out) in enumerate(contest.folds, start=1):
        head, order_free, reference = contest.fit(known)
        values = Rows(contest.values, held_out)
        pooled[0, held_out] = head.logits(values)
        pooled[1, held_out] = head.of_signs(contest.reversal).logits(values)
        values = values.first(contest.order_free)
        baseline[held_out] = order_free.logits(values)
        figures[held_out] = reference.figures(values, pooled[0, held_out])
        loss = float(losses(pooled[0, held_out], contest.truth[held_out]).mean())
        contest.task.watch.step(number, len(contest.folds) + 1, loss)
    return pooled, baseline, figures


def _may_use_lstm(contest: _Contest, pooled: BothWays) -> bool:
    """Whether the recipe has it compete, there is time for it, and something to gain."""
    recipe = contest.task.recipe
    judged = contest.judged
    wrong = (pooled[0, judged].argmax(1) != contest.truth[judged]).mean()
    if recipe.network.head == "both":
        return True
    is_affordable = recipe.network.head == "best" and len(judged) <= LSTM_CLIPS
    return bool(is_affordable and wrong > recipe.training.lstm_above)


def _cross_validate_lstm(
    contest: _Contest, pooled: BothWays
) -> tuple[BothWays | None, list[Epoch]]:
    """Its logits; None if the pooled head was clearly ahead before all folds were judged."""
    lstm = contest.empty()
    history: list[Epoch] = []
    task = _task_of_lstm(contest.task)
    seen = np.zeros(0, np.intp)
    for number, (known, held_out) in enumerate(contest.folds, start=1):
        network, epochs = fit_round(task, known, held_out[:0], number, len(contest.folds) + 1)
        network.half().float()
        for way, data in enumerate((task.data, task.data.played_backwards())):
            lstm[way, held_out] = judge(network, data, held_out)[0]
        history += epochs
        seen = np.concatenate([seen, held_out])
        # The temperature of the LSTM is fitted on what it is judged by: that favours it.
        fitted = Calibration.fitted(lstm[0, seen], contest.truth[seen])
        behind = losses(fitted.calibrated(lstm[0, seen]), contest.truth[seen])
        behind -= losses(pooled[0, seen], contest.truth[seen])
        if contest.task.recipe.network.head == "best" and _errors(behind) > CLEARLY:
            return None, history
    return lstm, history


def _task_of_lstm(task: Task) -> Task:
    """The same task, with an LSTM alone as its head."""
    args = replace(task.untrained.args, head="lstm")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(task.recipe.training.seed)
        network = task.untrained.with_head(args)
    return replace(task, untrained=network)


def _scale(contest: _Contest, pooled: BothWays, lstm: BothWays) -> float:
    """Brings the logits of the LSTM to the temperature of the pooled head."""
    some = contest.judged
    truth = contest.truth[some]
    temperatures = (Calibration.fitted(one[0, some], truth).temperature for one in (pooled, lstm))
    of_pooled, of_lstm = temperatures
    return float(np.float16(of_pooled / of_lstm))


def _best(contest: _Contest, candidates: dict[Kind, BothWays], clips: Indices) -> Kind:
    """The kind of head with the lowest loss on `clips`, each at its best temperature."""
    if contest.task.recipe.network.head == "both":
        return "both"
    truth = contest.truth[clips]

    def loss(kind: Kind) -> float:
        logits = candidates[kind][0, clips]
        calibrated = Calibration.fitted(logits, truth).calibrated(logits)
        return float(losses(calibrated, truth).mean())

    return min(candidates, key=loss)


def _judged(contest: _Contest, candidates: dict[Kind, BothWays], baseline: Array) -> Judged:
    """Logits of each clip by the kind of head that the other folds have chosen."""
    chosen = contest.empty()
    for _, held_out in contest.folds:
        others = np.setdiff1d(contest.judged, held_out)
        kind = _best(contest, candidates, others)
        chosen[:, held_out] = candidates[kind][:, held_out]
    clips = contest.judged
    _, calibrated = calibrate(chosen[0, clips], contest.truth[clips], _places(contest))
    return Judged(
        clips=clips,
        logits=chosen[0, clips],
        baseline_logits=crossed(baseline[clips], contest.truth[clips], _places(contest)),
        calibrated=calibrated,
        backwards=chosen[1, clips],
        method=BY_FOLDS,
    )


def _fit_final(
    contest: _Contest, kind: Kind, scale: float, temperature: float
) -> tuple[ClipNetwork, Reference, list[Epoch]]:
    """The network that becomes the model, fitted on all clips of the folds.

    Args:
        contest: what all rounds share.
        kind: of its head.
        scale: of the LSTM's logits, beside those of the pooled head.
        temperature: of the baseline.
    """
    task = contest.task
    known = np.sort(contest.judged)
    head, baseline, reference = contest.fit(known)
    network = task.untrained.with_head(replace(task.untrained.args, head=kind))
    history: list[Epoch] = []
    lstm: Head | None = None
    if kind != "pooled":
        rounds = len(contest.folds) + 1
        trained, history = fit_round(_task_of_lstm(task), known, known[:0], 0, rounds)
        assert isinstance(trained.head, Head)
        lstm = trained.head
    if isinstance(network.head, BothHeads) and lstm:
        _fill(network.head.pooled, head)
        network.head.lstm = lstm
        network.head.scale.fill_(scale)
    elif isinstance(network.head, PooledHead):
        _fill(network.head, head)
    elif lstm is not None:
        network.head = lstm
    _fill(network.baseline, baseline.over(temperature).rounded())
    task.watch.step(len(contest.folds) + 1, len(contest.folds) + 1, 0.0)
    return network.eval(), reference, history


def _fill(module: nn.Module, fitted: Linear) -> None:
    assert isinstance(module, PooledHead)
    with torch.no_grad():
        module.norm.load_state_dict(
            {"mean": torch.from_numpy(fitted.mean), "std": torch.from_numpy(fitted.std)}
        )
        module.linear.weight.copy_(torch.from_numpy(fitted.weight.T))
        module.linear.bias.copy_(torch.from_numpy(fitted.bias))


def _scores(
    contest: _Contest, candidates: dict[Kind, BothWays], calibrated: dict[Kind, Array], kind: Kind
) -> tuple[HeadScore, ...]:
    """Of each head that competed, the chosen one first."""
    truth = contest.truth[contest.judged]
    best = losses(calibrated[kind], truth)
    scores = []
    for name in sorted(candidates, key=lambda name: name != kind):
        right = candidates[name][0, contest.judged].argmax(1) == truth
        loss = losses(calibrated[name], truth)
        sure = NormalDist().cdf(_errors(loss - best))
        scores.append(HeadScore(name, float(right.mean()), float(loss.mean()), sure))
    return tuple(scores)


def _errors(differences: Array) -> float:
    """By how many standard errors the mean of `(N,)` differences is above 0."""
    error = differences.std() / np.sqrt(len(differences))
    return float(differences.mean() / error) if error > 0 else 0.0


def _places(contest: _Contest) -> list[Indices]:
    """Where the clips of each fold stand in `judged`."""
    ends = np.cumsum([len(held_out) for _, held_out in contest.folds])
    return np.split(np.arange(ends[-1]), ends[:-1])
