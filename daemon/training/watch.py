"""Watches a champion that took over as counted, on the clips that follow.

The former champion predicts these clips, too, in the shadow. When unbiased labels show that the new
one is worse on the classes that both know, beyond chance, it is taken back.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from daemon.database.expressions import that_counts
from daemon.database.tables import models, predictions
from daemon.home.folder import Home
from daemon.training.decisions import Decisions
from daemon.training.holdout import labelled_videos
from daemon.training.records import WATCH, Decision
from learner.catalogue import model_name
from learner.sequential import evidence_of_loss
from learner.spec import ClipSpec
from learner.texts import counted

CLIPS = 50
DAYS = 30
"""The watch ends after so many labelled clips, or after so many days."""
ODDS = 0.05
"""How probable it is at most that a model that is not worse is ever taken back."""


def begin(decision: Decision, challenger: str, former: str, home: Home) -> Decision:
    """A promotion, with its watch if it is one as counted: stated in its reason and its figures.

    Raises:
        VidwatchError: the manifest of one of the two models cannot be read.
    """
    if decision.verdict != "promoted" or "risk" not in decision.figures:
        return decision
    if not _take_the_same_frames(home, challenger, former):
        sentence = (
            f"{model_name(former)} takes other frames, so it cannot predict beside it, and nothing "
            "watches it: 'vidwatch models rollback' takes it back."
        )
        return Decision(decision.verdict, f"{decision.reason} {sentence}", decision.figures)
    sentence = (
        f"{model_name(former)} predicts beside it, and comes back by itself if labels show that it "
        f"was right more often: for {CLIPS} clips with labels, or {DAYS} days."
    )
    watch = {"former": former, "clips": CLIPS, "days": DAYS}
    figures = {**decision.figures, WATCH: watch}
    return Decision(decision.verdict, f"{decision.reason} {sentence}", figures)


def _take_the_same_frames(home: Home, *names: str) -> bool:
    """Whether one model can predict beside the other: only motion, which is added, may differ."""
    clips = [home.manifest(name)["clip"] for name in names]
    first, second = (replace(ClipSpec.from_json(clip), motion=False) for clip in clips)
    return first == second


@dataclass(frozen=True)
class _Counts:
    """The labelled clips of classes that both models know, since the promotion."""

    n: int = 0
    new: int = 0
    """How many of them the new champion predicted right."""
    former: int = 0
    gains: int = 0
    """In how many groups the new champion was right more often."""
    losses: int = 0


def tend(decisions: Decisions, home: Home, now: datetime) -> str | None:
    """End the watch if it is time to, or take the champion back.

    Returns:
        What happened, for the log; None if nothing did.

    Raises:
        VidwatchError: the manifest of one of the two models cannot be read.
    """
    watched = decisions.watched()
    if watched is None:
        return None
    with decisions.engine.begin() as connection:
        began = _began(connection, watched.created_at, now)
        counts = _count(connection, watched, home, began)
    new = model_name(watched.challenger)
    former = model_name(watched.champion)
    score = f"of {counted(counts.n, 'labelled clip')} since then {new} predicted {counts.new} right"
    score += f", {former} {counts.former}"
    figures = {"n": counts.n, "new": counts.new, "former": counts.former}
    figures |= {"gains": counts.gains, "losses": counts.losses}
    if evidence_of_loss(counts.gains, counts.losses) >= 1 / ODDS:
        reason = f"{new} was worse than {former}, beyond chance: {score}"
        decisions.take_back(watched, reason, figures, now)
        return reason
    if counts.n < CLIPS and now < began + timedelta(days=DAYS):
        return None
    reason = f"The watch of {new} has ended: {score}; it stays."
    end = Decision("refused", reason, {WATCH: figures, "next": "", "label": {}})
    decisions.conclude(watched.champion, watched.challenger, end, now)
    return reason


def _began(connection: Connection, promoted: datetime, now: datetime) -> datetime:
    """When the watch began.

    If the clock was set back since then, the time of the promotion is still to come. Then the
    watch began with the first prediction in the shadow under the clock of today.
    """
    if promoted <= now:
        return promoted
    in_shadow = predictions.c.kind == "shadow"
    newest = select(func.max(predictions.c.id)).where(in_shadow, predictions.c.created_at > now)
    last_before = connection.scalar(newest) or 0
    first = select(func.min(predictions.c.created_at))
    since = first.where(in_shadow, predictions.c.id > last_before)
    return connection.scalar(since) or now


def _count(connection: Connection, watched: Any, home: Home, began: datetime) -> _Counts:
    predicted = _predicted(connection, watched, began)
    if not predicted:
        return _Counts()
    names = (watched.champion, watched.challenger)
    classes = [set(home.manifest(name)["classes"]) for name in names]
    shared = classes[0] & classes[1]
    n = Counter[str]()
    net = Counter[str]()
    for clip in labelled_videos(connection):
        if clip.video_id not in predicted or clip.biased or clip.class_name not in shared:
            continue
        new, former = (name == clip.class_name for name in predicted[clip.video_id])
        n.update(n=1, new=int(new), former=int(former))
        net[clip.group] += new - former
    # Clips of one group are alike: each group counts once.
    gains = sum(more > 0 for more in net.values())
    losses = sum(more < 0 for more in net.values())
    return _Counts(n["n"], n["new"], n["former"], gains, losses)


def _predicted(
    connection: Connection, watched: Any, began: datetime
) -> Mapping[int, tuple[str, str]]:
    """The classes that the new and the former champion predicted for each video since then."""
    counting = predictions.alias()
    shadow = predictions.alias()
    by_new = models.alias()
    by_former = models.alias()
    query = (
        select(counting.c.video_id, counting.c["class"], shadow.c["class"])
        .join(shadow, shadow.c.video_id == counting.c.video_id)
        .join(by_new, by_new.c.id == counting.c.model_id)
        .join(by_former, by_former.c.id == shadow.c.model_id)
        .where(
            that_counts(counting),
            shadow.c.kind == "shadow",
            counting.c.created_at >= began,
            by_new.c.name == model_name(watched.challenger),
            by_former.c.name == model_name(watched.champion),
        )
    )
    return {video: (new, former) for video, new, former in connection.execute(query)}
