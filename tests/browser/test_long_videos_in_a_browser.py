"""A long video on the page, in a real browser: a click on a bar plays that part."""

from pathlib import Path
from typing import Any

import pytest
from long_reviewed import LongReviewedHome
from test_review_page import chromium as chromium
from test_review_page import served
from tiny import cache

from daemon.database.tables import part_labels

pytestmark = pytest.mark.slow
__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> LongReviewedHome:
    return LongReviewedHome(tmp_path)


def test_a_click_on_a_bar_plays_that_part_which_is_labelled_alone(
    chromium: Any, home: LongReviewedHome
) -> None:
    video = home.long()
    with served(home.site()) as address:
        context = chromium.new_context()
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{address}review")
        page.fill("#name", "rita")
        page.keyboard.press("Enter")
        bars = page.locator(".card .timeline a rect")
        bars.first.wait_for()
        assert bars.count() == 3
        # It has the place on the screen that it has in the video.
        boxes = [bars.nth(place).bounding_box() for place in range(3)]
        assert all(box["width"] > 50 and box["height"] > 8 for box in boxes)
        bars.nth(1).click()
        page.wait_for_url(f"**/clip/{video}?window=1#window")
        film = page.locator(".film")
        page.wait_for_function("document.querySelector('.film').naturalWidth > 0")
        assert "/1.jpg" in film.get_attribute("src")
        page.fill("#class", "grey")
        page.get_by_role("button", name="label this part").click()
        page.wait_for_selector("#message:has-text('labelled grey')")
        page.get_by_role("link", name="play 0:00:00 to 0:00:02").click()
        page.wait_for_url(f"**/clip/{video}?window=0#window")
        assert not errors
        context.close()
    (row,) = home.rows(part_labels)
    assert (row.start_s, row.end_s, row.who) == (2, 4, "rita")
    assert row._mapping["class"] == "grey"
