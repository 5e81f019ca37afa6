"""A kill of the trainer or of the daemon at each step of a promotion: one champion afterwards, that
can be loaded.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from installed import SLOWEST, VIDWATCH
from lab import SHADES, Lab
from lab import champion as champion
from lab import lab as lab

from learner.classifier import Classifier

FAULTS = Path(__file__).with_name("faults")
STEPS = [
    "daemon.training.decisions:Decisions.begin:before",
    "daemon.training.decisions:Decisions.begin:after",
    "learner.splits:gather:before",  # in the trainer: it begins
    "learner.files:prepare:after",  # in the trainer: half of a file is written
    "learner.checkpoint:save:before",
    "learner.checkpoint:save:after",
    "learner.promotion:judge:before",
    "daemon.training.decisions:Decisions.conclude:before",
    "daemon.training.decisions:Decisions.conclude:after",
    "daemon.classify.pipeline:Pipeline.use:before",
    "daemon.classify.pipeline:Pipeline.use:after",
]


def start(lab: Lab, **environment: str) -> subprocess.Popen[bytes]:
    settings = {
        "VIDWATCH_HOME": str(lab.home.root),
        "VIDWATCH_MODEL": "tiny",
        "VIDWATCH_SETTLE_SECONDS": "0.2",
        "VIDWATCH_MIN_NEW_LABELS": "10",
        "VIDWATCH_MIN_CLASS_CLIPS": "3",
        "VIDWATCH_DEVICE": "cpu",
    }
    return subprocess.Popen(
        [VIDWATCH, "run"], env={**os.environ, **settings, **environment}, stderr=subprocess.DEVNULL
    )


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_a_step_of_a_promotion_leaves_one_champion_that_can_be_loaded(
    lab: Lab, step: str
) -> None:
    for label in SHADES:
        lab.label(label, range(10, 75))
    fault = {"VIDWATCH_TEST_FAULT": step, "VIDWATCH_TEST_FAULT_DONE": str(lab.home.root / "done")}
    daemon = start(lab, PYTHONPATH=str(FAULTS), **fault)
    deadline = time.monotonic() + SLOWEST
    while not (lab.home.root / "done").exists():
        assert time.monotonic() < deadline, "the step was never reached"
        time.sleep(0.05)
    time.sleep(0.5)
    if daemon.poll() is None:  # it was the trainer: the daemon goes on, and notes what became of it
        while not lab.trainings() or lab.trainings()[-1].state == "training":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert daemon.poll() is None
        daemon.send_signal(signal.SIGKILL)
    assert daemon.wait() == -signal.SIGKILL
    require_one_champion(lab)

    daemon = start(lab)
    try:
        if lab.trainings() and lab.trainings()[-1].state == "failed":
            lab.history.request_training("vidwatch retrain", lab.now)
        while lab.history.champion() == "tiny" or not lab.home.running():
            assert time.monotonic() < deadline + SLOWEST, lab.trainings()
            assert daemon.poll() is None
            time.sleep(0.2)
    finally:
        daemon.terminate()
        assert daemon.wait(SLOWEST) == 0
    require_one_champion(lab)
    assert [row.verdict for row in lab.history.newest_first()].count("promoted") == 1


def require_one_champion(lab: Lab) -> None:
    name = lab.history.champion()
    assert name
    assert Classifier.load(lab.home.model(name)).name == name
