"""The server is killed at each step of a video's way, of a label's, of a training and of a message,
and again and again: nothing is lost, and people are told what to do.
"""

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import SHADES, Lab
from lab import champion as champion
from lab import lab as lab
from ordeal import SLOWEST, VIDWATCH, Ordeal
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model
from postgres import TestServer
from reviewed import Browser, ReviewedHome, hidden
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError
from test_receivers import require_all, settings, waiting, webhook
from told import Listener, wait_until
from told import listener as listener

from daemon.home.clock import now
from daemon.report.status import read_status
from learner.classifier import Classifier

pytestmark = pytest.mark.slow
KINDS_OF_DATABASE = ("postgresql",)
CLIPS = int(os.environ.get("VIDWATCH_TEST_CLIPS", "500"))
RESTARTS = 50
STEPS = [
    f"{function}:{when}"
    for function in (
        "daemon.database.queue:Queue.enqueue",
        "daemon.database.queue:Queue.claim",
        "daemon.database.predictions:Predictions.record",
        "daemon.database.queue:Queue.moves",
        "daemon.home.moving:move_file",
        "daemon.database.queue:Queue.moved",
        "daemon.labels.class_folders:ClassFolders.notice",
        "daemon.labels.labels:add_label",
    )
    for when in ("before", "after")
]


def trouble_of(ordeal: Ordeal) -> str:
    """What the daemon says of the database, without asking that."""
    running = ordeal.home.running()
    return (running.notices if running else {}).get("database", "")


def is_worked_off(ordeal: Ordeal) -> bool:
    try:
        return ordeal.is_worked_off()
    except DBAPIError:  # the server is away
        return False


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_is_killed_at_a_step_loses_nothing(
    ordeal: Ordeal, postgres: TestServer, step: str
) -> None:
    for number in range(3):
        ordeal.drop(number, f"inbox/{number}.avi")
    ordeal.drop(3, "labelled/bright/3.avi")
    ordeal.start(step, hold=True)
    assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()
    postgres.stop("immediate")
    try:
        ordeal.let_go()
        time.sleep(3)
    finally:
        postgres.start()
    assert ordeal.wait_for(lambda: is_worked_off(ordeal)), ordeal.end_of_log()
    ordeal.stop()
    ordeal.require_well()


def test_a_daemon_waits_for_a_server_that_is_away_at_its_start(
    ordeal: Ordeal, postgres: TestServer
) -> None:
    ordeal.drop(1, "inbox/1.avi")
    postgres.stop()
    try:
        ordeal.start()
        assert ordeal.wait_for(lambda: "is tried again" in trouble_of(ordeal)), ordeal.end_of_log()
        done = ordeal.command("status")
        assert (done.returncode, "Traceback" in done.stderr) == (75, False)
        assert "is the server running? Try again" in done.stderr
    finally:
        postgres.start()
    assert ordeal.wait_for(lambda: is_worked_off(ordeal)), ordeal.end_of_log()
    assert trouble_of(ordeal) == ""
    ordeal.stop()
    ordeal.require_well()


def test_a_server_that_is_restarted_again_and_again_loses_nothing(
    ordeal: Ordeal, postgres: TestServer
) -> None:
    rng = random.Random(7)
    number = 0
    ordeal.start()
    for restart in range(RESTARTS):
        while number < CLIPS * (restart + 1) // RESTARTS:
            number += 1
            ordeal.drop(number, f"inbox/cam{number % 3}/{number}.avi")
        time.sleep(rng.uniform(0, 1.5))
        postgres.stop(rng.choice(("immediate", "fast")))
        time.sleep(rng.uniform(0, 0.5))
        postgres.start()
    assert ordeal.wait_for(lambda: is_worked_off(ordeal), 1800), ordeal.end_of_log()
    assert read_status(ordeal.home, now()).to_json()["filed"] == CLIPS
    ordeal.stop()
    ordeal.require_well()


@pytest.fixture
def reviewed(tmp_path: Path) -> Iterator[ReviewedHome]:
    home = ReviewedHome(tmp_path)
    yield home
    home.close()


