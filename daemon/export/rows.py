"""Makes the rows of exported tables of what the database holds. Only reads."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, select

from daemon.database.tables import models
from daemon.export.columns import VIDEOS, Column, ExportTable, Value, with_scores
from daemon.export.filters import Filters
from daemon.export.query import videos_query
from daemon.home.texts import printable
from daemon.report.events import UNSURE

AT_ONCE = 1000  # rows

Found = Any
"""A row of `query.videos_query`."""


@dataclass(frozen=True)
class Scores:
    """The classes of the models of a home, by the names that the models have for them."""

    classes: tuple[str, ...]
    """All of them, in alphabetical order."""
    of_models: Mapping[int, tuple[str, ...]]
    """Those of each model, by its id, in the order of its logits."""
    _places: Mapping[int, tuple[int, ...]]

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
        return cls(tuple(found), of_models, places)

    def columns(self, table: ExportTable) -> tuple[Column, ...]:
        """The columns of a table, with those of the scores."""
        return with_scores(table, self.classes)

    def spread(self, model: int | None, logits: str | None) -> list[Value]:
        """The scores of a prediction, one for each class; None for classes unknown to its model.

        Args:
            model: The model's id.
            logits: JSON, as the database holds them.
        """
        row: list[Value] = [None] * len(self.classes)
        if model is not None and logits is not None:
            for place, logit in zip(self._places[model], json.loads(logits), strict=False):
                row[place] = logit
        return row

    def by_class(self, model: int | None, logits: str | None) -> dict[str, float]:
        """The scores of a prediction by class. Arguments as for `spread`."""
        if model is None or logits is None:
            return {}
        return dict(zip(self.of_models[model], json.loads(logits), strict=False))


def find_videos(
    connection: Connection, filters: Filters, *, with_parts: bool = False
) -> Iterator[Sequence[Found]]:
    """The rows of `videos_query` that these filters match, in the order of their ids, in batches.

    Raises:
        VidwatchError: a filter names what does not exist.
    """
    query = videos_query(filters.conditions(connection), with_parts=with_parts)
    streamed = connection.execution_options(yield_per=AT_ONCE)
    return streamed.execute(query.order_by(query.selected_columns["id"])).partitions()


def video_values(found: Found) -> list[Value]:
    """A row of the table of videos, without scores."""
    label = UNSURE if found.verdict == "unsure" else found.label
    return [
        found.id,
        printable(found.name),
        found.source and printable(found.source),
        path_text(found.path),
        uri(found.path),
        found.state,
        found.main,
        iso(found.recorded_at),
        found.recorded_by,
        iso(found.arrived_at),
        iso(found.finished_at),
        found.camera and printable(found.camera),
        found.group and printable(found.group),
        found.size,
        found.sha256,
        found.duplicate_of,
        found.error and printable(found.error),
        found.predicted,
        found.probability,
        found.doubt,
        found.familiarity,
        found.model,
        iso(found.predicted_at),
        found.read_share,
        found.movement,
        label,
        found.who and printable(found.who),
        iso(found.labelled_at),
        found.labelled_how,
    ]


def video_rows(rows: Iterable[Found], scores: Scores) -> list[list[Value]]:
    """Rows of the table of videos."""
    return [video_values(row) + scores.spread(row.model_id, row.logits) for row in rows]


def video_fields(found: Found, scores: Scores) -> dict[str, Any]:
    """A row of the table of videos as an object, with the scores by class."""
    names = (column.name for column in VIDEOS.columns)
    row: dict[str, Any] = dict(zip(names, video_values(found), strict=True))
    row["scores"] = scores.by_class(found.model_id, found.logits)
    return row


def path_text(path: bytes) -> str:
    r"""A path as people read it. Bytes that are not UTF-8 are shown as `\xff`."""
    return printable(os.fsdecode(path))


def uri(path: bytes) -> str:
    """A path as an address (RFC 8089), from which its exact bytes can be made again."""
    return f"file://{quote(path)}"


def iso(stored: str | None) -> str | None:
    """A time of the database, which is in UTC, in ISO 8601 to a second, with its offset."""
    return f"{stored[:10]}T{stored[11:19]}+00:00" if stored else None


def _by_name(name: str) -> tuple[str, str]:
    return name.casefold(), name
