"""Changes the champion because a person wants it, by command or on the page.

A model that cannot be used is refused: it is loaded first, on the CPU, where no other one is in its
way.
"""

from datetime import datetime

from sqlalchemy import Engine

from daemon.home import settings
from daemon.home.folder import Home
from daemon.home.models import adopt, require_model
from daemon.training.decisions import Decisions
from learner.errors import VidwatchError


def promote(engine: Engine, home: Home, name: str, now: datetime, reason: str) -> str:
    """Make a model the champion, whatever comparisons say; gives its name in this home.

    Args:
        engine: Of the database.
        home: The home.
        name: "starter", the name of a model in `models/`, or a path. A model that lies elsewhere is
            copied into `models/`.
        now: The time.
        reason: How the person asked for it.

    Raises:
        VidwatchError: the model cannot be used, or is the champion already.
    """
    _require_usable(home, name)
    noted = adopt(home, name)
    decisions = Decisions(engine)
    is_first = decisions.champion() is None  # no daemon has run here yet
    if is_first:
        decisions.apply_setting(settings.load(home.settings).model, now)
    if not is_first or decisions.champion() != noted:
        decisions.choose(noted, now, reason)
    return noted


def roll_back(engine: Engine, home: Home, now: datetime, reason: str) -> tuple[str, str]:
    """Make the champion before this one the champion again; gives its name and the old one's.

    The arguments are those of `promote`.

    Raises:
        VidwatchError: there was none before, or it cannot be used.
    """
    decisions = Decisions(engine)
    back, champion = decisions.previous()
    try:
        _require_usable(home, back)
    except VidwatchError as error:
        problem = f"the model before {champion!r} cannot be used ({error})"
        hint = f"{champion} stays the champion; 'vidwatch models promote NAME' chooses another"
        raise VidwatchError(f"{problem}: {hint}") from error
    return decisions.roll_back(now, reason)


def _require_usable(home: Home, name: str) -> None:
    from learner.classifier import Classifier

    Classifier.load(require_model(home, name), "cpu", settings.load(home.settings).reading)
