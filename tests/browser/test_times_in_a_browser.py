"""Times on the page, in browsers whose zone is not the server's."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from reviewed import ReviewedHome
from sqlalchemy import update
from test_review_page import chromium as chromium
from test_review_page import served
from tiny import cache

from daemon.database.tables import predictions, videos

pytestmark = pytest.mark.slow
__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    home = ReviewedHome(tmp_path)
    for n in range(14):  # more than one page shows
        home.clip(f"{n}.avi", logits=(2, 1.8, 0, -1))
    return home


@pytest.mark.parametrize(
    ("zone", "shown", "day"),
    [
        ("Pacific/Auckland", "2026-07-01 00:30 GMT+12", 0),
        ("America/New_York", "2026-06-30 08:30 GMT-4", 6),
    ],
)
def test_times_and_weeks_are_those_of_the_browser_and_its_zone_is_named(
    chromium: Any, home: ReviewedHome, zone: str, shown: str, day: int
) -> None:
    now = datetime.now(UTC)
    sunday = (now - timedelta(days=now.weekday() + 1)).replace(hour=20)
    at = datetime(2026, 6, 30, 12, 30, tzinfo=UTC)
    with home.writing() as connection:
        columns = {"recorded_at": at, "recorded_by": "container"}
        connection.execute(update(videos).values(**columns))
        connection.execute(update(predictions).values(created_at=sunday))
    with served(home.site()) as address:
        context = chromium.new_context(timezone_id=zone)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.fill("#name", "Ada")
        page.keyboard.press("Enter")
        page.wait_for_selector("time[title]")
        assert page.locator("time").first.inner_text() == shown
        page.locator(".card").first.locator("[value=accept]").click()
        page.wait_for_selector("#message:has-text('accepted')")
        assert set(page.locator("time").all_inner_texts()) == {shown}
        page.goto(address + "history")
        page.wait_for_selector(f'[data-zone="{zone}"]')
        week = page.locator("th.n").first.inner_text()
        # In Auckland, Sunday evening is Monday: the week of today. In New York it is Sunday.
        monday = now.date() - timedelta(days=now.weekday())
        assert week == str(monday if day == 0 else monday - timedelta(days=7))
        assert not errors
        context.close()
