"""A home's database moves to a server and back, with real databases of both kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import homes
import pytest
from homes import MadeHome
from postgres import PASSWORD, TestServer
from sqlalchemy import select, update

from daemon.database import row_copy
from daemon.database.connection import connect
from daemon.database.root import follow_home
from daemon.database.session import Session
from daemon.database.tables import predictions, videos
from daemon.home.address import Server
from daemon.home.folder import Home
from daemon.maintenance.migrate_database import Migrated, migrate_database
from learner.errors import PassingError, VidwatchError

KINDS_OF_DATABASE = ("sqlite",)  # it begins with a file, whatever it becomes


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)


@pytest.fixture
def url(postgres: TestServer) -> str:
    return postgres.url(postgres.new_database(), password=None)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    """Videos with predictions, labels, troubles, and duplicates before and after their first."""
    home = MadeHome(tmp_path / "home")
    follow_home(home.engine, home.root)
    first, second, third = (home.arrive(f"{name}.mp4", name) for name in ("a", "ü \x01", "c"))
    home.predict_and_file(home.model_prediction("Skiing", 0.1 + 0.2, [1 / 3, -2.5e-7]))
    home.give_label(first, "Biking")
    home.file()
    home.fail("d.mp4", "no video\nat all")
    with home.writing() as connection:
        for one, of in ((first, third), (third, second)):
            this = update(videos).where(videos.c.id == one)
            connection.execute(this.values(duplicate_of=of, fingerprint=bytes(range(256))))
    yield home
    home.close()


def rows(home: Home) -> dict[str, list[Any]]:
    """All that a home's database holds."""
    engine = connect(home.database)
    with engine.begin() as connection:
        found = {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in row_copy.TABLES
        }
    engine.dispose()
    return found


def move(home: Home, to: str) -> Migrated:
    return migrate_database(home, to, homes.START, lambda done, total: None)


def test_all_rows_go_to_a_server_and_come_back(home: MadeHome, url: str) -> None:
    home.close()
    before = rows(home.home)
    done = move(home.home, url)
    assert home.home.database == Server(url, home.root)
    assert rows(home.home) == before
    assert done.kept
    assert done.kept.is_file()
    assert not (home.root / "vidwatch.db").exists()

    back = move(home.home, "sqlite")
    assert home.home.database == home.root / "vidwatch.db"
    assert rows(home.home) == before
    assert back.kept is None
    assert back.rows == done.rows

    move(home.home, url)
    engine = connect(home.home.database)
    follow_home(engine, home.root)  # it is this home's again
    engine.dispose()
    assert rows(home.home) == before


def test_nothing_is_copied_while_a_daemon_waits_on_the_server(home: MadeHome, url: str) -> None:
    home.close()
    before = rows(home.home)
    other = Session(Server(url, home.root), "other")
    other.open()
    with pytest.raises(PassingError, match="stop them on all machines first"):
        move(home.home, url)
    other.close()
    assert rows(home.home) == before
    move(home.home, url)
    assert rows(home.home) == before


@pytest.mark.slow
def test_a_database_is_not_moved_to_itself_by_another_address(home: MadeHome, url: str) -> None:
    home.close()
    move(home.home, url)
    before = rows(home.home)
    with pytest.raises(PassingError, match="for itself, use postgresql"):
        move(home.home, f"{url}?connect_timeout=9")
    move(home.home, "sqlite")
    assert rows(home.home) == before


def test_the_server_gives_ids_behind_those_that_were_copied(home: MadeHome, url: str) -> None:
    last = max(row.id for row in home.rows())
    home.close()
    move(home.home, url)
    home.engine = connect(home.home.database)
    home.queue = type(home.queue)(home.engine, "me")
    assert home.arrive("new.mp4") == last + 1


def test_paths_are_stored_without_the_home(home: MadeHome, url: str, postgres: TestServer) -> None:
    home.close()
    move(home.home, url)
    name = url.rpartition("/")[2]
    stored = {bytes(row[0]) for row in postgres.execute(name, "SELECT path FROM videos")}
    assert {path[:2] for path in stored} == {b"./"}


@pytest.mark.slow
def test_a_copy_that_was_ended_goes_on(
    home: MadeHome, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_copy, "BATCH", 1)
    home.close()
    before = rows(home.home)
    for stop in (2, 5, 9):

        def progress(done: int, total: int | None, stop: int = stop) -> None:
            if done >= stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            migrate_database(home.home, url, homes.START, progress)
        assert home.home.database == home.root / "vidwatch.db"
    move(home.home, url)
    assert rows(home.home) == before


@pytest.mark.slow
def test_what_changed_since_a_copy_was_ended_is_copied_too(
    home: MadeHome, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_copy, "BATCH", 1)

    def progress(done: int, total: int | None) -> None:
        if done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate_database(home.home, url, homes.START, progress)
    with home.writing() as connection:
        connection.execute(update(videos).where(videos.c.id == 1).values(trouble="later"))
    home.close()
    before = rows(home.home)
    move(home.home, url)
    assert rows(home.home) == before


def test_a_copy_that_differs_is_not_used(
    home: MadeHome, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = row_copy._as_stored
    writes = []

    def wrong(names: list[str], row: Any) -> dict[str, Any]:
        found = real(names, row)
        if "logits" in found and not writes:
            writes.append(1)
            found["logits"] = [0.0]
        return found

    monkeypatch.setattr(row_copy, "_as_stored", wrong)
    home.close()
    with pytest.raises(VidwatchError, match="differs from the database in predictions"):
        move(home.home, url)
    assert home.home.database == home.root / "vidwatch.db"
    assert len(rows(home.home)[predictions.name]) == 3


def test_a_database_of_another_home_is_refused(home: MadeHome, url: str, tmp_path: Path) -> None:
    home.close()
    move(home.home, url)
    other = MadeHome(tmp_path / "other")
    other.arrive("x.mp4")
    other.close()
    with pytest.raises(VidwatchError, match="belongs to a home; name an empty database"):
        move(other.home, url)
    assert other.home.database == other.root / "vidwatch.db"


@pytest.mark.slow
def test_an_old_file_beside_the_server_is_not_overwritten(home: MadeHome, url: str) -> None:
    home.close()
    move(home.home, url)
    old = home.root / "vidwatch.db"
    old.write_text("somebody's")
    with pytest.raises(VidwatchError, match="move it away"):
        move(home.home, "sqlite")
    assert old.read_text() == "somebody's"


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        ("mysql://x/y", "must be an address such as postgresql"),
        ("postgresql://ann:secret@127.0.0.1/x", "leave the password out"),
        ("postgresql://127.0.0.1:99999/x", "database"),
    ],
)
def test_a_wrong_address_is_one_line(home: MadeHome, to: str, problem: str) -> None:
    with pytest.raises(VidwatchError, match=problem) as raised:
        move(home.home, to)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_daemon_must_not_run(home: MadeHome, url: str) -> None:
    with home.home.lock(), pytest.raises(PassingError, match="stop that one first"):
        move(home.home, url)


@pytest.mark.slow
def test_where_the_environment_names_the_database_a_person_is_told(
    home: MadeHome, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.close()
    move(home.home, url)
    monkeypatch.setenv("VIDWATCH_DATABASE", url)
    done = move(home.home, "sqlite")
    assert not done.is_set
    assert (home.root / "vidwatch.db").is_file()
