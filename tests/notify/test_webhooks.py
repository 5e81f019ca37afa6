"""Events that are posted to real servers on loopback, good and bad ones."""

import hashlib
import hmac
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from told import Listener, ToldHome, free_port, odd_server, wait_until
from told import listener as listener
from told import told as told

from daemon.notify import webhooks


def webhook(url: str, more: str = "") -> str:
    return f'[[webhook]]\nurl = "{url}"\n{more}\n'


def test_events_are_posted_in_order_and_signed(
    told: ToldHome, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "the key")
    told.put("token", "Bearer abcdef\n")
    more = 'secret = { env = "HOOK_SECRET" }\nheaders = { Authorization = { file = "token" } }'
    told.tell(webhook(listener.url + "?key=a%20b", more))
    told.classify(*(f"{n:02}.avi" for n in range(30)))
    wait_until(lambda: len(listener.posts) == 30)
    assert listener.ids() == list(range(1, 31))
    assert len({event["event_id"] for event in listener.posts}) == 30
    headers, body = listener.headers[0], listener.bodies[0]
    signature = hmac.new(b"the key", body, hashlib.sha256).hexdigest()
    assert headers["X-Vidwatch-Signature"] == f"sha256={signature}"
    assert headers["Authorization"] == "Bearer abcdef"
    assert headers["X-Vidwatch-Event"] == "classified"
    assert headers["X-Vidwatch-Event-Id"] == listener.posts[0]["event_id"]
    assert headers["Content-Type"] == "application/json"
    wait_until(lambda: told.waiting() == 0)


def test_only_chosen_events_and_classes_are_told(told: ToldHome, listener: Listener) -> None:
    told.configure(
        webhook(listener.url, 'events = ["classified"]\nclasses = ["Skiing", "_unsure"]')
    )
    told.classify("a.avi", class_name="Biking")
    told.classify("b.avi", class_name="Skiing")
    told.classify("c.avi", class_name="Biking", unsure="probability")
    told.fail("d.txt")
    told.give_label(1, "Skiing")
    told.classify("copy-of-a.avi", class_name="Biking", sha256=told.row(1)["sha256"])
    told.classify("copy-of-b.avi", class_name="Skiing", sha256=told.row(2)["sha256"])
    assert told.waiting() == 3
    told.tell()
    wait_until(lambda: len(listener.posts) == 3)
    assert [(one["name"], one["duplicate_of"]) for one in listener.posts] == [
        ("b.avi", None),
        ("c.avi", None),
        ("copy-of-b.avi", 2),
    ]
    assert listener.posts[2]["class"] == "Skiing"


def test_nothing_is_written_if_nobody_wants_it(told: ToldHome, listener: Listener) -> None:
    told.configure(webhook(listener.url, 'events = ["promoted"]'))
    told.classify("a.avi")
    assert told.waiting() == 0
    told.configure("")
    told.give_label(1, "Skiing")
    assert told.waiting() == 0


def test_one_that_is_away_gets_all_in_order_when_it_is_back(told: ToldHome) -> None:
    port = free_port()
    told.tell(webhook(f"http://127.0.0.1:{port}/hook"))
    told.classify(*(f"{n:02}.avi" for n in range(20)))
    wait_until(lambda: told.receiver("webhook 127.0.0.1").failure)
    status = told.receiver("webhook 127.0.0.1")
    assert (status.waiting, status.failure) == (20, f"127.0.0.1:{port}: connection refused")
    listener = Listener(port)
    wait_until(lambda: len(listener.posts) == 20)
    assert listener.ids() == list(range(1, 21))
    wait_until(lambda: told.receiver("webhook 127.0.0.1").failure is None)
    listener.close()


def test_one_that_fails_holds_up_no_other(told: ToldHome, listener: Listener) -> None:
    def hang(connection: socket.socket) -> None:
        time.sleep(60)

    with odd_server(hang) as port:
        failing = "".join(
            webhook(f"http://127.0.0.1:{port}/", f'name = "{n}"\ntimeout_seconds = 30')
            for n in range(10)
        )
        told.tell(failing + webhook(listener.url, 'name = "good"'))
        began = time.monotonic()
        told.classify(*(f"{n:02}.avi" for n in range(20)))
        wait_until(lambda: len(listener.posts) == 20)
        assert time.monotonic() - began < 15
        assert told.stop() < 5


