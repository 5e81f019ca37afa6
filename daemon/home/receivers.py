"""The settings of what is told to other programs: webhooks, a broker, notifications.

Their values may be secrets, so no error and no text of this module contains one.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from learner.errors import PassingError, VidwatchError

EventName = Literal["classified", "failed", "labelled", "promoted", "training_failed", "trouble"]
EVENT_NAMES: tuple[EventName, ...] = (
    "classified",
    "failed",
    "labelled",
    "promoted",
    "training_failed",
    "trouble",
)
PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}  # seconds
NAME_RULE = 'give it a name: name = "…"'
_RATE = re.compile(r"([1-9]\d{0,5})/(second|minute|hour|day)")
_NAME = re.compile(r"[\w][\w .-]{0,59}")


def _valid_rate(text: str) -> str:
    if text and not _RATE.fullmatch(text):
        raise ValueError("it is a number and a time, such as '10/hour', or '' for no limit")
    return text


def _valid_name(text: str) -> str:
    if text and not _NAME.fullmatch(text):
        raise ValueError("a name has at most 60 letters, digits, spaces, dots, '-' and '_'")
    return text


def _valid_topic(text: str) -> str:
    if re.search(r"[#+\s\0]|^/|/$|^\$", text):
        raise ValueError("a topic has no '#', no '+', no space, and no '/' at its ends")
    return text


def _valid_command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"it is no command: {error}") from None
    if text and not words:
        raise ValueError("it is no command: it has no word")
    return text


CommandLine = Annotated[str, Field(repr=False), AfterValidator(_valid_command)]
Rate = Annotated[str, AfterValidator(_valid_rate)]
Name = Annotated[str, AfterValidator(_valid_name)]
Topic = Annotated[str, AfterValidator(_valid_topic)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Secret(_Table):
    """A text that may be a secret: given as it is, or by the file or the variable that has it.

    In the settings: `"text"`, `{ file = "PATH" }` or `{ env = "NAME" }`.
    """

    text: SecretStr | None = None
    file: str | None = None
    """Relative to the home."""
    env: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"text": given}
        if isinstance(given, dict) and len(given) == 1 and set(given) <= {"file", "env"}:
            return given
        raise ValueError('it is a text, { file = "PATH" } or { env = "NAME" }')

    def read(self, home: Path) -> str:
        """The text itself, as it is now.

        Raises:
            VidwatchError: there is no such variable or file.
            PassingError: the file cannot be read now.
        """
        if self.text is not None:
            return self.text.get_secret_value()
        if self.env is not None:
            if not (value := os.environ.get(self.env)):
                raise VidwatchError(f"the environment variable {self.env} is not set")
            return value
        try:
            path = home / Path(self.file or "").expanduser()
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise PassingError(f"{path} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise PassingError(f"{path} cannot be read (it is no text)") from None
        except (RuntimeError, ValueError):  # "~nobody/", a zero byte
            raise VidwatchError(f"{self.file!r} is no path of a file") from None


class Wanted(_Table):
    """Which events a receiver wants to be told of."""

    name: Name = ""
    events: tuple[EventName, ...] = EVENT_NAMES
    classes: tuple[str, ...] = ()
    """The folders of `classified/` that it wants to hear of; empty: all."""
    at_most: Rate = ""

    @property
    def rate(self) -> tuple[int, float] | None:
        """How many in how many seconds, at most; None if there is no limit."""
        if not (found := _RATE.fullmatch(self.at_most)):
            return None
        return int(found[1]), PERIODS[found[2]]


class Webhook(Wanted):
    """An address that events are posted to."""

    url: Secret
    headers: dict[str, Secret] = {}
    secret: Secret | None = None
    """Signs what is sent."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=600)] = 10.0

    @model_validator(mode="after")
    def _is_http(self) -> "Webhook":
        text = self.url.text
        if text is not None and not is_http(text.get_secret_value()):
            raise ValueError("url must begin with http:// or https://, and name a host")
        for name in self.headers:
            if not re.fullmatch(r"[A-Za-z0-9-]+", name):
                raise ValueError("headers: a name has letters, digits and '-' only")
        return self

    @property
    def default_name(self) -> str:
        """Its host: an address may hold a secret after it."""
        host = None
        if self.url.text is not None:
            host = urlsplit(self.url.text.get_secret_value()).hostname
        return f"webhook {host}" if host else "webhook"


