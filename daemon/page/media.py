"""Sends the film of a clip, as a whole or in the ranges that a browser asks for."""

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from daemon.page.requests import CACHED, requested_card
from daemon.page.site import Site
from learner.errors import VidwatchError

# No name: that of a clip of the random share may tell its class.
INLINE = {"Content-Disposition": "inline"}


def film(request: Request) -> Response:
    """The film of a clip. It waits while one is made; if there is none, the reason as text."""
    site = Site.of(request)
    card = requested_card(request)
    try:
        found = site.films.get(card, anew="anew" in request.query_params)
    except VidwatchError as error:
        return PlainTextResponse(card.unnamed(str(error)), 404)
    is_of_address = request.query_params.get("of") == card.sha256[:16]
    headers = {**INLINE, **(CACHED if is_of_address else {})}
    return FileResponse(found.path, media_type=found.media_type, headers=headers)
