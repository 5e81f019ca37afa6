"""Notifications for people, by Apprise to a server on loopback, and what they say."""

import importlib.util
import sys

import pytest
from told import Listener, ToldHome, free_port, wait_until
from told import listener as listener
from told import told as told

from daemon.notify.messages import message

if not importlib.util.find_spec("apprise"):
    pytest.skip("needs apprise", allow_module_level=True)


def notify(port: int, more: str = "") -> str:
    return f'[[notify]]\nurls = ["json://127.0.0.1:{port}/T0KEN/"]\n{more}\n'


def test_a_message_says_what_happened(told: ToldHome, listener: Listener) -> None:
    told.tell(notify(listener.port))
    told.classify("a.avi", class_name="Skiing")
    wait_until(lambda: listener.posts)
    assert listener.posts[0]["title"] == "vidwatch: Skiing (90.0%)"
    assert listener.posts[0]["message"] == "a.avi"
    wait_until(lambda: told.waiting() == 0)


def test_what_the_limit_holds_back_becomes_one_message(told: ToldHome, listener: Listener) -> None:
    told.tell(notify(listener.port, 'at_most = "1/minute"'))
    told.classify("first.avi")
    wait_until(lambda: len(listener.posts) == 1)
    told.classify(*(f"{n:02}.avi" for n in range(22)))
    wait_until(lambda: told.waiting() == 22)  # the first one is noted as sent a moment later
    told.stop()
    told.tell(notify(listener.port))  # a minute has not passed; a new start begins anew
    wait_until(lambda: len(listener.posts) == 2)
    assert listener.posts[1]["title"] == "vidwatch: 22 events"
    lines = listener.posts[1]["message"].splitlines()
    assert lines[0] == "Biking (90.0%): 00.avi"
    assert lines[-1] == "17 more"
    wait_until(lambda: told.waiting() == 0)


def test_a_refusal_is_a_failure_without_the_address(
    told: ToldHome, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    listener.replies = lambda event: (401, {}, b"T0KEN")
    told.tell(notify(listener.port, 'events = ["failed"]'))
    told.fail("a.txt", "not a video")
    wait_until(lambda: told.receiver("notify json").failure)
    failure = told.receiver("notify json").failure
    assert failure.startswith("json: ")
    assert "T0KEN" not in f"{failure} {told.notices} {caplog.text}"
    listener.replies = lambda event: (200, {}, b"")
    wait_until(lambda: told.waiting() == 0)
    assert listener.posts[0]["title"] == "vidwatch: a.txt failed"
    assert listener.posts[0]["message"] == "not a video"


def test_only_addresses_that_failed_get_a_message_again(told: ToldHome, listener: Listener) -> None:
    port = free_port()
    urls = f'["json://127.0.0.1:{listener.port}/", "json://127.0.0.1:{port}/"]'
    told.tell(f"[[notify]]\nurls = {urls}\n")
    told.classify("a.avi")
    wait_until(lambda: told.receiver("notify json json").failure)
    other = Listener(port)
    wait_until(lambda: told.waiting() == 0)
    assert (len(listener.posts), len(other.posts)) == (1, 1)
    other.close()


@pytest.mark.parametrize("url", ["nonsense", "nosuchkind://S3CRET/S3CRET"])
def test_an_address_of_no_kind_is_named_without_it(told: ToldHome, url: str) -> None:
    told.tell(f'[[notify]]\nname = "it"\nurls = ["{url}"]\n')
    told.classify("a.avi")
    wait_until(lambda: told.receiver("it").failure)
    assert told.receiver("it").failure == "an address is none that Apprise knows"


def test_without_the_library_one_line_says_how_to_get_it(
    told: ToldHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    told.tell(notify(9))
    told.classify("a.avi")
    wait_until(lambda: told.receiver("notify json").failure)
    assert told.receiver("notify json").failure == "needs a library: pip install 'vidwatch[notify]'"


def test_each_event_has_words() -> None:
    video = {"name": "a\nb.avi", "source": "cam1", "class": "Biking", "probability": 0.5}
    head = {"event_id": "1", "event_at": ""}
    events = [
        {**head, **video, "event": "classified", "doubt": "unknown"},
        {**head, **video, "event": "failed", "error": "no video"},
        {
            **head,
            **video,
            "event": "labelled",
            "given": None,
            "verdict": "unsure",
            "given_by": "ann",
        },
        {**head, "event": "promoted", "model": "auto-1", "reason": "better"},
        {**head, "event": "training_failed", "model": "auto-2", "error": "no room"},
        {**head, "event": "trouble", "subject": "disk", "text": "full", "over": False},
        {**head, "event": "trouble", "subject": "disk", "text": None, "over": True},
    ]
    assert [message([event], 0) for event in events] == [
        ("vidwatch: Biking (50.0%, unsure)", "cam1/a b.avi"),
        ("vidwatch: cam1/a b.avi failed", "no video"),
        ("vidwatch: cam1/a b.avi is labelled: unsure", "by ann"),
        ("vidwatch: model auto-1 is the champion", "better"),
        ("vidwatch: training auto-2 failed", "no room"),
        ("vidwatch: trouble: disk", "full"),
        ("vidwatch: no longer a problem: disk", "no longer a problem: disk"),
    ]
