"""Records predictions, each in one transaction with where the video's file is to be moved."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    Executable,
    bindparam,
    func,
    insert,
    select,
    update,
)

from daemon.database.connection import new_id
from daemon.database.expressions import is_stated, own_group, stands, that_counts
from daemon.database.records import FREED, ModelPrediction, VideoPrediction
from daemon.database.tables import PREDICTED, class_names, labels, models, predictions, videos
from daemon.home.folders import Folders
from learner.classes import normal_name
from learner.likeness import COMPARED, alike

BY_FOLDER = ("folder", "moved")  # sources of labels
READ = ("frames_asked", "frames_read", "decoder", "read_share")

Label = Any  # a row of `_LABELS`


class Predictions:
    """The predictions of all models.

    `review_share` of the new videos is drawn for people to review.
    """

    def __init__(self, engine: Engine, review_share: float = 0.0) -> None:
        self._writer = engine.execution_options(writes=True)
        self._review_share = review_share
        # (group, fingerprint) of each; read once, since nobody else writes fingerprints
        self._recent: list[tuple[str, bytes]] | None = None

    def _begin(self) -> AbstractContextManager[Connection]:
        return self._writer.begin()

    def register_model(
        self, name: str, digest: str, classes: Sequence[str], measured: Any, now: datetime
    ) -> int:
        """Note that the model with these weights is used; gives its id.

        Args:
            name: The model's name.
            digest: SHA-256 that identifies the model.
            classes: The classes, in the order of the logits.
            measured: Its accuracy and how that was measured, from the manifest.
            now: When it is used.
        """
        row = {"name": name, "classes": list(classes), "measured": dict(measured), "used_at": now}
        with self._begin() as connection:
            found = connection.scalar(select(models.c.id).where(models.c.digest == digest))
            if found is None:
                return new_id(connection.execute(insert(models).values(digest=digest, **row)))
            connection.execute(update(models).where(models.c.id == found).values(**row))
            return int(found)

    def record(
        self, batch: Sequence[VideoPrediction], folders: Folders, now: datetime
    ) -> list[tuple[VideoPrediction, int | None]]:
        """Write a batch's predictions and destinations.

        A video whose content was predicted before gets no second prediction.

        Returns:
            Each prediction whose video is still in hand, with the video of the same content whose
            earlier prediction counts in its place. None if the content is new.
        """
        with self._begin() as connection:
            groups = _groups_in_hand(connection, batch)
            given = _labels(connection, batch)
            originals = _first_with_content(connection, batch)
            recorded: list[tuple[VideoPrediction, int | None]] = []
            labelled_copies = []
            names = new_names(connection)
            for found in batch:
                original = originals.get(found.sha256)
                if original and found.video_id in given:
                    labelled_copies.append((found.video_id, original))
                if found.video_id in groups:
                    originals.setdefault(found.sha256, found.video_id)
                    recorded.append((found, original))
            new = [found for found, original in recorded if original is None]
            changes = []
            for found, original in recorded:
                label = given.get(found.video_id)
                is_new = original is None and label is None
                is_sampled = is_new and self._is_drawn(found.sha256)
                change = _outcome(found, original, label, folders, names, now)
                changes.append(change | {"sampled": is_sampled})
            _for_each(connection, _CHANGE_VIDEO, changes)
            _for_each(connection, _INSERT, [row for found in new for row in _rows(found, now)])
            without_group = [found for found in new if groups[found.video_id] is None]
            recent = self._find_groups(connection, without_group)
            for copy, original in labelled_copies:
                _hand_label_over(connection, copy, original, folders)
        self._recent = recent  # only now is it committed
        return recorded

    def _is_drawn(self, sha256: str) -> bool:
        return int(sha256[:8], 16) < self._review_share * 2**32

    def _find_groups(
        self, connection: Connection, without_group: Sequence[VideoPrediction]
    ) -> list[tuple[str, bytes]] | None:
        """Give each clip the group of the recent clip that looks the same, else a group of its own.

        Returns:
            Groups and fingerprints of the recent clips, the newest first; None if not needed yet.
        """
        comparable = [found for found in without_group if found.fingerprint]
        if not comparable:
            return self._recent
        recent = _recent(connection) if self._recent is None else self._recent
        changes: list[dict[str, Any]] = []
        for found in comparable:
            assert found.fingerprint
            alike_at = alike(found.fingerprint, [fingerprint for _, fingerprint in recent])
            group = own_group(found.video_id) if alike_at is None else recent[alike_at][0]
            named = {"group": group, "fingerprint": found.fingerprint}
            changes.append({"video": found.video_id, **named})
            recent = [(group, found.fingerprint), *recent[: COMPARED - 1]]
        _for_each(connection, _CHANGE_VIDEO, changes)
        return recent

    def rescore(self, later: Mapping[int, ModelPrediction], now: datetime) -> None:
        """Write what a later model predicts beside the first predictions, by the videos' ids."""
        with self._begin() as connection:
            for video_id, prediction in later.items():
                of_video = select(predictions).where(predictions.c.video_id == video_id)
                by_model = of_video.where(predictions.c.model_id == prediction.model_id)
                if connection.execute(by_model).first():
                    continue  # another process was faster
                first = connection.execute(of_video.where(that_counts())).mappings().one()
                row = {"video_id": video_id, "kind": "rescored", "created_at": now}
                row |= {name: first[name] for name in READ}
                connection.execute(insert(predictions).values(**row, **_columns(prediction)))