class Kill:
    """Kills the server once, at a moment of a change."""

    def __init__(self, server: TestServer, moment: str) -> None:
        self._server = server
        self._moment = moment
        self.is_done = False

    def listen(self, engine: Engine) -> None:
        """Kill it at that moment of what this engine does."""

        def write(*given: Any) -> None:
            if given[2].startswith("INSERT INTO labels"):
                self.at("while it is written")

        event.listen(engine, "before_cursor_execute", write)
        event.listen(engine, "commit", lambda *_: self.at("before it is committed"))
        event.listen(engine, "checkin", lambda *_: self.at("after it is committed"))

    def at(self, moment: str) -> None:
        """It is that moment."""
        if moment == self._moment and not self.is_done:
            self.is_done = True
            self._server.stop("immediate")

    def undo(self) -> None:
        """Start it again."""
        assert self.is_done
        self._server.start()


MOMENTS = ("before it", "while it is written", "before it is committed", "after it is committed")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_label_on_the_page_while_the_server_is_killed(
    reviewed: ReviewedHome, postgres: TestServer, moment: str
) -> None:
    """The person is told to try again; the same form works then, and nothing was half recorded."""
    videos = [reviewed.clip(), reviewed.clip()]
    site = reviewed.site()
    browser = Browser(site)
    page = browser.get("/review").text
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen")}
    form |= {"id": [str(video) for video in videos], "bulk": "1", "class": "red"}
    kill = Kill(postgres, moment)
    kill.listen(site.writer)
    try:
        kill.at("before it")
        answer = browser.post("/say", data=form)
    finally:
        kill.undo()
    assert answer.status_code == 503
    assert "The database is away" in answer.text
    assert "try again" in answer.text
    assert "Traceback" not in answer.text
    before = reviewed.given_labels()
    assert len(before) == (2 if moment == "after it is committed" else 0)
    assert browser.post("/say", data=form).status_code == 200
    labels = [(video, "labelled", "red", "page") for video in videos]
    assert reviewed.given_labels() == [*before, *labels]
    reviewed.file()
    assert {reviewed.path(video).parent for video in videos} == {reviewed.root / "labelled/red"}
    site.close()


def start(lab: Lab, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    known = {"HOME": lab.root, "MODEL": "tiny", "SETTLE_SECONDS": 0.2, "DEVICE": "cpu"}
    known |= {"MIN_NEW_LABELS": 10, "MIN_CLASS_CLIPS": 3}
    given = {f"VIDWATCH_{name}": str(value) for name, value in known.items()}
    with log.open("ab") as file:
        return subprocess.Popen(
            [VIDWATCH, "run"], env={**os.environ, **given, **environment}, stderr=file
        )


TRAINING = [
    "daemon.training.decisions:Decisions.begin:before",
    "daemon.training.decisions:Decisions.begin:after",
    "learner.splits:gather:before",  # in the trainer: it begins
    "learner.checkpoint:save:after",  # in the trainer: the new model is written, not recorded
    "daemon.training.decisions:Decisions.conclude:before",
    "daemon.training.records:add_decision:after",  # recorded, but not committed
    "daemon.training.decisions:Decisions.conclude:after",
    "daemon.classify.pipeline:Pipeline.use:before",
]


@pytest.mark.parametrize("step", TRAINING)
def test_a_server_that_is_killed_at_a_step_of_a_training_costs_time_and_no_model(
    lab: Lab, postgres: TestServer, tmp_path: Path, step: str
) -> None:
    for label in SHADES:
        lab.label(label, range(10, 75))
    log = tmp_path / "log"
    done = tmp_path / "done"
    go = tmp_path / "go"
    daemon = start(
        lab,
        log,
        PYTHONPATH=os.pathsep.join((str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))),
        VIDWATCH_TEST_FAULT=step,
        VIDWATCH_TEST_FAULT_DONE=str(done),
        VIDWATCH_TEST_FAULT_HOLD=str(go),
    )
    try:
        deadline = time.monotonic() + 10 * SLOWEST
        while not done.exists():
            assert time.monotonic() < deadline, "the step was never reached"
            assert daemon.poll() is None, log.read_text()
            time.sleep(0.05)
        postgres.stop("immediate")
        try:
            go.touch()
            time.sleep(3)
        finally:
            postgres.start()
        while lab.history.champion() == "tiny":
            assert time.monotonic() < deadline, (lab.trainings(), log.read_text()[-3000:])
            assert daemon.poll() is None, log.read_text()
            time.sleep(0.2)
        time.sleep(2)  # a second one would begin by now
    finally:
        daemon.terminate()
        assert daemon.wait(SLOWEST) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert [row.verdict for row in lab.history.newest_first()].count("promoted") == 1
    assert {row.state for row in lab.trainings()} <= {"trained", "stopped"}
    assert [row.state for row in lab.trainings()].count("trained") == 1
    name = lab.history.champion()
    assert name
    assert Classifier.load(lab.home.model(name)).name == name


