"""Where the database of a home is: a file in the home, or a PostgreSQL server that machines share.

Reads one setting without loading all of them, since every command asks for it. Connects to nothing.
"""

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from learner.errors import VidwatchError

KINDS = ("postgresql+psycopg", "postgresql", "postgres")
"""How the address of a server begins. They mean the same."""
WAYS = "name a file that holds it in 'database_password_file', or use PGPASSWORD or ~/.pgpass"
EXAMPLE = "postgresql+psycopg://user@host/database"
SECRET = frozenset({"password", "sslpassword"})
"""The words of an address that are shown to nobody."""
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
    key_password: str | None = field(default=None, repr=False)
    """That of the private key by which the client shows who it is (`sslpassword`)."""
    password_file: Path | None = None
    """Where the password was read, if a setting names a file."""
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
    url, password_file = _given(settings)
    if not url:
        return root / "vidwatch.db"
    if "VIDWATCH_DATABASE" not in os.environ and has_password(url):
        problem = "it holds a password, and others may read that file; take it out of the address"
        raise VidwatchError(f"setting 'database' in {settings}: {problem}, and {WAYS}")
    return server_at(url, root, password_file)


def server_at(url: str, root: Path, password_file: str = "") -> Server:
    """The server at an address.

    Args:
        url: Such as "postgresql+psycopg://user@host/database"; it may hold a password.
        root: Where the home lies on this machine.
        password_file: Holds the password in its first line; its path may be relative to the home.
            "" for none.

    Raises:
        VidwatchError: the address is none, or the file cannot be read.
    """
    parts = parsed(url)
    where, at, host = parts.netloc.rpartition("@")
    user, colon, password = where.partition(":")
    asked = parse_qsl(parts.query, keep_blank_values=True)
    query = urlencode([(name, value) for name, value in asked if name not in SECRET])
    shown = urlunsplit(parts._replace(scheme=KINDS[0], netloc=f"{user}{at}{host}", query=query))
    if parts.netloc == "":  # a service file or the environment names the rest
        shown = f"{KINDS[0]}://{parts.path or '/'}" + (f"?{query}" if query else "")
    given = dict(asked).get("password", unquote(password) if colon else None)
    file = root / Path(password_file).expanduser() if password_file else None
    if file:
        given = _password_in(file)
    key_password = dict(asked).get("sslpassword")
    return Server(shown, root, given, key_password=key_password, password_file=file)


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
    return parts.password is not None or not SECRET.isdisjoint(dict(parse_qsl(parts.query)))


def _given(settings: Path) -> list[str]:
    """The two settings; "" for one that is not given. The environment counts more."""
    given = [os.environ.get(f"VIDWATCH_{name.upper()}") for name in _SETTINGS]
    if None not in given:
        return [text or "" for text in given]
    of_file = _in_file(settings)
    known = {name: value for name, value in of_file.items() if isinstance(value, str)}
    pairs = zip(_SETTINGS, given, strict=True)
    return [known.get(name, "") if text is None else text for name, text in pairs]


def _in_file(settings: Path) -> dict[str, Any]:
    """What the settings file says; nothing if it names no database."""
    try:
        text = settings.read_text(encoding="utf-8")
        return tomllib.loads(text) if _GIVEN.search(text) else {}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise VidwatchError(f"settings {settings}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VidwatchError(f"settings {settings}: not valid TOML ({error})") from error


def who_else_reads(file: Path) -> str | None:
    """That others on this machine may read the file of a password, and what to do; None if not.

    The rule is that of PostgreSQL for private keys: the group may read a file of root. What lies
    in /run was put there by a container engine or by systemd, which decide who sees it.
    """
    if Path("/run") in file.resolve().parents:
        return None
    try:
        info = file.stat()
    except OSError:
        return None
    others = 0o007 if info.st_uid == 0 else 0o077
    if not info.st_mode & others:
        return None
    return f"others may read {file}, which holds the database's password: chmod 600 {file}"


def _password_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise VidwatchError(f"setting database_password_file: {path}: {reason}") from None
