"""Publishes events at an MQTT broker, and the state of the home, which the broker keeps.

The library keeps no queue of its own that would count: what is not acknowledged is sent again.
"""

import hashlib
import json
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from daemon.home.receivers import Mqtt
from daemon.notify.connecting import why_not_reached
from daemon.notify.content import Content
from daemon.notify.sender import NotDeliveredError, as_json
from learner.errors import VidwatchError

TIMEOUT = 10.0  # seconds, for a connection and for each message
KEEP_ALIVE = 30  # seconds; after one and a half of these, the broker says that we are gone
WAITING = 0.2  # seconds between two looks whether the connection is there
EXPECTED_PORTS = {False: 1883, True: 8883}
logging.getLogger("paho").setLevel(logging.CRITICAL)

State = dict[str, Any]


class MqttSender:
    """A connection to one broker."""

    bundles = False

    def __init__(self, mqtt: Mqtt, home: Path, state: Callable[[], State] | None) -> None:
        """Nothing is connected yet.

        Args:
            mqtt: The broker.
            home: The home.
            state: Gives the state of the home. None if this is no daemon: then the broker keeps
                what the daemon has published.
        """
        self._mqtt = mqtt
        self._home = home
        self._state = state
        self._client: paho.Client | None = None
        self._refused = ""
        self._is_over = False
        self._published: bytes | None = None  # the state
        self._client_id = f"vidwatch-{uuid4().hex[:12]}"
        self._id = hashlib.sha256(f"{socket.gethostname()}:{home}".encode()).hexdigest()[:12]

    def send(self, events: Sequence[Content], more: int) -> None:
        """Publish an event; the broker has acknowledged it.

        Raises:
            NotDeliveredError: it has not.
        """
        (event,) = events
        self._require_connection()
        self._publish(f"event/{event['event']}", as_json(event), is_kept=False)

    def tend(self) -> bool:
        """Keep the connection, by which the broker knows that we are there, and the state."""
        self._require_connection()
        if self._state is None:
            return True
        state = json.dumps(self._state()).encode()
        if state != self._published:
            self._publish("state", state)
            self._published = state
        return True

    def _require_connection(self) -> None:
        if self._client is not None and self._client.is_connected():
            return
        self._drop()
        client = self._new_client()
        port = self._mqtt.port or EXPECTED_PORTS[self._mqtt.tls]
        self._refused = ""
        self._published = None
        try:
            client.connect(self._mqtt.host, port, KEEP_ALIVE)
            self._client = client
            client.loop_start()
            deadline = time.monotonic() + TIMEOUT
            while not client.is_connected() and time.monotonic() < deadline:
                if self._refused or self._is_over:
                    break
                time.sleep(0.01)
        except (OSError, ValueError) as error:
            raise NotDeliveredError(
                f"{self._mqtt.host}:{port}: {why_not_reached(error) or 'cannot be reached'}"
            ) from None
        if not client.is_connected():
            self._drop()
            reason = self._refused or f"does not answer within {TIMEOUT:g} s"
            raise NotDeliveredError(f"{self._mqtt.host}:{port}: {reason}")
        self._introduce()

    def _new_client(self) -> paho.Client:
        # Of two clients with one id, the broker closes the first one.
        client_id = f"vidwatch-{self._id}" if self._state else self._client_id
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False
        )
        client.connect_timeout = TIMEOUT
        client.on_connect = self._connected
        if self._state is not None:
            client.will_set(f"{self._mqtt.topic}/status", "offline", qos=1, retain=True)
        try:
            if self._mqtt.username:
                password = self._mqtt.password
                text = None if password is None else password.read(self._home)
                client.username_pw_set(self._mqtt.username, text)
            if self._mqtt.tls:
                ca_file = self._mqtt.ca_file and str(self._home / self._mqtt.ca_file)
                client.tls_set(ca_certs=ca_file or None)
        except VidwatchError as error:
            raise NotDeliveredError(str(error)) from None
        except (OSError, ssl.SSLError):
            raise NotDeliveredError(f"ca_file {self._mqtt.ca_file} cannot be used") from None
        return client

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            login = "; check username and password" if "uthor" in str(reason) else ""
            self._refused = f"the broker refused: {str(reason).lower()}{login}"

    def _introduce(self) -> None:
        if self._state is None:
            return
        self._publish("status", b"online")
        if self._mqtt.discovery:
            for kind, name, config in self._discovery():
                topic = f"{self._mqtt.discovery}/{kind}/vidwatch_{self._id}/{name}/config"
                self._publish_at(topic, json.dumps(config).encode())

    def _publish(self, topic: str, message: bytes, *, is_kept: bool = True) -> None:
        self._publish_at(f"{self._mqtt.topic}/{topic}", message, is_kept=is_kept)

    def _publish_at(self, topic: str, message: bytes, *, is_kept: bool = True) -> None:
        client = self._client
        where = f"{self._mqtt.host}"
        if client is None:
            raise NotDeliveredError(f"{where}: the connection was closed")
        try:
            published = client.publish(topic, message, qos=1, retain=is_kept)
            deadline = time.monotonic() + TIMEOUT
            while not (is_done := published.is_published()) and time.monotonic() < deadline:
                if self._is_over or not client.is_connected():
                    break
                published.wait_for_publish(WAITING)
        except (ValueError, RuntimeError):
            is_done = False
        if not is_done:
            self._drop()  # else it would be sent twice: now, and when the library connects again
            raise NotDeliveredError(f"{where}: the broker did not acknowledge a message")

    def _discovery(self) -> Iterable[tuple[str, str, State]]:
        """What Home Assistant has to know: one device, with these sensors."""
        topic = self._mqtt.topic
        device = {
            "identifiers": [f"vidwatch_{self._id}"],
            "name": "vidwatch" if topic == "vidwatch" else f"vidwatch {topic}",
            "manufacturer": "vidwatch",
            "sw_version": version("vidwatch"),
        }
        common = {"device": device, "origin": {"name": "vidwatch"}}
        state = {"state_topic": f"{topic}/state", "availability_topic": f"{topic}/status"}
        counter = {"state_class": "measurement"}
        sensors: list[tuple[str, str, State]] = [
            ("last_class", "Last class", {"icon": "mdi:movie-open-check"}),
            ("last_probability", "Last probability", {}),
            ("clips_today", "Clips today", {"state_class": "total_increasing"}),
            ("queued", "Queued", counter),
            ("failed", "Failed", counter),
        ]
        for key, name, more in sensors:
            value = {"value_template": f"{{{{ value_json.{key} }}}}"}
            config = {**common, **state, **value, **more, "name": name}
            yield "sensor", key, {**config, "unique_id": f"vidwatch_{self._id}_{key}"}
        is_running = {
            "name": "Daemon",
            "unique_id": f"vidwatch_{self._id}_daemon",
            "state_topic": f"{topic}/status",
            "payload_on": "online",
            "payload_off": "offline",
            "device_class": "connectivity",
        }
        yield "binary_sensor", "daemon", {**common, **is_running}

    def _drop(self) -> None:
        client = self._client
        self._client = None
        if client is not None:
            with suppress(OSError, ValueError, RuntimeError):
                client.disconnect()
                client.loop_stop()

    def abort(self) -> None:
        """Wait no longer for the broker."""
        self._is_over = True

    def close(self) -> None:
        """Say that we go."""
        is_connected = self._client is not None and self._client.is_connected()
        if is_connected and self._state is not None:
            self._is_over = False
            with suppress(NotDeliveredError):
                self._publish("status", b"offline")
        self._drop()

    def secrets(self) -> Iterable[str]:
        """The password."""
        if self._mqtt.password is not None:
            with suppress(VidwatchError):
                yield self._mqtt.password.read(self._home)
