"""A home whose events are told, and the other programs that are told of them."""

import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome

from daemon.home.settings import load
from daemon.notify.deliveries import Deliveries

PATIENCE = 60  # seconds; the machines that run this are shared


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class ToldHome(MadeHome):
    """A home with receivers, and what the daemon does for them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.notices: dict[str, str] = {}
        self.deliveries: Deliveries | None = None

    def configure(self, text: str) -> None:
        """As a start of the daemon with these settings, but nothing is sent yet."""
        self.write_settings(text)
        receivers = load(self.home.settings).receivers
        self.deliveries = Deliveries(self.home, receivers, self._note)
        self.deliveries.follow(self.engine)

    def tell(self, text: str | None = None) -> None:
        """Begin to send."""
        if text is not None:
            self.configure(text)
        assert self.deliveries
        self.deliveries.start()

    def stop(self) -> float:
        """Stop sending; gives the seconds that it took."""
        began = time.monotonic()
        if self.deliveries is not None:
            self.deliveries.stop()
            self.deliveries = None
        return time.monotonic() - began

    def _note(self, subject: str, text: str | None) -> None:
        self.notices.pop(subject, None)
        if text is not None:
            self.notices[subject] = text

    def classify(self, *names: str, class_name: str | None = None, **more: Any) -> list[int]:
        """Videos that come, are predicted and filed; gives their ids."""
        for name in names:
            self.arrive(name)
        return self.predict_and_file(self.model_prediction(class_name), **more)

    def waiting(self) -> int:
        with self.engine.begin() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM outbox").scalar_one())

    def receiver(self, name: str) -> Any:
        from daemon.report.receivers import read_receivers

        with self.engine.begin() as connection:
            return {one.name: one for one in read_receivers(connection)}[name]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[ToldHome]:
    home = ToldHome(tmp_path / "home")
    yield home
    home.stop()
    home.close()


class Listener:
    """A web server on loopback that notes what is posted to it."""

    def __init__(self, port: int = 0) -> None:
        self.posts: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.replies: Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]
        self.replies = lambda event: (204, {}, b"")
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = json.loads(body)
                code, headers, content = listener.replies(event)
                if 200 <= code < 300:
                    listener.posts.append(event)
                    listener.headers.append(dict(self.headers))
                    listener.bodies.append(body)
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[int]:
        return [event["id"] for event in self.posts]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@contextmanager
def odd_server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on loopback that does something odd with each connection; gives its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=quietly, args=(connection,), daemon=True).start()

        def quietly(connection: socket.socket) -> None:
            with closing(connection):
                try:
                    serve(connection)
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


class Broker:
    """Mosquitto on loopback, which asks for a password if one is given."""

    def __init__(self, folder: Path, user: str = "", password: str = "") -> None:
        self.program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if self.program is None or shutil.which("mosquitto_passwd") is None:
            pytest.skip("needs mosquitto")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        self.config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "user root"]
        lines += ["persistence false", f"log_dest file {folder / 'mosquitto.log'}"]
        if user:
            passwords = folder / "passwords"
            command = ["mosquitto_passwd", "-b", "-c", str(passwords), user, password]
            subprocess.run(command, check=True, capture_output=True)
            lines += ["allow_anonymous false", f"password_file {passwords}"]
        else:
            lines.append("allow_anonymous true")
        self.config.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        assert self.program
        self.process = subprocess.Popen(
            [self.program, "-c", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def answers() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                return False
            return True

        wait_until(answers)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Subscriber:
    """Notes what is published at a broker, by a client of its own that comes back."""

    def __init__(
        self, broker: Broker, topic: str = "#", user: str = "", password: str = ""
    ) -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, bytes, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        if user:
            self.client.username_pw_set(user, password)
        self.client.reconnect_delay_set(1, 1)
        self.is_ready = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: self.is_ready.set()
        self.client.on_message = lambda _, __, one: self.messages.append(
            (one.topic, one.payload, one.retain)
        )
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self.is_ready.wait(PATIENCE)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(text) for topic, text, _ in self.messages if "/event/" in topic]

    def last(self, topic: str) -> bytes | None:
        found = [text for each, text, _ in self.messages if each == topic]
        return found[-1] if found else None

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()
