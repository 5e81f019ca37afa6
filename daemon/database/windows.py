"""The windows of long videos: each is recorded when it is predicted, so that a stop loses few."""

from array import array
from collections.abc import Collection, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select, update

from daemon.database.expressions import that_counts
from daemon.database.records import ModelPrediction, WindowPrediction
from daemon.database.tables import predictions, videos, windows
from learner.window_plan import WindowPlan

# Ends are stored as floats of what is an exact fraction.
ROUNDING = 1e-6  # seconds


class Windows:
    """The windows of long videos, by model.

    Only what `owner` has in hand is changed, if one is named: see `Predictions`.
    """

    def __init__(self, engine: Engine, owner: str | None = None) -> None:
        self._engine = engine
        self._owner = owner
        self._writer = engine.execution_options(writes=True)

    def resume(
        self, video_id: int, sha256: str, model_id: int, plan: WindowPlan, seconds: float
    ) -> int:
        """The number of the first window of a claimed video that this model has not predicted yet.

        What is recorded counts only if the file's content and the plan are the same. Else all
        windows of the video are removed, and so are those of other models if this one has none: a
        claimed video has no prediction, so those never finished.

        Args:
            video_id: The video.
            sha256: Of its content; it is noted in the row of the video.
            model_id: The model that predicts now.
            plan: How the video is cut.
            seconds: Its running time.
        """
        length = Fraction(round(seconds * 1_000_000), 1_000_000)
        this = videos.c.id == video_id
        with self._writer.begin() as connection:
            if not self._in_hand(connection, [video_id]):
                return 0
            known = connection.scalar(select(videos.c.sha256).where(this))
            rows = connection.execute(_of(video_id, model_id)).all()
            fits = known == sha256 and all(
                abs(row.start_s - plan.begin(row.number)) < ROUNDING
                and abs(row.end_s - plan.end(row.number, length)) < ROUNDING
                for row in rows
            )
            connection.execute(update(videos).where(this).values(sha256=sha256))
            if rows and fits:
                return int(rows[-1].number) + 1
            forget_windows(connection, [video_id])
            return 0

    def record(self, batch: Sequence[WindowPrediction], now: datetime) -> None:
        """Write predicted windows, those of videos that are still in hand."""
        ids = {found.video_id for found in batch}
        with self._writer.begin() as connection:
            in_hand = self._in_hand(connection, ids)
            add_windows(connection, [one for one in batch if one.video_id in in_hand], now)

    def forget(self, video_id: int) -> None:
        """Remove all windows of a video: it is predicted as one clip after all."""
        with self._writer.begin() as connection:
            forget_windows(connection, self._in_hand(connection, [video_id]))

    def complete(self, video_id: int, model_id: int) -> dict[int, list[WindowPrediction]]:
        """All windows of a video whose last window was recorded, by the model's id.

        Another model that has not predicted the same windows, since it came in between, loses its
        own.
        """
        of_video = windows.c.video_id == video_id
        counts = select(windows.c.model_id, func.count()).where(of_video)
        with self._writer.begin() as connection:
            n = {row[0]: row[1] for row in connection.execute(counts.group_by(windows.c.model_id))}
            partial = [other for other, count in n.items() if count != n.get(model_id)]
            if partial and self._in_hand(connection, [video_id]):
                connection.execute(delete(windows).where(of_video, windows.c.model_id.in_(partial)))
            whole = [model for model in n if model not in partial]
            return {model: windows_of(connection, video_id, model) for model in whole}

    def _in_hand(self, connection: Connection, video_ids: Collection[int]) -> set[int]:
        claimed = select(videos.c.id).where(videos.c.id.in_(video_ids), videos.c.state == "claimed")
        if self._owner:
            claimed = claimed.where(videos.c.claimed_by == self._owner)
        return set(connection.execute(claimed).scalars())


def windows_of(
    connection: Connection, video_id: int, model_id: int | None = None
) -> list[WindowPrediction]:
    """The windows of a video by one model, in order; none if it was predicted as one clip.

    Args:
        connection: A transaction.
        video_id: The video. A duplicate has none: ask for its first video.
        model_id: The model; the one whose prediction counts for the video if None.
    """
    if model_id is None:
        counts = select(predictions.c.model_id).where(
            predictions.c.video_id == video_id, that_counts()
        )
        model_id = connection.scalar(counts)
    return [_window(row) for row in connection.execute(_of(video_id, model_id)).mappings()]


def add_windows(connection: Connection, batch: Sequence[WindowPrediction], now: datetime) -> None:
    """Write predicted windows."""
    rows = [{**row, "created_at": now} for found in batch for row in _rows(found)]
    if rows:
        connection.execute(insert(windows), rows)


def forget_windows(connection: Connection, video_ids: Collection[int]) -> None:
    """Remove all windows of these videos."""
    connection.execute(delete(windows).where(windows.c.video_id.in_(list(video_ids))))


def _of(video_id: int, model_id: int | None) -> Select[Any]:
    by_model = select(windows).where(windows.c.video_id == video_id, windows.c.model_id == model_id)
    return by_model.order_by(windows.c.number)


def _rows(found: WindowPrediction) -> list[dict[str, Any]]:
    """The rows of a window: of the champion, and of the challenger in its shadow."""
    common = {
        "video_id": found.video_id,
        "number": found.number,
        "start_s": found.start,
        "end_s": found.end,
        "frames_read": found.frames_read,
        "movement": found.movement,
        "read_share": found.read_share,
    }
    row = {**common, **found.prediction.columns(), "doubt": found.unsure}
    row["fingerprint"] = found.fingerprint
    if found.shadow is None or found.shadow.model_id == found.prediction.model_id:
        return [row]
    return [row, {**common, **found.shadow.columns(), "doubt": None, "fingerprint": None}]


def _window(row: Any) -> WindowPrediction:
    return WindowPrediction(
        video_id=row["video_id"],
        number=row["number"],
        start=row["start_s"],
        end=row["end_s"],
        prediction=ModelPrediction(
            row["model_id"],
            row["class"],
            row["class_index"],
            row["probability"],
            # A day of windows by hundreds of classes: as Python's numbers, they take eight times
            # the memory.
            array("f", row["logits"]),
            row["familiarity"],
        ),
        frames_read=row["frames_read"],
        unsure=row["doubt"],
        fingerprint=row["fingerprint"],
        movement=row["movement"],
        read_share=row["read_share"],
    )
