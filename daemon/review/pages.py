"""The pages beside the queue: what failed, which models there are, and how well the model does."""

from datetime import UTC, datetime
from itertools import dropwhile
from pathlib import Path
from typing import Any

from sqlalchemy import Select, func, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from daemon.database.tables import decisions, videos
from daemon.review.site import Site
from learner.catalogue import find_models

SHOWN = 200
# What a training run leaves for people, and how it is sent.
RUN_FILES = {
    "report.html": "text/html; charset=utf-8",
    "curves.svg": "image/svg+xml",
    "confusion.svg": "image/svg+xml",
    "history.csv": "text/csv; charset=utf-8",
}
# These bring styles and pictures of their own. They can do nothing else, whatever is in them.
RUN_POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'none'; sandbox"
}


def failures(request: Request) -> Response:
    """What could not be classified and why, and what is tried again."""
    site = Site.of(request)
    with site.reader.begin() as read:
        failed = read.execute(_newest(videos.c.error).where(videos.c.state == "failed")).all()
        taken = read.execute(_newest(videos.c.error).where(videos.c.state != "failed")).all()
        troubled = read.execute(_newest(videos.c.trouble)).all()
    return site.render(
        request, "failures.html", failed=failed, taken=taken, troubled=troubled, most=SHOWN
    )


def models(request: Request) -> Response:
    """The models with what their training says, and the decisions about which one answers."""
    site = Site.of(request)
    with site.reader.begin() as read:
        query = select(decisions).order_by(decisions.c.id.desc()).limit(SHOWN)
        decided = read.execute(query).all()
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
        decisions=decided,
        champion=site.champion(),
        most=SHOWN,
    )


def run_file(request: Request) -> Response:
    """A file of a model's training run: only known files of known models."""
    site, name, file = Site.of(request), request.path_params["name"], request.path_params["file"]
    known = file in RUN_FILES and name in {entry.name for entry in find_models(site.home.models)}
    path = _run_file(site, name, file) if known else None
    if path is None:
        raise HTTPException(404, "There is no such file of a model.")
    return FileResponse(path, media_type=RUN_FILES[file], headers=RUN_POLICY)


def history(request: Request) -> Response:
    """How well the model does, by the random share alone, and what came in."""
    from daemon.report import accuracy as insight

    site, now = Site.of(request), datetime.now(UTC)
    with site.reader.begin() as read:
        weeks = list(dropwhile(lambda week: not week.n, insight.weeks(read, now)))
        live, bins = insight.live_accuracy(read), insight.calibration(read, site.champion())
        drawn = read.scalar(select(func.count()).where(videos.c.sampled)) or 0
        warnings = insight.drift(read, now)
    classes = sorted({name for week in weeks for name in week.classes}, key=str.casefold)
    context: dict[str, Any] = {
        "live": live,
        "bins": bins,
        "weeks": weeks,
        "warnings": warnings,
        "classes": classes,
        "drawn": drawn,
    }
    return site.render(request, "history.html", **context)


def _newest(why: Any) -> Select[Any]:
    columns = (videos.c.id, videos.c.name, why.label("why"), videos.c.arrived_at)
    return select(*columns).where(why.is_not(None)).order_by(videos.c.id.desc()).limit(SHOWN)


def _run_file(site: Site, name: str, file: str) -> Path | None:
    """None where there is none, or where it is a link to somewhere else."""
    folder = site.home.models / f"{name}.run"
    path = (folder / file).resolve()
    return path if path.is_file() and path.parent == folder.resolve() else None