# Built once: they run for each batch, and building one takes longer than running it.
_THESE: BindParameter[Any] = bindparam("ids", expanding=True)
_IN_HAND = select(videos.c.id, videos.c.group).where(
    videos.c.id.in_(_THESE), videos.c.state == "claimed"
)
_LABELS = (
    select(
        labels.c.video_id, labels.c.verdict, labels.c.source, labels.c["class"].label("class_name")
    )
    .where(labels.c.video_id.in_(_THESE), stands())
    .order_by(labels.c.id)
)
_FIRST_WITH_CONTENT = (
    select(videos.c.sha256, func.min(videos.c.id).label("id"))
    .where(videos.c.sha256.in_(bindparam("contents", expanding=True)))
    .where(select(predictions.c.id).where(predictions.c.video_id == videos.c.id).exists())
    .group_by(videos.c.sha256)
)
_CHANGE_VIDEO = update(videos).where(videos.c.id == bindparam("video"))
_INSERT = insert(predictions)


def _groups_in_hand(
    connection: Connection, batch: Sequence[VideoPrediction]
) -> dict[int, str | None]:
    """The group of each video that is still claimed, by its id."""
    ids = {"ids": [found.video_id for found in batch]}
    return {row.id: row.group for row in connection.execute(_IN_HAND, ids)}


def _labels(connection: Connection, batch: Sequence[VideoPrediction]) -> dict[int, Label]:
    """The newest label of each video that has one, by the video's id."""
    ids = {"ids": [found.video_id for found in batch]}
    return {row.video_id: row for row in connection.execute(_LABELS, ids)}


def _first_with_content(connection: Connection, batch: Sequence[VideoPrediction]) -> dict[str, int]:
    """By SHA-256: the first video with that content that has a prediction."""
    contents = {"contents": [found.sha256 for found in batch]}
    rows = connection.execute(_FIRST_WITH_CONTENT, contents)
    return {row.sha256: row.id for row in rows}


def _recent(connection: Connection) -> list[tuple[str, bytes]]:
    compared = select(videos.c.group, videos.c.fingerprint).where(videos.c.fingerprint.is_not(None))
    newest = connection.execute(compared.order_by(videos.c.id.desc()).limit(COMPARED))
    # A clip whose group was stated later is of no group that others may look like.
    return [(row.group, row.fingerprint) for row in newest if not is_stated(row.group)]


def _for_each(
    connection: Connection, change: Executable, rows: Sequence[Mapping[str, Any]]
) -> None:
    """One statement for many rows: one a row would cost more than the database's own work."""
    if rows:
        connection.execute(change, rows)


