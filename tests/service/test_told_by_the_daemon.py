"""The real daemon and its receivers: a hook that hangs, one that works, and what status shows."""

import json
import signal
import sys
import time
from pathlib import Path

import pytest
from installed import Daemon, drop
from installed import daemon as daemon
from told import Listener
from told import listener as listener


@pytest.mark.slow
def test_a_hook_that_hangs_holds_up_no_clip_and_no_stop(
    daemon: Daemon, listener: Listener, tmp_path: Path
) -> None:
    daemon.write_settings(
        f"on_classified = \"sh -c 'echo begun > {tmp_path / 'begun'}; sleep 3600'\"\n"
        f'[[webhook]]\nname = "good"\nurl = "{listener.url}"\nheaders = {{ X = "S3CRET" }}\n'
    )
    drop(daemon.inbox, "a.avi", 1)
    daemon.start()
    daemon.wait_for(lambda status: status["filed"] == 1)
    drop(daemon.inbox, "b.avi", 2)
    daemon.wait_for(lambda status: status["filed"] == 2 and (tmp_path / "begun").exists())
    status = daemon.wait_for(lambda status: status["receivers"][0]["waiting"] == 0)
    good, hangs = status["receivers"]
    assert (good["name"], good["waiting"], good["failure"]) == ("good", 0, None)
    assert good["delivered_at"]
    assert (hangs["name"], hangs["waiting"]) == ("on_classified", 2)
    assert [event["name"] for event in listener.posts] == ["a.avi", "b.avi"]
    assert listener.posts[0]["path"].startswith(str(daemon.root / "classified"))
    began = time.monotonic()
    code, log = daemon.end(signal.SIGTERM)
    assert (code, "Traceback" in log, "S3CRET" in log) == (0, False, False)
    assert time.monotonic() - began < 15
    assert daemon.query("SELECT count(*) FROM outbox") == [(2,)]


@pytest.mark.slow
def test_once_ends_when_all_is_told(daemon: Daemon, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    hook = tmp_path / "hook"
    hook.write_text(
        f"#!{sys.executable}\nimport sys\nopen({str(lines)!r}, 'a').write(sys.stdin.read() + '\\n')\n"
    )
    hook.chmod(0o755)
    daemon.write_settings(f'on_classified = "{hook}"\non_failed = "{hook}"\n')
    for number in range(5):
        drop(daemon.inbox, f"{number}.avi", number)
    (daemon.inbox / "no.mp4").write_text("no video")
    assert daemon.command("run", "--once").returncode == 0
    events = [json.loads(line)["event"] for line in lines.read_text().splitlines()]
    assert sorted(events) == ["classified"] * 5 + ["failed"]
    assert daemon.query("SELECT count(*) FROM outbox") == [(0,)]


@pytest.mark.slow
def test_once_waits_for_no_receiver_that_is_away(daemon: Daemon) -> None:
    daemon.write_settings('[[webhook]]\nurl = "http://127.0.0.1:9/"\n')
    drop(daemon.inbox, "a.avi", 1)
    assert daemon.command("run", "--once").returncode == 0
    assert daemon.query("SELECT count(*) FROM outbox") == [(1,)]
    status = daemon.command("status").stdout
    told = "webhook 127.0.0.1: nothing sent yet; 1 event waiting; 127.0.0.1:9: connection re"
    assert told in status


@pytest.mark.slow
def test_a_test_event_is_sent_to_each_receiver(daemon: Daemon, listener: Listener) -> None:
    done = daemon.command("notify", "test")
    assert done.returncode == 2
    assert "names no receiver" in done.stderr
    daemon.write_settings(
        f'on_failed = "/no/such/program S3CRET-token"\n[[webhook]]\nname = "good"\nurl = "{listener.url}"\n'
    )
    done = daemon.command("notify", "test")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "on_failed: /no/such/program is not there\ngood: delivered\n"
    assert listener.posts[0]["event"] == "test"
    assert daemon.command("notify", "test", "good").returncode == 0
    assert len(listener.posts) == 2
    done = daemon.command("notify", "test", "bad")
    assert done.returncode == 2
    assert "there is no receiver 'bad'" in done.stderr
    assert "on_failed, good" in done.stderr