class Notify(Wanted):
    """Where notifications for people are sent: addresses of Apprise."""

    urls: Annotated[tuple[Secret, ...], Field(min_length=1)]
    at_most: Rate = "10/hour"

    @property
    def default_name(self) -> str:
        """The kinds of its addresses: what follows may be a secret."""
        kinds = []
        for url in self.urls:
            kind = url.text.get_secret_value().partition(":")[0] if url.text else "url"
            kinds.append(kind if re.fullmatch(r"[a-z]{1,20}", kind) else "url")
        return f"notify {' '.join(kinds)}"[:60]


class Mqtt(Wanted):
    """A broker; without a host there is none."""

    host: str = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0: 1883, or 8883 with TLS."""
    tls: bool = False
    ca_file: str = ""
    username: str = ""
    password: Secret | None = None
    topic: Annotated[Topic, Field(min_length=1)] = "vidwatch"
    discovery: Topic = "homeassistant"
    """The topic below which Home Assistant looks for devices; empty: it is told of none."""

    @model_validator(mode="after")
    def _has_host(self) -> "Mqtt":
        if not self.host and self.model_fields_set:
            raise ValueError("host is missing: the name or address of the broker")
        if self.password is not None and not self.username:
            raise ValueError("a password needs a username")
        return self

    @property
    def default_name(self) -> str:
        """There is one broker."""
        return "mqtt"


class Command(Wanted):
    """A command that is run at each event of one kind."""

    line: SecretStr
    seconds: float
    """How long it may take."""

    @property
    def default_name(self) -> str:
        """The setting."""
        return f"on_{self.events[0]}"

    def why_not_run(self, home: Path) -> str | None:
        """Why its program cannot be run; None if it can. Its arguments are not shown.

        Args:
            home: The home, in which it is run.
        """
        program = shlex.split(self.line.get_secret_value())[0]
        where = str(home / program) if "/" in program else program
        if shutil.which(where) is not None:
            return None
        if "/" in program and Path(where).exists():
            return f"{program} may not be run: is it executable?"
        return f"{program} is not there"


_TABLES: dict[str, type[BaseModel]] = {"webhook": Webhook, "mqtt": Mqtt, "notify": Notify}
AnyReceiver = Command | Webhook | Mqtt | Notify


def is_http(url: str) -> bool:
    """Whether this is the address of a web server."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def host_of(parts: SplitResult) -> str:
    """The host of an address, with its port if one is given."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port}" if parts.port else host


def commands(lines: Mapping[EventName, str], seconds: float) -> list[Command]:
    """The commands of the settings, by their events; each may take so many seconds."""
    return [
        Command(events=(event,), line=SecretStr(line), seconds=seconds)
        for event, line in lines.items()
        if line
    ]


def keys_of(place: Sequence[int | str]) -> list[str]:
    """The keys of the table that a wrong key stands in; none if it is no table of a receiver."""
    table = _TABLES.get(str(place[0])) if len(place) > 1 else None
    return list(table.model_fields) if table else []


def may_be_secret(place: Sequence[int | str]) -> bool:
    """Whether the value of a setting, or one in it, may be a secret: it is never shown."""
    name = str(place[0])
    return name in _TABLES or name in {f"on_{event}" for event in EVENT_NAMES}


def named(found: Iterable[AnyReceiver]) -> dict[str, AnyReceiver]:
    """The receivers by their names.

    Raises:
        VidwatchError: two of them have the same name.
    """
    by_name: dict[str, AnyReceiver] = {}
    for receiver in found:
        name = receiver.name or receiver.default_name
        if name in by_name:
            raise VidwatchError(f"two receivers are called {name!r}: {NAME_RULE}")
        by_name[name] = receiver
    return by_name


def needs_network(receiver: AnyReceiver) -> bool:
    """Whether it is reached over the network."""
    return not isinstance(receiver, Command)
