"""Sends the pictures of clips: their frames side by side, and the evidence of each frame."""

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from daemon.page.cards import LIKELIEST, Card
from daemon.page.drawing import draw
from daemon.page.forms import is_id
from daemon.page.requests import CACHED, requested_card
from daemon.page.site import Site
from learner.errors import VidwatchError

SECONDS_PER_FRAME = 0.15


def strip(request: Request) -> Response:
    """The frames side by side, as a picture; if they cannot be shown, the reason as text."""
    return _picture(request, Site.of(request).pictures.strip)


def poster(request: Request) -> Response:
    """The frame in the middle, as a picture, for the time before a film is there."""
    return _picture(request, Site.of(request).pictures.poster)


def _picture(request: Request, make: Callable[[Card, str], bytes]) -> Response:
    site = Site.of(request)
    card = requested_card(request)
    try:
        if problem := site.pictures.problem(card):
            raise VidwatchError(problem)
        model = site.champion(card.model)
        picture = make(card, model)
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
        found = site.pictures.evidence(card, site.champion(card.model), LIKELIEST)
    except VidwatchError as error:
        shown = {"problem": str(error), "drawing": None}
        return site.render(request, "evidence.html", 404, card=card, **shown)
    return site.render(request, "evidence.html", card=card, problem="", drawing=draw(found))
