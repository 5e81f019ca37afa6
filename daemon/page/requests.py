"""What several routes need of a request."""

from collections.abc import Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from daemon.page.cards import Card, read_cards, read_spec
from daemon.page.forms import is_id, text_fields
from daemon.page.site import Site
from learner.errors import VidwatchError

CACHED = {"Cache-Control": "private, max-age=86400"}
"""A browser may keep what has this header: the address names the content and the model."""


def requested_card(request: Request) -> Card:
    """The card of the video that the address names.

    Raises:
        HTTPException: there is no such video with a prediction.
    """
    site = Site.of(request)
    video = request.path_params["id"]
    with site.reader.begin() as connection:
        cards = read_cards(connection, site.home, [int(video)] if is_id(video) else [])
    if not cards:
        raise HTTPException(404, f"There is no video {video[:20]} with a prediction.")
    return cards[0]


def frames_of(site: Site, model: str) -> int:
    """How many frames a model takes; 1 if its manifest cannot be read."""
    try:
        return read_spec(site.home, model).frames
    except VidwatchError:  # each card then shows why it has no strip
        return 1


async def obeyed(
    request: Request, obey: Callable[[Request, Mapping[str, str]], Response]
) -> Response:
    """What `obey` answers to the fields of a form. It may take long: it runs in a thread.

    Raises:
        StalePageError: this page did not make the form.
    """
    form = await Site.of(request).form(request)
    return await run_in_threadpool(obey, request, text_fields(form))
