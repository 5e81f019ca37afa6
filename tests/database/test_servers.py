"""Servers that cannot be used: each is one clear line, and no password is in it."""

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from homes import MadeHome
from postgres import PASSWORD, TestServer
from sqlalchemy import BigInteger, Text, event, inspect
from sqlalchemy.exc import OperationalError

from daemon.database import dumps, servers
from daemon.database import postgres as seam
from daemon.database.connection import connect, explaining, opened
from daemon.database.root import follow_home
from daemon.database.upgrade import migrate, upgrade
from daemon.home.address import Server, database_of, server_at
from daemon.maintenance.server import check_server
from learner.errors import PassingError, VidwatchError

KINDS_OF_DATABASE = ("postgresql",)
VIDWATCH = Path(sys.executable).with_name("vidwatch")


@pytest.fixture
def server(postgres: TestServer, tmp_path: Path) -> Server:
    """A new, empty database."""
    return server_at(postgres.url(postgres.new_database()), tmp_path)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


def refusal(server: Server) -> VidwatchError:
    """What a command says of a server, as one line without the password."""
    with pytest.raises(VidwatchError) as caught, explaining(server):
        upgrade(server)
    text = str(caught.value)
    assert "\n" not in text
    assert PASSWORD not in text
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return caught.value


def test_a_server_that_is_away_may_come_back(postgres: TestServer, tmp_path: Path) -> None:
    away = server_at(f"postgresql://vidwatch:{PASSWORD}@127.0.0.1:9/vidwatch", tmp_path)
    error = refusal(away)
    assert isinstance(error, PassingError)
    assert "is the server running? Try again" in str(error)


def test_a_wrong_password_is_not_shown(server: Server) -> None:
    error = refusal(replace(server, password="wrong secret"))
    assert not isinstance(error, PassingError)
    assert "password authentication failed" in str(error)
    assert "database_password_file" in str(error)
    assert "wrong secret" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("postgresql://vidwatch:{}@127.0.0.1:{}/nowhere", 'database "nowhere" does not exist'),
        ("postgresql://nobody:{}@127.0.0.1:{}/postgres", "authentication failed"),
        ("postgresql:///?service=nowhere", 'definition of service "nowhere" not found'),
        ("postgresql://vidwatch@no-such-host.invalid/x", "no-such-host.invalid"),
    ],
)
def test_an_address_that_leads_nowhere(
    postgres: TestServer, tmp_path: Path, address: str, problem: str
) -> None:
    url = address.format(PASSWORD.replace(" ", "%20"), postgres.port)
    assert problem in str(refusal(server_at(url, tmp_path)))


