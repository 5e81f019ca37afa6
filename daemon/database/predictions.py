"""Records predictions, each in one transaction with where the video's file is to be moved."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    Executable,
    bindparam,
    insert,
    select,
    update,
)

from daemon.database.connection import new_id
from daemon.database.contents import First, firsts_in, hand_label_over, take_place
from daemon.database.events import note_classified
from daemon.database.expressions import is_stated, own_group, stands, that_counts
from daemon.database.places import Label, Places, new_names
from daemon.database.records import (
    FREED,
    READ,
    Copy,
    ModelPrediction,
    VideoPrediction,
    WindowPrediction,
    machine_of,
    prediction_rows,
)
from daemon.database.tables import labels, models, predictions, videos
from daemon.database.windows import add_windows, forget_windows
from daemon.home.folders import Folders
from daemon.home.stages import count, timed
from learner.likeness import COMPARED, alike


class Predictions:
    """The predictions of all models.

    `review_share` of the new videos is drawn for people to review. With `leave_duplicates`, a file
    in the inbox stays there if its content was predicted before. If an `owner` is named, only what
    it still has in hand is recorded.
    """

    def __init__(
        self,
        engine: Engine,
        review_share: float = 0.0,
        *,
        leave_duplicates: bool = False,
        owner: str | None = None,
    ) -> None:
        self._writer = engine.execution_options(writes=True)
        self._owner = owner
        self._is_shared = engine.dialect.name != "sqlite"
        self._machine = machine_of(owner) if owner and self._is_shared else None
        self._review_share = review_share
        self._leave_duplicates = leave_duplicates
        self._recent: list[tuple[str, bytes]] | None = None  # group, fingerprint of each

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

    @timed("record")
    def record(
        self,
        batch: Sequence[VideoPrediction],
        folders: Folders,
        now: datetime,
        gone: Collection[First] = (),
    ) -> list[tuple[VideoPrediction, int | None]]:
        """Write a batch's predictions and destinations.

        A video whose content was predicted before gets no second prediction, unless the file of the
        first video with that content is gone. Then it takes the place of the first video.

        Args:
            batch: The predictions.
            folders: The home's folders.
            now: The time.
            gone: First videos of these contents whose files were not there.

        Returns:
            Each prediction whose video is still in hand, with the video of the same content whose
            earlier prediction counts in its place. None if its own counts.
        """
        with self._begin() as connection:
            rows = _in_hand(connection, batch, self._owner)
            in_hand = [found for found in batch if found.video_id in rows]
            successors = _take_places(connection, in_hand, gone)
            originals = _originals(connection, batch, rows)
            recorded = [(found, originals.get(found.video_id)) for found in in_hand]
            names = self._change_videos(connection, recorded, rows, folders, now)
            new = [found for found, original in recorded if original is None]
            _for_each(connection, _INSERT, prediction_rows(new, now, self._machine))
            note_classified(connection, recorded, names, now)
            without_group = [
                found
                for found in new
                if rows[found.video_id].group is None and found.video_id not in successors
            ]
            recent = self._find_groups(connection, without_group)
            _hand_labels_over(connection, batch, originals, folders)
            # Of a copy, or of one that was cut before it was stopped, and is not cut any more.
            keep = {found.video_id for found in new if found.has_windows}
            forget_windows(connection, {found.video_id for found in in_hand} - keep)
        self._recent = recent  # only now is it committed
        count("classified", len(new))
        count("duplicate", len(recorded) - len(new))
        return recorded

    def record_copies(
        self, batch: Sequence[Copy], folders: Folders, now: datetime
    ) -> list[tuple[Copy, int | None]]:
        """Write which videos are copies of earlier ones, and their destinations.

        Args:
            batch: The copies.
            folders: The home's folders.
            now: The time.

        Returns:
            Each copy whose video is still in hand, with the first video with that content. None if
            there is none any more: then nothing is written, and the copy has to be read.
        """
        with self._begin() as connection:
            in_hand = _in_hand(connection, batch, self._owner)
            firsts = _first_ids(connection, batch)
            recorded = [
                (copy, firsts.get(copy.sha256)) for copy in batch if copy.video_id in in_hand
            ]
            copies = [(copy, original) for copy, original in recorded if original is not None]
            names = self._change_videos(connection, copies, in_hand, folders, now)
            note_classified(connection, copies, names, now)
            originals = {copy.video_id: original for copy, original in copies}
            _hand_labels_over(connection, batch, originals, folders)
            forget_windows(connection, originals)
        count("duplicate", len(copies))
        return recorded

    def _change_videos(
        self,
        connection: Connection,
        recorded: Sequence[tuple[VideoPrediction | Copy, int | None]],
        rows: Mapping[int, Any],
        folders: Folders,
        now: datetime,
    ) -> Mapping[str, str]:
        """Write into the rows of videos what is known of them now.

        Gives the new names of renamed classes, by the old ones.
        """
        given = _labels(connection, [found for found, _ in recorded])
        places = Places(folders, new_names(connection), self._leave_duplicates)
        changes = []
        for found, original in recorded:
            label = given.get(found.video_id)
            is_sampled = original is None and label is None and self._is_drawn(found.sha256)
            change: dict[str, Any] = {
                **FREED,
                "recorded_at": found.recording.at,
                "recorded_by": found.recording.by,
                "camera": found.recording.camera,
                # A copy was not decoded.
                "movement": None if isinstance(found, Copy) else found.movement,
                "video": found.video_id,
                "sha256": found.sha256,
                "duplicate_of": original,
                "tries": 0,
                "sampled": is_sampled,
            }
            if places.rests(found, original, label, rows[found.video_id].on_filed):
                change |= {"state": "filed", "finished_at": now, "destination": None}
            else:
                destination = places.destination(found, original, label)
                change |= {"state": "classified", "finished_at": None, "destination": destination}
            changes.append(change)
        _for_each(connection, _CHANGE_VIDEO, changes)
        return places.new_names

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
        recent = self._recent
        if recent is None or self._is_shared:
            recent = _recent(connection)
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

    def rescore(
        self,
        later: Mapping[int, ModelPrediction],
        now: datetime,
        of_windows: Sequence[WindowPrediction] = (),
    ) -> None:
        """Write what a later model predicts beside the first predictions, by the videos' ids.

        `of_windows` are the predictions of the windows of the only video, if it has any.
        """
        with self._begin() as connection:
            for video_id, prediction in later.items():
                of_video = select(predictions).where(predictions.c.video_id == video_id)
                by_model = of_video.where(predictions.c.model_id == prediction.model_id)
                if connection.execute(by_model).first():
                    continue  # another process was faster
                first = connection.execute(of_video.where(that_counts())).mappings().one()
                row = {"video_id": video_id, "kind": "rescored", "created_at": now}
                row |= {name: first[name] for name in READ}
                connection.execute(insert(predictions).values(**row, **prediction.columns()))
                add_windows(connection, of_windows, now)


# Built once: they run for each batch, and building one takes longer than running it.
_THESE: BindParameter[Any] = bindparam("ids", expanding=True)
_IN_HAND = select(videos.c.id, videos.c.group, videos.c.on_filed).where(
    videos.c.id.in_(_THESE), videos.c.state == "claimed"
)
_OWN = _IN_HAND.where(videos.c.claimed_by == bindparam("owner"))
_LABELS = (
    select(
        labels.c.video_id, labels.c.verdict, labels.c.source, labels.c["class"].label("class_name")
    )
    .where(labels.c.video_id.in_(_THESE), stands())
    .order_by(labels.c.id)
)
_CHANGE_VIDEO = update(videos).where(videos.c.id == bindparam("video"))
_INSERT = insert(predictions)


def _in_hand(
    connection: Connection, batch: Sequence[VideoPrediction | Copy], owner: str | None
) -> dict[int, Any]:
    """The `group` and `on_filed` of each video that `owner` still has in hand, by its id."""
    values = {"ids": [found.video_id for found in batch], "owner": owner}
    return {row.id: row for row in connection.execute(_OWN if owner else _IN_HAND, values)}


def _labels(connection: Connection, batch: Sequence[VideoPrediction | Copy]) -> dict[int, Label]:
    """The newest label of each video that has one, by the video's id."""
    ids = {"ids": [found.video_id for found in batch]}
    return {row.video_id: row for row in connection.execute(_LABELS, ids)}


