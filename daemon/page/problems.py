"""Problems: the videos that failed, and those in temporary trouble."""

from typing import Any

from sqlalchemy import ColumnElement, Select, select
from starlette.requests import Request
from starlette.responses import Response

from daemon.database.expressions import shown_name
from daemon.database.tables import videos
from daemon.page.site import Site

SHOWN = 200  # rows of a table


def page(request: Request) -> Response:
    """The videos that could not be classified or filed, and those that are tried again."""
    site = Site.of(request)
    with_error = _newest(videos.c.error)
    with site.reader.begin() as connection:
        failed = connection.execute(with_error.where(videos.c.state == "failed")).all()
        not_filed = connection.execute(with_error.where(videos.c.state != "failed")).all()
        troubled = connection.execute(_newest(videos.c.trouble)).all()
    return site.render(
        request,
        "problems.html",
        failed=failed,
        not_filed=not_filed,
        troubled=troubled,
        most=SHOWN,
    )


def _newest(reason: ColumnElement[Any]) -> Select[Any]:
    """The newest videos for which the column `reason` is not NULL."""
    query = select(videos.c.id, shown_name(), reason.label("reason"), videos.c.arrived_at)
    return query.where(reason.is_not(None)).order_by(videos.c.id.desc()).limit(SHOWN)
