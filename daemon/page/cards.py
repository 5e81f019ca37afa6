"""What a card shows of a clip, from its row and its model's manifest.

Opens no video and loads no model.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, select

from daemon.database.expressions import as_now, shown_name, that_counts
from daemon.database.tables import labels, models, predictions, videos
from daemon.home.calibration import Calibration, probabilities, read_calibration
from daemon.home.folder import Home
from daemon.home.texts import familiarity_in_words, printable
from daemon.labels.classes import changed_names, commonest_classes, starter_is_outgrown
from daemon.labels.queries import awaits_random_review, newest_id
from daemon.report.later import Later, later_predictions
from learner.errors import VidwatchError
from learner.spec import ClipSpec

LIKELIEST = 3


@dataclass(frozen=True)
class Choice:
    """A class that a person can choose on a card."""

    class_name: str
    probability: float | None
    """Calibrated; None if the model's calibration is not known any more."""


@dataclass(frozen=True)
class Card:
    """A clip as the page shows it."""

    id: int
    name: str
    path: bytes
    sha256: str
    model: str
    """The model that made the prediction."""
    predicted: str
    """The class that the model predicted, by the name that it has now."""
    probability: float
    """Of the prediction."""
    choices: list[Choice]
    """The likeliest classes, the predicted one first. The commonest classes of people instead if
    `by_outgrown_starter`."""
    unsure: str | None
    """Why the prediction is unsure: "probability" or "unknown". None if it is not."""
    awaits_random_review: bool
    """Whether it is of the random share, and was not reviewed as such."""
    in_random_share: bool
    """Whether it was drawn for the random share."""
    labelled_before: bool
    label: str | None
    """The class of its label that counts; None if it has none, or if the person could not tell."""
    by_outgrown_starter: bool
    """Whether the starter predicted it, and people have labelled classes of their own since."""
    strangeness: str
    """How strange it looks to the model, in words; empty if it looks usual."""
    recorded_at: datetime | None
    """When it was recorded; None if nothing says so, or only the date of its file does."""
    version: tuple[int, int]
    """The size of its file, in bytes, and its date, in nanoseconds, when it was filed."""
    camera: str
    """Its make and model; empty if the container does not name them."""
    later: Later | None
    """What the champion says of it since `vidwatch rescore`; None if it is blind, too."""
    problem: str | None
    """Why it cannot be shown, as far as that is known without opening the file."""

    @property
    def is_blind(self) -> bool:
        """Whether it is to be labelled before anything that tells of its class is shown.

        Who knows the prediction tends to agree with it, and the model would look better than it is.
        """
        return self.awaits_random_review

    @property
    def title(self) -> str:
        """How it is named on the page: a file's name may tell the class."""
        return f"clip {self.id}" if self.is_blind else self.name

    def unnamed(self, text: str) -> str:
        """A text for people; if the clip is blind, without its path and name."""
        if not self.is_blind:
            return text
        path = printable(os.fsdecode(self.path))
        return text.replace(path, "its file").replace(self.name, "its file")


def read_cards(connection: Connection, home: Home, ids: Sequence[int]) -> list[Card]:
    """The cards of videos, in the order of `ids`.

    Videos without a prediction are left out, and so are copies of earlier videos.
    """
    label = select(labels.c["class"]).where(labels.c.id == newest_id(videos.c.id))
    labelled = select(labels.c.id).where(labels.c.video_id == videos.c.id).exists()
    query = select(
        videos,
        predictions,
        shown_name(),
        awaits_random_review().label("awaits_random_review"),
        models.c.name.label("model"),
        models.c.classes,
        as_now(predictions.c["class"]).label("predicted"),
        labelled.label("labelled_before"),
        label.scalar_subquery().label("label"),
    )
    prediction = and_(predictions.c.video_id == videos.c.id, that_counts())
    query = query.join(predictions, prediction).join(models, models.c.id == predictions.c.model_id)
    query = query.where(videos.c.id.in_(list(ids)), videos.c.duplicate_of.is_(None))
    found = {row[videos.c.id]: row for row in connection.execute(query).mappings()}
    calibrations = {row["model"]: read_calibration(home, row["model"]) for row in found.values()}
    later = later_predictions(
        connection, [id_ for id_, row in found.items() if not row["awaits_random_review"]]
    )
    own = commonest_classes(connection, LIKELIEST) if starter_is_outgrown(connection) else []
    renamed = {old: new for old, new in changed_names(connection).items() if new is not None}
    return [
        _card(found[video], calibrations, own, renamed, later.get(video))
        for video in ids
        if video in found
    ]


