"""What is missing before the next training, and what to label next: one wording for all.

`vidwatch labels`, `vidwatch status` and the review page say the same, from the same figures.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from daemon.home.texts import printable
from daemon.labels.enough import LEAST_CLASSES, ONE_GROUP
from daemon.labels.next_clips import NextClip, next_clips
from daemon.training.forecast import RETRY_AFTER, Forecast
from learner.texts import counted

NEXT = 10  # labels that are suggested


@dataclass(frozen=True)
class Suggestion:
    """What one of the next labels should be of."""

    class_name: str | None
    """A class that is short of clips or of recordings; None for a clip."""
    video: int | None
    """A clip; None if any clip of the class is wanted."""
    why: str
    """For people."""


def suggestions(connection: Connection, forecast: Forecast, most: int = NEXT) -> list[Suggestion]:
    """What the next labels should be of: classes that are short, then the least certain clips."""
    short = {} if forecast.unread else forecast.short  # what is unread may be what they lack
    classes = [Suggestion(name, None, missing) for name, missing in sorted(short.items())]
    clips = next_clips(connection, sorted(forecast.short), most)
    unsure = [Suggestion(None, clip.id, _why(clip)) for clip in clips]
    return [*classes, *unsure][:most]


def to_json(forecast: Forecast, suggested: Sequence[Suggestion]) -> dict[str, Any]:
    """One object: when the next training comes, and what the next labels should be of."""
    labels = [asdict(one) for one in suggested]
    for label in labels:
        label["class"] = label.pop("class_name")
    text = in_words(forecast)
    return {**vars(forecast), "is_due": forecast.is_due, "text": text, "next_labels": labels}


def in_words(forecast: Forecast) -> str:
    """What is missing, and what comes next: `in_brief` and the details, in one or two sentences."""
    return "".join(_brief_and_details(forecast))


def in_brief(forecast: Forecast) -> str:
    """The beginning of `in_words`, which is short enough for the head of a page."""
    return _brief_and_details(forecast)[0]


def _brief_and_details(forecast: Forecast) -> tuple[str, str]:
    if forecast.in_training:
        return f"{forecast.in_training} is being trained", ": 'vidwatch status' shows how far it is"
    if forecast.unread:
        unread = counted(forecast.unread, "labelled clip")
        return f"{unread} to be read before the next training", ""
    missing = what_is_missing(forecast)
    if len(forecast.enough) < LEAST_CLASSES:
        return "no training yet", f": {missing}"
    if forecast.why and forecast.failed:
        return _what_failed(forecast)
    if forecast.is_due:
        begins = "the next training begins when no label has come for a few seconds"
        return begins, f": {forecast.why}"
    start = "starts" if forecast.needed == 1 else "start"
    needed = f"{counted(forecast.needed, 'new label')} that {start} the next training"
    removed = f", and {counted(forecast.removed, 'label')} taken back" if forecast.removed else ""
    waits = f"; no part of it yet: {missing}" if forecast.short else ""
    return f"{forecast.new} of the {needed}", f"{removed}{waits}"


def _what_failed(forecast: Forecast) -> tuple[str, str]:
    """What comes after a training that failed."""
    if forecast.is_due:
        minutes = round(RETRY_AFTER.total_seconds() / 60)
        return f"the training that failed is tried again {minutes} minutes after its end", ""
    trouble = f"{counted(forecast.failed, 'training')} failed with these labels"
    return trouble, ": the next one waits for another label, or for 'vidwatch retrain'"


def what_is_missing(forecast: Forecast) -> str:
    """What the classes lack that cannot be learned yet; empty if nothing is missing."""
    lacking = [f"{printable(name)} has {text}" for name, text in sorted(forecast.short.items())]
    n = len(forecast.enough) + len(forecast.short)
    if n < LEAST_CLASSES:
        only = "" if n == 0 else f", and there is {counted(n, 'labelled class')}"
        lacking.append(f"{LEAST_CLASSES} classes are needed to tell apart{only}")
    if ONE_GROUP in forecast.short.values():
        lacking.append("'vidwatch groups' shows how to tell the recordings of a camera apart")
    return "; ".join(lacking)


def _why(clip: NextClip) -> str:
    if clip.is_long:
        what = "unsure" if clip.is_unsure else f"mainly {clip.predicted}"
        return f"{clip.name}: long, {what}; label parts of it: 'vidwatch show {clip.id}'"
    if clip.is_of_short_class:
        return f"{clip.name}: perhaps {clip.predicted}, of which more are needed"
    if clip.is_unsure:
        return f"{clip.name}: the model is unsure of it"
    return f"{clip.name}: {clip.predicted} at {clip.probability:.1%}"
