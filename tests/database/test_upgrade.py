import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint

from daemon.database.connection import connect
from daemon.database.tables import metadata
from daemon.database.upgrade import alembic_config, migrate, upgrade
from learner.errors import VidwatchError

REVISIONS = [
    script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
]


def schema(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_past_revision_is_upgraded_to_the_present_schema(
    tmp_path: Path, revision: str
) -> None:
    migrate(tmp_path / "old.db", revision)
    upgrade(tmp_path / "old.db")
    upgrade(tmp_path / "new.db")
    assert schema(tmp_path / "old.db") == schema(tmp_path / "new.db")
    assert (tmp_path / f"old.db.before-{revision}").exists() == (revision != REVISIONS[0])


def test_the_migrations_make_the_schema_of_the_tables(tmp_path: Path) -> None:
    upgrade(tmp_path / "a.db")
    with connect(tmp_path / "a.db").begin() as connection:
        command.check(alembic_config(connection))


def test_the_migrations_have_the_constraints_of_the_tables(tmp_path: Path) -> None:
    """Alembic compares tables, columns and indexes, but not the values that a column may have."""
    upgrade(tmp_path / "a.db")
    made = dict(schema(tmp_path / "a.db"))
    checks = [
        (table.name, str(constraint.sqltext))
        for table in metadata.sorted_tables
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    ]
    assert len(checks) > 8
    assert [check for table, check in checks if check not in made[table]] == []


def test_a_migration_may_replace_a_table_whose_rows_refer_to_each_other(tmp_path: Path) -> None:
    upgrade(tmp_path / "a.db")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        file = "(1, 'a', x'61', 1, 1, 1, 'queued', '2026-01-01')"
        columns = "id, name, path, inode, size, mtime_ns, state, arrived_at"
        connection.execute(f"INSERT INTO videos ({columns}) VALUES {file}")
        columns = 'id, video_id, verdict, "class", source, who, takes_back, created_at'
        for label in (
            "1, 1, 'labelled', 'a', 'csv', 'ann', NULL",
            "2, 1, 'withdrawn', NULL, 'csv', 'ann', 1",
        ):
            connection.execute(f"INSERT INTO labels ({columns}) VALUES ({label}, '2026-01-01')")
    engine = connect(tmp_path / "a.db", migrates=True)
    with engine.execution_options(writes=True).begin() as connection:
        for change in (
            "CREATE TABLE new AS SELECT * FROM labels",
            "DROP TABLE labels",
            "ALTER TABLE new RENAME TO labels",
        ):
            connection.exec_driver_sql(change)
    engine.dispose()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("SELECT count(*) FROM labels").fetchone() == (2,)


def test_a_database_of_a_newer_vidwatch_is_left_as_it_is(tmp_path: Path) -> None:
    upgrade(tmp_path / "a.db")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(VidwatchError, match="a newer vidwatch wrote it"):
        upgrade(tmp_path / "a.db")


def test_the_error_for_a_file_that_is_no_database_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(
        b"this is a text, and long enough to be looked at as a header" * 20
    )
    with pytest.raises(
        VidwatchError, match=r"a\.db is damaged .*not a database.*'vidwatch restore'"
    ):
        upgrade(tmp_path / "a.db")


def test_the_copy_before_a_migration_holds_what_another_process_has_committed(
    tmp_path: Path,
) -> None:
    migrate(tmp_path / "a.db", "0002")
    with closing(sqlite3.connect(tmp_path / "a.db")) as writer:
        writer.execute("INSERT INTO models VALUES (1, 'm', 'd', '[]', '{}', '2026-01-01')")
        writer.commit()
        upgrade(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db.before-0002")) as copy:
        assert copy.execute("SELECT name FROM models").fetchall() == [("m",)]


@pytest.mark.parametrize("folder", ["classified/Biking", "duplicates", "failed"])
def test_a_lost_database_is_not_replaced_by_an_empty_one(tmp_path: Path, folder: str) -> None:
    """With an empty one, our own predictions would count as labels."""
    (tmp_path / folder).mkdir(parents=True)
    upgrade(tmp_path / "vidwatch.db")  # empty folders tell nothing
    (tmp_path / "vidwatch.db").unlink()
    (tmp_path / folder / "a.mp4").write_text("a")
    with pytest.raises(
        VidwatchError, match=r"is gone, but there are files in .*'vidwatch restore'"
    ):
        upgrade(tmp_path / "vidwatch.db")
    (tmp_path / "vidwatch.db").touch()
    with pytest.raises(VidwatchError, match="is gone"):
        upgrade(tmp_path / "vidwatch.db")


def test_a_lost_database_with_backups_is_not_replaced_by_an_empty_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "vidwatch-20260102T030405Z.db").write_text("a copy")
    with pytest.raises(VidwatchError, match="there are backups of it"):
        upgrade(tmp_path / "vidwatch.db")
