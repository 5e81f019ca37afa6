"""The newest training, how its model compared with the champion, and what comes next."""

import os
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, select

from daemon.database.tables import trainings
from daemon.home.folder import Home
from daemon.labels.labels import newest_label
from daemon.labels.parts import newest_part_label
from daemon.training.records import NO_TAKEOVER, newest_decision
from learner.catalogue import model_name
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from daemon.home.settings import Settings
    from daemon.training.forecast import Forecast


@dataclass(frozen=True)
class TrainingStatus:
    """The newest training, and the labels that came since. All but two may be None."""

    name: str | None
    """The model that comes of it; None if there was no training yet."""
    state: str | None
    """A value of `trainings.state`."""
    progress: str | None
    """How far it is, for people."""
    error: str | None
    """Why it failed."""
    verdict: str | None
    """How its model compared with the champion: a value of `decisions.verdict`."""
    reason: str | None
    """Why the comparison ended like that, if the model did not take over."""
    next: str | None
    """What to do about that."""
    new_labels: int
    """How many labels came since the last training that made a model, of classes that a training
    would learn. 0 if the settings or the champion cannot be read.
    """
    new_labels_at_least: bool
    """Whether it may be more: of many, not all are counted."""
    outlook: str | None
    """What is missing before the next training, and when it comes; None if nothing is labelled."""


def read_training(connection: Connection, forecast: "Forecast | None") -> TrainingStatus:
    """The newest training; `forecast` is what `read_forecast` gives."""
    new_labels = 0
    at_least = False
    outlook = None
    if forecast is not None:
        from daemon.report.next_training import in_words

        new_labels = forecast.new  # as `vidwatch labels` counts them
        at_least = forecast.at_least
        outlook = in_words(forecast)
    newest_first = select(trainings).order_by(trainings.c.id.desc())
    row = connection.execute(newest_first.limit(1)).first()
    if row is None:
        nothing = (None, None, None, None, None, None, None)
        return TrainingStatus(*nothing, new_labels, at_least, outlook)
    decision = connection.execute(newest_decision(row.name)).first()
    is_open = decision is not None and decision.verdict in NO_TAKEOVER
    return TrainingStatus(
        name=row.name,
        state=row.state,
        progress=row.progress,
        error=row.error,
        verdict=decision.verdict if decision else None,
        reason=decision.reason if decision and is_open else None,
        next=(decision.figures.get("next") or None) if decision else None,
        new_labels=new_labels,
        new_labels_at_least=at_least,
        outlook=outlook,
    )


def read_forecast(engine: Engine, home: Home) -> "Forecast | None":
    """How near the next training is.

    None if nothing is labelled, or the settings or the champion cannot be read, which is shown
    elsewhere.
    """
    with engine.begin() as connection:
        if not newest_label(connection) and not newest_part_label(connection):
            return None
    settings = load_settings(home)
    if settings is None:
        return None
    from daemon.training.forecast import forecast

    try:
        return forecast(engine, home, settings)
    except VidwatchError:
        return None


def load_settings(home: Home) -> "Settings | None":
    """The settings; None if they cannot be read.

    To import what reads them takes 0.3 s: a status does so only if it needs them.
    """
    from daemon.home import settings

    try:
        return settings.load(home.settings)
    except VidwatchError:
        return None


def setting_model(home: Home) -> str | None:
    """The model that the settings name, by a look that is quick; None if it cannot be read."""
    try:
        named = tomllib.loads(home.settings.read_text(encoding="utf-8")).get("model", "starter")
    except (OSError, ValueError):
        return None
    return model_name(os.environ.get("VIDWATCH_MODEL") or str(named))


def sets_unsure_target(home: Home) -> bool:
    """Whether the settings name an `unsure_target`, by a look that is quick."""
    if "VIDWATCH_UNSURE_TARGET" in os.environ:
        return True
    try:
        text = home.settings.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(r"^\s*unsure_target\s*=", text, re.MULTILINE) is not None
