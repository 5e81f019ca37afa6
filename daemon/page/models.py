"""Models: what is known of each, the reports of their training, and the decisions."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from daemon.page.site import Site
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


def page(request: Request) -> Response:
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


def _run_file(site: Site, name: str, file: str) -> Path | None:
    """The path of a run's file; None if there is none, or it is a link to another folder."""
    folder = site.home.models / f"{name}.run"
    path = (folder / file).resolve()
    is_inside = path.parent == folder.resolve()
    return path if is_inside and path.is_file() else None
