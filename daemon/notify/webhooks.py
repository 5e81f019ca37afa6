"""Posts each event to an address, as JSON.

A reply of 2xx says that it was delivered. Redirects are not followed. Nothing is read of a reply
but its head, and all of it has to come within the time limit, however slowly it comes.
"""

import base64
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from daemon.home.receivers import Webhook, host_of, is_http
from daemon.notify.connecting import why_not_reached
from daemon.notify.content import Content
from daemon.notify.sender import NotDeliveredError, as_json, parts_of_url
from learner.errors import VidwatchError

LONGEST_PAUSE = 3600.0  # seconds that a server may ask us to wait
_AS_IS = "/%:=&?~+!$,;'@()*[]"


class WebhookSender:
    """Posts to one address, one event at a time."""

    bundles = False

    def __init__(self, webhook: Webhook, home: Path) -> None:
        self._webhook = webhook
        self._home = home
        self._tls = ssl.create_default_context()
        self._open: socket.socket | None = None

    def send(self, events: Sequence[Content], more: int) -> None:
        """Post an event.

        Raises:
            NotDeliveredError: there is no reply of 2xx.
        """
        (event,) = events
        body = as_json(event)
        try:
            parts = self._address()
            headers = self._headers(parts, event, body)
        except VidwatchError as error:
            raise NotDeliveredError(str(error)) from None
        deadline = time.monotonic() + self._webhook.timeout_seconds
        try:
            status, retry_after = self._post(parts, headers, body, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline:
                limit = f"{self._webhook.timeout_seconds:g} s (timeout_seconds)"
                reason = f"{host_of(parts)} did not reply within {limit}"
            else:
                reason = f"{host_of(parts)}: {_reason(error)}"
            raise NotDeliveredError(reason) from None
        if not 200 <= status < 300:
            pause = _pause(retry_after)
            raise NotDeliveredError(_refusal(parts, status), pause=pause, is_refusal=True)

    def _address(self) -> SplitResult:
        url = self._webhook.url.read(self._home)
        if not is_http(url):
            raise VidwatchError("its url must begin with http:// or https://, and name a host")
        return urlsplit(url)

    def _headers(self, parts: SplitResult, event: Content, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"vidwatch/{version('vidwatch')}",
            "X-Vidwatch-Event": event["event"],
            "X-Vidwatch-Event-Id": event["event_id"],
            "Connection": "close",
        }
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        for name, secret in self._webhook.headers.items():
            value = secret.read(self._home)
            if not value.isascii() or not value.isprintable():
                raise VidwatchError(f"the header {name} must be one line of ASCII")
            headers[name] = value
        if self._webhook.secret is not None:
            key = self._webhook.secret.read(self._home).encode()
            signature = hmac.new(key, body, hashlib.sha256).hexdigest()
            headers["X-Vidwatch-Signature"] = f"sha256={signature}"
        return headers

    def _post(
        self, parts: SplitResult, headers: dict[str, str], body: bytes, deadline: float
    ) -> tuple[int, str | None]:
        """Gives the status of the reply, and its Retry-After."""
        host = parts.hostname or ""
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        target = quote(parts.path or "/", safe=_AS_IS)
        if parts.query:
            target += f"?{quote(parts.query, safe=_AS_IS)}"
        connection = http.client.HTTPConnection(host, port)
        seconds = self._webhook.timeout_seconds
        with (
            socket.create_connection((host, port), seconds) as plain,
            self._watched(plain, deadline),
        ):
            connection.sock = plain
            if is_tls:
                connection.sock = self._tls.wrap_socket(plain, server_hostname=host)
            try:
                # The Host has no port if it is the usual one, as servers expect it.
                connection.request("POST", target, body, {"Host": host_of(parts), **headers})
                reply = connection.getresponse()
                if time.monotonic() >= deadline:  # its head may be cut short by us
                    raise TimeoutError
                return reply.status, reply.getheader("Retry-After")
            finally:
                connection.close()

    @contextmanager
    def _watched(self, connected: socket.socket, deadline: float) -> Iterator[None]:
        """Shut the connection at the deadline: each byte that comes would begin a new time-out."""
        self._open = connected.dup()
        timer = threading.Timer(max(deadline - time.monotonic(), 0), self.abort)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            self._open.close()
            self._open = None

    def tend(self) -> bool:
        """Nothing: an address is not asked unless there is something to tell it."""
        return False

    def abort(self) -> None:
        """Shut the connection."""
        if (connected := self._open) is not None:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing is open."""

    def secrets(self) -> Iterable[str]:
        """The address but for its host, the headers and the key."""
        found = [*self._webhook.headers.values(), self._webhook.url]
        if self._webhook.secret is not None:
            found.append(self._webhook.secret)
        for secret in found:
            with suppress(VidwatchError):
                text = secret.read(self._home)
                yield from parts_of_url(text) if is_http(text) else [text]


def _reason(error: Exception) -> str:
    """Why a request failed: never the text of an error that may quote the address."""
    if reason := why_not_reached(error):
        return reason
    if isinstance(error, http.client.RemoteDisconnected | ConnectionError):
        return "closed the connection without a reply"
    if isinstance(error, OSError):
        return "cannot be reached"
    if isinstance(error, http.client.HTTPException):
        return "its reply is no HTTP"
    return "is no address that can be used"


def _refusal(parts: SplitResult, status: int) -> str:
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    hint = ": redirects are not followed, so give the new address" if 300 <= status < 400 else ""
    return f"{host_of(parts)} replied {status}{phrase}{hint}"


def _pause(retry_after: str | None) -> float:
    """The seconds that a server asks us to wait; 0 if it asks for nothing that we understand."""
    if retry_after is None:
        return 0.0
    if retry_after.strip().isdecimal():
        return min(float(retry_after), LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - datetime.now(UTC)).total_seconds(), 0.0), LONGEST_PAUSE)
