"""What is known of the champion of a home. It only reads."""

from sqlalchemy import Connection, select

from daemon.database.tables import decisions, models
from daemon.home.folder import Home
from daemon.home.unsure import UnsureRule, unsure_rule
from daemon.report.training import load_settings, sets_unsure_target, setting_model
from daemon.training.decisions import BY_ITSELF
from learner.catalogue import Entry, describe, model_name
from learner.errors import VidwatchError


def entry_of(home: Home, champion: str | None) -> Entry:
    """The champion, as its manifest describes it; an empty entry if there is none."""
    if champion is None:
        return Entry("")
    return describe(model_name(champion), home.model_or_starter(champion))


def unsure_rule_of(home: Home, champion: str | None) -> UnsureRule | None:
    """The rule by the settings as they are now; None without a target, or a champion to read."""
    settings = load_settings(home) if champion and sets_unsure_target(home) else None
    if champion is None or settings is None or not settings.unsure_target:
        return None
    try:
        measured = home.manifest(champion).get("measured", {})
    except VidwatchError:
        return None
    name = model_name(champion)
    return unsure_rule(settings.unsure_below, settings.unsure_target, measured, name)


def first_model(connection: Connection, home: Home) -> str | None:
    """The model that was used last, in a database without any decision, or will be used first."""
    newest_first = select(models.c.name).order_by(models.c.used_at.desc())
    name: str | None = connection.scalar(newest_first.limit(1))
    return name or setting_model(home)


def has_run(connection: Connection, model: str | None) -> bool:
    """Whether the daemon has loaded the model of this name."""
    return bool(connection.scalar(select(models.c.id).where(models.c.name == model).limit(1)))


def fallback(connection: Connection) -> str | None:
    """Why the daemon went back to an earlier model by itself; None if it did not."""
    newest_first = select(decisions).order_by(decisions.c.id.desc())
    row = connection.execute(newest_first.limit(1)).first()
    if row is None or row.verdict != "rolled back" or not row.reason.endswith(BY_ITSELF):
        return None
    return str(row.reason)
