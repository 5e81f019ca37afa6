"""An archive of small videos, a home with a small model, and what backfills made of them."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from conftest import write_video
from installed import SLOWEST, VIDWATCH
from sqlalchemy import select
from tiny import untrained

from daemon.database.connection import connect
from daemon.database.tables import predictions, videos, windows
from daemon.database.upgrade import upgrade
from daemon.home.folder import Home
from learner import checkpoint

NOT_COMPARED = {"id", "video_id", "arrived_at", "finished_at", "changed_at", "created_at"}
NOT_COMPARED |= {"device", "group", "fingerprint"}
SETTINGS = {
    "VIDWATCH_MODEL": "tiny",
    "VIDWATCH_DEVICE": "cpu",
    "VIDWATCH_WINDOWS": "1",
    "VIDWATCH_WINDOWS_FROM_SECONDS": "3",
    "VIDWATCH_SETTLE_SECONDS": "0.1",
    "VIDWATCH_RESCAN_SECONDS": "1",
}


def write_noise(path: Path, seed: int, frames: int = 12) -> Path:
    """A video in which everything differs from every other one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, frames=frames, shade=seed * 37 % 256)


def write_archive(folder: Path, count: int) -> Path:
    """Short videos, a long one, a copy, one that is no video, and a text."""
    for seed in range(count):
        write_noise(folder / f"cam{seed % 2}/v{seed:03}.avi", seed, frames=6 + seed)
    write_noise(folder / "long.avi", 5, frames=100)
    (folder / "copy.avi").write_bytes((folder / "cam0/v000.avi").read_bytes())
    (folder / "broken.mp4").write_text("no video")
    (folder / "notes.txt").write_text("no video either")
    return folder


def make_home(root: Path) -> Home:
    """A home with a small model, which learned nothing."""
    home = Home.at(root)
    home.create()
    upgrade(home.database)
    model = untrained(root)
    checkpoint.save(home.models / "tiny", model.manifest, model.network.state_dict())
    return home


def command(
    home: Home, *words: str | Path, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """What the installed command does on a home."""
    return subprocess.run(
        [VIDWATCH, "--home", home.root, *words],
        env={**os.environ, **SETTINGS, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=SLOWEST,
    )


def rows(database: Path) -> dict[bytes, Any]:
    """By path: what is recorded of each video, with its predictions and windows."""
    engine = connect(database)
    try:
        with engine.begin() as connection:
            own = list(connection.execute(select(videos)).mappings())
            paths = {row["id"]: row["path"] for row in own}
            assert len(set(paths.values())) == len(paths)
            found: dict[bytes, Any] = {
                row["path"]: [
                    {**_compared(row), "duplicate_of": paths.get(row["duplicate_of"])},
                    [],
                    [],
                ]
                for row in own
            }
            for place, table in ((1, predictions), (2, windows)):
                for row in connection.execute(select(table).order_by(table.c.id)).mappings():
                    found[paths[row["video_id"]]][place].append(_compared(row))
            return found
    finally:
        engine.dispose()


def _compared(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in NOT_COMPARED}


def logits(found: dict[bytes, Any]) -> Any:
    """All logits, in the order of paths."""
    return np.array([one["logits"] for path in sorted(found) for one in found[path][1]])


@pytest.fixture
def store() -> Iterator[dict[str, str]]:
    """An S3 on loopback; gives the environment that leads there."""
    pytest.importorskip("s3fs", reason="needs s3fs: pip install 'vidwatch[cluster]'")
    server_module = pytest.importorskip(
        "moto.server", reason="needs moto: pip install moto[server]"
    )
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    # All servers of a process have the same buckets, and look at keys or do not.
    _ask(f"http://{host}:{port}/moto-api/reset")
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    refuse_wrong_keys(f"http://{host}:{port}", after="inf")
    server.stop()


def refuse_wrong_keys(address: str, after: str = "0") -> None:
    """Let an S3 look at the keys, after so many requests."""
    _ask(f"{address}/moto-api/reset-auth", after.encode())


def _ask(address: str, data: bytes = b"") -> None:
    urlopen(Request(address, data, {"Content-Type": "text/plain"}, method="POST")).close()
