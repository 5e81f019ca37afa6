"""The pages beside the queue: failures, models, and how good the predictions are."""

from datetime import UTC, datetime
from itertools import dropwhile
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from daemon.database.expressions import shown_name
from daemon.database.tables import videos
from daemon.review.site import Site
from daemon.review.times import name_of, zone_of
from daemon.training.decisions import Decisions
from learner.catalogue import find_models, model_name

SHOWN = 200  # rows of a table
# The files of a training run that are for people, and their media types.
RUN_FILES = {
    "report.html": "text/html; charset=utf-8",
    "curves.svg": "image/svg+xml",
    "confusion.svg": "image/svg+xml",
    "history.csv": "text/csv; charset=utf-8",
}
# These files have styles and pictures inside. Whatever is in them, they can do nothing else.
RUN_POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'none'; sandbox"
}


def failures(request: Request) -> Response:
    """The videos that could not be classified or filed, and those that are tried again."""
    site = Site.of(request)
    with_error = _newest(videos.c.error)
    with site.reader.begin() as connection:
        failed = connection.execute(with_error.where(videos.c.state == "failed")).all()
        not_filed = connection.execute(with_error.where(videos.c.state != "failed")).all()
        troubled = connection.execute(_newest(videos.c.trouble)).all()
    return site.render(
        request,
        "failures.html",
        failed=failed,
        not_filed=not_filed,
        troubled=troubled,
        most=SHOWN,
    )


def models(request: Request) -> Response:
    """The models with the reports of their training, and the decisions about the champion."""
    site = Site.of(request)
    found = find_models(site.home.models)
    reports = {
        entry.name: [name for name in RUN_FILES if _run_file(site, entry.name, name)]
        for entry in found
    }
    return site.render(
        request,
        "models.html",
        models=found,
        reports=reports,
        decisions=Decisions(site.reader).newest_first()[:SHOWN],
        champion=model_name(site.champion()),
        most=SHOWN,
    )


def run_file(request: Request) -> Response:
    """A file of a model's training run: only known files of known models."""
    site = Site.of(request)
    name = request.path_params["name"]
    file = request.path_params["file"]
    names = {entry.name for entry in find_models(site.home.models)}
    path = _run_file(site, name, file) if file in RUN_FILES and name in names else None
    if path is None:
        raise HTTPException(404, "There is no such file of a model.")
    return FileResponse(path, media_type=RUN_FILES[file], headers=RUN_POLICY)


def history(request: Request) -> Response:
    """How good the predictions are, by the random share alone, and how many videos came."""
    from daemon.report import accuracy

    site = Site.of(request)
    now = datetime.now(UTC)
    zone = zone_of(request)
    with site.reader.begin() as connection:
        weeks = list(dropwhile(lambda week: not week.n, accuracy.weeks(connection, now, zone=zone)))
        live = accuracy.live_accuracy(connection, zone)
        bins = accuracy.calibration(connection, model_name(site.champion()))
        drawn = connection.scalar(select(func.count()).where(videos.c.sampled)) or 0
        warnings = accuracy.drift(connection, now)
    classes = sorted({name for week in weeks for name in week.classes}, key=str.casefold)
    return site.render(
        request,
        "history.html",
        live=live,
        bins=bins,
        weeks=weeks,
        warnings=warnings,
        classes=classes,
        drawn=drawn,
        zone=name_of(zone),
    )


def _newest(reason: ColumnElement[Any]) -> Select[Any]:
    """The newest videos for which the column `reason` is not NULL."""
    query = select(videos.c.id, shown_name(), reason.label("reason"), videos.c.arrived_at)
    return query.where(reason.is_not(None)).order_by(videos.c.id.desc()).limit(SHOWN)


def _run_file(site: Site, name: str, file: str) -> Path | None:
    """The path of a run's file; None if there is none, or it is a link to another folder."""
    folder = site.home.models / f"{name}.run"
    path = (folder / file).resolve()
    is_inside = path.parent == folder.resolve()
    return path if is_inside and path.is_file() else None
