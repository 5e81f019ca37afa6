"""Copies of the database while it is written to, and what is there after a restore: with a real
daemon.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome
from installed import Daemon, drop
from installed import daemon as daemon
from reviewed import ReviewedHome

from daemon.database.upgrade import upgrade
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.maintenance.backup import Backups, back_up, backups_in, surplus
from learner.errors import VidwatchError

pytestmark = pytest.mark.of_sqlite
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return MadeHome(tmp_path / "home").home


def fill(database: Path, rows: int) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        row = ("m", "[]", "{}", "2026-01-01")
        connection.executemany(
            "INSERT INTO models (name, digest, classes, measured, used_at) VALUES (?, hex(randomblob(500)), ?, ?, ?)",
            [row] * rows,
        )


def count(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM models").fetchone()[0])


@pytest.mark.slow
def test_a_copy_is_whole_while_another_process_writes(home: Home) -> None:
    fill(home.database, 5000)
    stop, waits = threading.Event(), []

    def write() -> None:
        while not stop.wait(0.002):
            began = time.monotonic()
            fill(home.database, 1)
            waits.append(time.monotonic() - began)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = back_up(home.database, home.backups, NOW)
    finally:
        stop.set()
        writer.join()
    assert made.name == "vidwatch-20260102T030405Z.db"
    assert 5000 <= count(made) <= 5000 + len(waits)
    assert waits
    assert max(waits) < 2
    assert [path.name for path in home.backups.iterdir()] == [made.name]


def test_a_copy_can_be_read_where_nothing_can_be_written(home: Home) -> None:
    made = back_up(home.database, home.backups, NOW)
    with closing(sqlite3.connect(f"file:{made}?mode=ro&immutable=0", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        connection.execute("SELECT * FROM videos")
    assert [path.name for path in home.backups.iterdir()] == [made.name]


def test_two_copies_within_a_second_are_two(home: Home) -> None:
    assert back_up(home.database, home.backups, NOW) != back_up(home.database, home.backups, NOW)


def test_a_file_is_never_overwritten(home: Home, tmp_path: Path) -> None:
    (tmp_path / "there.db").write_text("mine")
    with pytest.raises(VidwatchError, match=r"there\.db: there is such a file"):
        back_up(home.database, tmp_path / "there.db", NOW)
    assert (tmp_path / "there.db").read_text() == "mine"
    assert back_up(home.database, tmp_path / "new.db", NOW) == tmp_path / "new.db"


@pytest.mark.slow
def test_a_slash_at_the_end_means_a_folder(home: Home, tmp_path: Path) -> None:
    def command(to: str) -> subprocess.CompletedProcess[str]:
        vidwatch = Path(sys.executable).with_name("vidwatch")
        return subprocess.run(
            [vidwatch, "--home", home.root, "backup", "--to", to], capture_output=True, text=True
        )

    assert command(f"{tmp_path}/usb/").returncode == 0
    assert [count(path) for path in (tmp_path / "usb").glob("vidwatch-*.db")] == [0]
    done = command(f"{tmp_path}/stick")  # a name without an ending
    (made,) = (tmp_path / "stick").glob("vidwatch-*.db")
    assert (done.returncode, str(made) in done.stdout) == (0, True)
    assert command(f"{tmp_path}/mine.db").returncode == 0
    assert count(tmp_path / "mine.db") == 0
    (tmp_path / "file").write_text("mine")
    done = command(f"{tmp_path}/file/")
    assert (done.returncode, "is a file, and no folder" in done.stderr) == (2, True)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_clock_that_is_set_back_holds_up_no_copy(home: Home) -> None:
    whole = home.database.read_bytes()
    home.database.write_bytes(b"text" * 5000)
    backups = Backups(home, Settings(backup_hours=1), lambda problem: None)
    backups.tend(NOW)
    home.database.write_bytes(whole)
    backups.tend(NOW + timedelta(minutes=1))  # it waits, after one that could not be made
    assert backups_in(home.backups, NOW) == []
    backups.tend(NOW - timedelta(days=30))
    assert len(backups_in(home.backups, NOW)) == 1


def test_only_so_many_are_kept_and_only_ours_are_removed(home: Home) -> None:
    home.backups.mkdir()
    others = {
        "vidwatch-mine.db",
        "notes.txt",
        "vidwatch-20260102T030405Z.db.gz",
        "vidwatch-20269999T030405Z.db",
    }
    for name in others:
        (home.backups / name).write_text("mine")
    backups = Backups(home, Settings(backup_hours=1, backups_kept=3), print)
    for hour in range(6):
        backups.tend(NOW + timedelta(hours=hour))
        backups.tend(NOW + timedelta(hours=hour, minutes=30))
    ours = {f"vidwatch-20260102T{hour:02}0405Z.db" for hour in (6, 7, 8)}
    assert {path.name for path in home.backups.iterdir()} == others | ours


def test_copies_of_a_clock_that_was_ahead_do_not_push_out_the_others(home: Home) -> None:
    home.backups.mkdir()
    ahead = [home.backups / f"vidwatch-2036010{day}T000000Z.db" for day in range(1, 4)]
    for path in ahead:
        path.write_bytes(home.database.read_bytes())
    backups = Backups(home, Settings(backup_hours=1, backups_kept=3), print)
    for hour in range(3):
        backups.tend(NOW + timedelta(hours=hour))
    assert [path.name[9:24] for path in backups_in(home.backups, NOW + timedelta(hours=3))] == [
        "20260102T050405", "20260102T040405", "20260102T030405",
    ]  # fmt: skip


def test_the_copy_just_made_is_never_removed(home: Home) -> None:
    old = back_up(home.database, home.backups, NOW)
    made = back_up(home.database, home.backups, NOW - timedelta(days=1))  # the clock was set back
    assert surplus(home.backups, made, 1, NOW - timedelta(days=1)) == [old]


def test_of_a_damaged_database_no_copy_is_made_and_none_is_removed(home: Home) -> None:
    fill(home.database, 2000)
    good = back_up(home.database, home.backups, NOW)
    damage_page(home.database, 12)
    notes: list[str | None] = []
    backups = Backups(home, Settings(backup_hours=1, backups_kept=1), notes.append)
    backups.tend(NOW + timedelta(hours=2))
    backups.tend(NOW + timedelta(hours=2, minutes=1))  # it is tried again, but not at once
    assert len(notes) == 1
    assert "is damaged, and was not copied" in str(notes)
    assert [path.name for path in home.backups.iterdir()] == [good.name]


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_copy_and_the_older_ones(home: Home) -> None:
    """Full for this process: the kernel lets it write no file longer than that."""
    fill(home.database, 3000)
    small = home.database.stat().st_size // 2
    good = back_up(home.database, home.backups, NOW)
    code = (
        "import resource, sys; from pathlib import Path; from daemon.cli.app import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({small}, {small}))\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--home", home.root, "backup"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (os.EX_TEMPFAIL, "")
    assert "cannot be copied" in done.stderr
    assert "Copies made before are kept" in done.stderr
    assert [path.name for path in home.backups.iterdir()] == [good.name]


def test_what_a_killed_copying_left_is_removed_when_it_is_old(home: Home) -> None:
    made = back_up(home.database, home.backups, NOW)
    old, young = (
        home.backups / "vidwatch-20260101T000000Z.db.part",
        home.backups / "vidwatch-20260102T000000Z.db.part",
    )
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert surplus(home.backups, made, 7, NOW) == [old]


def damage_page(database: Path, page: int) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("r+b") as file:
        file.seek(4096 * page)
        file.write(b"\xa5" * 4096)


# Restoring, with a real daemon on real clips.


def work_off(daemon: Daemon) -> None:
    done = daemon.command("run", "--once")
    assert done.returncode == 0, done.stderr


def query(daemon: Daemon, sql: str) -> list[Any]:
    """With a connection that is closed again: an open one keeps a restore from taking place."""
    with closing(sqlite3.connect(daemon.root / "vidwatch.db")) as connection:
        return connection.execute(sql).fetchall()


def counting_labels(daemon: Daemon) -> set[tuple[str, str | None, str]]:
    """The labels that count, by the clip's name: class and source."""
    rows = query(
        daemon,
        "SELECT v.name, l.class, l.source FROM labels l JOIN videos v ON v.id = l.video_id"
        " WHERE l.verdict <> 'withdrawn' AND l.id NOT IN (SELECT takes_back FROM labels WHERE takes_back IS NOT NULL)",
    )
    return set(rows)


