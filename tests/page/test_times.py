"""Times and weeks on the page, for browsers in other zones than the server's."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from reviewed import Browser, ReviewedHome
from reviewed import browser as browser
from reviewed import site as site
from sqlalchemy import update
from tiny import cache

from daemon.database.tables import predictions, videos

__all__ = ["cache"]


@pytest.fixture(autouse=True)
def server_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def test_times_have_the_exact_moment_and_the_servers_zone_named(
    home: ReviewedHome, browser: Browser
) -> None:
    home.fail("broken.avi")
    page = browser.get("/problems").text
    element = '<time datetime="2026-01-02T00:00:00+00:00">2026-01-02 09:00 JST</time>'
    assert element in page
    assert '<script src="/static/times.js" defer></script>' in page
    assert "2026-01-02 09:00 JST" in browser.get("/models").text
    assert browser.get("/static/times.js").status_code == 200


def shown_week(browser: Browser) -> tuple[str, str]:
    page = re.sub(r"\s+", " ", browser.counted("/quality"))
    weeks = re.findall(r'<th class="n date">([\d-]+)<', page)  # the newest first
    zone = re.search(r'data-zone="([^"]*)"', page)
    assert weeks
    assert zone
    return weeks[-1], zone[1]


def test_weeks_are_those_of_the_browser_if_it_says_its_zone(
    home: ReviewedHome, browser: Browser
) -> None:
    """20:00 UTC on a Sunday is Monday in Tokyo, and Sunday in New York."""
    home.clip()
    now = datetime.now(UTC)
    sunday = (now - timedelta(days=now.weekday() + 1)).replace(hour=20)
    with home.writing() as connection:
        connection.execute(update(predictions).values(created_at=sunday))
    here, name = shown_week(browser)
    assert name == "JST"
    browser.cookies.set("vidwatch-zone", "America/New_York")
    there, name = shown_week(browser)
    assert name == "America/New_York"
    assert here > there
    for nonsense in ("../../etc/passwd", "x" * 5000, "No/Where", "<b>", ""):
        browser.cookies.set("vidwatch-zone", nonsense)
        assert shown_week(browser) == (here, "JST")


def test_a_card_shows_where_a_clip_came_from_when_and_by_which_camera(
    home: ReviewedHome, browser: Browser
) -> None:
    home.clip()
    at = datetime(2026, 1, 1, 22, 30, tzinfo=UTC)
    columns = {"source": "cam1/<b>", "recorded_at": at, "recorded_by": "container"}
    with home.writing() as connection:
        connection.execute(update(videos).values(**columns, camera="Acme <X>"))
    page = re.sub(r"\s+", " ", browser.get("/review").text)
    assert "cam1/&lt;b&gt;/" in page
    assert "Recorded <time datetime=" in page
    assert "2026-01-02 07:30 JST</time>, Acme &lt;X&gt;" in page
