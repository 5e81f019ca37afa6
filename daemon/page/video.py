"""What is in a long video, when: its bars, and each of its windows, which is played and labelled.

Who has to review a clip of the random share sees none of it before: it tells the prediction.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from daemon.home.texts import clock, exact_clock
from daemon.page.bars import TimeDrawing, draw_timeline
from daemon.page.cards import Card
from daemon.page.forms import is_id
from daemon.page.requests import CACHED, requested_card
from daemon.page.site import Site
from daemon.report.events import Span
from daemon.report.timeline import Timeline, read_timeline, read_window
from learner.errors import VidwatchError


def drawings(connection: Connection, cards: Sequence[Card]) -> dict[int, TimeDrawing]:
    """What the cards of long videos draw, by their ids."""
    timelines = {card.id: read_timeline(connection, card.id) for card in cards if not card.is_blind}
    return {
        video: draw_timeline(timeline) for video, timeline in timelines.items() if timeline.windows
    }


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


def windows_shown(
    request: Request, card: Card, timeline: Timeline, given: Mapping[str, str]
) -> dict[str, Any]:
    """What the template of a long video needs.

    Args:
        request: Its address may name a window.
        card: Of the video.
        timeline: What is in it; there is at least one window.
        given: The fields of a form that was refused; else empty.
    """
    asked = given.get("window") or request.query_params.get("window", "")
    window = window_named(timeline, asked)
    numbers = [one.number for one in timeline.windows]
    place = numbers.index(window.number)
    return {
        "drawing": draw_timeline(timeline),
        "window": window,
        "times": f"{clock(window.start)} to {clock(window.end)}",
        "predicted": None if window.is_unsure else window.class_name,
        "before": numbers[place - 1] if place else None,
        "after": numbers[place + 1] if place + 1 < len(numbers) else None,
        "start": given.get("from") or exact_clock(window.start),
        "end": given.get("to") or exact_clock(window.end),
        "parts": [
            (one, exact_clock(one.part.start), exact_clock(one.part.end)) for one in timeline.labels
        ],
        "strip": f"/clip/{card.id}/{window.number}.jpg?of={card.sha256[:16]}",
    }


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


def window_named(timeline: Timeline, number: str) -> Span:
    """The window with a number; the first one if there is none."""
    wanted = int(number) if is_id(number) else None
    found = (window for window in timeline.windows if window.number == wanted)
    return next(found, timeline.windows[0])
