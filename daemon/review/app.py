"""The review page's routes. Paths of files come from the database, never from a request."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path

from sqlalchemy.exc import DatabaseError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from daemon.labels.labels import newest_label
from daemon.review import pages
from daemon.review.answers import is_id, read_wish
from daemon.review.cards import LIKELIEST, Card, known_classes, read_cards, read_spec
from daemon.review.drawing import draw
from daemon.review.guard import Guard
from daemon.review.queue import in_order, read_waiting
from daemon.review.site import Site
from learner.errors import VidwatchError

SHOWN = 12
SECONDS_A_FRAME = 0.15
KEPT = {
    "Cache-Control": "private, max-age=86400"
}  # by the browser: the address names the content and the model


def make_app(site: Site, host: str, token: str | None = None) -> Guard:
    """The page as an ASGI application."""
    routes = [
        Route("/", queue_page),
        Route("/say", say, methods=["POST"]),
        Route("/undo", undo, methods=["POST"]),
        Route("/again", again, methods=["POST"]),
        Route("/strip/{id}.jpg", strip),
        Route("/frames-{count:int}.css", frames_style),
        Route("/evidence/{id}", evidence),
        Route("/failures", pages.failures),
        Route("/models", pages.models),
        Route("/models/{name}/{file}", pages.run_file),
        Route("/history", pages.history),
        Mount("/static", StaticFiles(directory=Path(str(files("daemon.review"))) / "static")),
    ]
    handlers = {VidwatchError: _mendable, DatabaseError: _no_database, HTTPException: _refused}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.site = site
    return Guard(app, host, site.port, token)


def queue_page(request: Request) -> Response:
    """The clips to be reviewed next."""
    return _queue(request)


def _queue(
    request: Request, status: int = 200, error: str = "", ids: Sequence[str] = (), typed: str = ""
) -> Response:
    """`error` is shown at the card that a form was of, with what was typed; of several or none, at the top."""
    site = Site.of(request)
    session = site.session(request)
    model = site.champion()
    with site.reader.begin() as read:
        waiting = read_waiting(read, session.skipped)
        order = in_order(waiting.uncertain, waiting.share, session.count)
        cards = read_cards(read, site.home, [candidate.id for candidate in islice(order, SHOWN)])
        classes, newest = known_classes(read), newest_label(read)
    message, session.message = session.message, ""
    return site.render(
        request,
        "queue.html",
        status,
        message=message,
        secret=site.secret,
        can_undo=bool(session.done),
        cards=[(card, site.clips.problem(card)) for card in cards],
        waiting=waiting,
        skipped=len(session.skipped),
        classes=classes,
        seen=newest,
        model=model,
        frames=_frames(site, model),
        error=error,
        wrong=next((card.id for card in cards if error and list(ids) == [str(card.id)]), None),
        typed=typed,
    )


async def say(request: Request) -> Response:
    """Note what a form says; then the queue again."""
    form = await Site.of(request).form(request)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    ids = [value for value in form.getlist("id") if isinstance(value, str)]
    return await run_in_threadpool(_say, request, fields, ids)


def _say(request: Request, fields: Mapping[str, str], ids: list[str]) -> Response:
    site = Site.of(request)
    session = site.session(request)
    try:
        session.message = site.answers.follow(read_wish(fields, ids), session)
    except VidwatchError as error:
        of_card = [] if "bulk" in fields else ids
        return _queue(request, 422, str(error), of_card, fields.get("other", ""))
    return RedirectResponse("/", 303)


async def undo(request: Request) -> Response:
    """Take the last action of this session back."""
    site = Site.of(request)
    await site.form(request)
    session = site.session(request)
    session.message = await run_in_threadpool(site.answers.take_back, session)
    return RedirectResponse("/", 303)


async def again(request: Request) -> Response:
    """Show what was skipped again."""
    site = Site.of(request)
    await site.form(request)
    site.session(request).skipped.clear()
    return RedirectResponse("/", 303)


def strip(request: Request) -> Response:
    """The frames side by side; where they cannot be shown, the reason as text."""
    site = Site.of(request)
    card = _card(request)
    try:
        if problem := site.clips.problem(card):
            raise VidwatchError(problem)
        model = site.champion(card.model)
        picture = site.clips.strip(card, model)
    except VidwatchError as error:
        return PlainTextResponse(str(error), 404)
    # Where another model took over since the page was made, its strip is not kept under the old one's address.
    kept = KEPT if request.query_params.get("model", model) == model else {}
    return Response(picture, media_type="image/jpeg", headers=kept)


def frames_style(request: Request) -> Response:
    """How the strip moves: a frame a step. CSS knows no variable there, and our policy allows no style in the page."""
    count = min(max(request.path_params["count"], 1), 100_000)
    duration = f"animation-duration: {count * SECONDS_A_FRAME:.2f}s"
    style = f".film {{ {duration}; animation-timing-function: steps({count}) }}\n"
    return Response(style, media_type="text/css", headers=KEPT)


def evidence(request: Request) -> Response:
    """What each frame says for the likeliest classes; the first time, the model is loaded for it."""
    site = Site.of(request)
    card = _card(request)
    try:
        found = site.clips.evidence(card, site.champion(card.model), LIKELIEST)
    except VidwatchError as error:
        return site.render(request, "evidence.html", 404, card=card, problem=str(error))
    return site.render(request, "evidence.html", card=card, drawing=draw(found))


def _card(request: Request) -> Card:
    site, video = Site.of(request), request.path_params["id"]
    with site.reader.begin() as read:
        cards = read_cards(read, site.home, [int(video)] if is_id(video) else [])
    if not cards:
        raise HTTPException(404, f"There is no answered video {video[:20]}.")
    return cards[0]


def _frames(site: Site, model: str) -> int:
    try:
        return read_spec(site.home, model).frames
    except VidwatchError:  # the cards say why they show nothing
        return 1


def _mendable(request: Request, error: Exception) -> Response:
    return Site.of(request).render(request, "sorry.html", 400, reason=str(error))


def _no_database(request: Request, error: Exception) -> Response:
    reason = f"the database does not answer: {getattr(error, 'orig', error)}"
    return Site.of(request).render(request, "sorry.html", 503, reason=reason)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Site.of(request).render(request, "sorry.html", error.status_code, reason=error.detail)
