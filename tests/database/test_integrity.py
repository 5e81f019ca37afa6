import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from daemon.database.integrity import damage, require_whole
from daemon.database.upgrade import upgrade
from daemon.home.folder import Home
from learner.errors import VidwatchError

PAGE = 4096


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "vidwatch.db"
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO models (name, digest, classes, measured, used_at) "
            "VALUES (?, ?, '[]', '{}', '2026-01-01')",
            ((f"model {number}" * 20, f"{number:064}") for number in range(2000)),
        )
    return path


def overwrite(page: int) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(PAGE * page)
            file.write(random.Random(page).randbytes(PAGE))

    return change


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a text": lambda path: path.write_text("a text, and longer than a header is" * 20),
    "a short text": lambda path: path.write_text("text"),
    "half of it": lambda path: os.truncate(path, path.stat().st_size // 2),
    "half a page too short": lambda path: os.truncate(path, path.stat().st_size - PAGE // 2),
    "its first page overwritten": overwrite(0),
    "a page of its schema overwritten": overwrite(1),
    "a page of a table overwritten": overwrite(100),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_the_error_for_a_damaged_database_says_what_to_do(database: Path, how: str) -> None:
    DAMAGES[how](database)
    with pytest.raises(
        VidwatchError, match=r"vidwatch\.db is damaged .*clips are safe.*'vidwatch restore'"
    ):
        require_whole(database)


@pytest.mark.parametrize("content", [b"", b"text " * 1000], ids=["empty", "text"])
@pytest.mark.parametrize("command", ["status", "labels", "models rollback"])
def test_the_error_of_each_command_names_restore(
    tmp_path: Path, command: str, content: bytes
) -> None:
    home = Home.at(tmp_path)
    home.create()
    (home.root / "failed" / "a.avi").touch()  # a sign that it had a database
    home.database.write_bytes(content)
    vidwatch = Path(sys.executable).with_name("vidwatch")
    done = subprocess.run(
        [vidwatch, "--home", home.root, *command.split()], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "'vidwatch restore' brings the newest backup back" in done.stderr


def test_the_error_of_the_list_of_models_names_restore(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.create()
    home.database.write_bytes(b"text " * 1000)
    vidwatch = Path(sys.executable).with_name("vidwatch")
    done = subprocess.run([vidwatch, "--home", home.root, "models"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "is damaged (file is not a database): the clips are safe" in done.stderr


def test_a_whole_database_passes_while_another_process_writes(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM models")
        require_whole(database)


def test_changes_that_are_not_in_the_main_file_yet_are_checked_too(database: Path) -> None:
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("DELETE FROM models")
        writer.commit()
        assert damage(database, thorough=True) == []


@pytest.mark.parametrize("made", [True, False])
def test_a_missing_or_empty_database_is_no_damage(tmp_path: Path, made: bool) -> None:
    if made:
        (tmp_path / "vidwatch.db").touch()
    require_whole(tmp_path / "vidwatch.db")
