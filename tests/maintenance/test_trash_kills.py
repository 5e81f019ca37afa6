"""The daemon is killed while it moves files into the trash, and a command while it empties it."""

import hashlib
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from ordeal import SLOWEST, VIDWATCH, Ordeal
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model

FAULTS = Path(__file__).parents[1] / "faults"
RULE = '[[remove]]\nclasses = ["bright", "dark", "_unsure"]\nafter_days = 0.000001\n'
MOVES = [
    "daemon.home.moving:move_file:after",
    "daemon.database.queue:Queue.moved:before",
    "daemon.home.sidecars:Sidecars.follow:before",
    "daemon.database.queue:Queue.moves:after",
]
DELETIONS = [
    "daemon.home.doors:Doors.rename:after",
    "daemon.home.doors:Doors.remove:after",
    "daemon.database.trash:Deleting.deleted:before:2",
    "daemon.database.trash:Deleting.deleted:after",
]


def filed(ordeal: Ordeal, clips: int) -> None:
    """A home with so many filed clips, each with a sidecar, and a rule that lets all go."""
    ordeal.environment |= {"VIDWATCH_REVIEW_SHARE": "0", "VIDWATCH_MIN_FREE_GIGABYTES": "0"}
    for number in range(clips):
        ordeal.put(f"inbox/{number}.SRT", f"subtitles {number}")
        ordeal.drop(number, f"inbox/{number}.avi")
    ordeal.work_off()
    with ordeal.home.settings.open("a") as settings:
        settings.write(RULE)


def contents(ordeal: Ordeal) -> Counter[str]:
    """The content of each file in the folders of clips and in the trash."""
    tops = ("inbox", "classified", "labelled", "failed", "duplicates", "trash")
    files = [path for top in tops for path in (ordeal.root / top).rglob("*") if path.is_file()]
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)


def is_running(ordeal: Ordeal) -> bool:
    running = ordeal.home.running()
    return running is not None and not running.is_starting


def moves_left(ordeal: Ordeal) -> int:
    return int(ordeal.query("SELECT count(*) FROM videos WHERE destination IS NOT NULL")[0][0])


def require_well(ordeal: Ordeal) -> None:
    done = ordeal.command("check")
    assert (done.returncode, "not here any more" in done.stdout) == (0, False), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("step", MOVES)
def test_a_kill_on_the_way_into_the_trash_loses_nothing(ordeal: Ordeal, step: str) -> None:
    filed(ordeal, clips=3)
    before = contents(ordeal)
    ordeal.start(step)
    assert ordeal.wait_for(lambda: is_running(ordeal))
    done = ordeal.command("clean")
    assert done.returncode == 0, done.stderr
    assert "Into the trash" in done.stdout
    assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()
    ordeal.kill()
    assert contents(ordeal) == before
    ordeal.start()
    assert ordeal.wait_for(lambda: moves_left(ordeal) == 0), ordeal.end_of_log()
    ordeal.stop()
    assert contents(ordeal) == before
    assert len([path for path in (ordeal.root / "trash").rglob("*") if path.is_file()]) == 6
    require_well(ordeal)


@pytest.mark.slow
@pytest.mark.parametrize("step", DELETIONS)
def test_a_kill_while_the_trash_is_emptied_leaves_nothing_behind(ordeal: Ordeal, step: str) -> None:
    filed(ordeal, clips=3)
    done = ordeal.command("clean")  # no daemon runs: the command moves them
    assert done.returncode == 0, done.stderr
    assert len(list((ordeal.root / "trash").rglob("*.avi"))) == 3
    require_well(ordeal)
    environment = {
        **ordeal.environment,
        "VIDWATCH_TRASH_DAYS": "0",
        "PYTHONPATH": os.pathsep.join((str(FAULTS), os.environ.get("PYTHONPATH", ""))),
        "VIDWATCH_TEST_FAULT": step,
        "VIDWATCH_TEST_FAULT_DONE": str(ordeal.reached),
    }
    killed = subprocess.run([VIDWATCH, "clean"], env=environment, timeout=SLOWEST, check=False)
    assert killed.returncode == -signal.SIGKILL
    ordeal.environment["VIDWATCH_TRASH_DAYS"] = "0"
    assert ordeal.command("clean").returncode == 0
    assert contents(ordeal) == Counter()
    assert ordeal.query("SELECT count(*) FROM videos WHERE removed_at IS NOT NULL") == [(3,)]
    assert ordeal.query("SELECT count(*) FROM predictions WHERE kind = 'answer'") == [(3,)]
    require_well(ordeal)
