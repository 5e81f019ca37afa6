"""A real PostgreSQL server for the tests: in a temporary folder, on a free port of this machine.

Each home that asks for it gets a new, empty database of its own.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.database.upgrade import upgrade
from daemon.home.address import server_at

USER = "vidwatch"
PASSWORD = "only for tests"


class TestServer:
    """A server that can be stopped, killed and started again.

    PostgreSQL refuses to run as root: then the user `postgres` of Debian's package, or `nobody`,
    runs it.
    """

    __test__ = False

    def __init__(self, folder: Path, programs: Path, primary: "TestServer | None" = None) -> None:
        """It is made, not started. With a primary, it is a replica of that."""
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self._programs = programs
        self._made = 0
        self.port = _free_port()
        self._user = _server_user() if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(folder, self._user)
        self._template: str | None = None
        self._secret = folder / "password"
        self._secret.write_text(PASSWORD)
        self._secret.chmod(0o644)
        if primary:
            address = primary.url("").replace("+psycopg", "")
            how = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
            self._run("pg_basebackup", f"--pgdata={self.data}", f"--dbname={address}", *how)
            return
        how = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={self._secret}"]
        self._run("initdb", f"--pgdata={self.data}", *how, "--no-sync", "--locale=C.UTF-8")
        self._secret.chmod(0o600)

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers. Nothing is synced to the disk: a test ends soon."""
        given = [f"-p {self.port}", "-h 127.0.0.1", f"-k {self.folder}", "-c max_connections=200"]
        fast = ["-c fsync=off", "-c full_page_writes=off"]
        words = " ".join([*given, *fast, *options])
        self._run("pg_ctl", "start", f"-D{self.data}", f"-l{self.log}", "-w", f"-o {words}")

    def stop(self, mode: str = "fast") -> None:
        """Stop it; "immediate" is as if it were killed."""
        self._run("pg_ctl", "stop", f"-D{self.data}", "-w", f"-m{mode}")

    def promote(self) -> None:
        """Let a replica take changes."""
        self._run("pg_ctl", "promote", f"-D{self.data}", "-w")

    def runs(self) -> bool:
        """Whether it answers; a full disk can end it."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def url(self, database: str, password: str | None = PASSWORD) -> str:
        """The address of a database on it."""
        secret = "" if password is None else f":{password.replace(' ', '%20')}"
        return f"postgresql+psycopg://{USER}{secret}@127.0.0.1:{self.port}/{database}"

    def new_database(self, template: str = "template1") -> str:
        """Make an empty database; gives its name."""
        self._made += 1
        name = f"home{os.getpid()}_{self._made}"
        self.execute("postgres", f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def settings_of_new_home(self) -> str:
        """The lines of vidwatch.toml for a home that has a new database here, up to date."""
        if self._template is None:
            self._template = self.new_database()
            address = server_at(self.url(self._template), self.folder)
            upgrade(address)
        name = self.new_database(self._template)
        lines = {"database": self.url(name, None), "database_password_file": self._secret}
        return "".join(f"\n{key} = '{value}'\n" for key, value in lines.items())

    def execute(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        """Give a statement to the server, as its administrator; gives the rows, if there are any."""
        import psycopg

        address = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        with psycopg.connect(dbname=database, autocommit=True, **address) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / program), *words]
        # Not its output: a server that goes on would keep it open.
        said = self.folder / f"{program}.txt"
        with said.open("w") as output:
            done = subprocess.run(
                command, user=self._user, stdout=output, stderr=output, cwd="/", check=False
            )
        assert done.returncode == 0, f"{program}: {said.read_text()}"


@contextmanager
def running_server(
    *options: str, folder: Path | None = None, primary: TestServer | None = None
) -> Iterator[TestServer]:
    """A server, started with these options; skips where PostgreSQL or psycopg is not installed.

    Where VIDWATCH_REQUIRE_POSTGRES is 1, it fails instead.

    Args:
        options: Of the server.
        folder: Where it lies; a new folder, if none is given.
        primary: It is a replica of this one.
    """
    programs = _programs()
    try:
        import psycopg  # noqa: F401
    except ImportError:
        _missing("needs psycopg: pip install 'vidwatch[postgres]'")
    if programs is None:
        _missing("needs a PostgreSQL server: apt-get install postgresql")
    made = folder or Path(tempfile.mkdtemp(prefix="vidwatch-pg-"))  # a socket's path must be short
    made.chmod(0o755)
    try:
        server = TestServer(made, programs, primary)
        server.start(*options)
        try:
            yield server
        finally:
            if server.runs():
                server.stop("immediate")
    finally:
        if folder is None:
            shutil.rmtree(made)


def _missing(why: str) -> None:
    if os.environ.get("VIDWATCH_REQUIRE_POSTGRES") == "1":
        pytest.fail(f"VIDWATCH_REQUIRE_POSTGRES is 1: {why}")
    pytest.skip(why)


def _programs() -> Path | None:
    """The folder of the newest server's programs."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent  # beside it lie the others
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max(
        (path.parent for path in folders), key=lambda path: int(path.parts[-2]), default=None
    )


def _server_user() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