def _hand_label_over(connection: Connection, copy: int, original: int, folders: Folders) -> None:
    """A label of a copy labels the content: it becomes one of the first video that held it.

    That video's file then rests where the label puts it.
    """
    of_copy = update(labels).where(labels.c.video_id == copy)
    # "moved" would say of a withdrawal that the file was taken out of its class folder.
    given = of_copy.where(labels.c.verdict != "withdrawn")
    connection.execute(given.values(video_id=original, source="moved"))
    connection.execute(of_copy.values(video_id=original))
    row = connection.execute(select(videos).where(videos.c.id == original)).one()
    label = _newest_label(connection, original)
    if row.state not in PREDICTED or label is None:
        return
    at = row.moving_to or row.path
    if row.destination is None and folders.class_folder(at) is None:
        return
    target = folders.resting_place(at, predicted=label, unsure=False, label=label)
    this = update(videos).where(videos.c.id == original)
    connection.execute(this.values(destination=target or row.moving_to))


def new_names(connection: Connection) -> dict[str, str]:
    """The new names of renamed classes, by the old ones."""
    renamed = select(class_names.c.old, class_names.c.new).where(class_names.c.new.is_not(None))
    return {row.old: row.new for row in connection.execute(renamed)}


def _newest_label(connection: Connection, video_id: int) -> str | None:
    of_video = select(labels.c["class"]).where(labels.c.video_id == video_id, stands())
    name: str | None = connection.scalar(of_video.order_by(labels.c.id.desc()).limit(1))
    return name


def _outcome(
    found: VideoPrediction,
    original: int | None,
    label: Label | None,
    folders: Folders,
    names: Mapping[str, str],
    now: datetime,
) -> dict[str, Any]:
    """The columns that change in the video's row.

    Args:
        found: The prediction.
        original: The first video with the same content; None if there is none.
        label: The video's newest label; None if there is none.
        folders: The home's folders.
        names: The new names of renamed classes, by the old ones.
        now: When it is recorded.
    """
    predicted = found.prediction.class_name
    change = {"video": found.video_id, "sha256": found.sha256, "duplicate_of": original, "tries": 0}
    change |= FREED
    folder = folders.class_folder(found.path)
    if folder is not None and _stays(folder[1], label, names):
        return {**change, "state": "filed", "finished_at": now, "destination": None}
    destination = folders.resting_place(
        found.path,
        predicted=names.get(predicted, predicted),
        unsure=found.unsure is not None or (label is not None and label.verdict == "unsure"),
        label=label.class_name if label is not None and label.verdict == "labelled" else None,
        is_duplicate=original is not None,
    )
    return {**change, "state": "classified", "finished_at": None, "destination": destination}


def _stays(folder: str, label: Label | None, names: Mapping[str, str]) -> bool:
    """Whether a file stays in the class folder where a person has put it.

    It does not if the label that this gave was taken back, if it has another label by now, or if
    its class was renamed meanwhile. If a person has renamed the folder, that alone moves nothing.
    """
    if label is None:
        return False
    if label.verdict != "labelled":
        return True
    if normal_name(folder) == normal_name(label.class_name):
        return True
    return label.source in BY_FOLDER and names.get(folder) != label.class_name


def _rows(found: VideoPrediction, now: datetime) -> list[dict[str, Any]]:
    """The rows of a video's prediction, and of the challenger's in its shadow."""
    common = {"video_id": found.video_id, "created_at": now}
    common |= {name: getattr(found, name) for name in READ}
    row = {**common, **_columns(found.prediction), "kind": "answer", "doubt": found.unsure}
    if found.shadow is None or found.shadow.model_id == found.prediction.model_id:
        return [row]
    return [row, {**common, **_columns(found.shadow), "kind": "shadow", "doubt": None}]


def _columns(prediction: ModelPrediction) -> dict[str, Any]:
    columns = dict(vars(prediction))
    columns["class"] = columns.pop("class_name")
    return columns