def read_spec(home: Home, model: str) -> ClipSpec:
    """Which frames a model takes.

    Raises:
        VidwatchError: its manifest cannot be read.
    """
    try:
        return ClipSpec.from_json(home.manifest(model)["clip"])
    except (KeyError, TypeError, AttributeError) as error:
        text = f"model {model}: its manifest is not one that vidwatch wrote"
        raise VidwatchError(text) from error


def _card(
    row: Any,
    calibrations: Mapping[str, Calibration | None],
    own: Sequence[str],
    renamed: Mapping[str, str],
    later: Later | None,
) -> Card:
    """A card.

    Args:
        row: Of the video, its prediction and model.
        calibrations: By the models' names.
        own: The classes to offer in the place of the starter's; if empty, the starter's are.
        renamed: The new names of classes, by the old ones.
        later: What the champion said since.
    """
    is_by_outgrown_starter = bool(own) and row["model"] == "starter"
    choices = _likeliest(row, calibrations[row["model"]], renamed)
    if is_by_outgrown_starter:
        choices = [Choice(name, None) for name in own]
    return Card(
        id=row[videos.c.id],
        name=printable(row["shown_name"]),
        path=row[videos.c.path],
        sha256=row[videos.c.sha256],
        model=row["model"],
        predicted=row["predicted"],
        probability=row[predictions.c.probability],
        choices=choices,
        unsure=row[predictions.c.doubt],
        awaits_random_review=row["awaits_random_review"],
        in_random_share=row[videos.c.sampled],
        labelled_before=row["labelled_before"],
        label=row["label"],
        by_outgrown_starter=is_by_outgrown_starter,
        strangeness=familiarity_in_words(row[predictions.c.familiarity]),
        recorded_at=None if row["recorded_by"] == "file" else row["recorded_at"],
        version=(row[videos.c.size], row[videos.c.mtime_ns]),
        camera=printable(row["camera"] or ""),
        later=later,
        problem=_problem(row[videos.c.path]),
    )


def _likeliest(
    row: Any, calibration: Calibration | None, renamed: Mapping[str, str]
) -> list[Choice]:
    logits: list[float] = row[predictions.c.logits]
    predicted = row[predictions.c.class_index]
    # The bias of a class can make another class the likeliest one than the raw logits do.
    known = probabilities(logits, calibration) if calibration else None
    likeliness = known or logits
    best = sorted(range(len(logits)), key=lambda index: (index != predicted, -likeliness[index]))
    found = dict(enumerate(known or [None] * len(logits)))
    found[predicted] = row[predictions.c.probability]  # as it was recorded
    choices = dict[str, Choice]()
    for index in best:  # of classes that are one now, the likeliest is offered
        name = row["classes"][index]
        name = renamed.get(name, name)
        choices.setdefault(name, Choice(name, found[index]))
    return list(choices.values())[:LIKELIEST]


def _problem(path: bytes) -> str | None:
    """Why a file cannot be shown. Other problems show when its frames are read."""
    shown = printable(os.fsdecode(path))
    try:
        Path(os.fsdecode(path)).stat()
    except OSError as error:
        return f"{shown}: {error.strerror}"
    if not os.access(path, os.R_OK):
        return f"{shown}: may not be read by this user"
    return None
