"""The page of a long video: what is in it, when; each of its windows is played, and labelled alone.

Who has to review a clip of the random share sees none of it before: it tells the prediction.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from daemon.home.clock import now
from daemon.home.texts import clock, exact_clock, printable
from daemon.labels.classes import DidYouMeanError, offered_classes
from daemon.labels.labels import Origin
from daemon.labels.parts import Part, PartLabels, parse_time
from daemon.page.bars import TimeDrawing, draw_timeline
from daemon.page.cards import Card
from daemon.page.forms import is_id
from daemon.page.requests import CACHED, frames_of, requested_card
from daemon.page.site import Site
from daemon.report.events import UNSURE, Span
from daemon.report.timeline import Timeline, read_timeline, read_window
from learner.errors import VidwatchError


def drawings(connection: Connection, cards: Sequence[Card]) -> dict[int, TimeDrawing]:
    """What the cards of long videos draw, by their ids."""
    timelines = {card.id: read_timeline(connection, card.id) for card in cards if not card.is_blind}
    return {
        video: draw_timeline(timeline) for video, timeline in timelines.items() if timeline.windows
    }


def page(request: Request) -> Response:
    """The page of a video, with the window that the address names."""
    return _page(request)


def strip(request: Request) -> Response:
    """The frames of a window side by side; if they cannot be shown, the reason as text."""
    site = Site.of(request)
    card = _requested_card(request)
    number = request.path_params["number"]
    with site.reader.begin() as connection:
        window = read_window(connection, card.id, int(number)) if is_id(number) else None
    if window is None:
        raise HTTPException(404, "There is no such window.")
    try:
        model = site.champion(card.model)
        picture = site.pictures.strip(card, model, (window.start, window.end))
    except VidwatchError as error:
        return PlainTextResponse(str(error), 404)
    is_of_address = request.query_params.get("model", model) == model
    headers = CACHED if is_of_address else {}
    return Response(picture, media_type="image/jpeg", headers=headers)


async def label(request: Request) -> Response:
    """Label a part of a video, or take such a label back, as a form asks for."""
    form = await Site.of(request).form(request)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    return await run_in_threadpool(_label, request, fields)


def _label(request: Request, fields: Mapping[str, str]) -> Response:
    site = Site.of(request)
    card, timeline = _requested(request)
    who = site.require_reviewer(request)
    given = fields.get("new") or fields.get("class") or fields.get("other", "").strip()
    try:
        part = Part(parse_time(fields.get("from", "")), parse_time(fields.get("to", "")))
        origin = Origin("page", who, now())
        labels = PartLabels(site.writer)
        if fields.get("action") == "undo":
            done = labels.undo(card.id, part, origin)
            message = f"{done.part}: label {printable(done.class_name)} taken back"
        elif not given:
            raise VidwatchError("no class is given")
        else:
            done = labels.add(card.id, part, given, origin, new_class="new" in fields)
            message = f"{done.part}: labelled {printable(done.class_name)}"
    except DidYouMeanError as error:
        return _page(request, str(error), fields, meant=error.meant[given])
    except VidwatchError as error:
        return _page(request, str(error), fields)
    site.session(request).message = message
    window = _window(timeline, fields.get("window", ""))
    number = window.number if window else timeline.windows[0].number
    return site.done(f"/video/{card.id}?window={number}")


def _page(
    request: Request, error: str = "", typed: Mapping[str, str] | None = None, meant: str = ""
) -> Response:
    """The page; `typed` are the fields of a form that was refused."""
    site = Site.of(request)
    card, timeline = _requested(request)
    session = site.session(request)
    message = session.message
    session.message = ""
    given = typed or {}
    asked = given.get("window") or request.query_params.get("window", "")
    window = _window(timeline, asked) or timeline.windows[0]
    numbers = [one.number for one in timeline.windows]
    place = numbers.index(window.number)
    with site.reader.begin() as connection:
        classes = offered_classes(connection)
    champion = site.champion(card.model)
    return site.render(
        request,
        "video.html",
        422 if error else 200,
        card=card,
        problem=site.pictures.problem(card),
        drawing=draw_timeline(timeline),
        window=window,
        times=f"{clock(window.start)} to {clock(window.end)}",
        predicted=None if window.is_unsure else window.class_name,
        before=numbers[place - 1] if place else None,
        after=numbers[place + 1] if place + 1 < len(numbers) else None,
        start=given.get("from") or exact_clock(window.start),
        end=given.get("to") or exact_clock(window.end),
        parts=[
            (one, exact_clock(one.part.start), exact_clock(one.part.end)) for one in timeline.labels
        ],
        classes=classes,
        model=champion,
        frames=frames_of(site, champion),
        unsure=UNSURE,
        message=message,
        error=error,
        typed=given.get("other") or given.get("new") or "",
        meant=meant,
    )


def _requested(request: Request) -> tuple[Card, Timeline]:
    """The video that the address names, and what is in it.

    Raises:
        HTTPException: as `_requested_card`, or it was not cut into windows.
    """
    card = _requested_card(request)
    with Site.of(request).reader.begin() as connection:
        timeline = read_timeline(connection, card.id)
    if not timeline.windows:
        raise HTTPException(404, f"{card.name} was not cut into windows.")
    return card, timeline


def _requested_card(request: Request) -> Card:
    """The video that the address names.

    Raises:
        HTTPException: there is no such video, or it is to be reviewed without knowing what was
            predicted.
    """
    card = requested_card(request)
    if card.is_blind:
        reason = "is shown when the clip is labelled: it is of the random share"
        raise HTTPException(404, f"What is in {card.title} {reason}.")
    return card


def _window(timeline: Timeline, number: str) -> Span | None:
    """The window with a number; None if there is none."""
    wanted = int(number) if is_id(number) else None
    return next((window for window in timeline.windows if window.number == wanted), None)
