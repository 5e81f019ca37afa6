"""A home whose champion tells bright from dark clips, with clips that were answered and can be labelled."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import write_video
from homes import Store, predicted
from sqlalchemy import select
from tiny import class_folders, trained_on

from daemon.database.connection import connect
from daemon.database.records import Moved
from daemon.database.tables import trainings
from daemon.database.upgrade import upgrade
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found
from daemon.home.identity import identify
from daemon.home.settings import Settings
from daemon.labels.labels import Label, Labels
from daemon.training.decisions import Decisions
from daemon.training.retraining import Retraining
from learner.files import sha256_of

START = datetime(2026, 1, 2, tzinfo=UTC)
# Its clock runs ahead of the processes that it waits for.
SETTINGS = Settings(
    settle_seconds=1, min_new_labels=10, min_class_clips=3, device="cpu", training_minutes=100_000
)
SHADES = {"bright": 180, "dark": 0, "grey": 90}


class Lab:
    """A home whose champion tells bright from dark clips; its clips are answered by that and labelled by hand."""

    def __init__(self, home: Home) -> None:
        self.home, self.now = home, START
        self.store = Store(connect(home.database), "me")
        self.labels = Labels(self.store.engine, Folders(home.root))
        self.history = Decisions(self.store.engine)
        self.history.follow_setting("tiny", START)
        self.model = self.store.register_model("tiny", "digest", ["bright", "dark"], {}, START)
        self.retraining = Retraining(home, SETTINGS, self.history)

    def answer(self, label: str, group: int, number: int = 1) -> int:
        """A clip that came, and was answered and filed; gives its id."""
        name = f"v_{label}new_g{group:02}_c{number:02}.avi"
        path = write_video(self.home.inbox / name, frames=5 + number, shade=SHADES[label] + group)
        found = identify(bytes(path))
        assert found
        self.store.enqueue([Found(bytes(path), found, f"{label}{group}")], self.now)
        (video,) = self.store.claim(1, self.now)
        said = "bright" if label == "grey" else label
        known = (said, 0, 0.9, [1.0, 0.0], 4, 4, "pyav")
        self.store.record(
            [predicted(video.id, video.path, sha256_of(path), *known)],
            self.model,
            self.folders,
            self.now,
        )
        tried = self.folders.resting_place(video.path, predicted=said, unsure=False)
        assert tried
        self.store.moved({video.id: Moved(video.path, tried)}, self.now)
        return video.id

    @property
    def folders(self) -> Folders:
        return Folders(self.home.root)

    def label(self, label: str, groups: range, clips: int = 1, as_class: str = "") -> None:
        said = [
            Label(self.answer(label, group, number), "labelled", as_class or label)
            for group in groups
            for number in range(1, clips + 1)
        ]
        self.labels.add(said, "csv", "ann", self.now)

    def tend(self, until: Callable[[], Any]) -> None:
        """Some seconds at a time, while the process takes the time it takes."""
        deadline = time.monotonic() + 600
        while not until():
            assert time.monotonic() < deadline, self.rows()
            self.now += timedelta(seconds=10)
            self.retraining.tend(self.now)
            time.sleep(0.05)

    def idle(self) -> None:
        """An hour in which nothing comes."""
        for _ in range(60):
            self.now += timedelta(minutes=1)
            self.retraining.tend(self.now)

    def rows(self) -> list[Any]:
        with self.store.engine.begin() as read:
            return list(read.execute(select(trainings).order_by(trainings.c.id)))

    def decided(self) -> bool:
        return self.history.newest_first()[0].verdict != "set"


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("champion")
    trained_on(class_folders(folder / "data"), folder / "tiny")
    return folder


@pytest.fixture
def lab(tmp_path: Path, champion: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(champion / "cache"))
    home = Home.at(tmp_path / "home")
    home.create()
    upgrade(home.database)
    for suffix in (".json", ".safetensors"):
        (home.models / f"tiny{suffix}").write_bytes((champion / f"tiny{suffix}").read_bytes())
    lab = Lab(home)
    yield lab
    lab.retraining.stop()
    lab.store.close()
