"""Small real videos, written once a session."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import homes
import numpy as np
import pytest
from postgres import TestServer, running_server

# The rooms whose tests run on both kinds of database each time; those of others, by `-m ''`.
BOTH = ("database", "classify", "labels")
# The fixtures of tests/service that start the installed daemon on a home.
DAEMONS = {"daemon", "stopped"}

# Tests run side by side, a worker a core, and their networks are too small to be shared among
# threads.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `gpu` skips where there is none, but where one was promised it fails."""
    if item.get_closest_marker("gpu"):
        import torch  # most tests need none, and it reads the variable above when it is imported

        if torch.cuda.is_available():
            return
        if os.environ.get("VIDWATCH_REQUIRE_GPU") == "1":
            pytest.fail("VIDWATCH_REQUIRE_GPU is 1, and there is no GPU that torch can use")
        pytest.skip("needs a GPU")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests that make homes run on both kinds of database."""
    known = vars(metafunc.module).values()
    room = metafunc.definition.path.parent.name
    makes_homes = any(isinstance(one, type) and issubclass(one, homes.MadeHome) for one in known)
    starts_daemon = room == "service" and DAEMONS.intersection(metafunc.fixturenames)
    if makes_homes or starts_daemon:
        marks = [] if room in BOTH else [pytest.mark.slow]
        both = ("sqlite", pytest.param("postgresql", marks=marks))
        kinds = getattr(metafunc.module, "KINDS_OF_DATABASE", both)
        if metafunc.definition.get_closest_marker("of_sqlite"):
            kinds = ("sqlite",)
        metafunc.fixturenames.insert(0, "kind_of_database")
        metafunc.parametrize("kind_of_database", kinds, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The kind of database is known before a fixture makes a home."""
    for item in items:
        names: list[str] = getattr(item, "fixturenames", [])
        if "kind_of_database" in getattr(getattr(item, "callspec", None), "params", ()):
            names[:] = ["kind_of_database", *(one for one in names if one != "kind_of_database")]


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestServer]:
    """A PostgreSQL server; skips by name where there is none."""
    with running_server() as server:
        yield server


@pytest.fixture
def kind_of_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Homes that are made have their database in a file, or on a server."""
    kind: str = request.param
    if kind == "postgresql":
        server: TestServer = request.getfixturevalue("postgres")
        monkeypatch.setattr(homes, "new_database", server.settings_of_new_home)
    return kind


def write_video(
    path: Path, frames: int = 24, size: tuple[int, int] = (64, 48), shade: int = 0
) -> Path:
    """A video of flat frames whose red value is `shade + 8 * index`, so that a frame tells its own
    index.
    """
    suffix = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}[path.suffix]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*suffix), 25, size)
    assert writer.isOpened()
    for index in range(frames):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        image[:, :, 2] = (shade + 8 * index) % 256
        writer.write(image)
    writer.release()
    return path


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """The folder with `ucf10` and `ucf10-original`; skips where there is none."""
    root = Path(__file__).resolve().parents[1]
    for folder in (os.environ.get("VIDWATCH_TEST_DATA"), root / ".." / "shared" / "data"):
        if folder and Path(folder, "ucf10").is_dir():
            return Path(folder)
    pytest.skip(
        "needs real clips: set VIDWATCH_TEST_DATA to a folder that holds ucf10/ and ucf10-original/"
    )
