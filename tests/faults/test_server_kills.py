"""The server is killed at each step of a video's way, and again and again: nothing is lost."""

import os
import random
import time

import pytest
from ordeal import Ordeal
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model
from postgres import TestServer
from sqlalchemy.exc import DBAPIError

from daemon.home.clock import now
from daemon.report.status import read_status

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
