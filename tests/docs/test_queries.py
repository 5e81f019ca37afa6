"""The queries of the database that the docs show can be asked."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from homes import MadeHome
from pages_of_docs import examples


@pytest.mark.of_sqlite
def test_each_query_of_the_database_can_be_asked(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home")
    home.arrive("a.mp4")
    queries = [
        query
        for _, block in examples("sh")
        for query in re.findall(r'sqlite3 \S+ "([^"]+)"', block)
    ]
    assert len(queries) >= 2
    with closing(sqlite3.connect(home.root / "vidwatch.db")) as connection:
        for query in queries:
            connection.execute(query).fetchall()
    home.close()