def byte_by_byte(connection: socket.socket) -> None:
    connection.recv(65536)
    for _ in range(600):
        connection.sendall(b"H")
        time.sleep(0.1)


def headers_without_end(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: and more\r\n")
        time.sleep(0.01)


def no_http(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"220 mail.example.org ESMTP\r\n")


def silent(connection: socket.socket) -> None:
    time.sleep(60)


def closing_at_once(connection: socket.socket) -> None:
    connection.recv(65536)


@pytest.mark.parametrize(
    ("serve", "reason"),
    [
        (silent, r"did not reply within 1 s \(timeout_seconds\)"),
        (byte_by_byte, r"did not reply within 1 s \(timeout_seconds\)"),
        (headers_without_end, r"its reply is no HTTP|did not reply within 1 s"),
        (no_http, "its reply is no HTTP"),
        (closing_at_once, "closed the connection without a reply|connection reset"),
    ],
)
def test_an_odd_server_is_a_failure_in_time(
    told: ToldHome, serve: Callable[[socket.socket], None], reason: str
) -> None:
    with odd_server(serve) as port:
        told.tell(webhook(f"http://127.0.0.1:{port}/", "timeout_seconds = 1.0"))
        told.classify("a.avi")
        wait_until(lambda: told.receiver("webhook 127.0.0.1").failure, 15)
        assert re.search(reason, told.receiver("webhook 127.0.0.1").failure)
        assert told.receiver("webhook 127.0.0.1").waiting == 1


def test_a_reply_of_megabytes_is_not_read(told: ToldHome) -> None:
    sent = []

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(1000):
            sent.append(connection.send(b"x" * 1_000_000))

    with odd_server(serve) as port:
        told.tell(webhook(f"http://127.0.0.1:{port}/"))
        told.classify("a.avi")
        wait_until(lambda: told.waiting() == 0)
        assert sum(sent) < 50_000_000


def test_a_redirect_is_not_followed(told: ToldHome, listener: Listener) -> None:
    listener.replies = lambda event: (302, {"Location": listener.url}, b"")
    told.tell(webhook(listener.url))
    told.classify("a.avi")
    wait_until(lambda: told.receiver("webhook 127.0.0.1").failure)
    failure = told.receiver("webhook 127.0.0.1").failure
    said = f"{urlsplit(listener.url).netloc} replied 302 Found"
    assert failure == f"{said}: redirects are not followed, so give the new address"


@pytest.mark.parametrize(
    ("value", "pause"),
    [(None, 0), ("7", 7), ("999999", 3600), ("-1", 0), ("soon", 0)],
)
def test_a_server_may_ask_for_a_pause(value: str | None, pause: float) -> None:
    assert webhooks._pause(value) == pause


def test_a_server_may_ask_for_a_pause_by_a_date() -> None:
    now = datetime.now(UTC)
    assert 50 < webhooks._pause(format_datetime(now + timedelta(seconds=100))) <= 101
    assert webhooks._pause(format_datetime(now - timedelta(seconds=100))) == 0


def test_an_event_that_is_refused_while_others_are_taken_is_given_up(
    told: ToldHome, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.notify.delivery.LONGEST_PAUSE", 0.05)
    listener.replies = lambda event: (400 if event["id"] == 2 else 200, {}, b"")
    told.tell(webhook(listener.url))
    told.classify("a.avi", "b.avi", "c.avi", "d.avi")
    wait_until(lambda: told.waiting() == 0)
    assert listener.ids() == [1, 3, 4]
    assert told.receiver("webhook 127.0.0.1").given_up == 1


def test_no_event_is_given_up_while_all_are_refused(
    told: ToldHome, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.notify.delivery.LONGEST_PAUSE", 0.02)
    asked = []

    def refuse(event: dict[str, object]) -> tuple[int, dict[str, str], bytes]:
        asked.append(event)
        return (401, {}, b"") if len(asked) < 40 else (200, {}, b"")

    listener.replies = refuse
    told.tell(webhook(listener.url))
    told.classify("a.avi", "b.avi", "c.avi")
    wait_until(lambda: told.waiting() == 0)
    assert sorted(listener.ids()) == [1, 2, 3]
    assert told.receiver("webhook 127.0.0.1").given_up == 0


@pytest.mark.slow
def test_a_limit_makes_events_wait(told: ToldHome, listener: Listener) -> None:
    told.tell(webhook(listener.url, 'at_most = "2/second"'))
    began = time.monotonic()
    told.classify("a.avi", "b.avi", "c.avi", "d.avi", "e.avi")
    wait_until(lambda: len(listener.posts) == 5)
    assert time.monotonic() - began >= 2
    assert listener.ids() == [1, 2, 3, 4, 5]


def test_a_new_receiver_hears_of_nothing_before_and_one_that_is_gone_leaves_nothing(
    told: ToldHome, listener: Listener
) -> None:
    told.classify("before.avi")
    told.configure(webhook(listener.url))
    told.classify("a.avi")
    assert told.waiting() == 1
    told.configure(webhook(listener.url) + webhook(listener.url, 'name = "second"'))
    assert told.waiting() == 1
    told.classify("b.avi")
    assert told.waiting() == 3
    told.configure(webhook(listener.url))
    assert told.waiting() == 2
    told.configure("")
    assert told.waiting() == 0


def test_a_certificate_that_nobody_knows_is_refused(told: ToldHome, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with odd_server(serve) as port:
        told.tell(webhook(f"https://localhost:{port}/"))
        told.classify("a.avi")
        wait_until(lambda: told.receiver("webhook localhost").failure)
        assert "its certificate is not valid" in told.receiver("webhook localhost").failure


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:hunter22@127.0.0.1:{port}/services/T0KEN/hunter22?key=hunter22",
        "http://nowhere.invalid/services/T0KEN?key=hunter22",
        "https://ann:hunter22@127.0.0.1:{port}/T0KEN",
        "http://127.0.0.1:{port}/T0KEN hunter22\\u0000",
    ],
)
def test_no_failure_shows_a_secret(
    told: ToldHome, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = webhook(url.format(port=free_port()), 'name = "it"\nheaders = { X = "hunter22" }')
    told.tell(text)
    told.classify("a.avi")
    wait_until(lambda: told.receiver("it").failure)
    shown = f"{told.receiver('it')} {told.notices} {caplog.text}"
    assert "hunter22" not in shown
    assert "T0KEN" not in shown


def test_what_a_secret_is_read_from_is_named_if_it_is_missing(told: ToldHome) -> None:
    told.tell(
        '[[webhook]]\nname = "a"\nurl = { file = "the-url" }\n'
        '[[webhook]]\nname = "b"\nurl = { env = "NO_SUCH_URL" }\n'
    )
    told.classify("a.avi")
    wait_until(lambda: told.receiver("a").failure and told.receiver("b").failure)
    assert told.receiver("a").failure.endswith("the-url cannot be read (No such file or directory)")
    assert told.receiver("b").failure == "the environment variable NO_SUCH_URL is not set"


def test_more_than_the_most_that_may_wait_gives_the_oldest_up(told: ToldHome) -> None:
    from daemon.notify.outbox import Outbox

    told.configure(webhook("http://127.0.0.1:9/"))
    told.classify(*(f"{n:02}.avi" for n in range(10)))
    outbox = Outbox(told.engine, 1, most=4)
    assert outbox.trim() == 6
    assert [event.subject for event in outbox.oldest(10)] == [7, 8, 9, 10]
    assert told.receiver("webhook 127.0.0.1").given_up == 6


def test_an_event_is_sent_twice_with_one_id_if_the_end_comes_before_it_is_noted(
    told: ToldHome, listener: Listener
) -> None:
    told.configure(webhook(listener.url))
    told.classify("a.avi")
    with closing(told.engine.raw_connection()) as connection:
        rows = connection.cursor().execute("SELECT * FROM outbox").fetchall()
    told.tell()
    wait_until(lambda: told.waiting() == 0)
    told.stop()
    with told.writing() as again:
        marks = ", ".join("?" * len(rows[0]))
        again.exec_driver_sql(f"INSERT INTO outbox VALUES ({marks})", tuple(rows[0]))
    told.tell(webhook(listener.url))
    wait_until(lambda: len(listener.posts) == 2)
    assert listener.posts[0] == listener.posts[1]


def test_labels_of_other_processes_are_told(told: ToldHome, listener: Listener) -> None:
    told.tell(webhook(listener.url, 'events = ["labelled"]'))
    told.classify("a.avi")
    thread = threading.Thread(target=told.give_label, args=(1, "Skiing"))
    thread.start()
    thread.join()
    wait_until(lambda: listener.posts)
    assert listener.posts[0]["given"] == "Skiing"
    assert listener.posts[0]["class"] == "Biking"
