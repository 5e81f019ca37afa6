"""The review page's routes. Paths of files come from the database, never from a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

from daemon.database.connection import reason_of
from daemon.home.folders import Folders
from daemon.labels.classes import DidYouMeanError, offered_classes
from daemon.labels.labels import newest_label
from daemon.labels.next_clips import count_unsure
from daemon.labels.renamed_folders import questions
from daemon.report.next_training import in_words
from daemon.review import pages, video
from daemon.review.cards import LIKELIEST, Card, read_cards
from daemon.review.drawing import draw
from daemon.review.forms import is_id, read_submission
from daemon.review.guard import Guard
from daemon.review.queue import in_order, read_waiting
from daemon.review.requests import CACHED, frames_of, requested_card
from daemon.review.reviewers import LONGEST_NAME, typed_cookie_name
from daemon.review.site import Site, StalePageError
from learner.classes import EMPTY
from learner.errors import VidwatchError

SHOWN = 12  # clips on one page
MOST_BUTTONS = 40  # of classes on a card; if there are more, the class is typed
SECONDS_PER_FRAME = 0.15


def make_app(site: Site, host: str, token: str | None = None) -> Guard:
    """The page as an ASGI application."""
    static = Path(str(files("daemon.review"))) / "static"
    routes = [
        Route("/", queue_page),
        Route("/say", submit, methods=["POST"]),
        Route("/undo", undo, methods=["POST"]),
        Route("/again", show_skipped, methods=["POST"]),
        Route("/answer", answer, methods=["POST"]),
        Route("/name", name_page),
        Route("/name", take_name, methods=["POST"]),
        Route("/strip/{id}.jpg", strip),
        Route("/frames-{count}.css", frames_style),
        Route("/evidence/{id}", evidence),
        Route("/video/{id}", video.page),
        Route("/video/{id}", video.label, methods=["POST"]),
        Route("/video/{id}/{number}.jpg", video.strip),
        Route("/failures", pages.failures),
        Route("/models", pages.models),
        Route("/models/{name}/{file}", pages.run_file),
        Route("/history", pages.history),
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


@dataclass(frozen=True)
class Refusal:
    """Why a form was refused, and what the page must show again."""

    reason: str
    ids: Sequence[str]
    """The ids in the form."""
    is_of_several: bool
    """Whether it is the form of all selected cards, and not that of one card."""
    typed: str
    """The class that the person gave."""
    meant: str = ""
    """The class that was probably meant; empty if that is not the question."""


def queue_page(request: Request) -> Response:
    """The clips to be reviewed next. Who has not said a name yet is asked for it first."""
    return _queue(request) if Site.of(request).reviewer(request) else _name_page(request)


def name_page(request: Request) -> Response:
    """Ask the person at the browser for a name."""
    return _name_page(request)


def _name_page(request: Request, error: str = "", typed: str = "") -> Response:
    fields = {"error": error, "typed": typed, "longest": LONGEST_NAME}
    return Site.of(request).render(request, "name.html", 422 if error else 200, **fields)


async def take_name(request: Request) -> Response:
    """Have the browser keep the name of the person at it."""
    site = Site.of(request)
    form = await site.form(request)
    typed = form.get("name")
    text = typed if isinstance(typed, str) else ""
    try:
        cookie = site.reviewers.typed_cookie(text)
    except VidwatchError as error:
        return _name_page(request, str(error), text)
    response = RedirectResponse("/", 303)
    site.set_cookie(response, typed_cookie_name(site.port), cookie)
    return response


def _queue(request: Request, refusal: Refusal | None = None) -> Response:
    """The queue. The reason of a refusal is shown at the card that the form belongs to.

    If the form was of several cards, or its card is not shown, it is shown as the page's message.
    """
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    champion = site.champion()
    coming = site.forecast()
    with site.reader.begin() as connection:
        short = coming.short if coming else ()
        waiting = read_waiting(connection, session.skipped, short)
        order = in_order(waiting.by_uncertainty, waiting.random_share, session.count)
        shown = [candidate.id for candidate in islice(order, SHOWN)]
        cards = read_cards(connection, site.home, shown)
        classes = offered_classes(connection)
        newest = newest_label(connection)
        renamed = questions(connection, site.home.root)
        unsure = count_unsure(connection, Folders(site.home.root))
        can_undo = site.page_labels.can_undo(connection, session, reviewer)
        timelines = video.drawings(connection, cards)
    message = session.message
    session.message = ""
    return site.render(
        request,
        "queue.html",
        422 if refusal else 200,
        message=message,
        can_undo=can_undo,
        cards=[(card, site.clips.problem(card)) for card in cards],
        timelines=timelines,
        waiting=waiting,
        unsure=unsure,
        skipped=len(session.skipped),
        classes=classes,
        buttons=classes if len(classes) <= MOST_BUTTONS else [],
        renamed=renamed,
        asked=list(session.questions.items()),
        seen=newest,
        outlook=in_words(coming) if coming and newest else "",
        empty=EMPTY,
        model=champion,
        frames=frames_of(site, champion),
        error=refusal.reason if refusal else "",
        error_card=_card_of(refusal, cards) if refusal else None,
        selected=[int(one) for one in refusal.ids if is_id(one)] if refusal else [],
        typed=refusal.typed if refusal else "",
        meant=refusal.meant if refusal else "",
    )


def _card_of(refusal: Refusal, cards: Sequence[Card]) -> int | None:
    """The id of the shown card that the refused form belongs to; None if there is none."""
    if refusal.is_of_several:
        return None
    return next((card.id for card in cards if list(refusal.ids) == [str(card.id)]), None)


async def submit(request: Request) -> Response:
    """Label, accept or skip clips, as a form asks for; then show the queue again."""
    form = await Site.of(request).form(request)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    ids = [value for value in form.getlist("id") if isinstance(value, str)]
    return await run_in_threadpool(_submit, request, fields, ids)


def _submit(request: Request, fields: Mapping[str, str], ids: list[str]) -> Response:
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    is_of_several = "bulk" in fields
    try:
        submission = read_submission(fields, ids)
        session.message = site.page_labels.apply(submission, session, reviewer)
    except DidYouMeanError as error:
        given, meant = next(iter(error.meant.items()))
        if is_of_several and fields.get("action") == "accept":
            meant = ""  # each clip has a class of its own
        return _queue(request, Refusal(str(error), ids, is_of_several, given, meant))
    except VidwatchError as error:
        return _queue(request, Refusal(str(error), ids, is_of_several, fields.get("other", "")))
    return RedirectResponse("/", 303)


async def answer(request: Request) -> Response:
    """Label in spite of what others say, or leave it, as the person answers to a question."""
    site = Site.of(request)
    form = await site.form(request)
    name = form.get("question")
    insists = form.get("answer") == "label"
    if isinstance(name, str):
        await run_in_threadpool(_answer, request, name, insists=insists)
    return RedirectResponse("/", 303)


def _answer(request: Request, name: str, *, insists: bool) -> None:
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    try:
        session.message = site.page_labels.answer(name, session, reviewer, insists=insists)
    except VidwatchError as error:
        session.message = str(error)


async def undo(request: Request) -> Response:
    """Undo the last action of this reviewer."""
    site = Site.of(request)
    await site.form(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    session.message = await run_in_threadpool(site.page_labels.undo, session, reviewer)
    return RedirectResponse("/", 303)


async def show_skipped(request: Request) -> Response:
    """Show the clips again that were skipped."""
    site = Site.of(request)
    await site.form(request)
    site.session(request).show_skipped()
    return RedirectResponse("/", 303)


def strip(request: Request) -> Response:
    """The frames side by side, as a picture; if they cannot be shown, the reason as text."""
    site = Site.of(request)
    card = requested_card(request)
    try:
        if problem := site.clips.problem(card):
            raise VidwatchError(problem)
        model = site.champion(card.model)
        picture = site.clips.strip(card, model)
    except VidwatchError as error:
        return PlainTextResponse(card.unnamed(str(error)), 404)
    # If another model took over since the page was made, the address names the old one: a browser
    # must not keep the new model's strip under it.
    is_of_address = request.query_params.get("model", model) == model
    headers = CACHED if is_of_address else {}
    return Response(picture, media_type="image/jpeg", headers=headers)


def frames_style(request: Request) -> Response:
    """How the strip moves: a step for each frame.

    It is a style sheet of its own because CSS allows no variable there, and our policy no style
    inside the page.
    """
    text = request.path_params["count"]
    if not is_id(text):
        raise HTTPException(404, "There is no such style sheet.")
    count = min(max(int(text), 1), 100_000)
    duration = f"animation-duration: {count * SECONDS_PER_FRAME:.2f}s"
    style = f".film {{ {duration}; animation-timing-function: steps({count}) }}\n"
    return Response(style, media_type="text/css", headers=CACHED)


def evidence(request: Request) -> Response:
    """The evidence of each frame for the likeliest classes. Loads the model the first time."""
    site = Site.of(request)
    card = requested_card(request)
    try:
        if card.is_blind:
            raise VidwatchError("it is shown when the clip is labelled")
        found = site.clips.evidence(card, site.champion(card.model), LIKELIEST)
    except VidwatchError as error:
        shown = {"problem": str(error), "drawing": None}
        return site.render(request, "evidence.html", 404, card=card, **shown)
    return site.render(request, "evidence.html", card=card, problem="", drawing=draw(found))


def _vidwatch_error(request: Request, error: Exception) -> Response:
    return Site.of(request).render(request, "sorry.html", 400, reason=str(error), is_stale=False)


def _database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DatabaseError)
    reason = f"the database cannot be used: {reason_of(error)}"
    return Site.of(request).render(request, "sorry.html", 503, reason=reason, is_stale=False)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    shown = {"reason": error.detail, "is_stale": isinstance(error, StalePageError)}
    return Site.of(request).render(request, "sorry.html", error.status_code, **shown)
