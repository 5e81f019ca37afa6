"""Rows follow the numbers of their file systems, which change at a reboot."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Mount
from disks import mount as mount
from homes import MadeHome
from sqlalchemy import update

from daemon.database import devices, files
from daemon.database.devices import follow_devices
from daemon.database.tables import videos

KINDS_OF_DATABASE = ("sqlite",)  # on a server, the numbers are none of a machine


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path)
    yield home
    home.close()


def renumber(home: MadeHome, by: int = 1000) -> None:
    """As if the file system had had another number when the rows were written."""
    with home.writing() as connection:
        connection.execute(update(videos).values(device=videos.c.device + by))


def test_after_a_restart_rows_have_the_new_number_of_their_file_system(home: MadeHome) -> None:
    paths = [home.put(f"inbox/{name}.mp4") for name in "abc"]
    home.enqueue(*paths)
    device = paths[0].stat().st_dev
    renumber(home)
    renamed = paths[1].rename(home.inbox / "renamed.mp4")  # while no daemon ran
    follow_devices(home.engine)
    assert [row.device for row in home.rows()] == [device] * 3
    assert home.enqueue(renamed) == 0
    assert [Path(os.fsdecode(row.path)).name for row in home.rows()] == [
        "a.mp4",
        "renamed.mp4",
        "c.mp4",
    ]


@pytest.mark.parametrize("has_unfinished", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_filed_rows_have_the_new_number_too(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch, batch: int, has_unfinished: bool
) -> None:
    monkeypatch.setattr(devices, "BATCH", batch)
    for name in "abc":
        home.arrive(f"{name}.mp4")
    home.predict_and_file()
    if has_unfinished:
        home.arrive("d.mp4")
    device = home.root.stat().st_dev
    renumber(home)
    follow_devices(home.engine)
    assert {row.device for row in home.rows()} == {device}


def test_after_a_restart_a_clip_that_a_person_moves_is_not_read(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.arrive("a.mp4")
    (video,) = home.predict_and_file()
    renumber(home)
    follow_devices(home.engine)

    def never(path: bytes) -> str:
        raise AssertionError(path)

    monkeypatch.setattr(files, "sha256_if_readable", never)
    target = home.root / "labelled/Skiing/a.mp4"
    target.parent.mkdir(parents=True)
    home.path(video).rename(target)
    assert home.class_folders.notice([home.found(target)], home.tick()) == 1
    assert home.given_labels() == [(video, "labelled", "Skiing", "moved")]


def test_filed_rows_of_disks_that_have_exchanged_their_numbers_have_them_again(
    home: MadeHome, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "BATCH", 1)
    paths = []
    for name in ("disk1", "disk2"):
        mount(home.root / "classified" / name)
        paths += [home.put(f"classified/{name}/{number}.mp4") for number in (1, 2)]
    with home.writing() as connection:
        for path in paths:
            identity = home.found(path).identity._asdict()
            home.add_video(connection, **{**identity, "path": bytes(path)})
    right = [row.device for row in home.rows()]
    one, other = sorted(set(right))
    with home.writing() as connection:
        for row in home.rows():
            wrong = other if row.device == one else one
            connection.execute(update(videos).where(videos.c.id == row.id).values(device=wrong))
    follow_devices(home.engine)
    assert [row.device for row in home.rows()] == right
    follow_devices(home.engine)
    assert [row.device for row in home.rows()] == right


def test_a_row_whose_file_system_is_away_keeps_its_number(home: MadeHome) -> None:
    home.arrive("a.mp4")
    (video,) = home.predict_and_file()
    renumber(home)
    before = home.row(video)["device"]
    home.path(video).unlink()
    follow_devices(home.engine)
    assert home.row(video)["device"] == before
