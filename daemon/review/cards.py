"""What a card says of a clip, from its row and its model's manifest. Opens no video and loads no model."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, select

from daemon.database.tables import labels, models, predictions, that_counts, videos
from daemon.home.folder import Home
from daemon.home.identity import printable
from daemon.review.queue import in_share
from learner import catalogue
from learner.errors import VidwatchError
from learner.spec import ClipSpec

LIKELIEST = 3


@dataclass(frozen=True)
class Choice:
    """A class and its calibrated probability; None where the model's temperature is not known any more."""

    class_name: str
    probability: float | None


@dataclass(frozen=True)
class Card:
    """A clip as it is shown. `likeliest` begins with the answer; `problem` says why it cannot be shown."""

    id: int
    name: str
    path: bytes
    sha256: str
    model: str
    likeliest: list[Choice]
    doubt: str | None
    in_share: bool
    sampled: bool
    labelled_before: bool
    problem: str | None

    @property
    def answer(self) -> str:
        """The class that the model gave."""
        return self.likeliest[0].class_name


def read_cards(read: Connection, home: Home, ids: Sequence[int]) -> list[Card]:
    """The cards of answered videos, in the order of `ids`; those that are not, or not the first, are left out."""
    columns = (
        videos,
        predictions,
        in_share().label("in_share"),
        models.c.name.label("model"),
        models.c.classes,
    )
    said = select(labels.c.id).where(labels.c.video_id == videos.c.id).exists().label("said")
    answer = and_(predictions.c.video_id == videos.c.id, that_counts())
    query = (
        select(*columns, said)
        .join(predictions, answer)
        .join(models, models.c.id == predictions.c.model_id)
    )
    first = query.where(videos.c.id.in_(list(ids)), videos.c.duplicate_of.is_(None))
    found = {row[videos.c.id]: row for row in read.execute(first).mappings()}
    temperatures = {row["model"]: read_temperature(home, row["model"]) for row in found.values()}
    return [_card(found[video], temperatures) for video in ids if video in found]


def known_classes(read: Connection) -> list[str]:
    """Those of the models, and those that people gave."""
    names = set(
        read.scalars(select(labels.c["class"]).where(labels.c["class"].is_not(None)).distinct())
    )
    for classes in read.scalars(select(models.c.classes)):
        names.update(classes)
    return sorted(names, key=str.casefold)


def read_temperature(home: Home, model: str) -> float | None:
    """What the model's logits are divided by for probabilities; None where its manifest is gone."""
    try:
        return float(read_manifest(home, model)["temperature"])
    except (VidwatchError, KeyError, TypeError, ValueError):
        return None


def read_spec(home: Home, model: str) -> ClipSpec:
    """Which frames the model looks at.

    Raises:
        VidwatchError: its manifest cannot be read.
    """
    try:
        return ClipSpec.from_json(read_manifest(home, model)["clip"])
    except (KeyError, TypeError, AttributeError) as error:
        raise VidwatchError(
            f"model {model}: its manifest is not one that vidwatch wrote"
        ) from error


def read_manifest(home: Home, model: str) -> Mapping[str, Any]:
    """All that the model says of itself.

    Raises:
        VidwatchError: it cannot be read.
    """
    return catalogue.read_manifest(home.model_or_starter(model))


def probabilities(logits: Sequence[float], temperature: float) -> list[float]:
    """The softmax of the logits over the temperature."""
    highest = max(logits)
    exponents = [math.exp((logit - highest) / temperature) for logit in logits]
    return [exponent / sum(exponents) for exponent in exponents]


def _card(row: Any, temperatures: Mapping[str, float | None]) -> Card:
    return Card(
        id=row[videos.c.id],
        name=printable(row[videos.c.name]),
        path=row[videos.c.path],
        sha256=row[videos.c.sha256],
        model=row["model"],
        likeliest=_likeliest(row, temperatures[row["model"]]),
        doubt=row[predictions.c.doubt],
        in_share=row["in_share"],
        sampled=row[videos.c.sampled],
        labelled_before=row["said"],
        problem=_why_not(row[videos.c.path]),
    )


def _likeliest(row: Any, temperature: float | None) -> list[Choice]:
    logits: list[float] = row[predictions.c.logits]
    found = probabilities(logits, temperature) if temperature else [None] * len(logits)
    found[row[predictions.c.class_index]] = row[predictions.c.probability]  # as it was said
    best = sorted(range(len(logits)), key=lambda index: -logits[index])[:LIKELIEST]
    return [Choice(row["classes"][index], found[index]) for index in best]


def _why_not(path: bytes) -> str | None:
    """What can be told without opening it; the rest shows when its frames are read."""
    try:
        Path(os.fsdecode(path)).stat()
    except OSError as error:
        return f"{printable(os.fsdecode(path))}: {error.strerror}"
    return (
        None
        if os.access(path, os.R_OK)
        else f"{printable(os.fsdecode(path))}: may not be read by this user"
    )
