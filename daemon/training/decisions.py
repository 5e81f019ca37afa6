"""What was trained, how it compared, and which model answers: every change of these as one transaction.

The champion is the model of the newest decision by which one took over. Rows are never changed after their end.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, Select, case, func, insert, select, update

from daemon.database.connection import new_id
from daemon.database.tables import decisions, models, predictions, that_counts, trainings
from learner.errors import VidwatchError

BY_ITSELF = "; went back by itself"  # how the reason ends where no person did it
NO_TAKEOVER = ("refused", "undecided")


@dataclass(frozen=True)
class Training:
    """One that was asked for, or is under way."""

    id: int
    name: str


@dataclass(frozen=True)
class Decision:
    """How a comparison ended; `figures` is what it rests on."""

    verdict: str
    reason: str
    figures: Mapping[str, Any]


@dataclass(frozen=True)
class DecisionRow:
    """A decision as it was noted."""

    verdict: str
    challenger: str
    champion: str | None
    reason: str
    figures: Mapping[str, Any]
    created_at: datetime

    def to_json(self) -> dict[str, Any]:
        """One object; the time in ISO 8601."""
        return {**vars(self), "created_at": self.created_at.isoformat()}


class Decisions:
    """The trainings and decisions of one home."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)

    def champion(self) -> str | None:
        """The model that answers; None before the first start."""
        with self.engine.begin() as read:
            row = read.execute(_takeover()).first()
            return row.challenger if row else None

    def newest_first(self) -> list[DecisionRow]:
        """All of them, the newest first."""
        names = ("verdict", "challenger", "champion", "reason", "figures", "created_at")
        query = select(*(decisions.c[name] for name in names)).order_by(decisions.c.id.desc())
        with self.engine.begin() as read:
            return [DecisionRow(*row) for row in read.execute(query)]

    def follow_setting(self, setting: str, now: datetime) -> str:
        """The model that answers, given what vidwatch.toml says: where that was changed, it counts more."""
        with self._writer.begin() as write:
            row = write.execute(_takeover()).first()
            if row and row.setting == setting:
                return str(row.challenger)
            reason = "vidwatch.toml says so"
            _insert(write, "set", setting, row.challenger if row else None, reason, setting, now)
            return setting

    def is_new_setting(self, setting: str) -> bool:
        """Whether vidwatch.toml names another model than when it was last obeyed."""
        with self.engine.begin() as read:
            row = read.execute(_takeover()).first()
            return row is None or row.setting != setting

    def choose(self, name: str, now: datetime) -> None:
        """A person wants this model to answer."""
        with self._writer.begin() as write:
            row = _require_takeover(write)
            if row.challenger == name:
                raise VidwatchError(f"model {name!r} is the one that answers already")
            _insert(
                write, "chosen", name, row.challenger, "vidwatch models promote", row.setting, now
            )

    def previous(self) -> tuple[str, str]:
        """The model before the one that answers, and that one.

        Raises:
            VidwatchError: there was none before.
        """
        with self.engine.begin() as read:
            row = _require_takeover(read)
            return _previous(read, row), str(row.challenger)

    def roll_back(self, now: datetime, reason: str = "vidwatch models rollback") -> tuple[str, str]:
        """Go back to the model before the one that answers; gives both, the new one first.

        Raises:
            VidwatchError: there was none before.
        """
        with self._writer.begin() as write:
            row = _require_takeover(write)
            back = _previous(write, row)
            _insert(write, "rolled back", back, row.challenger, reason, row.setting, now)
            return back, str(row.challenger)

    def conclude(
        self,
        challenger: str,
        champion: str,
        decision: Decision,
        now: datetime,
        training: Training | None = None,
    ) -> bool:
        """Note how a comparison ended, and with "promoted" make the challenger the champion, in one transaction.

        False where another model took over meanwhile: the comparison was with one that does not answer any more.
        """
        with self._writer.begin() as write:
            row = _require_takeover(write)
            if training:
                ended = update(trainings).where(trainings.c.id == training.id)
                write.execute(ended.values(state="trained", progress=None, ended_at=now))
            if row.challenger != champion:
                return False
            found = decision.verdict, challenger, champion, decision.reason, row.setting, now
            _insert(write, *found, figures=decision.figures)
            return True

    def count_comparisons(self) -> int:
        """How often the holdout was used to compare with the champion since it took over."""
        with self.engine.begin() as read:
            row = _require_takeover(read)
            compared = select(func.count()).where(
                decisions.c.id > row.id, decisions.c.verdict.in_(NO_TAKEOVER)
            )
            return read.scalar(compared) or 0

    def undecided(self) -> Any:
        """The row of the challenger whose comparison with this champion was undecided, if it is the newest one."""
        with self.engine.begin() as read:
            row = read.execute(select(decisions).order_by(decisions.c.id.desc()).limit(1)).first()
            return row if row and row.verdict == "undecided" else None

    def agreement(self, name: str) -> tuple[int, int]:
        """How many new clips a model looked at in the shadow, and how many of them it gave the class of the answer."""
        answer, shadow = predictions.alias(), predictions.alias()
        same = func.sum(case((shadow.c["class"] == answer.c["class"], 1), else_=0))
        both = shadow.join(models, models.c.id == shadow.c.model_id).join(
            answer, answer.c.video_id == shadow.c.video_id
        )
        kinds = (shadow.c.kind == "shadow", that_counts(answer), models.c.name == name)
        with self.engine.begin() as read:
            row = read.execute(select(func.count(), same).select_from(both).where(*kinds)).one()
            return row[0], row[1] or 0

    def request_training(self, why: str, now: datetime, taken: Collection[str] = ()) -> str:
        """Ask for a training; gives its model's name, none of those `taken`. One that was asked for already will do."""
        with self._writer.begin() as write:
            row = write.execute(select(trainings).where(trainings.c.state == "asked")).first()
            if row:
                return str(row.name)
            used = {*taken, *write.execute(select(trainings.c.name)).scalars()}
            name = next(name for number in count(1) if (name := f"auto-{number}") not in used)
            asked = {"name": name, "state": "asked", "why": why, "last_label": 0, "asked_at": now}
            write.execute(insert(trainings).values(**asked))
            return name

    def requested_training(self) -> Training | None:
        """The training that was asked for and has not begun."""
        with self.engine.begin() as read:
            row = read.execute(
                select(trainings).where(trainings.c.state == "asked").order_by(trainings.c.id)
            ).first()
            return Training(row.id, row.name) if row else None

    def begin(self, training: Training, last_label: int, now: datetime) -> None:
        """It begins now, and knows all labels up to this one."""
        self._change(training.id, state="training", last_label=last_label, started_at=now)

    def note_progress(self, training: Training, progress: str) -> None:
        """How far it is, for people."""
        self._change(training.id, progress=progress)

    def end(self, training: Training, state: str, error: str | None, now: datetime) -> None:
        """It is "trained", has "failed", or was "stopped" with the daemon."""
        self._change(training.id, state=state, error=error, progress=None, ended_at=now)

    def stop_all(self, now: datetime) -> list[str]:
        """At the daemon's start: what was under way ended with the daemon before; gives why it had been asked for."""
        under_way = trainings.c.state == "training"
        with self._writer.begin() as write:
            reasons = list(write.execute(select(trainings.c.why).where(under_way)).scalars())
            ended = {
                "state": "stopped",
                "error": "ended with the daemon",
                "progress": None,
                "ended_at": now,
            }
            write.execute(update(trainings).where(under_way).values(**ended))
            return reasons

    def last_label(self, ends: tuple[str, ...] = ("trained", "failed")) -> int:
        """The newest label that a training knew which ended in one of these ways."""
        ended = trainings.c.state.in_(ends)
        with self.engine.begin() as read:
            return read.scalar(select(func.max(trainings.c.last_label)).where(ended)) or 0

    def _change(self, training_id: int, **values: Any) -> None:
        with self._writer.begin() as write:
            write.execute(update(trainings).where(trainings.c.id == training_id).values(**values))