def test_a_database_of_another_program_is_left_alone(postgres: TestServer, server: Server) -> None:
    name = server.url.rpartition("/")[2]
    postgres.execute(name, "CREATE TABLE invoices (id int)")
    assert "it holds tables of another program (invoices)" in str(refusal(server))
    postgres.execute(name, "CREATE TABLE alembic_version (version_num text)")
    postgres.execute(name, "INSERT INTO alembic_version VALUES ('a1b2c3')")
    assert "of another program (alembic_version, invoices)" in str(refusal(server))
    assert postgres.execute(name, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [
        (2,)
    ]


def test_a_newer_vidwatch_is_named(postgres: TestServer, home: MadeHome) -> None:
    server = home.home.database
    assert isinstance(server, Server)
    name = server.url.rpartition("/")[2]
    postgres.execute(name, "UPDATE alembic_version SET version_num = '9999'")
    assert "a newer vidwatch wrote it (schema 9999)" in str(refusal(server))


def test_a_server_that_only_reads_is_refused(postgres: TestServer, home: MadeHome) -> None:
    server = home.home.database
    assert isinstance(server, Server)
    name = server.url.rpartition("/")[2]
    postgres.execute("postgres", f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    home.engine.dispose()
    text = "; ".join(f"{line.state} {line.text}" for line in check_server(server))
    assert "problem PostgreSQL" in text
    assert "set to be read only: nothing can be noted there" in text


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_an_encoding_that_not_all_names_have_is_refused(
    postgres: TestServer, tmp_path: Path, encoding: str
) -> None:
    name = f"{encoding.lower()}_{os.getpid()}"
    how = f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    postgres.execute("postgres", f'CREATE DATABASE "{name}" {how}')
    error = refusal(server_at(postgres.url(name), tmp_path))
    assert f"its encoding is {encoding}" in str(error)
    assert "ENCODING 'UTF8'" in str(error)


def test_a_server_that_is_too_old_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert servers.OLDEST >= 14  # the session of a daemon sets `idle_session_timeout`
    monkeypatch.setattr(servers, "OLDEST", 99)
    assert "vidwatch needs 99 or newer" in str(refusal(server))


def test_a_missing_driver_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "find_spec", lambda name: None)
    assert "psycopg is not installed: pip install 'vidwatch[postgres]'" in str(refusal(server))


def test_a_server_without_a_free_connection_may_have_one_later(
    postgres: TestServer, server: Server
) -> None:
    role = f"crowded{os.getpid()}"
    postgres.execute("postgres", f"CREATE ROLE {role} LOGIN PASSWORD 'x' CONNECTION LIMIT 0")
    crowded = replace(server, url=server.url.replace("vidwatch@", f"{role}@"), password="x")
    assert isinstance(refusal(crowded), PassingError)


def test_what_a_server_is_fit_for_is_told(home: MadeHome) -> None:
    server = home.home.database
    assert isinstance(server, Server)
    lines = [f"{line.state} {line.text}" for line in check_server(server)]
    assert [line.partition(" ")[0] for line in lines] == ["ok"] * 3
    assert "the primary, UTF8; no extension is needed" in lines[0]
    assert "connections are free" in lines[1]
    assert "agree" in lines[2]


def test_texts_are_compared_by_their_bytes_and_ids_are_wide(home: MadeHome) -> None:
    """As in SQLite; a new column of text needs the collation "C" in its migration."""
    inspector = inspect(home.engine)
    for table in inspector.get_table_names():
        if table == "alembic_version":
            continue
        for column in inspector.get_columns(table):
            kind = column["type"]
            if isinstance(kind, Text):
                assert kind.collation == "C", f"{table}.{column['name']}"
            if column["name"] == "id" or column["name"].endswith("_id"):
                assert isinstance(kind, BigInteger | Text), f"{table}.{column['name']}"


def test_a_text_with_a_nul_is_kept(home: MadeHome) -> None:
    video = home.fail("a.mp4", reason="bad\0tag")
    assert home.row(video)["error"] == "bad\N{SYMBOL FOR NULL}tag"


def test_the_way_to_a_password_is_found(
    postgres: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres.new_database()
    plain = postgres.url(name, None)
    (tmp_path / "secret").write_text(f"{PASSWORD}\nand a comment\n")
    (tmp_path / "pgpass").write_text(f"127.0.0.1:*:*:vidwatch:{PASSWORD}\n")
    (tmp_path / "pgpass").chmod(0o600)
    lines = ["[lab]", "host=127.0.0.1", f"port={postgres.port}", f"dbname={name}"]
    lines += ["user=vidwatch", f"password={PASSWORD}"]
    (tmp_path / "services").write_text("\n".join(lines) + "\n")
    settings = tmp_path / "vidwatch.toml"

    def answers(**env: str) -> None:
        with monkeypatch.context() as patch:
            for key, value in env.items():
                patch.setenv(key, value)
            with opened(database_of(tmp_path, settings)) as engine, engine.begin() as connection:
                assert connection.exec_driver_sql("SELECT 1").scalar() == 1

    answers(VIDWATCH_DATABASE=postgres.url(name))
    answers(VIDWATCH_DATABASE=f"{plain}?password={PASSWORD.replace(' ', '%20')}")
    answers(VIDWATCH_DATABASE=plain, PGPASSWORD=PASSWORD)
    answers(VIDWATCH_DATABASE=plain, PGPASSFILE=str(tmp_path / "pgpass"))
    answers(
        VIDWATCH_DATABASE="postgresql+psycopg:///?service=lab",
        PGSERVICEFILE=str(tmp_path / "services"),
    )
    answers(VIDWATCH_DATABASE=plain, VIDWATCH_DATABASE_PASSWORD_FILE=str(tmp_path / "secret"))
    settings.write_text(f"database = '{plain}'\ndatabase_password_file = 'secret'\n")
    answers()


def test_a_password_in_the_shared_file_is_refused(tmp_path: Path) -> None:
    settings = tmp_path / "vidwatch.toml"
    for address in ("postgresql://me:hush%20now@db/x", "postgresql://me@db/x?password=hush now"):
        settings.write_text(f"database = '{address}'\n")
        with pytest.raises(VidwatchError, match=r"holds a password.*database_password_file") as how:
            database_of(tmp_path, settings)
        assert "hush" not in str(how.value)


@pytest.mark.parametrize(
    "address", ["mysql://me:hush@db/x", "postgresql://me:hu/sh@db/x", "postgresql://me:hush@db:x/y"]
)
def test_an_address_that_is_none_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("VIDWATCH_DATABASE", address)
    with pytest.raises(VidwatchError, match="it must be an address such as") as how:
        database_of(tmp_path, tmp_path / "vidwatch.toml")
    assert "hu" not in str(how.value)


@pytest.mark.slow
def test_no_password_is_shown_anywhere(
    postgres: TestServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = postgres.url(postgres.new_database())
    root = tmp_path / "home"
    said = []
    for words in (["init", root], ["--home", root, "status"], ["--home", root, "status", "--json"],
                  ["--home", root, "doctor"], ["--home", root, "backup"]):  # fmt: skip
        done = subprocess.run(
            [VIDWATCH, *words],
            env={**os.environ, "VIDWATCH_DATABASE": url},
            capture_output=True,
            text=True,
        )
        assert done.returncode in (0, 1), done.stderr
        said.append(done.stdout + done.stderr)
    server = server_at(url, root)
    said += [repr(server), str(server), repr(connect(server)), seam.conninfo(server)]
    files = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    assert PASSWORD not in "\n".join([*said, caplog.text])
    assert PASSWORD.replace(" ", "%20") not in "\n".join([*said, caplog.text])
    assert not [text for text in files if PASSWORD.encode() in text]


def test_trouble_of_a_server_is_one_kind_of_error(server: Server) -> None:
    migrate(server)
    engine = connect(server, read_only=True)
    with engine.connect() as connection, pytest.raises(OperationalError, match="read-only"):
        connection.exec_driver_sql("CREATE TABLE x (id int)")
    with engine.connect() as connection, pytest.raises(OperationalError, match="does not exist"):
        connection.exec_driver_sql("SELECT * FROM nowhere")
    engine.dispose()


def test_the_file_of_the_password_may_be_named_relative_to_the_home(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the file\n")
    named = server_at("postgresql://ann:other@127.0.0.1/x", tmp_path, "secret")
    assert named.password == "of the file"


def test_the_password_of_a_key_is_shown_as_little_as_that_of_a_user(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = "postgresql://ann@127.0.0.1:9/x?sslkey=/k.pem&passfile=/p&sslpassword=hush%20now"
    server = server_at(url, tmp_path)
    assert server.key_password == "hush now"
    error = refusal(server)
    engine = connect(server)
    said = [str(server), repr(server), repr(engine), seam.conninfo(server), caplog.text]
    said += traceback.format_exception(error)
    assert "hush" not in "\n".join(said)
    assert "passfile=%2Fp" in str(server)
    _, words = engine.dialect.create_connect_args(engine.url)
    assert "sslpassword" not in words
    with pytest.raises(VidwatchError, match="pg_dump can be given no 'sslpassword'"):
        dumps.write(server, "public", -1, lambda: None)


def test_the_password_of_a_key_gets_to_the_server(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = connect(replace(server, key_password="hush now"))
    given: dict[str, object] = {}
    event.listen(engine, "do_connect", lambda *args: given.update(args[3]))
    with engine.connect():
        pass
    engine.dispose()
    assert given["sslpassword"] == "hush now"


@pytest.mark.parametrize("words", [["run"], ["status"], ["init"]])
def test_a_wrong_password_is_for_a_person_whatever_the_command(
    home: MadeHome, words: list[str]
) -> None:
    """So systemd does not start the daemon again and again: see its unit."""
    server = home.home.database
    assert isinstance(server, Server)
    follow_home(home.engine, home.root)
    wrong = server_at(server.url, home.root)
    environment = {"VIDWATCH_DATABASE": wrong.url, "VIDWATCH_DATABASE_PASSWORD_FILE": ""}
    done = subprocess.run(
        [VIDWATCH, "--home", home.root, *words],
        env={**os.environ, **environment, "PGPASSWORD": "wrong secret"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("vidwatch: database postgresql+psycopg://")
    assert "password authentication failed" in last
    assert "database_password_file" in last
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_a_password_that_others_may_read_is_told(postgres: TestServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    url = postgres.url(postgres.new_database(), None)

    def told() -> list[str]:
        lines = check_server(server_at(url, tmp_path, "secret"))
        return [line.text for line in lines if line.subject == "settings"]

    secret.chmod(0o644)
    (text,) = told()
    assert text.startswith(f"database_password_file: others may read {secret}")
    assert text.endswith(f"chmod 600 {secret}")
    secret.chmod(0o600)
    assert told() == []


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(143)])
def test_who_interrupts_a_statement_sees_no_error_of_what_was_to_follow(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    import psycopg

    def ping(connection: object) -> bool:
        """As SQLAlchemy's, when its query is interrupted."""
        try:
            raise end
        finally:
            raise psycopg.ProgrammingError("can't change 'autocommit' now")

    home.rows()
    monkeypatch.setattr(home.engine.dialect, "do_ping", ping)
    with pytest.raises(type(end)):
        home.rows()
    monkeypatch.undo()
    assert home.rows() == []
