"""What `vidwatch search` finds, and prints. Only reads."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from sqlalchemy import Connection

from daemon.database.tables import videos
from daemon.export.columns import VIDEOS
from daemon.export.filters import Filters
from daemon.export.query import videos_query
from daemon.export.rows import Found, video_values
from daemon.home.clock import local_time
from daemon.home.texts import with_source
from daemon.report.fitting import Column, FittingTable


def search(connection: Connection, filters: Filters, most: int) -> list[dict[str, Any]]:
    """The newest videos that match: rows of the exported table of videos, without scores.

    Raises:
        VidwatchError: a filter names what does not exist.
    """
    query = videos_query(filters.conditions(connection), with_parts=False)
    rows = connection.execute(query.order_by(videos.c.id.desc()).limit(most))
    return [_named(row) for row in rows]


def found_by_ids(connection: Connection, ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """The same rows of these videos, by their ids."""
    query = videos_query([videos.c.id.in_(ids)], with_parts=False)
    return {row.id: _named(row) for row in connection.execute(query)}


def _named(row: Found) -> dict[str, Any]:
    names = (column.name for column in VIDEOS.columns)
    return dict(zip(names, video_values(row), strict=True))


def render(found: Sequence[dict[str, Any]]) -> RenderableType:
    """The videos as a table."""
    columns = (
        Column("id", "dim", justify="right"),
        Column("video"),
        Column("class", "bold"),
        Column("probability", justify="right"),
        Column("state"),
        Column("recorded"),
    )
    table = FittingTable("Videos, the newest first", columns, style="bold", n_keys=2)
    for row in found:
        name = with_source(row["name"], row["source"])
        table.add_row(str(row["id"]), name, *_about(row), row["state"], _when(row))
    return table


def _about(row: dict[str, Any]) -> tuple[str, str]:
    """The class, and the probability; that a person gave it if there is a label."""
    if row["label"]:
        return row["class"], "labelled"
    probability = row["probability"]
    return row["class"] or "", "" if probability is None else f"{probability:.1%}"


def _when(row: dict[str, Any]) -> str:
    """When it was recorded, else when it arrived."""
    if row["recorded_at"]:
        return local_time(datetime.fromisoformat(row["recorded_at"]))
    return f"arrived {local_time(datetime.fromisoformat(row['arrived_at']))}"
