"""Who may use the page: checks the host's name, the token if one is set, and the sender's site.

It is a pure ASGI layer around all routes. The secret in each of our forms is checked by
`Site.form`.
"""

import hashlib
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.page.reviewers import Reviewers, is_same_secret, user_cookie_name
from learner.errors import VidwatchError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")
SHORTEST_TOKEN = 16
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": then a browser sends "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# A page that leads to "/". A redirect is not enough: after a click on a link elsewhere, the browser
# does not send the new cookie with the redirected request.
GO_ON = (
    '<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>vidwatch</title>'
    '<a href="/">Go on</a>'
)


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach the address `host`."""
    return host in (*LOOPBACK, "::1")


def check_token(host: str, token: str | None, *, has_users: bool = False) -> None:
    """Refuse an address and a token that would let others in.

    Args:
        host: The address.
        token: What a browser must bring.
        has_users: Whether a browser may bring the link of a user instead.

    Raises:
        VidwatchError: other machines can reach the host and there is no token, or the token can be
            guessed.
    """
    if token is None and not has_users and not is_loopback(host):
        hint = "set VIDWATCH_REVIEW_TOKEN, or give --token or --user"
        reason = f"on {host} others could reach the page, so it needs a token"
        raise VidwatchError(f"review: {reason}; {hint}")
    if token is not None and len(token) < SHORTEST_TOKEN:
        rule = f"the token must have at least {SHORTEST_TOKEN} characters, or it could be guessed"
        raise VidwatchError(f"review: {rule}")


class Guard:
    """Refuses requests that are not allowed, and hands all others to `app`."""

    def __init__(
        self, app: ASGIApp, host: str, port: int, token: str | None, reviewers: Reviewers
    ) -> None:
        """Guard `app`.

        Args:
            app: What answers the requests that are allowed.
            host: The address that the page listens on.
            port: Its port.
            token: What a browser must bring; None if it need not.
            reviewers: The users among them have links, each of which does what the token does.
        """
        self._token = token
        self._reviewers = reviewers
        self._is_open = token is None and not reviewers.users
        # A cookie belongs to a host whatever the port, and the pages of two homes may be open.
        self._cookie = f"vidwatch-token-{port}"
        self._user_cookie = user_cookie_name(port)
        names = [*LOOPBACK, f"[{host}]" if ":" in host else host]
        # If we listen on all addresses, we cannot know our names. Then the token does what this
        # check does elsewhere: a site whose name was made to point here has no cookie of ours.
        allowed = ["*"] if host in EVERYWHERE else names
        self._inner = TrustedHostMiddleware(self._checked, allowed, www_redirect=False)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the host first."""
        await self._inner(scope, receive, _with_headers(send))

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """What to send to a request that is not allowed; None if it is."""
        if response := self._sign_in(scope):
            return response
        if not self._is_let_in(_cookies(headers)):
            hint = "open the link that vidwatch review printed"
            return PlainTextResponse(f"This page needs its token: {hint}.", 403)
        if not _is_own(scope, headers):
            return PlainTextResponse("Another site sent this; open the page itself.", 403)
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            # A link elsewhere was clicked. The browser sent no cookie of ours with it, so that the
            # page would begin a new session.
            return HTMLResponse(GO_ON)
        return None

    def _is_let_in(self, cookies: Mapping[str, str]) -> bool:
        """Whether a browser that has these cookies may use the page."""
        if self._is_open or self._reviewers.user_of_cookie(cookies.get(self._user_cookie, "")):
            return True
        given = cookies.get(self._cookie, "")
        return self._token is not None and is_same_secret(given, _digest(self._token))

    def _sign_in(self, scope: Scope) -> Response | None:
        """Give a cookie to a browser that opens a link with a token; None for all others."""
        if self._is_open or scope["method"] != "GET" or scope["path"] != "/":
            return None
        query = scope["query_string"].decode("latin-1")
        given = parse_qs(query).get("token", [""])[0]
        if user := self._reviewers.user_of_link(query):
            name = self._user_cookie
            value = self._reviewers.user_cookie(user)
        elif self._token is not None and is_same_secret(given, self._token):
            name = self._cookie
            value = _digest(self._token)
        else:
            return None
        response = HTMLResponse(GO_ON)
        response.set_cookie(name, value, httponly=True, samesite="strict")
        return response


def _is_own(scope: Scope, headers: Headers) -> bool:
    """Whether a request comes from our own page, or opens it.

    Browsers state this in headers. Other programs need not.
    """
    site = headers.get("sec-fetch-site", "same-origin")
    if scope["method"] in ("GET", "HEAD"):
        is_visit = (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )
        return site in ("same-origin", "none") or is_visit
    origin = headers.get("origin")
    own = origin is None or origin.partition("://")[2] == headers.get("host")
    return site == "same-origin" and own


def _with_headers(send: Send) -> Send:
    """Set our headers on each response that does not set its own."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return wrapped


def _cookies(headers: Headers) -> Mapping[str, str]:
    return cookie_parser(headers.get("cookie", ""))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
