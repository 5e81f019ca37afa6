"""Makes the rows of exported tables of what the database holds. Only reads."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from sqlalchemy import Connection, select

from daemon.database.tables import models, videos
from daemon.export.columns import VIDEOS, Column, ExportTable, Value, with_scores
from daemon.export.filters import Filters
from daemon.export.query import videos_query
from daemon.home.texts import printable, shown_path, uri
from daemon.report.events import UNSURE

AT_ONCE = 1000  # rows

_NAMES = tuple(column.name for column in VIDEOS.columns)
as_json = json.JSONEncoder(ensure_ascii=False).encode

Found = Any
"""A row of `query.videos_query`."""


@dataclass(frozen=True)
class Scores:
    """The classes of the models of a home, by the names that the models have for them."""

    classes: tuple[str, ...]
    """All of them, in alphabetical order."""
    _places: Mapping[int, tuple[int, ...]]
    """Where those of each model are among them, by its id, in the order of its logits."""
    _keys: Mapping[int, tuple[str, ...]]
    """The names as JSON has them before a value."""

    @classmethod
    def read(cls, connection: Connection, names: Sequence[str] = ()) -> "Scores":
        """Of the models of these names; of all if there are none."""
        query = select(models.c.id, models.c.classes)
        if names:
            query = query.where(models.c.name.in_(names))
        of_models = {row.id: tuple(row.classes) for row in connection.execute(query)}
        found = sorted({name for own in of_models.values() for name in own}, key=_by_name)
        place = {name: at for at, name in enumerate(found)}
        places = {model: tuple(place[name] for name in own) for model, own in of_models.items()}
        keys = {
            model: tuple(f"{json.dumps(name, ensure_ascii=False)}: " for name in own)
            for model, own in of_models.items()
        }
        return cls(tuple(found), places, keys)

    def columns(self, table: ExportTable) -> tuple[Column, ...]:
        """The columns of a table, with those of the scores."""
        return with_scores(table, self.classes)

    def spread(self, model: int | None, logits: str | None, *, as_text: bool) -> list[Value]:
        """The scores of a prediction, one for each class; None for classes unknown to its model.

        Args:
            model: The model's id.
            logits: JSON, as the database holds them.
            as_text: Whether each number stays the text that it is in JSON: to make numbers of a
                million rows, and texts of them again, takes ten seconds.
        """
        row: list[Value] = [None] * len(self.classes)
        if model is not None and logits is not None:
            numbers = logits[1:-1].split(", ") if as_text else json.loads(logits)
            for place, number in zip(self._places[model], numbers, strict=False):
                row[place] = number
        return row

    def as_json(self, model: int | None, logits: str | None) -> str:
        """The scores of a prediction by class, as a JSON object. Arguments as for `spread`."""
        if model is None or logits is None:
            return "{}"
        if "N" in logits or "I" in logits:  # NaN and Infinity, which JSON does not have
            logits = json.dumps([x if isfinite(x) else None for x in json.loads(logits)])
        pairs = map(str.__add__, self._keys[model], logits[1:-1].split(", "))
        return f"{{{', '.join(pairs)}}}"


def find_videos(
    connection: Connection, filters: Filters, *, with_parts: bool = False
) -> Iterator[Sequence[Found]]:
    """The rows of `videos_query` that these filters match, in the order of their ids, in batches.

    Raises:
        VidwatchError: a filter names what does not exist.
    """
    query = videos_query(filters.conditions(connection), with_parts=with_parts)
    streamed = connection.execution_options(yield_per=AT_ONCE)
    return streamed.execute(query.order_by(videos.c.id)).partitions()


def video_values(found: Found) -> list[Value]:
    """A row of the table of videos, without scores."""
    # To ask for each column by its name takes as long as to read the row.
    (
        (video, _, name, source, path, left_at, state, main),
        (recorded_at, recorded_by, arrived_at, finished_at, camera, group, size),
        (sha256, duplicate_of, error),
        (predicted, probability, doubt, familiarity, _, model, predicted_at, read_share, movement),
        (_, verdict, label, who, labelled_at, how, note, *_, file),
    ) = found[:8], found[8:15], found[15:18], found[18:27], found[27:]
    return [
        video,
        printable(name),
        source and printable(source),
        shown_path(path),
        uri(path),
        left_at and shown_path(left_at),
        state,
        main,
        iso(recorded_at),
        recorded_by,
        iso(arrived_at),
        iso(finished_at),
        camera and printable(camera),
        group and printable(group),
        size,
        sha256,
        duplicate_of,
        error and printable(error),
        predicted,
        probability,
        doubt,
        familiarity,
        model,
        iso(predicted_at),
        read_share,
        movement,
        UNSURE if verdict == "unsure" else label,
        who and printable(who),
        iso(labelled_at),
        how,
        note and printable(note),
        file,
    ]


def video_rows(rows: Iterable[Found], scores: Scores, *, as_text: bool) -> list[list[Value]]:
    """Rows of the table of videos; `as_text` is as for `Scores.spread`."""
    return [
        video_values(row) + scores.spread(row.model_id, row.logits, as_text=as_text) for row in rows
    ]


def video_line(found: Found, scores: Scores, more: str) -> str:
    """A row of the table of videos as a JSON object, with the scores by class.

    `more` is a JSON object, whose keys follow.
    """
    row = as_json(dict(zip(_NAMES, video_values(found), strict=True)))
    own = scores.as_json(found.model_id, found.logits)
    return f'{row[:-1]}, "scores": {own}, {more[1:]}'


def iso(stored: str | None) -> str | None:
    """A time of the database, which is in UTC, in ISO 8601 to a second, with its offset."""
    return f"{stored[:10]}T{stored[11:19]}+00:00" if stored else None


def _by_name(name: str) -> tuple[str, str]:
    return name.casefold(), name