def contents(daemon: Daemon) -> dict[bytes, list[str]]:
    """Every clip in the home by its content."""
    lying: dict[bytes, list[str]] = {}
    for top in ("inbox", "classified", "labelled", "duplicates", "failed"):
        for path in (daemon.root / top).rglob("*"):
            if path.is_file() and path.suffix != ".txt":
                lying.setdefault(path.read_bytes(), []).append(str(path.relative_to(daemon.root)))
    return lying


def id_of(daemon: Daemon, name: str) -> str:
    return str(query(daemon, f"SELECT min(id) FROM videos WHERE name = '{name}'")[0][0])


def predicted_once(daemon: Daemon) -> None:
    """Each content has one prediction that counts, and nothing is unfinished."""
    assert query(
        daemon, "SELECT count(*) FROM videos WHERE finished_at IS NULL OR destination IS NOT NULL"
    ) == [(0,)]
    assert query(
        daemon,
        "SELECT count(*) FROM videos v WHERE state = 'filed' AND 1 <> (SELECT count(*) FROM predictions p"
        " WHERE p.video_id = coalesce(v.duplicate_of, v.id) AND p.kind = 'answer')",
    ) == [(0,)]


@pytest.mark.slow
def test_after_a_restore_every_clip_is_there_once_and_no_label_was_made_up(daemon: Daemon) -> None:
    for number, name in enumerate(("kept.avi", "told.avi", "later.avi", "undone.avi", "moved.avi")):
        drop(daemon.inbox, name, number)
    (daemon.inbox / "text.mp4").write_text("no video")
    work_off(daemon)
    daemon.command("label", id_of(daemon, "told.avi"), "Told")
    daemon.command("label", id_of(daemon, "undone.avi"), "Undone")
    work_off(daemon)
    drop(daemon.inbox, "queued.avi", 6)  # in the backup, it waits
    assert daemon.command("backup").returncode == 0
    before = counting_labels(daemon)
    # What comes after the backup.
    shutil.copy(drop(daemon.inbox, "new.avi", 7), daemon.inbox / "copy of new.avi")
    shutil.copy(daemon.inbox / "new.avi", daemon.inbox / "third.avi")
    drop(daemon.inbox, "new told.avi", 8)
    drop(daemon.root / "labelled" / "Put", "put.avi", 9)
    (daemon.inbox / "text2.mp4").write_text("no video either")
    (daemon.root / "failed" / "text.mp4").rename(daemon.inbox / "text again.mp4")
    (daemon.root / "failed" / "text.mp4.txt").unlink()
    work_off(daemon)
    daemon.command("label", id_of(daemon, "later.avi"), "Later")
    daemon.command("label", id_of(daemon, "new told.avi"), "New")
    daemon.command("label", "--undo", id_of(daemon, "undone.avi"))
    work_off(daemon)
    (moved,) = (daemon.root / "classified").rglob("moved.avi")
    (daemon.root / "labelled" / "Moved").mkdir(parents=True)
    moved.rename(daemon.root / "labelled" / "Moved" / "moved.avi")
    work_off(daemon)
    whole = {content: len(names) for content, names in contents(daemon).items()}
    old = query(daemon, "SELECT count(*) FROM labels")
    done = daemon.command("restore")
    assert done.returncode == 0, done.stderr
    (kept,) = daemon.root.glob("vidwatch.db.replaced-*")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM labels").fetchall() == old
    work_off(daemon)
    work_off(daemon)
    assert {content: len(names) for content, names in contents(daemon).items()} == whole
    assert counting_labels(daemon) == before | {
        ("later.avi", "Later", "moved"),
        ("new told.avi", "New", "moved"),
        ("put.avi", "Put", "moved"),
        ("moved.avi", "Moved", "moved"),
    }
    predicted_once(daemon)
    assert (daemon.root / "labelled" / "Undone" / "undone.avi").exists()
    assert sorted(daemon.names("failed")) == sorted(
        f"{name}{end}" for name in ("text again.mp4", "text2.mp4") for end in ("", ".txt")
    )
    assert len(daemon.names("duplicates")) == 2
    assert daemon.names("inbox") == []


