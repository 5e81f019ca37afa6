"""Serves the review page until told to stop."""

import contextlib
import secrets
import signal
import socket
import webbrowser
from collections.abc import Sequence
from urllib.parse import quote

import uvicorn

from daemon.database.connection import explaining
from daemon.database.root import follow_home
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.page.app import make_app
from daemon.page.guard import check_token
from daemon.page.key import kept_key
from daemon.page.queue import read_waiting
from daemon.page.reviewers import Reviewers, reviewer_name
from daemon.page.site import Site
from learner.errors import VidwatchError

SECONDS_TO_END = 3  # that open requests have


def serve(
    home: Home,
    settings: Settings,
    host: str,
    port: int,
    token: str | None,
    users: Sequence[str] = (),
    *,
    open_browser: bool,
) -> None:
    """Print the page's address and serve it, until Ctrl-C or SIGTERM.

    Args:
        home: The home to review.
        settings: Its settings.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        token: What a browser must bring. Without token and users, every browser is let in that can
            reach the address.
        users: The names of reviewers who get a link each.
        open_browser: Whether to open the page in a browser.

    Raises:
        VidwatchError: there is no home, its database is not up to date, the address cannot be used,
            others could reach it without a token, or a name cannot be a reviewer's.
    """
    check_token(host, token, has_users=bool(users))
    names = tuple(dict.fromkeys(map(reviewer_name, users)))
    home.require()
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        site = Site.on(home, settings, port, Reviewers(_key(home), names))
        try:
            _require_schema(site)
            if home.running() is None:
                follow_home(site.writer, home.root)
            addresses = _print_addresses(site, host, token)
            site.warm()
            if open_browser:
                webbrowser.open(addresses[0])
            # Requests are not logged: the log would hold the token. Headers of a proxy are ignored:
            # anyone could send them.
            config = uvicorn.Config(
                make_app(site, host, token),
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=SECONDS_TO_END,
            )
            # When uvicorn has stopped on a signal, it raises the signal again, for the program
            # around it.
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
        text = f"cannot listen on {host}, port {port} ({reason}); try another --port"
        raise VidwatchError(f"review: {text}") from error


def _key(home: Home) -> bytes:
    """The page's key; one for this start alone if it cannot be kept."""
    try:
        return kept_key(home.review_key)
    except OSError as error:
        reason = f"{home.review_key} cannot be written ({error.strerror})"
        print(f"{reason}: after the next start, open pages have to be loaded again", flush=True)
        return secrets.token_bytes()


def _print_addresses(site: Site, host: str, token: str | None) -> list[str]:
    """Print the page's address, and the links of users; gives them."""
    name = f"[{host}]" if ":" in host else host
    page = f"http://{name}:{site.port}/"
    links = {user: f"{page}?{site.reviewers.link(user)}" for user in site.reviewers.users}
    address = f"{page}?token={quote(token)}" if token else page
    is_open = token is not None or not links
    shown = f": {address}" if is_open else ""
    print(f"the review page of {site.home.root}{shown} (Ctrl-C ends it)", flush=True)
    for user, link in links.items():
        print(f"  for {user} alone: {link}", flush=True)
    return [*([address] if is_open else []), *links.values()]


def _require_schema(site: Site) -> None:
    """Make sure that the database can be read, and is up to date."""
    with explaining(site.home.database), site.reader.begin() as connection:
        read_waiting(connection)
