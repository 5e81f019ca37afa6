"""A server that takes no changes, since it is a replica, or that has no room: nothing is lost."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import homes
import pytest
from ordeal import Ordeal
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model
from postgres import TestServer, running_server
from sqlalchemy.exc import DBAPIError

pytestmark = pytest.mark.slow
KINDS_OF_DATABASE = ("postgresql",)
ROOM = 192  # MB of the small disk
WHAT_TO_DO = "it is a replica, or is set to be read only: name the primary in 'database'"


def name_server(ordeal: Ordeal, before: TestServer, after: TestServer) -> None:
    """Let the home's settings name another server."""
    text = ordeal.home.settings.read_text()
    ordeal.home.settings.write_text(text.replace(f":{before.port}/", f":{after.port}/"))


def test_a_replica_is_read_and_refuses_changes_in_one_line_until_it_is_promoted(
    ordeal: Ordeal, postgres: TestServer, tmp_path: Path
) -> None:
    ordeal.drop(1, "inbox/1.avi")
    ordeal.work_off()
    ((name,),) = ordeal.query("SELECT current_database()")
    with running_server(primary=postgres) as replica:
        ordeal.engine.dispose()
        name_server(ordeal, postgres, replica)
        ordeal.drop(2, "inbox/2.avi")
        archive = tmp_path / "archive"
        archive.mkdir()
        ordeal.drop(3, "3.avi").rename(archive / "3.avi")
        done = ordeal.command("status")
        assert (done.returncode, done.stderr) == (0, "")
        assert "1.avi" in done.stdout
        for words in (["run"], ["label", "1", "bright"], ["add", str(archive)], ["init"]):
            done = ordeal.command(*words)
            if words == ["init"]:  # nothing is to be changed
                assert (done.returncode, done.stderr) == (0, "")
                continue
            assert (done.returncode, "Traceback" in done.stderr) == (os.EX_TEMPFAIL, False)
            last = done.stderr.splitlines()[-1]
            assert last.endswith(WHAT_TO_DO), done.stderr
            assert words == ["run"] or done.stderr.count("\n") == 1
        done = ordeal.command("doctor")
        assert "is a replica: nothing can be noted there" in done.stdout
        assert (ordeal.inbox / "2.avi").exists()
        replica.promote()
        for words in (["label", "1", "bright"], ["add", str(archive)]):
            done = ordeal.command(*words)
            assert (done.returncode, done.stderr) == (0, "")
        ordeal.start()

        def is_done() -> bool:
            found = replica.execute(
                name,
                "SELECT count(*) FILTER (WHERE state = 'filed' AND destination IS NULL) FROM videos",
            )
            return found == [(3,)]

        assert ordeal.wait_for(is_done), ordeal.end_of_log()
        ordeal.stop()
        assert replica.execute(name, "SELECT count(*) FROM predictions") == [(3,)]
        assert replica.execute(name, "SELECT count(*) FROM labels") == [(1,)]
        assert replica.execute(name, "SELECT path FROM videos WHERE id = 1") == [
            (b"./labelled/bright/1.avi",)
        ]


@contextmanager
def small_disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="vidwatch-pg-"))
    how = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "vidwatch-test", str(folder)]
    try:
        subprocess.run(how, check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError):
        folder.rmdir()
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@pytest.fixture
def small_server() -> Iterator[TestServer]:
    with (
        small_disk() as folder,
        running_server("-c max_wal_size=32MB", "-c min_wal_size=32MB", folder=folder) as server,
    ):
        yield server


@pytest.fixture
def on_small_disk(
    small_server: TestServer,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ordeal]:
    """A home whose database is on the small server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(homes, "new_database", small_server.settings_of_new_home)
    made = Ordeal(tmp_path / "home", tiny_model)
    yield made
    if made.process and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    made.close()


def test_a_server_without_room_is_waited_for(
    on_small_disk: Ordeal, small_server: TestServer
) -> None:
    ordeal = on_small_disk
    ordeal.start()
    ordeal.drop(0, "inbox/0.avi")
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    ballast = small_server.folder / "ballast"
    free = os.statvfs(small_server.folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
    number = 0

    def is_said() -> bool:
        """More clips come, until the server has no page left for them."""
        nonlocal number
        if number < 300:
            number += 1
            ordeal.drop(number, f"inbox/{number}.avi")
        running = ordeal.home.running()
        return "No space left" in (running.notices if running else {}).get("database", "")

    assert ordeal.wait_for(is_said), ordeal.end_of_log()
    ordeal.require_all_there()
    ballast.unlink()
    if not small_server.runs():  # without room for its log, it ends itself
        small_server.start()

    def is_done() -> bool:
        try:
            return ordeal.is_worked_off()
        except DBAPIError:
            return False

    assert ordeal.wait_for(is_done), ordeal.end_of_log()
    running = ordeal.home.running()
    assert running
    assert "database" not in running.notices
    ordeal.stop()
    assert "Traceback" not in ordeal.log.read_text()
    ordeal.require_well()
