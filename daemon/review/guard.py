"""Who may use the page: the right host, the token where one is set, and nothing that another site sends.

A pure ASGI layer around all routes; the secret that each of our forms holds is checked where forms are read.
"""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from learner.errors import VidwatchError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")
SHORTEST_TOKEN = 16
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with that a browser sends "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# A redirect would not do: after a click on a link elsewhere, the browser would not send the new cookie along.
GO_ON = '<!doctype html><meta http-equiv="refresh" content="0;url=/"><title>vidwatch</title><a href="/">Go on</a>'


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach an address."""
    return host in (*LOOPBACK, "::1")


def check_token(host: str, token: str | None) -> None:
    """Refuse what would let others in.

    Raises:
        VidwatchError: another host than this machine's own without a token, or a token that can be guessed.
    """
    if token is None and not is_loopback(host):
        hint = "set VIDWATCH_REVIEW_TOKEN, or give --token"
        raise VidwatchError(
            f"review: on {host} others could reach the page, so it needs a token; {hint}"
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise VidwatchError(
            f"review: the token must have at least {SHORTEST_TOKEN} characters, or it could be guessed"
        )


class Guard:
    """Turns away whoever should not come in; all others go on to `app`."""

    def __init__(self, app: ASGIApp, host: str, port: int, token: str | None) -> None:
        self._token = token
        self._cookie = (
            f"vidwatch-token-{port}"  # cookies do not tell ports apart, and two homes may be open
        )
        names = [*LOOPBACK, f"[{host}]" if ":" in host else host]
        # On all addresses we cannot know our names. There the token keeps out what this check does: a site whose name
        # is made to point here has no cookie of ours.
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
        if self._token is not None and not same(
            _cookies(headers).get(self._cookie, ""), _digest(self._token)
        ):
            return self._sign_in(scope)
        if not _is_own(scope, headers):
            return PlainTextResponse("Another site sent this; open the page itself.", 403)
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return HTMLResponse(
                GO_ON
            )  # a link elsewhere was clicked: without our cookie, it would lose the session
        return None

    def _sign_in(self, scope: Scope) -> Response:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["method"] != "GET" or scope["path"] != "/" or not same(given, str(self._token)):
            return PlainTextResponse(
                "This page needs its token: open the link that vidwatch review printed.", 403
            )
        response = HTMLResponse(GO_ON)
        response.set_cookie(
            self._cookie, _digest(str(self._token)), httponly=True, samesite="strict"
        )
        return response


def _is_own(scope: Scope, headers: Headers) -> bool:
    """Whether a request comes from our own page, or is a visit; browsers say so, and other programs have no need to."""
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
    """Set our headers on each answer that does not set its own."""

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


def same(one: str, other: str) -> bool:
    """Compare secrets in a time that does not tell how much of them is right."""
    return hmac.compare_digest(one.encode(), other.encode())
