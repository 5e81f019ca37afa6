"""Where the database of a home is: a file in the home, or a PostgreSQL server that machines share.

Reads one setting without loading all of them, since every command asks for it. Connects to nothing.
"""

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from learner.errors import VidwatchError

KINDS = ("postgresql+psycopg", "postgresql", "postgres")
"""How the address of a server begins. They mean the same."""
WAYS = "name a file that holds it in 'database_password_file', or use PGPASSWORD or ~/.pgpass"
EXAMPLE = "postgresql+psycopg://user@host/database"
_SETTINGS = ("database", "database_password_file")
_GIVEN = re.compile(rf"^[ \t]*({'|'.join(_SETTINGS)})[ \t]*=", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A database on a PostgreSQL server. As text, it is its address without the password."""

    url: str
    """Without a password."""
    root: Path
    """Where the home lies on this machine: paths in it are stored without that."""
    password: str | None = field(default=None, repr=False)
    """None: the client library finds one, or needs none."""
    schema: str | None = None
    """Where in the database its tables are; None for where the server looks by itself."""

    def __str__(self) -> str:
        return f"{self.url} (schema {self.schema})" if self.schema else self.url


Database = Path | Server
"""The SQLite file of a home, or its server."""


def root_of(database: Database) -> Path:
    """The home of a database, on this machine."""
    return database.root if isinstance(database, Server) else database.parent


def database_of(root: Path, settings: Path) -> Database:
    """The database of the home at `root`, by its settings file and the environment.

    Raises:
        VidwatchError: the settings file cannot be read, or the address is none.
    """
    url, password_file = (_setting(name, settings) for name in _SETTINGS)
    if not url:
        return root / "vidwatch.db"
    if "VIDWATCH_DATABASE" not in os.environ and has_password(url):
        problem = "it holds a password, and others may read that file; take it out of the address"
        raise VidwatchError(f"setting 'database' in {settings}: {problem}, and {WAYS}")
    if password_file:
        password_file = str(root / Path(password_file).expanduser())
    return server_at(url, root, password_file)


def server_at(url: str, root: Path, password_file: str = "") -> Server:
    """The server at an address.

    Args:
        url: Such as "postgresql+psycopg://user@host/database"; it may hold a password.
        root: Where the home lies on this machine.
        password_file: Holds the password in its first line; "" for none.

    Raises:
        VidwatchError: the address is none, or the file cannot be read.
    """
    parts = parsed(url)
    where, at, host = parts.netloc.rpartition("@")
    user, colon, password = where.partition(":")
    asked = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, value) for name, value in asked if name != "password"])
    shown = urlunsplit(parts._replace(scheme=KINDS[0], netloc=f"{user}{at}{host}", query=query))
    if parts.netloc == "":  # a service file or the environment names the rest
        shown = f"{KINDS[0]}://{parts.path or '/'}" + (f"?{query}" if query else "")
    given = dict(asked).get("password", unquote(password) if colon else None)
    return Server(shown, root, _password_in(password_file) if password_file else given)


def parsed(url: str) -> SplitResult:
    """The parts of the address of a server.

    Raises:
        VidwatchError: it is none. The message does not repeat it: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text has a part of the address
        hint = "signs such as @ : / in a password are written as %40 %3A %2F"
        problem = f"it must be an address such as {EXAMPLE}"
        raise VidwatchError(f"setting database: {problem}; {hint}") from None
    if parts.scheme not in KINDS:
        raise VidwatchError(f"setting database: it must be an address such as {EXAMPLE}")
    return parts


def has_password(url: str) -> bool:
    """Whether an address holds a password."""
    parts = parsed(url)
    return parts.password is not None or "password" in dict(parse_qsl(parts.query))


def _setting(name: str, settings: Path) -> str:
    """A setting that is a text; "" if it is not given. The environment counts more."""
    given = os.environ.get(f"VIDWATCH_{name.upper()}")
    if given is not None:
        return given
    try:
        text = settings.read_text(encoding="utf-8")
        found = tomllib.loads(text) if _GIVEN.search(text) else {}
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise VidwatchError(f"settings {settings}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VidwatchError(f"settings {settings}: not valid TOML ({error})") from error
    value = found.get(name, "")
    return value if isinstance(value, str) else ""


def _password_in(file: str) -> str:
    path = Path(file)
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise VidwatchError(f"setting database_password_file: {path}: {reason}") from None
