"""The page's routes. Paths of files come from the database, never from a request."""

from importlib.resources import files
from pathlib import Path

from sqlalchemy.exc import DatabaseError, DataError, DBAPIError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from daemon.database.connection import is_away, reason_of
from daemon.page import (
    activity,
    class_forms,
    classes,
    clip,
    clip_labels,
    clip_pictures,
    clips,
    grid,
    media,
    model_forms,
    models,
    names,
    problems,
    quality,
    review,
    today,
    video,
)
from daemon.page.guard import Guard
from daemon.page.site import Site, StalePageError
from learner.errors import VidwatchError

# Where pages were in earlier versions: people have bookmarks.
MOVED = {"/failures": "/problems", "/history": "/quality"}


def make_app(site: Site, host: str, token: str | None = None) -> Guard:
    """The page as an ASGI application."""
    static = Path(str(files("daemon.page"))) / "static"
    routes = [
        Route("/", today.page),
        Route("/review", review.page),
        Route("/say", review.submit, methods=["POST"]),
        Route("/undo", review.undo, methods=["POST"]),
        Route("/again", review.show_skipped, methods=["POST"]),
        Route("/answer", review.answer, methods=["POST"]),
        Route("/grid", grid.page),
        Route("/grid", grid.submit, methods=["POST"]),
        Route("/name", names.page),
        Route("/name", names.take, methods=["POST"]),
        Route("/strip/{id}.jpg", clip_pictures.strip),
        Route("/poster/{id}.jpg", clip_pictures.poster),
        Route("/media/{id}", media.film),
        Route("/frames-{count}.css", clip_pictures.frames_style),
        Route("/evidence/{id}", clip_pictures.evidence),
        Route("/clips", clips.page),
        Route("/clips", clips.submit, methods=["POST"]),
        Route("/clips.csv", clips.table_file),
        Route("/clip/{id}", clip.page),
        Route("/clip/{id}", clip_labels.label, methods=["POST"]),
        Route("/clip/{id}/part", clip_labels.label_part, methods=["POST"]),
        Route("/clip/{id}/{number}.jpg", video.strip),
        Route("/video/{id}", clip.moved),
        Route("/activity", activity.page),
        Route("/activity/{chart}.csv", activity.as_csv),
        Route("/quality", quality.page),
        Route("/classes", classes.page),
        Route("/classes/describe", class_forms.write_description, methods=["POST"]),
        Route("/classes/rename", class_forms.rename, methods=["POST"]),
        Route("/classes/merge", class_forms.ask_merge),
        Route("/classes/merge", class_forms.merge, methods=["POST"]),
        Route("/classes/retire", class_forms.ask_retire),
        Route("/classes/retire", class_forms.retire, methods=["POST"]),
        Route("/models", models.page),
        Route("/models/train", model_forms.train, methods=["POST"]),
        Route("/models/promote", model_forms.ask_promote),
        Route("/models/promote", model_forms.promote_model, methods=["POST"]),
        Route("/models/rollback", model_forms.ask_rollback),
        Route("/models/rollback", model_forms.go_back, methods=["POST"]),
        Route("/models/{name}/{file}", models.run_file),
        Route("/problems", problems.page),
        Route("/problems/again", problems.again, methods=["POST"]),
        Route("/problems/forget", problems.forget, methods=["POST"]),
        *(Route(path, _moved) for path in MOVED),
        Mount("/static", StaticFiles(directory=static)),
    ]
    handlers = {
        VidwatchError: _vidwatch_error,
        DatabaseError: _database_error,
        HTTPException: _http_error,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.site = site
    return Guard(app, host, site.port, token, site.reviewers)


def _moved(request: Request) -> Response:
    return RedirectResponse(MOVED[request.url.path], 301)


def _vidwatch_error(request: Request, error: Exception) -> Response:
    return Site.of(request).render(request, "sorry.html", 400, reason=str(error), is_stale=False)


def _database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DBAPIError)
    status = 503
    if isinstance(error, DataError):  # such as the character 0, in the address
        status = 400
        reason = f"The database cannot take what was asked for: {reason_of(error)}."
    elif is_away(error):
        reason = f"The database is away ({reason_of(error)}). Go back, and try again in a moment."
    else:
        reason = f"the database cannot be used: {reason_of(error)}"
    return Site.of(request).render(request, "sorry.html", status, reason=reason, is_stale=False)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    shown = {"reason": error.detail, "is_stale": isinstance(error, StalePageError)}
    return Site.of(request).render(request, "sorry.html", error.status_code, **shown)
