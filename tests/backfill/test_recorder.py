"""The steps of a cluster in this process, and what is recorded of their results."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backfilled import SETTINGS, command, make_home, rows, write_archive, write_noise
from decoder_children import decoders_of_this_process
from sqlalchemy import update

from daemon.backfill.archive_queue import ArchiveQueue, signature
from daemon.backfill.place import NoParts, Place
from daemon.backfill.recorder import Recorder
from daemon.backfill.remote import prepared
from daemon.backfill.steps import Orders, Read
from daemon.database.connection import connect
from daemon.database.predictions import Predictions
from daemon.database.tables import videos
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found
from daemon.home.settings import Settings, load
from daemon.service.adding import Listing, archives


class Cluster:
    """A home, and the steps of a cluster without one."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self.home = home
        self.settings = settings
        engine = connect(home.database)
        folders = settings.folders(home.root)
        predictions = Predictions(engine, settings.review_share, owner=signature())
        self.place = Place(engine, predictions, folders, settings, NoParts(), now())
        self.orders, model = prepared(home, "tiny", self.place)
        self.queue = ArchiveQueue(engine, signature(), iter(()), now())
        self.recorder = Recorder(self.place, self.queue, model)

    def files(self, archive: Path) -> list[Found]:
        (source,) = archives([archive], self.home.root, self.settings)
        listing = Listing(self.home.root, self.settings, "leave")
        return [file for batch in listing.videos(archive, source) for file in batch]

    def reads(self, files: list[Found]) -> list[Read]:
        """What the workers make of the files."""
        decode, predict = self.orders.first(), self.orders.second()
        return [read for group in decode(files) for read in predict(group)]

    def close(self) -> None:
        self.place.engine.dispose()
        # On a cluster they die with their worker; here, later tests would take them for theirs.
        for decoder in decoders_of_this_process():
            decoder.kill()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    home = make_home(tmp_path / "home")
    cluster = Cluster(home, load(home.settings))
    yield cluster
    cluster.close()


@pytest.mark.slow
def test_rows_are_those_of_one_machine_in_whatever_order_and_however_often_results_come(
    tmp_path: Path, cluster: Cluster
) -> None:
    archive = write_archive(tmp_path / "archive", 6)
    other = make_home(tmp_path / "other")
    assert command(other, "backfill", archive).returncode == 0
    files = cluster.files(archive)
    reads = cluster.reads(files)
    copies = [read for read in reads if read.file.path.endswith((b"copy.avi", b"v000.avi"))]
    others = [read for read in reads if read not in copies]
    for read in [*reversed(others), *others]:
        cluster.recorder.take([read], now())
    cluster.recorder.take(sorted(copies, key=lambda read: b"copy" not in read.file.path), now())
    assert rows(cluster.home.database) == rows(other.database)
    assert (cluster.recorder.n_left, cluster.recorder.n_settled) == (0, len(files))


def test_a_file_that_changed_after_it_was_read_is_not_recorded(
    tmp_path: Path, cluster: Cluster
) -> None:
    archive = tmp_path / "archive"
    write_noise(archive / "a.avi", 1)
    reads = cluster.reads(cluster.files(archive))
    write_noise(archive / "a.avi", 2, frames=20)
    cluster.recorder.take(reads, now())
    assert rows(cluster.home.database) == {}
    assert cluster.recorder.n_settled == 0


def test_what_the_daemon_took_over_is_left_to_it(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a backfill stood still for longer than its claims last."""
    write_noise(tmp_path / "archive/long.avi", 5, frames=100)
    reads = cluster.reads(cluster.files(tmp_path / "archive"))
    settle = cluster.recorder._write

    def taken_over(batch: Any, at: Any) -> None:
        with cluster.place.engine.execution_options(writes=True).begin() as connection:
            connection.execute(update(videos).values(claimed_by="daemon:1"))
        settle(batch, at)

    monkeypatch.setattr(cluster.recorder, "_write", taken_over)
    cluster.recorder.take(reads, now())
    ((video, found, windows),) = rows(cluster.home.database).values()
    assert (video["state"], found, windows) == ("claimed", [], [])


def test_a_result_needs_no_frames_on_its_way_back(tmp_path: Path, cluster: Cluster) -> None:
    archive = write_archive(tmp_path / "archive", 1)
    reads = cluster.reads(cluster.files(archive))
    clips: list[Any] = [clip for read in reads for clip in read.clips]
    assert len(clips) > 4
    assert {clip.frames.size for clip in clips} == {0}
    assert isinstance(cluster.orders, Orders)
