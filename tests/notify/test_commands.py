"""Commands that are run at events, as processes of their own."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from told import ToldHome, wait_until
from told import told as told

from daemon.notify import delivery


def script(folder: Path, text: str, name: str = "hook") -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n{text}\n")
    path.chmod(0o755)
    return path


def noting(folder: Path) -> tuple[Path, Path]:
    """A script that notes each event in a file, a line for each; and that file."""
    lines = folder / "events.jsonl"
    text = f"""event = json.load(sys.stdin)
event["env"] = [os.environ["VIDWATCH_EVENT"], os.environ["VIDWATCH_EVENT_ID"], os.environ["VIDWATCH_HOME"]]
event["nice"] = os.nice(0)
event["words"] = sys.argv[1:]
open({str(lines)!r}, "a").write(json.dumps(event) + "\\n")"""
    return script(folder, text), lines


def noted(lines: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []


def test_a_command_gets_the_row_where_the_file_lies_then(told: ToldHome, tmp_path: Path) -> None:
    hook, lines = noting(tmp_path)
    told.tell(f"""on_classified = "{hook} 'two words' $HOME" """)
    told.classify("cam1.avi", class_name="Skiing")
    wait_until(lambda: noted(lines))
    (event,) = noted(lines)
    assert event["event"] == "classified"
    assert event["env"] == ["classified", event["event_id"], str(told.root)]
    assert (event["id"], event["name"], event["class"]) == (1, "cam1.avi", "Skiing")
    assert event["path"] == str(told.root / "classified/Skiing/cam1.avi")
    assert event["logits"] == {"Biking": 0.0, "Skiing": 2.0}
    assert event["probability"] == 0.9
    assert event["model"] == "starter"
    assert event["words"] == ["two words", "$HOME"]
    assert event["nice"] == 10
    wait_until(lambda: told.waiting() == 0)
    assert told.receiver("on_classified").delivered_at


def test_each_event_goes_to_its_command(told: ToldHome, tmp_path: Path) -> None:
    hook, lines = noting(tmp_path)
    events = ("classified", "failed", "labelled", "promoted", "training_failed", "trouble")
    told.tell("\n".join(f'on_{event} = "{hook}"' for event in events))
    (video,) = told.classify("a.avi")
    told.give_label(video, "Skiing")
    told.labels.undo([video], "command", "ann", told.now)
    told.fail("b.txt")
    wait_until(lambda: len(noted(lines)) == 4)
    seen = {(one["event"], one.get("verdict")): one for one in noted(lines)}
    assert seen.keys() == {
        ("classified", None),
        ("labelled", "labelled"),
        ("labelled", "withdrawn"),
        ("failed", None),
    }
    assert seen["labelled", "labelled"]["given"] == "Skiing"
    assert seen["labelled", "labelled"]["given_by"] == "ann"
    assert seen["failed", None]["error"] == "not a video"
    assert seen["failed", None]["path"] == str(told.root / "failed/b.txt")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sys.exit('no room for it')", "exit status 1: no room for it"),
        ("print('x' * 5_000_000 + ' the end'); sys.exit(3)", "exit status 3: xxx"),
        ("time.sleep(1000)", "took longer than 1 s (command_seconds)"),
        ("os.kill(os.getpid(), 9)", "exit status 137"),
    ],
)
def test_a_command_that_fails_is_shown_and_tried_again(
    told: ToldHome, tmp_path: Path, text: str, reason: str
) -> None:
    hook = script(tmp_path, text)
    told.tell(f'on_classified = "{hook}"\ncommand_seconds = 1')
    told.classify("a.avi")
    wait_until(lambda: told.receiver("on_classified").failure)
    status = told.receiver("on_classified")
    assert status.failure.startswith(reason)
    assert len(status.failure) <= 300
    assert status.waiting == 1
    assert status.failing_since
    assert status.failure in told.notices["receiver on_classified"]
    script(tmp_path, "pass")
    wait_until(lambda: told.waiting() == 0)
    assert told.receiver("on_classified").failure is None
    wait_until(lambda: not told.notices)


def test_one_that_is_missing_or_may_not_be_run_is_named(told: ToldHome, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    told.tell(f'on_classified = "/no/such/program --token abcdefgh"\non_failed = "{plain}"')
    told.classify("a.avi")
    told.fail("b.txt")
    wait_until(lambda: len(told.notices) == 2)
    assert "/no/such/program is not there" in told.notices["receiver on_classified"]
    assert "abcdefgh" not in str(told.notices)
    assert "may not be run: is it executable?" in told.notices["receiver on_failed"]


def test_one_that_is_missing_is_named_at_the_start_until_it_is_there(
    told: ToldHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TENDING", 0.1)
    hook = tmp_path / "hook"
    told.tell(f'on_classified = "{hook}"')
    wait_until(lambda: told.notices)
    assert f"{hook} is not there" in told.notices["receiver on_classified"]
    assert told.waiting() == 0
    assert f"{hook} is not there" in told.receiver("on_classified").failure
    script(tmp_path, "pass")
    wait_until(lambda: not told.notices)
    assert told.receiver("on_classified").failure is None


def test_what_a_command_starts_ends_with_it_and_holds_nothing_up(
    told: ToldHome, tmp_path: Path
) -> None:
    """Its child holds the output open."""
    told.tell(f"""on_classified = "sh -c 'sleep 987 & echo $! > {tmp_path / "pid"}'" """)
    told.classify("a.avi")
    wait_until(lambda: told.waiting() == 0, 20)
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_a_stop_ends_a_command_that_hangs_and_its_event_waits(
    told: ToldHome, tmp_path: Path
) -> None:
    told.tell(f"""on_classified = "sh -c 'echo $$ > {tmp_path / "pid"}; sleep 987'" """)
    told.classify("a.avi")
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    assert told.stop() < 5
    assert (told.waiting(), told.receiver("on_classified").failure) == (1, None)
    child = int((tmp_path / "pid").read_text())
    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_a_command_and_its_children_end_when_the_daemon_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    line = f"sh -c 'sleep 987 & echo $$ $! > {pids}; wait'"
    program = f"""