@pytest.mark.slow
def test_without_a_database_no_daemon_starts_until_a_person_restores_one(daemon: Daemon) -> None:
    drop(daemon.inbox, "a.avi", 1)
    drop(daemon.inbox, "b.avi", 2)
    work_off(daemon)
    whole = set(contents(daemon))
    for path in daemon.root.glob("vidwatch.db*"):
        path.unlink()
    for arguments in (("run", "--once"), ("init",)):
        done = daemon.command(*arguments)
        assert done.returncode == 2
        assert "vidwatch restore --new" in done.stderr
    assert daemon.command("restore").returncode == 2  # there is no backup
    done = daemon.command("restore", "--new")
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.names("inbox") == ["a.avi", "b.avi"]
    work_off(daemon)
    assert counting_labels(daemon) == set()
    assert set(contents(daemon)) == whole
    predicted_once(daemon)


@pytest.mark.slow
def test_on_another_machine_a_copied_home_goes_on_from_its_backup(
    daemon: Daemon, tmp_path: Path
) -> None:
    """At another path, with other inodes: no file is what a row says by either."""
    for number, name in enumerate(("a.avi", "b.avi", "told.avi")):
        drop(daemon.inbox, name, number)
    work_off(daemon)
    daemon.command("label", id_of(daemon, "told.avi"), "Told")
    work_off(daemon)
    before = counting_labels(daemon)
    assert daemon.command("backup").returncode == 0
    other = Daemon(tmp_path / "other")
    shutil.rmtree(other.root)
    shutil.copytree(daemon.root, other.root, ignore=shutil.ignore_patterns("vidwatch.db*"))
    shutil.rmtree(daemon.root)
    done = other.command("restore")
    assert done.returncode == 0
    assert "went back to the inbox" not in done.stdout
    work_off(other)
    assert counting_labels(other) == before
    assert other.names("inbox") == []
    predicted_once(other)
    assert other.command("check", "--quick").stdout == "all is well\n"


