"""Sends the film of a clip, as a whole or in the ranges that a browser asks for."""

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import Message, Receive, Scope, Send

from daemon.page.requests import CACHED, requested_card
from daemon.page.site import Site
from learner.errors import VidwatchError

# No name: that of a clip of the random share may tell its class.
INLINE = {"Content-Disposition": "inline"}


class SentFilm(FileResponse):
    """A file; a plain answer if it goes before it is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Its head is sent with its first part: by then, the file is open."""
        head: Message | None = None

        async def send_later(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            if head:
                await send(head)
                head = None
            await send(message)

        try:
            await super().__call__(scope, receive, send_later)
        except OSError:
            if head is None:  # a part of it is sent
                raise
            await _gone()(scope, receive, send)


def _gone() -> Response:
    return PlainTextResponse("its file is gone: reload the page", 410)


def film(request: Request) -> Response:
    """The film of a clip. It waits while one is made; if there is none, the reason as text."""
    site = Site.of(request)
    card = requested_card(request)
    try:
        found = site.films.get(card, anew="anew" in request.query_params)
    except VidwatchError as error:
        return PlainTextResponse(card.unnamed(str(error)), 404)
    try:
        stat = found.path.stat()
    except OSError:
        return _gone()
    is_of_address = request.query_params.get("of") == card.sha256[:16]
    headers = {**INLINE, **(CACHED if is_of_address else {})}
    kind = found.media_type
    return SentFilm(found.path, media_type=kind, headers=headers, stat_result=stat)
