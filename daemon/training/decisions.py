"""Trainings, comparisons and champions: every change of these as one transaction.

The newest decision that made a model the champion says which model is in use. Decisions are never
changed, and trainings never after their end.
"""

from collections.abc import Collection
from datetime import datetime
from itertools import count
from typing import Any

from sqlalchemy import Connection, Engine, case, func, insert, select, update

from daemon.database.events import Event, note_events
from daemon.database.expressions import that_counts
from daemon.database.tables import decisions, models, predictions, trainings
from daemon.training.records import (
    NO_TAKEOVER,
    WATCH,
    Decision,
    DecisionRow,
    KnownLabels,
    Training,
    add_decision,
    takeover,
)
from learner.catalogue import model_name
from learner.errors import VidwatchError

BY_ITSELF = "; went back by itself"  # ends the reason if the daemon, not a person, went back
COMPARED = ("promoted", *NO_TAKEOVER)


class Decisions:
    """The trainings and decisions of one home."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)

    def champion(self) -> str | None:
        """The name of the champion; None before the first start."""
        with self.engine.begin() as connection:
            row = connection.execute(takeover()).first()
        return row.challenger if row else None

    def newest_first(self) -> list[DecisionRow]:
        """All decisions, the newest first."""
        names = ("verdict", "challenger", "champion", "reason", "figures", "created_at")
        query = select(*(decisions.c[name] for name in names)).order_by(decisions.c.id.desc())
        with self.engine.begin() as connection:
            return [DecisionRow(*row) for row in connection.execute(query)]

    def apply_setting(self, setting: str, now: datetime) -> str:
        """Make the model of the setting the champion if it was changed; gives the champion's name.

        Args:
            setting: The setting `model` in vidwatch.toml.
            now: The time of the decision, if there is one to note.
        """
        with self._writer.begin() as connection:
            row = connection.execute(takeover()).first()
            if row and row.setting == setting:
                return str(row.challenger)
            before = row.challenger if row else None
            reason = "vidwatch.toml says so" if before else "the model at the start"
            new = DecisionRow("set", setting, before, reason, {}, now)
            add_decision(connection, new, setting)
            return setting

    def is_new_setting(self, setting: str) -> bool:
        """Whether vidwatch.toml names another model than when `apply_setting` last read it."""
        with self.engine.begin() as connection:
            row = connection.execute(takeover()).first()
        return row is None or row.setting != setting

    def choose(self, name: str, now: datetime, reason: str = "vidwatch models promote") -> None:
        """Make a model the champion because a person wants it.

        Raises:
            VidwatchError: it is the champion, or there is no champion yet.
        """
        with self._writer.begin() as connection:
            row = _require_takeover(connection)
            if row.challenger == name:
                raise VidwatchError(f"model {name!r} is the champion already")
            new = DecisionRow("chosen", name, row.challenger, reason, {}, now)
            add_decision(connection, new, row.setting)

    def previous(self) -> tuple[str, str]:
        """The champion before this one, and this one.

        Raises:
            VidwatchError: there was none before.
        """
        with self.engine.begin() as connection:
            row = _require_takeover(connection)
            return _previous(connection, row), str(row.challenger)

    def roll_back(self, now: datetime, reason: str = "vidwatch models rollback") -> tuple[str, str]:
        """Make the champion before this one the champion again; gives its name and the old one's.

        Raises:
            VidwatchError: there was none before.
        """
        with self._writer.begin() as connection:
            row = _require_takeover(connection)
            previous = _previous(connection, row)
            new = DecisionRow("rolled back", previous, row.challenger, reason, {}, now)
            add_decision(connection, new, row.setting)
            return previous, str(row.challenger)

    def conclude(
        self,
        challenger: str,
        champion: str,
        decision: Decision,
        now: datetime,
        training: Training | None = None,
    ) -> bool:
        """Note how a comparison ended. If it is "promoted", the challenger is the champion now.

        Args:
            challenger: The model that was compared.
            champion: The champion that it was compared with.
            decision: How the comparison ended.
            now: The time of the decision.
            training: The training that made the challenger; it ends in the same transaction. None
                if the challenger had been trained before.

        Returns:
            False if there is another champion by now: the decision does not count then.
        """
        with self._writer.begin() as connection:
            row = _require_takeover(connection)
            if training:
                this = update(trainings).where(trainings.c.id == training.id)
                connection.execute(this.values(state="trained", progress=None, ended_at=now))
            if row.challenger != champion:
                return False
            new = DecisionRow(
                challenger=challenger, champion=champion, created_at=now, **vars(decision)
            )
            add_decision(connection, new, row.setting)
            return True

    def count_comparisons(self) -> int:
        """How many comparisons there were with this champion, each time that it was the champion.

        The end of a watch is none: it judges by other clips.
        """
        compared = select(decisions.c.champion, decisions.c.verdict, decisions.c.figures)
        compared = compared.where(decisions.c.verdict.in_(COMPARED))
        with self.engine.begin() as connection:
            champion = model_name(_require_takeover(connection).challenger)
            rows = connection.execute(compared).all()
        return sum(model_name(row.champion) == champion and not _ends_watch(row) for row in rows)

    def undecided(self) -> Any:
        """The row of the newest comparison if it is "undecided", else None."""
        newest = select(decisions).order_by(decisions.c.id.desc())
        with self.engine.begin() as connection:
            rows = connection.execute(newest.limit(2)).all()
        row = next((row for row in rows if not _ends_watch(row)), None)
        return row if row and row.verdict == "undecided" else None

    def watched(self) -> Any:
        """The row of the promotion of the champion while its watch goes on, else None.

        Its column `champion` is the former champion.
        """
        with self.engine.begin() as connection:
            row = connection.execute(takeover()).first()
            if row is None or row.verdict != "promoted" or WATCH not in row.figures:
                return None
            later = select(decisions.c.verdict, decisions.c.figures)
            later = later.where(decisions.c.id > row.id, decisions.c.challenger == row.champion)
            has_ended = any(_ends_watch(end) for end in connection.execute(later))
        return None if has_ended else row

    def shadow(self) -> str | None:
        """The model that predicts in the champion's shadow; None if there is none.

        While the champion is watched, it is the former champion, else an undecided challenger.
        """
        if watched := self.watched():
            return str(watched.champion)
        row = self.undecided()
        return str(row.challenger) if row else None

    def take_back(self, watched: Any, reason: str, figures: dict[str, Any], now: datetime) -> bool:
        """Make the former champion of a promotion the champion again.

        Returns:
            False if there is another champion by now.

        Args:
            watched: The row that `watched` gave.
            reason: Why, for people.
            figures: What that rests on.
            now: The time of the decision.
        """
        with self._writer.begin() as connection:
            row = _require_takeover(connection)
            if row.id != watched.id:
                return False
            new = DecisionRow(
                verdict="rolled back",
                challenger=row.champion,
                champion=row.challenger,
                reason=reason + BY_ITSELF,
                figures={WATCH: figures},
                created_at=now,
            )
            add_decision(connection, new, row.setting)
            return True

    def agreement(self, name: str) -> tuple[int, int]:
        """How many new clips a challenger predicted, and for how many the class that counts."""
        counting = predictions.alias()
        shadow = predictions.alias()
        is_same = func.sum(case((shadow.c["class"] == counting.c["class"], 1), else_=0))
        both = shadow.join(models, models.c.id == shadow.c.model_id).join(
            counting, counting.c.video_id == shadow.c.video_id
        )
        query = select(func.count(), is_same).select_from(both)
        query = query.where(shadow.c.kind == "shadow", that_counts(counting), models.c.name == name)
        with self.engine.begin() as connection:
            n, same = connection.execute(query).one()
        return n, same or 0

    def request_training(self, why: str, now: datetime, names_in_use: Collection[str] = ()) -> str:
        """Request a training, unless one is requested already; gives the name of its model.

        Args:
            why: The reason, for people.
            now: The time of the request.
            names_in_use: Names that the model must not have.
        """
        with self._writer.begin() as connection:
            requested = select(trainings).where(trainings.c.state == "asked")
            if row := connection.execute(requested).first():
                return str(row.name)
            used = {*names_in_use, *connection.execute(select(trainings.c.name)).scalars()}
            names = (f"auto-{number}" for number in count(1))
            name = next(name for name in names if name not in used)
            new = {"name": name, "state": "asked", "why": why, "last_label": 0, "asked_at": now}
            connection.execute(insert(trainings).values(**new))
            return name

    def requested_training(self) -> Training | None:
        """The training that was requested and has not begun."""
        requested = select(trainings).where(trainings.c.state == "asked").order_by(trainings.c.id)
        with self.engine.begin() as connection:
            row = connection.execute(requested).first()
        return Training(row.id, row.name) if row else None

    def begin(self, training: Training, known: KnownLabels, now: datetime) -> None:
        """Note that a training begins, with all labels up to those."""
        last = {"last_label": known.label, "last_part_label": known.part}
        self._change(training.id, state="training", started_at=now, **last)

    def note_progress(self, training: Training, progress: str) -> None:
        """Note how far a training is, for people."""
        self._change(training.id, progress=progress)

    def end(self, training: Training, state: str, error: str | None, now: datetime) -> None:
        """Note that a training ended: as "trained", "failed", or "stopped" with the daemon."""
        ended = {"state": state, "error": error, "progress": None, "ended_at": now}
        with self._writer.begin() as connection:
            this = update(trainings).where(trainings.c.id == training.id)
            connection.execute(this.values(**ended))
            if state == "failed":
                note_events(connection, "training_failed", [Event(training.id)], now)

    def stop_all(self, now: datetime) -> list[str]:
        """Note that the trainings that had begun ended with the daemon before.

        Called when a daemon starts.

        Returns:
            Why they had been requested.
        """
        has_begun = trainings.c.state == "training"
        stopped = {"state": "stopped", "progress": None, "ended_at": now}
        stopped["error"] = "ended with the daemon"
        with self._writer.begin() as connection:
            reasons = connection.execute(select(trainings.c.why).where(has_begun)).scalars().all()
            connection.execute(update(trainings).where(has_begun).values(**stopped))
        return list(reasons)

    def newest_trained(self) -> str | None:
        """The name of the model of the newest training that ended well; None if there was none."""
        trained = select(trainings.c.name).where(trainings.c.state == "trained")
        with self.engine.begin() as connection:
            name: str | None = connection.scalar(trained.order_by(trainings.c.id.desc()).limit(1))
        return name

    def last_labels(self, state: str = "trained") -> KnownLabels:
        """The newest labels that a training knew, of those in this state."""
        newest = func.max(trainings.c.last_label), func.max(trainings.c.last_part_label)
        with self.engine.begin() as connection:
            row = connection.execute(select(*newest).where(trainings.c.state == state)).one()
        return KnownLabels(row[0] or 0, row[1] or 0)

    def last_failure(self) -> datetime | None:
        """When the newest training that failed ended; None if none failed."""
        failed = select(trainings.c.ended_at).where(trainings.c.state == "failed")
        with self.engine.begin() as connection:
            at: datetime | None = connection.scalar(failed.order_by(trainings.c.id.desc()).limit(1))
        return at

    def _change(self, training_id: int, **values: Any) -> None:
        this = update(trainings).where(trainings.c.id == training_id)
        with self._writer.begin() as connection:
            connection.execute(this.values(**values))


def _require_takeover(connection: Connection) -> Any:
    row = connection.execute(takeover()).first()
    if row is None:
        raise VidwatchError("there is no champion yet; start the daemon first")
    return row


def _ends_watch(row: Any) -> bool:
    """Whether a decision is the end of a watch."""
    return row.verdict in NO_TAKEOVER and WATCH in row.figures


def _previous(connection: Connection, row: Any) -> str:
    """The champion before the takeover of this one.

    A second rollback goes further back, not to the model that the first one left: if the champion
    took over by a rollback, its takeover before that counts.
    """
    earlier = row
    while earlier and earlier.verdict == "rolled back":
        is_before = decisions.c.id < earlier.id
        is_same_model = decisions.c.challenger == earlier.challenger
        earlier = connection.execute(takeover().where(is_before, is_same_model)).first()
    if earlier is None or earlier.champion is None:
        raise VidwatchError(f"there is no model before {row.challenger!r} to go back to")
    return str(earlier.champion)
