"""The metrics, as Prometheus and its own tools read them."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import START, MadeHome
from installed import Daemon, drop
from installed import daemon as daemon
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from daemon.home.pause import Pause, write_pause
from daemon.home.settings import Settings
from daemon.home.stages import OUTCOMES
from daemon.notify.outbox import follow_settings
from daemon.report.metrics import HomeMetrics, Worker
from daemon.service.metrics import serve_metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
Values = dict[str, float]


def values(text: str) -> Values:
    """The metrics of a text, such as `name{label}`."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home", review_share=1)
    yield home
    home.close()


def text_of(home: MadeHome) -> str:
    registry = CollectorRegistry()
    worker = Worker("cpu", 2, START)
    registry.register(HomeMetrics(home.home, worker, lambda: home.now))
    return generate_latest(registry).decode()


def test_the_state_of_a_home_is_told_in_numbers(home: MadeHome) -> None:
    follow_settings(home.engine, Settings(on_failed="true").receivers, START)
    before = values(text_of(home))
    home.arrive("before.mp4")
    home.predict_and_file()
    for name in ("a.mp4", "b.mp4"):
        home.arrive(name)
        (video,) = home.predict_and_file()
    home.give_label(video, "Biking", "page", sampled=True)
    home.fail("text.mp4")
    home.arrive("queued.mp4")
    write_pause(home.home.pause, Pause(START, None, "ann"))
    found = values(text_of(home))
    expected = {
        "vidwatch_videos{filed}": 3,
        "vidwatch_videos{queued}": 1,
        "vidwatch_live_accuracy_ratio": 1,
        "vidwatch_live_accuracy_clips": 1,
        "vidwatch_recent_predictions{all}": 3,
        "vidwatch_decoders": 2,
        "vidwatch_paused": 1,
        "vidwatch_database_readable": 1,
        "vidwatch_trash_files": 0,
        "vidwatch_receiver_waiting{on_failed}": 1,
        "vidwatch_receiver_failing{on_failed}": 0,
        "vidwatch_receiver_given_up{on_failed}": 0,
    }
    assert {name: found[name] for name in expected} == expected
    grown = {outcome: f"vidwatch_clips_total{{{outcome}}}" for outcome in OUTCOMES}
    grown_by = {outcome: found[name] - before[name] for outcome, name in grown.items()}
    assert grown_by == {"classified": 3, "duplicate": 0, "failed": 1}
    assert found["vidwatch_disk_free_bytes{classified}"] > 0
    assert found["vidwatch_stage_seconds_count{record}"] >= 3


@pytest.mark.of_sqlite
def test_a_database_that_cannot_be_read_is_a_number_too(home: MadeHome) -> None:
    home.close()
    home.home.database.write_bytes(b"no database")
    found = values(text_of(home))
    assert found["vidwatch_database_readable"] == 0
    assert "vidwatch_decoders" in found


def test_a_port_that_is_taken_is_a_notice(home: MadeHome) -> None:
    notes: list[str | None] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        serve_metrics(home.home, port, Worker("cpu", 2, START), notes.append)()
    assert notes[0] is not None
    assert f"127.0.0.1:{port} cannot be used" in notes[0]


def test_they_are_served_on_loopback_alone(home: MadeHome) -> None:
    port = free_port()
    stop = serve_metrics(home.home, port, Worker("cpu", 2, START), lambda text: None)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            assert b"vidwatch_info" in answer.read()
        listening = Path("/proc/net/tcp").read_text()
        assert re.search(f"0100007F:{port:04X} 00000000:0000 0A", listening)
        assert not re.search(f"00000000:{port:04X} 00000000:0000 0A", listening)
    finally:
        stop()


def test_the_dashboard_shows_what_there_is(home: MadeHome) -> None:
    follow_settings(home.engine, Settings(on_failed="true").receivers, START)
    home.arrive("a.mp4")
    (video,) = home.predict_and_file()
    home.give_label(video, "Biking", "page", sampled=True)
    text = text_of(home)
    names = {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    shown = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"vidwatch_\w+", target["expr"])
    }
    assert len(shown) > 10
    assert shown - names - {"vidwatch_notice"} == set()


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool (Debian: prometheus)")
def test_prometheus_own_linter_finds_nothing(home: MadeHome) -> None:
    home.arrive("a.mp4")
    home.predict_and_file()
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text_of(home), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def asked(port: int, query: str) -> list[dict[str, object]]:
    """What Prometheus answers to a query."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(query)}"  # type: ignore[attr-defined]
    with urllib.request.urlopen(url, timeout=20) as answer:
        return list(json.load(answer)["data"]["result"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus (a Debian package)")
def test_a_real_prometheus_reads_a_real_daemon_which_goes_away_and_comes_back(
    daemon: Daemon, tmp_path: Path
) -> None:
    port, own_port = free_port(), free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: vidwatch\n"
        f'    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]\n'
    )
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{own_port}"], stderr=log
        )
    daemon.environment["VIDWATCH_METRICS_PORT"] = str(port)

    def wait_for(query: str, value: str) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                found = asked(own_port, query)
            except OSError:
                found = []
            if [one["value"][1] for one in found] == [value]:  # type: ignore[index]
                return
            assert time.monotonic() < deadline, (query, found)
            time.sleep(0.5)

    try:
        drop(daemon.inbox, "a.avi", 1)
        for _ in range(2):
            daemon.start()
            wait_for('up{job="vidwatch"}', "1")
            wait_for('vidwatch_videos{state="filed"}', "1")
            assert daemon.process
            daemon.process.kill()
            daemon.process.communicate()
            wait_for('up{job="vidwatch"}', "0")
        dashboard = json.loads((DEPLOY / "grafana.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                asked(own_port, target["expr"])  # a wrong expression is an error (HTTP 400)
    finally:
        server.kill()
        server.wait()