def _take_places(
    connection: Connection, batch: Sequence[VideoPrediction], gone: Collection[First]
) -> set[int]:
    """Let videos take the places of first videos whose files are gone; gives these videos' ids."""
    successors: dict[str, int] = {}
    firsts = firsts_in(connection, [found.sha256 for found in batch]) if gone else {}
    for found in batch:
        first = firsts.get(found.sha256)
        # Equal, if its row is as it was when its file was looked for.
        if first is not None and first in gone and found.sha256 not in successors:
            take_place(connection, first.id, found.video_id)
            successors[found.sha256] = found.video_id
    return set(successors.values())


def _originals(
    connection: Connection,
    batch: Sequence[VideoPrediction | Copy],
    in_hand: Collection[int],
) -> dict[int, int]:
    """The first video of the content of each one that is a duplicate, by the duplicate's id.

    That is an earlier video with a prediction, or else the first one of the batch that is in hand.
    """
    first = _first_ids(connection, batch)
    originals = {}
    for found in batch:
        if found.sha256 in first:
            originals[found.video_id] = first[found.sha256]
        elif found.video_id in in_hand:
            first[found.sha256] = found.video_id
    return originals


def _first_ids(connection: Connection, batch: Sequence[VideoPrediction | Copy]) -> dict[str, int]:
    """The first videos of these contents, by SHA-256."""
    firsts = firsts_in(connection, [found.sha256 for found in batch])
    return {content: first.id for content, first in firsts.items()}


def _hand_labels_over(
    connection: Connection,
    batch: Sequence[VideoPrediction | Copy],
    originals: Mapping[int, int],
    folders: Folders,
) -> None:
    labelled = _labels(connection, [found for found in batch if found.video_id in originals])
    for copy in labelled:
        hand_label_over(connection, copy, originals[copy], folders)


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
