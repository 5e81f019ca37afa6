"""Training by itself: real labels in a real database, a real process that trains, and what becomes of its result."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import write_video
from sqlalchemy import select
from tiny import class_folders, trained_on

from daemon.filing import Folders
from daemon.history import Decision, History
from daemon.home import Home
from daemon.identity import identify
from daemon.labels import Labels, Said
from daemon.retraining import Retraining, ask, outlook
from daemon.settings import Settings
from daemon.store import Answer, Arrival, Store, connect
from daemon.tables import trainings
from daemon.upgrade import upgrade
from learner.dataset import _sha256
from learner.errors import VidwatchError

START = datetime(2026, 1, 2, tzinfo=UTC)
SETTINGS = Settings(settle_seconds=1, min_new_labels=10, min_class_clips=3, device="cpu")
SHADES = {"bright": 180, "dark": 0, "grey": 90}


class Lab:
    """A home whose champion tells bright from dark clips; its clips are answered by that and labelled by hand."""

    def __init__(self, home: Home) -> None:
        self.home, self.now = home, START
        self.store = Store(connect(home.database), "me")
        self.labels = Labels(self.store.engine, Folders(home.root))
        self.history = History(self.store.engine)
        self.history.obey("tiny", START)
        self.model = self.store.register_model("tiny", "digest", ["bright", "dark"], {}, START)
        self.retraining = Retraining(home, SETTINGS, self.history)

    def answer(self, label: str, group: int, number: int = 1) -> int:
        """A clip that came, and was answered and filed; gives its id."""
        name = f"v_{label}new_g{group:02}_c{number:02}.avi"
        path = write_video(self.home.inbox / name, frames=5 + number, shade=SHADES[label] + group)
        found = identify(bytes(path))
        assert found
        self.store.enqueue([Arrival(bytes(path), found, f"{label}{group}")], self.now)
        (video,) = self.store.claim(1, self.now)
        said = "bright" if label == "grey" else label
        known = (said, 0, 0.9, [1.0, 0.0], 4, 4, "pyav")
        self.store.record([Answer(video.id, video.path, _sha256(path), *known)], self.model, self.folders, self.now)
        self.store.moved({video.id: video.path}, self.now)
        return video.id

    @property
    def folders(self) -> Folders:
        return Folders(self.home.root)

    def label(self, label: str, groups: range, clips: int = 1, as_class: str = "") -> None:
        said = [
            Said(self.answer(label, group, number), "labelled", as_class or label)
            for group in groups
            for number in range(1, clips + 1)
        ]
        self.labels.say(said, "csv", "ann", self.now)

    def tend(self, until: Callable[[], Any]) -> None:
        """Some seconds at a time, while the process takes the time it takes."""
        deadline = time.monotonic() + 120
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
        return self.history.decisions()[0].verdict != "set"


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


def test_enough_new_labels_and_a_model_that_tells_a_new_class_takes_over_by_itself(lab: Lab) -> None:
    for label in SHADES:
        lab.label(label, range(10, 75))
    lab.tend(lab.decided)
    decision, first = lab.history.decisions()
    assert (decision.verdict, decision.challenger, decision.champion) == ("promoted", "auto-1", "tiny"), decision
    assert lab.history.champion() == "auto-1"
    assert first.verdict == "set"
    manifest = json.loads((lab.home.models / "auto-1.json").read_text())
    assert manifest["classes"] == ["bright", "dark", "grey"]
    taught = {label for _, label, _ in manifest["trained_on"]}
    assert taught == {"bright", "dark", "grey"}
    assert [row.state for row in lab.rows()] == ["trained"]
    held_out = json.loads((lab.home.models / "auto-1.run/held_out.json").read_text())
    assert len(held_out["classes"]) == 3
    assert "XDG" not in (lab.home.models / "auto-1.run/log.txt").read_text()


def test_too_few_clips_to_judge_by_leave_the_champion_and_say_what_is_missing(lab: Lab) -> None:
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.tend(lab.decided)
    decision = lab.history.decisions()[0]
    assert (decision.verdict, lab.history.champion()) == ("undecided", "tiny")
    assert "more are needed" in decision.reason
    assert lab.history.undecided().challenger == "auto-1"


def test_shuffled_labels_make_a_challenger_that_is_refused(lab: Lab) -> None:
    """Labels of what teaches are swapped; those of the holdout are right."""
    lab.label("bright", range(10, 50))
    lab.label("dark", range(10, 50))
    learned, _ = lab.retraining._clips(lab.now)
    other = {"bright": "dark", "dark": "bright"}
    with lab.store.engine.begin() as read:
        from daemon.tables import videos

        ids = dict(read.execute(select(videos.c.sha256, videos.c.id)).all())  # type: ignore[arg-type]
    lab.labels.say([Said(ids[c.sha256], "labelled", other[c.class_name]) for c in learned], "csv", "bob", lab.now)
    lab.tend(lab.decided)
    decision = lab.history.decisions()[0]
    assert (decision.verdict, lab.history.champion()) == ("refused", "tiny"), decision.reason


def test_a_trainer_that_is_killed_costs_the_run_and_nothing_else(lab: Lab) -> None:
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.tend(lambda: lab.retraining._running)
    assert lab.retraining._running
    os.kill(lab.retraining._running.process.pid, signal.SIGKILL)
    lab.tend(lambda: not lab.retraining._running)
    (row,) = lab.rows()
    assert (row.state, lab.history.champion()) == ("failed", "tiny")
    assert "signal 9" in row.error
    lab.idle()
    assert len(lab.rows()) == 1  # the same labels are not tried for ever
    assert ask(lab.store.engine, lab.home, SETTINGS, lab.now).startswith("nothing was labelled")


def test_a_training_that_takes_too_long_is_ended(lab: Lab) -> None:
    lab.retraining._settings = SETTINGS.model_copy(update={"training_minutes": 0.01})
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.tend(lambda: lab.rows() and lab.rows()[0].state == "failed")
    assert "took longer than 0.01 minutes (training_minutes)" in lab.rows()[0].error


def test_labels_are_learned_from_when_none_has_come_for_a_while(lab: Lab) -> None:
    lab.label("bright", range(10, 20))
    lab.retraining.tend(lab.now)
    lab.now += timedelta(seconds=4)
    lab.retraining.tend(lab.now)
    assert lab.rows() == []
    lab.now += timedelta(seconds=2)
    lab.retraining.tend(lab.now)
    assert [row.why for row in lab.rows()] == ["10 new labels"]


def test_a_class_with_too_few_clips_waits_and_its_labels_do_not_count(lab: Lab) -> None:
    lab.label("bright", range(10, 15))
    lab.label("grey", range(10, 12))
    lab.label("dark", range(10, 11), clips=4, as_class="black")
    with lab.store.engine.begin() as read:
        found = outlook(read, SETTINGS, 0, {"bright", "dark"})
    assert (found.new, found.is_due) == (5, False)
    assert found.short == {
        "grey": "2 of 3 clips",
        "black": "all of one group: one more recording is needed",
    }


def test_nothing_labelled_nothing_trained(lab: Lab) -> None:
    lab.idle()
    assert lab.rows() == []
    with pytest.raises(VidwatchError, match="no labels to learn from"):
        ask(lab.store.engine, lab.home, SETTINGS, lab.now)


def test_a_challenger_whose_checkpoint_is_damaged_is_refused_when_it_is_compared_again(lab: Lab) -> None:
    lab.label("bright", range(10, 20))
    open_question = Decision("undecided", "too few", {"holdout": 0, "missing": {"clips": 1}})
    lab.history.conclude("auto-1", "tiny", open_question, lab.now)
    lab.history.ask("10 new labels", lab.now, "auto-2")
    training = lab.history.asked()
    assert training
    lab.history.begin(training, 10**6, lab.now)
    lab.history.end(training, "failed", "for this test", lab.now)
    (lab.home.models / "auto-1.json").write_text((lab.home.models / "tiny.json").read_text())
    (lab.home.models / "auto-1.safetensors").write_bytes(b"damaged")
    lab.tend(lambda: lab.history.decisions()[0].verdict == "refused")
    assert "auto-1" in lab.history.decisions()[0].reason
    assert lab.history.champion() == "tiny"


def test_class_folders_that_are_gone_while_it_trains_are_read_from_what_is_stored(lab: Lab) -> None:
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.tend(lambda: lab.retraining._running)
    lab.home.inbox.rename(lab.home.root / "elsewhere")
    lab.tend(lambda: not lab.retraining._running)
    (row,) = lab.rows()
    assert row.state in ("trained", "failed")
    if row.state == "failed":
        assert "cannot be read" in row.error
    assert lab.history.champion() == "tiny"