@pytest.mark.slow
def test_a_restore_is_refused_while_a_daemon_runs_and_a_backup_is_not(daemon: Daemon) -> None:
    daemon.start()
    daemon.wait_for(lambda status: status["daemon"]["running"])
    assert daemon.command("backup").returncode == 0
    done = daemon.command("restore")
    assert done.returncode == os.EX_TEMPFAIL
    assert "stop that one first" in done.stderr
    assert daemon.end(signal.SIGTERM)[0] == 0
    assert daemon.command("restore").returncode == 0


def restored(home: Home, *arguments: Any) -> subprocess.CompletedProcess[str]:
    vidwatch = Path(sys.executable).with_name("vidwatch")
    return subprocess.run(
        [vidwatch, "--home", home.root, "restore", *arguments], capture_output=True, text=True
    )


def test_of_several_backups_the_newest_that_is_whole_is_taken(home: Home) -> None:
    fill(home.database, 2000)
    good = back_up(home.database, home.backups, NOW)
    fill(home.database, 1)
    damage_page(back_up(home.database, home.backups, NOW + timedelta(hours=1)), 12)
    done = restored(home)
    assert done.returncode == 0
    assert good.name in done.stdout
    assert "is left out" in done.stderr
    assert count(home.database) == 2000


@pytest.mark.slow
def test_a_damaged_database_is_replaced_and_kept_with_its_log(home: Home) -> None:
    fill(home.database, 2000)
    back_up(home.database, home.backups, NOW)
    home.database.write_bytes(b"this is no database any more" * 200)
    home.database.with_name("vidwatch.db-wal").write_bytes(b"what was not written yet")
    assert restored(home).returncode == 0
    assert count(home.database) == 2000
    (kept,) = home.root.glob("vidwatch.db.replaced-*Z")
    assert kept.read_bytes().startswith(b"this is no database")
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"what was not written yet"