import sys, pathlib
from pydantic import SecretStr
from daemon.home.receivers import Command
from daemon.notify.commands import CommandSender
command = Command(events=("failed",), line=SecretStr({line!r}), seconds=900)
CommandSender(command, pathlib.Path({str(tmp_path)!r})).send([{{"event": "failed", "event_id": "1"}}], 0)
"""
    daemon = subprocess.Popen([sys.executable, "-c", program])
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    for pid in map(int, pids.read_text().split()):
        wait_until(
            lambda pid=pid: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"
        )  # type: ignore[misc]


def test_megabytes_of_output_take_no_memory(told: ToldHome, tmp_path: Path) -> None:
    hook = script(tmp_path, "for _ in range(100): print('x' * 1_000_000)")
    before = psutil.Process().memory_info().rss
    told.tell(f'on_classified = "{hook}"')
    told.classify("a.avi")
    wait_until(lambda: told.waiting() == 0)
    assert psutil.Process().memory_info().rss < before + 30_000_000


@pytest.mark.slow
def test_commands_wait_for_no_longer_than_they_take(told: ToldHome) -> None:
    """The process between the daemon and the command has to be there at once."""
    told.configure('on_classified = "true"')
    told.classify(*(f"{n}.avi" for n in range(20)))
    began = time.monotonic()
    told.tell()
    wait_until(lambda: told.waiting() == 0)
    assert time.monotonic() - began < 15


def test_words_that_can_be_no_path_end_no_thread(told: ToldHome, tmp_path: Path) -> None:
    """A script of a shell is such a word: with its length, no file could be looked for."""
    script(tmp_path, "sys.exit(3)")
    told.tell(f"on_failed = \"{tmp_path / 'hook'} '{'long ' * 100}'\"")
    told.fail("a.txt")
    wait_until(lambda: told.receiver("on_failed").failure)
    assert told.receiver("on_failed").failure == "exit status 3"
    script(tmp_path, "sys.exit(0)")
    wait_until(lambda: told.waiting() == 0)
