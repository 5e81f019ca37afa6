"""The service has the network if its settings need it, and only then; doctor says so."""

from pathlib import Path

import pytest
from homes import MadeHome

from daemon.home.settings import load
from daemon.maintenance.network import check_network

DEPLOY = Path(__file__).parents[2] / "deploy"
WEBHOOK = '[[webhook]]\nurl = "https://example.org/S3CRET"\n'


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    return MadeHome(tmp_path / "home")


@pytest.fixture
def units(tmp_path: Path, home: MadeHome) -> Path:
    """The unit as it is installed, for this home."""
    units = tmp_path / "system"
    units.mkdir()
    text = (DEPLOY / "vidwatch.service").read_text()
    assert "VIDWATCH_HOME=/var/lib/vidwatch " in text
    text = text.replace("VIDWATCH_HOME=/var/lib/vidwatch ", f"VIDWATCH_HOME={home.root} ")
    (units / "vidwatch.service").write_text(text)
    return units


def allow(units: Path) -> None:
    drop_in = units / "vidwatch.service.d/network.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text((DEPLOY / "network.conf").read_text())


def lines(home: MadeHome, units: Path, settings: str) -> list[tuple[str, str]]:
    home.write_settings(settings)
    found = check_network(home.home, load(home.home.settings), units)
    return [(line.state, line.text) for line in found]


def test_a_service_without_the_network_that_it_needs_is_a_problem(
    home: MadeHome, units: Path
) -> None:
    ((state, text),) = lines(home, units, WEBHOOK)
    assert state == "problem"
    assert "no network, which webhook example.org needs" in text
    assert "deploy/network.conf" in text
    assert str(units / "vidwatch.service.d/network.conf") in text
    assert "S3CRET" not in text
    allow(units)
    assert [state for state, _ in lines(home, units, WEBHOOK)] == ["ok"]


def test_the_loopback_of_the_metrics_is_no_network(home: MadeHome, units: Path) -> None:
    (units / "vidwatch.service.d").mkdir()
    (units / "vidwatch.service.d/metrics.conf").write_text((DEPLOY / "metrics.conf").read_text())
    assert lines(home, units, "") == []
    assert [state for state, _ in lines(home, units, WEBHOOK)] == ["problem"]


def test_a_network_that_nothing_needs_is_named(home: MadeHome, units: Path) -> None:
    assert lines(home, units, 'on_classified = "true"') == []
    allow(units)
    ((state, text),) = lines(home, units, 'on_classified = "true"')
    assert state == "warning"
    assert "no receiver of the settings needs it" in text


def test_a_home_that_no_service_has_is_not_judged(
    home: MadeHome, units: Path, tmp_path: Path
) -> None:
    other = MadeHome(tmp_path / "other")
    assert lines(other, units, WEBHOOK) == []
    assert lines(home, tmp_path / "none", WEBHOOK) == []
