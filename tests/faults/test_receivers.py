"""Receivers of events that are away, hang, fail or print without end, and a daemon that is killed
meanwhile: no clip waits for them, and no event is lost.
"""

import json
import random
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ordeal import Ordeal
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model
from told import Broker, Listener, Subscriber, free_port, odd_server
from told import broker as broker

HOOK = """#!{python}
import json, os, sys
event = json.load(sys.stdin)
if os.path.exists({away!r}):
    sys.exit("it is away")
with open({lines!r}, "a") as file:
    file.write(json.dumps(event) + "\\n")
"""


class Command:
    """A command that notes events in a file, unless it is away."""

    def __init__(self, folder: Path) -> None:
        self.away, self.lines, self.path = (folder / name for name in ("away", "lines", "hook"))
        fill = {"python": sys.executable, "away": str(self.away), "lines": str(self.lines)}
        self.path.write_text(HOOK.format(**fill))
        self.path.chmod(0o755)

    def events(self) -> list[dict[str, Any]]:
        if not self.lines.exists():
            return []
        return [json.loads(line) for line in self.lines.read_text().splitlines()]


def require_all(ordeal: Ordeal, events: Iterable[dict[str, Any]]) -> int:
    """Each video's event came at least once, with one id, in the order of the predictions; gives
    how often one came again.
    """
    found = list(events)
    ids = defaultdict(set)
    first: list[int] = []
    for event in found:
        if not ids[event["id"]]:
            first.append(event["id"])
        ids[event["id"]].add(event["event_id"])
    predicted = [row[0] for row in ordeal.query("SELECT video_id FROM predictions ORDER BY id")]
    assert first == predicted
    assert {len(each) for each in ids.values()} == {1}
    assert len({min(each) for each in ids.values()}) == len(first)
    return len(found) - len(first)


def settings(ordeal: Ordeal, *parts: str) -> None:
    ordeal.write_settings("\n".join(parts))


def webhook(port: int, more: str = "") -> str:
    return f'[[webhook]]\nurl = "http://127.0.0.1:{port}/"\nevents = ["classified"]\n{more}\n'


def waiting(ordeal: Ordeal) -> int:
    ((n,),) = ordeal.query("SELECT count(*) FROM outbox")
    return int(n)


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.mark.slow
def test_receivers_that_go_away_while_the_daemon_is_killed_again_and_again(
    ordeal: Ordeal,
    broker: Broker,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """A command, a webhook and a broker, each there at first, then away, then back."""
    rng = random.Random(20)
    command = Command(tmp_path)
    port = free_port()
    listeners = [Listener(port)]
    subscribers = [Subscriber(broker)]
    settings(
        ordeal,
        f'on_classified = "{command.path}"',
        webhook(port),
        f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nevents = ["classified"]',
    )
    number = 0

    def drop(n: int) -> None:
        nonlocal number
        for _ in range(n):
            number += 1
            ordeal.drop(number, f"inbox/{number:04}.avi")

    ordeal.start()
    drop(20)
    assert ordeal.wait_for(ordeal.is_worked_off)
    assert ordeal.wait_for(lambda: waiting(ordeal) == 0), ordeal.end_of_log()
    command.away.touch()
    listeners[0].close()
    subscribers[0].close()
    broker.stop()
    for kill in range(6):
        drop(10)
        time.sleep(rng.uniform(0, 3))
        ordeal.kill(all_of_it=bool(kill % 2))
        ordeal.start()
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    assert waiting(ordeal) == 3 * 60
    broker.start()
    subscribers.append(Subscriber(broker))
    command.away.unlink()
    listeners.append(Listener(port))
    for _ in range(4):  # killed while it sends what has waited
        time.sleep(rng.uniform(2, 6))
        ordeal.kill()
        ordeal.start()
    assert ordeal.wait_for(lambda: waiting(ordeal) == 0), ordeal.end_of_log()
    ordeal.stop()
    ordeal.require_well()
    time.sleep(1)  # what the broker still passes on
    again = {
        "command": require_all(ordeal, command.events()),
        "webhook": require_all(ordeal, [one for each in listeners for one in each.posts]),
        "mqtt": require_all(ordeal, [one for each in subscribers for one in each.events()]),
    }
    record_property("videos", number)
    record_property("sent again", again)
    subscribers[1].close()
    listeners[1].close()


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_a_kill_between_sending_and_noting_it(
    ordeal: Ordeal, listener: Listener, when: str
) -> None:
    settings(ordeal, webhook(listener.port))
    ordeal.start(f"daemon.notify.outbox:Outbox.sent:{when}")
    ordeal.drop(1, "inbox/1.avi")
    assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()
    ordeal.kill()
    assert len(listener.posts) == 1
    ordeal.start()
    assert ordeal.wait_for(lambda: waiting(ordeal) == 0)
    ordeal.stop()
    assert require_all(ordeal, listener.posts) == (1 if when == "before" else 0)


def silent(connection: socket.socket) -> None:
    time.sleep(3600)


def file_all(ordeal: Ordeal, first: int, n: int) -> float:
    """Seconds from the first file to the last one that is filed; the daemon runs already."""
    for number in range(first, first + n):
        ordeal.drop(number, f"aside/{number:04}.avi")
    began = time.monotonic()
    for path in sorted((ordeal.root / "aside").iterdir()):
        path.rename(ordeal.inbox / path.name)
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    return time.monotonic() - began


@pytest.mark.slow
def test_receivers_that_fail_hold_up_no_clip_and_no_stop(
    ordeal: Ordeal, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Ten of them, of all kinds."""
    n = 300
    seconds = {}
    with ExitStack() as stack:
        port = stack.enter_context(odd_server(silent))
        noisy = tmp_path / "noisy"
        noisy.write_text(f"#!{sys.executable}\nwhile True: print('x' * 100000)\n")
        noisy.chmod(0o755)
        failing = [
            f'on_classified = "{noisy}"\non_failed = "sleep 3600"\non_labelled = "/no/such"',
            *(webhook(port, f'name = "silent {k}"\ntimeout_seconds = 60') for k in range(4)),
            *(webhook(free_port(), f'name = "away {k}"') for k in range(4)),
            f'[mqtt]\nhost = "127.0.0.1"\nport = {port}',
        ]
        number = 1
        for name, parts in (("without", []), ("with", failing), ("without again", [])):
            settings(ordeal, *parts)
            ordeal.start()
            assert ordeal.wait_for(lambda: ordeal.home.running()), ordeal.end_of_log()
            file_all(ordeal, number, 10)  # now it is warm
            seconds[name] = round(file_all(ordeal, number + 10, n), 1)
            number += 10 + n
            began = time.monotonic()
            ordeal.stop()
            seconds[f"stop {name}"] = round(time.monotonic() - began, 1)
    alone = (seconds["without"] + seconds["without again"]) / 2
    record_property("seconds for 300 clips", seconds)
    record_property("ratio", round(seconds["with"] / alone, 2))
    assert seconds["with"] < 1.5 * alone + 3
    assert seconds["stop with"] < 20
    ordeal.require_well()