@pytest.mark.slow
def test_what_is_not_written_to_the_database_yet_is_kept_with_it(home: Home) -> None:
    """A daemon that was killed leaves its last changes in the log beside the database."""
    back_up(home.database, home.backups, NOW)
    code = (
        "import os, sqlite3, sys; connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute(\"INSERT INTO models VALUES (1, 'm', 'd', '[]', '{}', '2026-01-01')\")\n"
        "connection.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, home.database], check=True)
    assert home.database.with_name("vidwatch.db-wal").stat().st_size
    assert restored(home).returncode == 0
    assert count(home.database) == 0
    (kept,) = home.root.glob("vidwatch.db.replaced-*Z")
    assert count(kept) == 1


@pytest.mark.slow
def test_a_database_that_is_open_elsewhere_is_not_replaced(home: Home) -> None:
    back_up(home.database, home.backups, NOW)
    with closing(sqlite3.connect(home.database)) as connection:
        connection.execute("SELECT * FROM videos").fetchall()
        done = restored(home)
    assert done.returncode == 2
    assert "end what has it open" in done.stderr
    assert not list(home.root.glob("vidwatch.db.replaced-*"))
    assert not list(home.root.glob("vidwatch.db.restoring*"))
    assert restored(home).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (b"text" * 5000, "text.db is no database of vidwatch, nor any other"),
        (b"", "is no database of vidwatch"),
    ],
    ids=["text", "empty"],
)
def test_a_file_that_is_no_backup_is_refused_and_nothing_changes(
    home: Home, made: bytes, problem: str
) -> None:
    (home.root / "text.db").write_bytes(made)
    fill(home.database, 1)
    done = restored(home, home.root / "text.db")
    assert done.returncode == 2
    assert problem in done.stderr
    assert count(home.database) == 1
    assert not list(home.root.glob("vidwatch.db.re*"))


@pytest.mark.slow
def test_a_folder_and_another_programs_database_are_called_what_they_are(
    home: Home, tmp_path: Path
) -> None:
    done = restored(home, home.backups.parent)
    assert (done.returncode, "is a folder; name a file in it" in done.stderr) == (2, True)
    for table in ("notes (text)", "alembic_version (version_num)"):
        other = tmp_path / f"{table[:5]}.db"
        with closing(sqlite3.connect(other)) as connection, connection:
            connection.execute(f"CREATE TABLE {table}")
            if "alembic" in table:
                connection.execute("INSERT INTO alembic_version VALUES ('abc')")
        done = restored(home, other)
        assert (
            done.returncode,
            f"{other} is no database of vidwatch, but of another" in done.stderr,
        ) == (2, True)
    assert not list(home.root.glob("vidwatch.db.re*"))


@pytest.mark.slow
def test_a_restore_counts_the_labels_that_are_lost_and_no_others(tmp_path: Path) -> None:
    room = ReviewedHome(tmp_path)
    video, other = room.clip("a.avi"), room.clip("b.avi")
    copy = room.copy_of(other)
    back_up(room.home.database, room.home.backups, NOW)
    room.engine.dispose()
    done = restored(room.home)
    assert (done.returncode, "lost" in done.stdout) == (0, False)
    room.give_label(video, "dark")
    room.give_label(copy, "dark")
    room.file()  # into labelled/dark, where the label is found again
    room.engine.dispose()
    done = restored(room.home)
    assert (done.returncode, "lost" in done.stdout) == (0, False)
    assert "class folders in labelled/: 2 labels" in done.stdout
    back_up(room.home.database, room.home.backups, NOW)
    room.give_label(room.clip("c.avi"), "dark")
    room.engine.dispose()
    done = restored(room.home)
    assert "only the old database has them: 1 label\n" in done.stdout
    room.home.database.write_bytes(b"text" * 5000)
    assert "are lost if their clips are not in labelled" in restored(room.home).stdout


@pytest.mark.slow
def test_a_backup_of_a_newer_vidwatch_is_refused_and_one_of_an_older_is_brought_up_to_date(
    home: Home,
) -> None:
    from daemon.database.upgrade import head, migrate, revision_of

    newer = back_up(home.database, home.root / "newer.db", NOW)
    with closing(sqlite3.connect(newer)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    done = restored(home, newer)
    assert done.returncode == 2
    assert "a newer vidwatch wrote it" in done.stderr
    migrate(home.root / "older.db", "0001")
    assert restored(home, home.root / "older.db").returncode == 0
    assert revision_of(home.database) == head()


@pytest.mark.slow
def test_a_restore_that_was_ended_keeps_daemons_out_until_it_is_repeated(home: Home) -> None:
    back_up(home.database, home.root / "elsewhere.db", NOW)
    home.database.rename(home.root / "vidwatch.db.restoring")
    with pytest.raises(VidwatchError, match="a restore was ended before it was done"):
        upgrade(home.database)
    assert restored(home, home.root / "elsewhere.db").returncode == 0
    upgrade(home.database)
