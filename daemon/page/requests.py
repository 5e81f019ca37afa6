"""What several routes need of a request."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from daemon.page.cards import Card, read_cards, read_spec
from daemon.page.forms import is_id
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
