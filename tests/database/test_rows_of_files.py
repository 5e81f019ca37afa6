"""Which row is that of a file, if several have its numbers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome
from sqlalchemy import update

from daemon.database.files import row_of
from daemon.database.tables import videos


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path)
    yield home
    home.close()


def row_like(home: MadeHome, file: Path, path: Path, device: int | None) -> int:
    """A row with the numbers of a file; gives its id."""
    identity = home.found(file).identity._replace(device=device)._asdict()
    with home.writing() as connection:
        return home.add_video(connection, **{**identity, "path": bytes(path)})


def test_a_row_whose_file_is_in_its_place_comes_before_one_whose_device_is_not_known(
    home: MadeHome,
) -> None:
    path = home.put("inbox/a.avi")
    device = path.stat().st_dev
    nowhere = row_like(home, path, home.inbox / "gone.avi", None)
    in_place = row_like(home, path, path, device)
    row = row_of([home.row(nowhere), home.row(in_place)], home.found(path))
    assert row is not None
    assert row["id"] == in_place


def test_a_row_with_the_device_of_a_moved_file_comes_before_one_whose_device_is_not_known(
    home: MadeHome,
) -> None:
    path = home.put("inbox/a.avi")
    device = path.stat().st_dev
    unknown = row_like(home, path, home.inbox / "gone.avi", None)
    same = row_like(home, path, home.inbox / "moved.avi", device)
    file = home.found(path)
    row = row_of([home.row(unknown), home.row(same)], file)
    assert row is not None
    assert row["id"] == same
    with home.writing() as connection:
        connection.execute(update(videos).where(videos.c.id == same).values(device=device + 1))
    row = row_of([home.row(unknown), home.row(same)], file)
    assert row is not None
    assert row["id"] == unknown
