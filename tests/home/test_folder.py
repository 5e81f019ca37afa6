import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.home.folder import FOLDERS, Home
from daemon.home.lock import LOCK_BYTES
from learner.errors import PassingError, VidwatchError


def test_a_home_is_made_once_and_what_is_there_stays(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.create()
    home.settings.write_text("batch_size = 4\n")
    (home.inbox / "a.mp4").touch()
    home.create()
    assert home.settings.read_text() == "batch_size = 4\n"
    assert (home.inbox / "a.mp4").exists()
    assert all((home.root / name).is_dir() for name in FOLDERS)


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "inbox").touch()
    with pytest.raises(VidwatchError, match="inbox"):
        Home.at(tmp_path).create()


def test_an_inbox_that_is_a_link_to_a_missing_disk_is_passing_trouble(tmp_path: Path) -> None:
    home = Home.at(tmp_path / "home")
    home.root.mkdir()
    home.inbox.symlink_to(tmp_path / "share/in")
    with pytest.raises(PassingError, match=r"is a link to .*share/in, which is not there"):
        home.create()
    assert "is not there" in str(home.why_no_inbox())
    (tmp_path / "share/in").mkdir(parents=True)
    home.create()
    assert home.why_no_inbox() is None


def test_the_error_for_a_folder_that_is_no_home_names_the_command_that_makes_one(
    tmp_path: Path,
) -> None:
    with pytest.raises(VidwatchError, match=f"vidwatch init {tmp_path}"):
        Home.at(tmp_path).require()


def test_the_error_for_a_second_daemon_names_the_process_that_has_the_home(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    with home.lock() as lock:
        assert home.running() == lock.running
        with pytest.raises(VidwatchError, match=f"process {os.getpid()}"), home.lock():
            pass
    assert home.running() is None
    with home.lock():
        pass


def test_the_lock_is_free_when_its_process_was_killed(tmp_path: Path) -> None:
    code = "import sys, time, daemon.home.folder as h\n"
    code += "with h.Home.at(sys.argv[1]).lock(): print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    running = Home.at(tmp_path).running()
    assert running
    assert running.pid == process.pid
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert Home.at(tmp_path).running() is None


def test_the_error_for_a_home_that_may_not_be_written_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "daemon.lock").mkdir()
    with pytest.raises(VidwatchError, match=r"cannot write daemon\.lock"), Home.at(tmp_path).lock():
        pass


def test_notices_can_be_read_by_other_processes_until_they_are_over(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    with home.lock() as lock:
        for number in range(3):
            lock.note("disk", f"{number} GB free\n" + "x" * 10_000)
        lock.note("events", "none")
        running = home.running()
        assert running
        assert running.notices["disk"].startswith("2 GB free\\nx")
        assert running.notices.keys() == {"disk", "events"}
        lock.note("disk", None)
        assert (home.running() or running).notices == {"events": "none"}
        for number in range(10):
            lock.note(f"subject {number}", "满" * 1000)
        assert len((home.running() or running).notices) == 11
        for number in range(100):  # more than a daemon ever has
            lock.note(f"another subject {number}", '"' * 1000)
            assert len((home.running() or running).notices) == 12 + number
        assert (tmp_path / "daemon.lock").stat().st_size == LOCK_BYTES
    with home.lock():
        assert (home.running() or running).notices == {}


def test_the_error_for_a_home_without_its_database_names_restore(tmp_path: Path) -> None:
    Home.at(tmp_path).create()
    with pytest.raises(VidwatchError, match="has no database: 'vidwatch restore'"):
        Home.at(tmp_path).require()
