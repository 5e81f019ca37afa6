"""Events at a real broker, and what it keeps for those that come later."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from told import Broker, Subscriber, ToldHome, free_port, odd_server, wait_until
from told import broker as broker
from told import told as told


def mqtt(port: int, more: str = "") -> str:
    return f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\n{more}\n'


def test_events_and_the_state_are_published(told: ToldHome, broker: Broker) -> None:
    subscriber = Subscriber(broker)
    told.tell(mqtt(broker.port))
    told.classify("a.avi", "b.avi", class_name="Skiing")
    told.fail("c.txt")
    wait_until(lambda: len(subscriber.events()) == 3)
    events = subscriber.events()
    assert [(one["event"], one["id"]) for one in events] == [
        ("classified", 1),
        ("classified", 2),
        ("failed", 3),
    ]
    assert subscriber.last("vidwatch/status") == b"online"
    wait_until(lambda: b'"failed": 1' in (subscriber.last("vidwatch/state") or b""), 20)
    late = Subscriber(broker)
    wait_until(lambda: late.last("vidwatch/state"))
    state = json.loads(late.last("vidwatch/state") or b"")
    assert {key: state[key] for key in ("queued", "filed", "failed")} == {
        "queued": 0,
        "filed": 2,
        "failed": 1,
    }
    assert (state["last_class"], state["last_name"]) == ("Skiing", "b.avi")
    assert late.events() == []  # an event is no state
    told.stop()
    wait_until(lambda: late.last("vidwatch/status") == b"offline")
    subscriber.close()
    late.close()


def test_home_assistant_finds_one_device_with_its_sensors(told: ToldHome, broker: Broker) -> None:
    told.tell(mqtt(broker.port))
    subscriber = Subscriber(broker, "homeassistant/#")
    wait_until(lambda: len(subscriber.messages) == 6)
    configs = {topic.split("/")[3]: json.loads(text) for topic, text, _ in subscriber.messages}
    assert configs.keys() == {
        "last_class",
        "last_probability",
        "clips_today",
        "queued",
        "failed",
        "daemon",
    }
    assert len({one["unique_id"] for one in configs.values()}) == 6
    assert len({json.dumps(one["device"]) for one in configs.values()}) == 1
    assert configs["last_class"]["state_topic"] == "vidwatch/state"
    assert configs["last_class"]["value_template"] == "{{ value_json.last_class }}"
    assert configs["queued"]["availability_topic"] == "vidwatch/status"
    assert configs["daemon"]["device_class"] == "connectivity"
    kinds = {topic.split("/")[1] for topic, _, _ in subscriber.messages}
    assert kinds == {"sensor", "binary_sensor"}
    subscriber.close()


def test_no_device_is_announced_if_that_is_not_wanted(told: ToldHome, broker: Broker) -> None:
    told.tell(mqtt(broker.port, 'discovery = ""\ntopic = "cams/north"'))
    subscriber = Subscriber(broker)
    wait_until(lambda: subscriber.last("cams/north/state"), 20)
    assert {topic.split("/")[0] for topic, _, _ in subscriber.messages} == {"cams"}
    subscriber.close()


def test_a_broker_that_is_started_again_gets_what_waits(told: ToldHome, broker: Broker) -> None:
    told.tell(mqtt(broker.port))
    told.classify("a.avi")
    wait_until(lambda: told.waiting() == 0)
    broker.stop()
    told.classify("b.avi", "c.avi")
    wait_until(lambda: told.receiver("mqtt").failure)
    assert told.waiting() == 2
    broker.start()
    subscriber = Subscriber(broker)
    wait_until(lambda: told.waiting() == 0)
    wait_until(lambda: [one["id"] for one in subscriber.events()] == [2, 3])
    assert told.receiver("mqtt").failure is None
    subscriber.close()


def test_the_broker_says_that_the_daemon_is_gone_if_it_is_killed(
    told: ToldHome, broker: Broker
) -> None:
    from daemon.home.receivers import Mqtt
    from daemon.notify.mqtt import MqttSender

    sender = MqttSender(Mqtt(host="127.0.0.1", port=broker.port), told.root, dict)
    sender.tend()
    subscriber = Subscriber(broker)
    wait_until(lambda: subscriber.last("vidwatch/status") == b"online")
    assert sender._client
    sock = sender._client.socket()
    assert sock
    sock.shutdown(2)  # as the kernel does when a process is killed
    wait_until(lambda: subscriber.last("vidwatch/status") == b"offline")
    sender.close()
    subscriber.close()


def test_a_wrong_password_is_one_clear_line(
    told: ToldHome, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    broker = Broker(tmp_path / "closed", "vidwatch", "right-one")
    request.addfinalizer(broker.stop)
    broker.start()
    told.put("password", "wrong-one")
    more = 'username = "vidwatch"\npassword = { file = "password" }'
    told.tell(mqtt(broker.port, more))
    told.classify("a.avi")
    wait_until(lambda: told.receiver("mqtt").failure)
    failure = told.receiver("mqtt").failure
    assert "the broker refused: not authorized; check username and password" in failure
    assert "wrong-one" not in f"{failure} {told.notices}"
    told.put("password", "right-one\n")
    wait_until(lambda: told.waiting() == 0)
    broker.stop()


def test_a_broker_with_tls_is_known_by_its_certificate(
    told: ToldHome, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    broker = Broker(tmp_path / "broker")
    request.addfinalizer(broker.stop)
    key, certificate = tmp_path / "key.pem", told.root / "ca.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")
    with broker.config.open("a") as file:
        file.write(f"certfile {certificate}\nkeyfile {key}\n")
    broker.start()
    tls = f'[mqtt]\nhost = "localhost"\nport = {broker.port}\ntls = true\n'
    told.tell(tls)
    told.classify("a.avi")
    wait_until(lambda: told.receiver("mqtt").failure)
    assert "its certificate is not valid" in told.receiver("mqtt").failure
    told.stop()
    told.tell(tls + 'ca_file = "ca.pem"')
    wait_until(lambda: told.waiting() == 0)
    broker.stop()


def test_brokers_that_are_none(told: ToldHome) -> None:
    told.tell(mqtt(free_port()))
    told.classify("a.avi")
    wait_until(lambda: told.receiver("mqtt").failure)
    assert "connection refused" in told.receiver("mqtt").failure


def test_a_stop_does_not_wait_for_a_broker_that_says_nothing(told: ToldHome) -> None:
    asked = []

    def silent(connection: object) -> None:
        asked.append(connection)
        time.sleep(60)

    with odd_server(silent) as port:
        told.tell(mqtt(port))
        told.classify("a.avi")
        wait_until(lambda: asked)
        assert told.stop() < 5
        assert told.waiting() == 1