SENDING = [
    "daemon.notify.outbox:Outbox.oldest:before",
    "daemon.notify.delivery:Delivery._content:before",
    "daemon.notify.delivery:Delivery._hand_over:after",
    "daemon.notify.outbox:Outbox.sent:before",
    "daemon.notify.outbox:Outbox.sent:after",
]


@pytest.mark.parametrize("step", SENDING)
def test_a_server_that_is_killed_while_events_are_sent_loses_none(
    ordeal: Ordeal, postgres: TestServer, listener: Listener, step: str
) -> None:
    settings(ordeal, webhook(listener.port))
    ordeal.start(f"{step}:3", hold=True)
    for number in range(12):
        ordeal.drop(number, f"inbox/{number}.avi")
    assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()
    postgres.stop("immediate")
    try:
        ordeal.let_go()
        time.sleep(3)
    finally:
        postgres.start()
    assert ordeal.wait_for(lambda: is_worked_off(ordeal)), ordeal.end_of_log()
    assert ordeal.wait_for(lambda: waiting(ordeal) == 0), ordeal.end_of_log()
    ordeal.stop()
    assert "Traceback" not in ordeal.log.read_text()
    require_all(ordeal, listener.posts)
    ordeal.require_well()


COMMANDS = [
    ("daemon.training.decisions:Decisions.champion:after", "status"),
    ("daemon.report.counts:counts:before", "status"),
    ("daemon.report.counts:counts:before", "status --json"),
    ("daemon.labels.lookup:find_videos:after", "label 1 Skiing"),
    ("daemon.labels.labels:add_label:after", "label 1 Skiing"),
    ("daemon.database.upgrade:upgrade:before", "label 1 Skiing"),
    ("daemon.database.upgrade:upgrade:before", "add {archive}"),
    ("daemon.database.queue:Queue.unknown:after", "add {archive}"),
    ("daemon.database.queue:Queue.enqueue:after", "add {archive}"),
]


@pytest.mark.parametrize(("step", "command"), COMMANDS)
def test_a_command_whose_server_is_killed_says_so_in_one_line_and_can_be_given_again(
    ordeal: Ordeal, postgres: TestServer, tmp_path: Path, step: str, command: str
) -> None:
    ordeal.arrive("1.avi")
    ordeal.predict_and_file()
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "2.avi").write_text("a video")
    words = command.format(archive=archive).split()
    process = subprocess.Popen(
        [VIDWATCH, *words],
        env=ordeal.with_fault(step, hold=True),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: ordeal.reached.exists() or process.poll() is not None)
    postgres.stop("immediate")
    try:
        ordeal.let_go()
        _, said = process.communicate(timeout=SLOWEST)
    finally:
        postgres.start()
    assert ordeal.reached.exists()
    assert (process.returncode, said.count("\n")) == (os.EX_TEMPFAIL, 1), said
    assert said.rstrip().endswith("is the server running? Try again")
    done = ordeal.command(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(ordeal.query("SELECT * FROM labels")) == command.startswith("label")
    assert len(ordeal.query("SELECT * FROM videos")) == (2 if words[0] == "add" else 1)
