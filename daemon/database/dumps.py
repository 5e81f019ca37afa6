"""Copies of a database on a server, by PostgreSQL's own pg_dump and pg_restore.

A copy holds what is in one schema: the server may have others.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from daemon.database.postgres import conninfo, is_refusal
from daemon.home.address import Server
from learner.errors import PassingError, VidwatchError
from learner.process import die_with

ENDING = ".dump"
HEADER = b"PGDMP"
DEBIAN = Path("/usr/lib/postgresql")  # holds a folder for each version of the programs
NEEDED = "install PostgreSQL's client programs (Debian: apt-get install postgresql-client)"
PAUSE = 0.1  # seconds between two looks at a program that runs
_NEWER = re.compile(r"server version: ([0-9.]+)")
_TABLE = re.compile(r"^[0-9]+; [0-9]+ [0-9]+ TABLE (\S+) (\S+) ", re.MULTILINE)
_REVISION = re.compile(r"^COPY \S*alembic_version .*\n(\S+)$", re.MULTILINE)

Progress = Callable[[], None]


def _no_progress() -> None:
    pass


def write(server: Server, schema: str, descriptor: int, progress: Progress) -> None:
    """Copy what is in a schema into an open file. The copy is the state of one instant.

    Args:
        server: The database. Others may write to it meanwhile.
        schema: The name of the schema.
        descriptor: Of the file.
        progress: Called several times a second. An exception from it ends the copying.

    Raises:
        VidwatchError: pg_dump is missing or too old, or the server refuses.
        PassingError: the server is away, or the file cannot be written.
    """
    words = ["--format=custom", "--no-owner", "--no-privileges", f"--schema={_quoted(schema)}"]
    command = ["pg_dump", *words, "--lock-wait-timeout=30s", "--no-password"]
    _run(server, [*command, f"--dbname={conninfo(server)}"], progress, output=descriptor)


def problem_of(path: Path, progress: Progress = _no_progress) -> str | None:
    """What is wrong with a copy, which is read to its end; None if it is whole.

    Raises:
        VidwatchError: pg_restore is missing, or older than the pg_dump that made the copy.
    """
    try:
        _run(None, ["pg_restore", "--file=/dev/null", str(path)], progress)
    except _FailedError as error:
        if "unsupported version" in str(error):
            raise VidwatchError(f"backup {path}: {error}; a newer pg_restore reads it") from error
        return str(error)
    return None


def revision_in(path: Path, schema: str) -> str | None:
    """The schema version of a whole copy; None if it is no copy of a database of vidwatch.

    Raises:
        VidwatchError: its tables lie in a schema with another name.
    """
    listed = _TABLE.findall(_run(None, ["pg_restore", "--list", str(path)], _no_progress))
    schemas = {where for where, table in listed if table == "videos"}
    if not schemas or "alembic_version" not in {table for _, table in listed}:
        return None
    if schema not in schemas:
        names = ", ".join(sorted(schemas))
        problem = f"its tables are in the schema {names}, and the server uses {schema}"
        raise VidwatchError(f"backup {path}: {problem}; set the role's search_path to it")
    command = ["pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(path)]
    found = _REVISION.search(_run(None, command, _no_progress))
    return found[1] if found else None


def put_back(path: Path, server: Server, schema: str, progress: Progress = _no_progress) -> None:
    """Make the tables of a copy, in a schema that has none of them: all or nothing.

    Raises:
        VidwatchError: pg_restore is missing or too old, or the server refuses.
        PassingError: the server is away, or has no room.
    """
    words = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    command = ["pg_restore", *words, f"--schema={schema}", "--no-password"]
    _run(server, [*command, f"--dbname={conninfo(server)}", str(path)], progress)


def require_programs(major: int) -> None:
    """Check that there are programs that can copy a server of this version.

    Raises:
        VidwatchError: there are none.
    """
    for name in ("pg_dump", "pg_restore"):
        program = _newest(name)
        if _version(program)[0] < major:
            problem = f"{program} is older than the server, which is PostgreSQL {major}"
            raise VidwatchError(f"backups: {problem}; install postgresql-client-{major}")


class _FailedError(PassingError):
    """A program of PostgreSQL says that it failed, and why."""


def _run(
    server: Server | None, command: Sequence[str], progress: Progress, output: int | None = None
) -> str:
    """Run a program of PostgreSQL to its end; gives what it printed, unless that is a file.

    The password is in the program's environment, where only this user can read it. That of a
    private key has no place there.
    """
    if server and server.key_password is not None:
        problem = f"{command[0]} can be given no 'sslpassword' without showing it to others"
        hint = "take it off the key, and chmod 600 that, or name both in a service file"
        raise VidwatchError(f"database {server}: {problem}; {hint}")
    env = {name: value for name, value in os.environ.items() if name != "VIDWATCH_DATABASE"}
    env |= {"LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}
    if server and server.password is not None:
        env["PGPASSWORD"] = server.password
    program = _newest(command[0])
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as printed:
        running = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=printed if output is None else output,
            stderr=said,
            env=env,
            preexec_fn=partial(die_with, os.getpid()),
        )
        try:
            while running.poll() is None:
                progress()
                time.sleep(PAUSE if progress is not _no_progress else PAUSE / 10)
        finally:
            running.kill()
            running.wait()
        said.seek(0)
        if running.returncode:
            raise _error(server, command[0], said.read().decode(errors="replace"))
        printed.seek(0)
        return printed.read().decode(errors="replace")


def _error(server: Server | None, program: str, said: str) -> VidwatchError:
    if (newer := _NEWER.search(said)) and "version mismatch" in said:
        major = newer[1].partition(".")[0]
        problem = f"{program} is older than the server, which is PostgreSQL {newer[1]}"
        return VidwatchError(f"database {server}: {problem}; install postgresql-client-{major}")
    lines = [line for line in said.splitlines() if "error:" in line]
    reason = lines[0].partition("error: ")[2] if lines else f"{program} was ended"
    if server is None:
        return _FailedError(reason)
    if is_refusal(reason) or "permission denied" in reason:
        return VidwatchError(f"database {server}: {program}: {reason}")
    return PassingError(f"database {server}: {program}: {reason}; try again")


@cache
def _newest(name: str) -> str:
    """The newest of the programs with a name: pg_dump copies no server that is newer.

    Raises:
        VidwatchError: there is none.
    """
    found = [path for path in [shutil.which(name)] if path]
    found += map(str, DEBIAN.glob(f"*/bin/{name}"))
    if not found:
        raise VidwatchError(f"the program {name} is missing: {NEEDED}")
    return max(found, key=_version)


def _version(program: str) -> tuple[int, ...]:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return tuple(map(int, re.findall(r"\d+", done.stdout)[:2]))


def _quoted(name: str) -> str:
    """A name as a pattern of pg_dump that fits it alone."""
    return '"' + name.replace('"', '""') + '"'
