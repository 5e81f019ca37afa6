"""What a training gives: a saved model, with scores on clips that it had not seen."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from learner import checkpoint, evaluate, report
from learner.calibration import automatic, reliability
from learner.catalogue import weights_path
from learner.checkpoint import Manifest, TrainingClip
from learner.dataset import LabelledClip
from learner.errors import VidwatchError
from learner.evaluate import HeadScore, Order, Score, score
from learner.initial import Before
from learner.rounds import Judged, Outcome, Task


@dataclass(frozen=True)
class Trained:
    """A saved model, with scores on clips that it had not seen."""

    path: Path
    """Of its weights."""
    run: Path
    """The folder beside it."""
    method: str
    """How it was measured, and what flatters it."""
    score: Score
    baseline: Score
    """Of its baseline, which knows nothing of the order of frames, on the same clips."""
    order: Order
    heads: tuple[HeadScore, ...]
    """The heads that competed, its own one first."""
    clips: int
    groups: int
    skipped: dict[str, str]
    """Files that could not be read, and why."""

    def to_json(self) -> dict[str, Any]:
        """Where it is, the figures of its score on top, and three of the baseline's."""
        baseline = {name: getattr(self.baseline, name) for name in ("accuracy", "interval", "loss")}
        return {
            "model": self.path.stem,
            "path": str(self.path),
            "run": str(self.run),
            "method": self.method,
            **vars(self.score),
            "baseline": baseline,
            "clips": self.clips,
            "groups": self.groups,
            "skipped": self.skipped,
        }


def finish(
    task: Task,
    outcome: Outcome,
    out: Path,
    before: Before,
    skipped: dict[str, str],
    optimistic: str | None,
) -> Trained:
    """Save the model, and write the report of its run.

    Of several processes that trained it, only the first one writes.

    Args:
        task: What was trained.
        outcome: The network and how it was judged.
        out: The model's path.
        before: What the weights that it began with were trained on.
        skipped: Files that could not be read, and why.
        optimistic: Why figures by the clips' groups are optimistic; None if they are not.
    """
    judged = outcome.judged
    if not np.isfinite(judged.logits).all():
        raise VidwatchError("its logits are not finite any more: try a smaller learning_rate")
    truth = task.data.truth[judged.clips].numpy()
    own = score(judged.logits, truth, task.classes, judged.calibrated)
    baseline = score(judged.baseline_logits, truth, task.classes)
    method = judged.method + _flattery(task, judged, before)
    if optimistic:
        method += f"; {optimistic}"
    # All of them before calibration, which may have a bias for some class.
    order = Order.of(
        truth,
        judged.logits.argmax(1),
        judged.baseline_logits.argmax(1),
        judged.backwards.argmax(1),
    )
    measured: dict[str, Any] = {
        **evaluate.figures(own, baseline, method),
        "order": asdict(order),
        "heads": [asdict(head) for head in outcome.heads],
        "reliability": reliability(judged.calibrated, truth),
        "automatic": automatic(judged.calibrated, truth),
    }
    if optimistic:
        measured["optimistic"] = optimistic
    manifest = replace(
        task.run.manifest,
        network=outcome.network.args,
        temperature=outcome.calibration.temperature,
        bias=outcome.calibration.bias,
        familiarity=outcome.scale,
        trained_on=_trained_on([task.clips[i] for i in outcome.trained_on], before),
        measured=measured,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if task.processes.is_first:
        results = report.Results(
            method=method,
            score=own,
            baseline=baseline,
            order=order,
            heads=outcome.heads,
            reliability=measured["reliability"],
            history=outcome.history,
            classes=task.classes,
            skipped=skipped,
        )
        _write(task, outcome, manifest, out, results)
    groups = len({clip.group for clip in task.clips})
    return Trained(
        path=weights_path(out),
        run=task.run.folder,
        method=method,
        score=own,
        baseline=baseline,
        order=order,
        heads=outcome.heads,
        clips=len(task.clips),
        groups=groups,
        skipped=skipped,
    )


def _write(
    task: Task, outcome: Outcome, manifest: Manifest, out: Path, results: report.Results
) -> None:
    judged_clips = [task.clips[i].sha256 for i in outcome.judged.clips]
    task.run.keep_held_out(judged_clips, softmax(outcome.judged.calibrated, axis=1))
    reference = outcome.reference.tensors() if outcome.reference else {}
    checkpoint.save(out, manifest, outcome.network.state_dict() | reference)
    report.write(task.run.folder, task.recipe, results)
    task.run.finish()


def _flattery(task: Task, judged: Judged, before: Before) -> str:
    """Says how many of the clips that judge had trained the model that it began with."""
    seen = {clip.sha256 for clip in before.clips} if before.head else set[str]()
    count = sum(task.clips[i].sha256 in seen for i in judged.clips)
    if not count:
        return ""
    return f"; flattering, since the model that it began with was trained on {count} of these clips"


def _trained_on(clips: list[LabelledClip], before: Before) -> tuple[TrainingClip, ...]:
    """All clips that the model was trained on, or the one that it began with.

    Of a clip in both, the newer label counts.
    """
    old = {clip.sha256: clip for clip in before.clips}
    new = {clip.sha256: TrainingClip(clip.sha256, clip.label, clip.group) for clip in clips}
    return tuple(sorted({**old, **new}.values()))