def _took_over(name: str) -> Any:
    return decisions.c.challenger == name


def _takeover() -> Select[Any]:
    """The decision by which the champion took over."""
    takeovers = select(decisions).where(decisions.c.verdict.not_in(NO_TAKEOVER))
    return takeovers.order_by(decisions.c.id.desc()).limit(1)


def _require_takeover(read: Connection) -> Any:
    row = read.execute(_takeover()).first()
    if row is None:
        raise VidwatchError("no model has answered here yet; start the daemon first")
    return row


def _previous(read: Connection, row: Any) -> str:
    # Going back again goes further back, not to the model that was just left.
    began = row
    while began and began.verdict == "rolled back":
        began = read.execute(
            _takeover().where(decisions.c.id < began.id, _took_over(began.challenger))
        ).first()
    if began is None or began.champion is None:
        raise VidwatchError(f"there is no model before {row.challenger!r} to go back to")
    return str(began.champion)


def _insert(
    write: Connection,
    verdict: str,
    challenger: str,
    champion: str | None,
    reason: str,
    setting: str,
    now: datetime,
    figures: Mapping[str, Any] | None = None,
) -> int:
    row = {
        "verdict": verdict,
        "challenger": challenger,
        "champion": champion,
        "reason": reason,
        "setting": setting,
    }
    return new_id(
        write.execute(insert(decisions).values(**row, figures=dict(figures or {}), created_at=now))
    )
