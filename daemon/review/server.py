"""Serves the review page until it is told to stop."""

import contextlib
import signal
import socket
import webbrowser
from urllib.parse import quote

import uvicorn
from sqlalchemy.exc import DatabaseError

from daemon.database.connection import explained
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.review.app import make_app
from daemon.review.guard import check_token
from daemon.review.queue import read_waiting
from daemon.review.site import Site
from learner.errors import VidwatchError

SECONDS_TO_END = 3


def serve(
    home: Home, settings: Settings, host: str, port: int, token: str | None, *, open_browser: bool
) -> None:
    """Print the page's address and answer there, until Ctrl-C or SIGTERM.

    Raises:
        VidwatchError: no home, a database that is not up to date, an address that cannot be had, or one that would let
            others in without a token.
    """
    check_token(host, token)
    home.require()
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        site = Site.on(home, settings, port)
        try:
            _require_schema(site)
            address = _address(host, port, token)
            print(f"the review page of {home.root}: {address} (Ctrl-C ends it)", flush=True)
            if open_browser:
                webbrowser.open(address)
            # No log of requests: the token would stand in it. No proxy's headers: anyone could send them.
            config = uvicorn.Config(
                make_app(site, host, token),
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=SECONDS_TO_END,
            )
            # uvicorn raises the signal that ended it once more, for whoever it belongs to.
            signal.signal(signal.SIGTERM, _end)
            with contextlib.suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            site.close()


def _end(number: int, frame: object) -> None:
    raise SystemExit


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VidwatchError(
            f"review: cannot listen on {host}, port {port} ({reason}); try another --port"
        ) from error


def _address(host: str, port: int, token: str | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={quote(token)}" if token else "")


def _require_schema(site: Site) -> None:
    try:
        with site.reader.begin() as read:
            read_waiting(read)
    except DatabaseError as error:
        raise explained(error, site.home.database) from error
