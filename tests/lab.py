"""A home whose champion tells bright from dark clips, with predicted clips to be labelled."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome
from tiny import class_folders, trained_on

from daemon.database.tables import trainings
from daemon.home.settings import Settings
from daemon.labels.labels import Label, Source
from daemon.training.decisions import Decisions
from daemon.training.forecast import Known
from daemon.training.retraining import Retraining

# Its clock runs ahead of the processes that it waits for.
SETTINGS = Settings(
    settle_seconds=1, min_new_labels=10, min_class_clips=3, device="cpu", training_minutes=100_000
)
TINY = Known({"classes": ["bright", "dark"]})
SHADES = {"bright": 180, "dark": 0, "grey": 90}


class Lab(MadeHome):
    """A home whose champion tells bright from dark clips.

    Its clips have the predictions that the test expects of it, and are labelled by hand.
    """

    def __init__(self, root: Path, champion: Path) -> None:
        super().__init__(root, model="tiny", classes=["bright", "dark"])
        self.put_model(champion)
        self.history = Decisions(self.engine)
        self.history.apply_setting("tiny", self.now)
        self.retraining = Retraining(self.home, SETTINGS, self.history)

    def clip(self, label: str, group: int, number: int = 1) -> int:
        """A clip that came, and was predicted and filed; gives its id."""
        name = f"inbox/v_{label}new_g{group:02}_c{number:02}.avi"
        path = self.put_video(name, frames=5 + number, shade=SHADES[label] + group)
        self.enqueue(path, group=f"{label}{group}")
        predicted = self.model_prediction("bright" if label == "grey" else label)
        (video,) = self.predict_and_file(predicted)
        return video

    def label(
        self,
        label: str,
        groups: range,
        clips: int = 1,
        as_class: str = "",
        source: Source = "csv",
    ) -> None:
        """New clips of so many groups, and their labels."""
        new = [
            Label(self.clip(label, group, number), "labelled", as_class or label)
            for group in groups
            for number in range(1, clips + 1)
        ]
        self.labels.add(new, source, "ann", self.now)

    def tend(self, until: Callable[[], Any]) -> None:
        """Some seconds at a time, while the process takes the time it takes."""
        deadline = time.monotonic() + 600
        while not until():
            assert time.monotonic() < deadline, self.trainings()
            self.now += timedelta(seconds=10)
            self.retraining.tend(self.now)
            time.sleep(0.05)

    def idle(self) -> None:
        """An hour in which nothing comes."""
        for _ in range(60):
            self.now += timedelta(minutes=1)
            self.retraining.tend(self.now)

    def trainings(self) -> list[Any]:
        return self.rows(trainings)

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
    lab = Lab(tmp_path / "home", champion / "tiny")
    yield lab
    lab.retraining.stop()
    lab.close()
