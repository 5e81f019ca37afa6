"""Asks the person at a browser for a name, which is kept with the labels."""

from starlette.requests import Request
from starlette.responses import Response

from daemon.page.reviewers import LONGEST_NAME, typed_cookie_name
from daemon.page.site import Site
from learner.errors import VidwatchError


def page(request: Request) -> Response:
    """Ask the person at the browser for a name."""
    return ask_name(request)


def ask_name(request: Request, error: str = "", typed: str = "") -> Response:
    """The page that asks, with what was wrong with the name that was `typed`."""
    fields = {"error": error, "typed": typed, "longest": LONGEST_NAME}
    return Site.of(request).render(request, "name.html", 422 if error else 200, **fields)


async def take(request: Request) -> Response:
    """Have the browser keep the name of the person at it."""
    site = Site.of(request)
    form = await site.form(request)
    typed = form.get("name")
    text = typed if isinstance(typed, str) else ""
    try:
        cookie = site.reviewers.typed_cookie(text)
    except VidwatchError as error:
        return ask_name(request, str(error), text)
    response = site.done("/review")
    site.set_cookie(response, typed_cookie_name(site.port), cookie)
    return response
