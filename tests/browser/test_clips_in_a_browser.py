"""The pages of all clips and of one clip in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reviewed import ReviewedHome
from test_review_page import chromium as chromium
from test_review_page import playwright, served
from tiny import cache

pytestmark = pytest.mark.slow
__all__ = ["cache"]
NARROW = {"width": 390, "height": 844}
TARGET = 44  # pixels that a finger needs


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    home = ReviewedHome(tmp_path)
    home.clip("first.avi")
    home.clip("second_with_a_name_that_is_long_and_has_no_blank_in_it.avi", logits=(0, 4, 0, 0))
    home.clip("third.avi")
    home.clip("drawn.avi", sampled=True)
    return home


@pytest.fixture
def page(chromium: Any, home: ReviewedHome) -> Iterator[Any]:
    with served(home.site()) as address:
        context = chromium.new_context(viewport=NARROW, base_url=address)
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/name")
        page.fill("#name", "rita")
        page.keyboard.press("Enter")
        playwright.expect(page.locator(".reviewer b")).to_have_text("rita")
        yield page
        context.close()
        assert complaints == []


def test_the_bar_for_several_clips_is_there_when_some_are_selected(
    page: Any, home: ReviewedHome
) -> None:
    page.goto("/clips")
    form = page.locator("#bulk")
    playwright.expect(form).to_be_hidden()
    page.get_by_label("Select first.avi").check()
    page.get_by_label("Select third.avi").check()
    playwright.expect(form).to_be_visible()
    playwright.expect(form).to_be_in_viewport()
    form.get_by_label("label the selected as").fill("dark")
    form.get_by_role("button", name="label", exact=True).click()
    playwright.expect(page.locator("#message")).to_contain_text("third.avi, first.avi: dark")
    assert {row[2] for row in home.given_labels()} == {"dark"}
    page.get_by_role("button", name="undo my last label").click()
    playwright.expect(page.locator("#message")).to_contain_text("2 labels taken back")


def test_a_search_is_an_address_and_back_goes_back(page: Any, home: ReviewedHome) -> None:
    page.goto("/clips")
    page.get_by_text("Search", exact=True).click()
    page.get_by_label("class (label, or else prediction)").select_option("dark")
    page.get_by_role("button", name="search").click()
    page.wait_for_url(re.compile("class=dark"))
    assert page.locator(".small h3").all_inner_texts() == [
        "second_with_a_name_that_is_long_and_has_no_blank_in_it.avi"
    ]
    page.locator(".small h3 a").click()
    page.wait_for_url("**/clip/2")
    page.go_back()
    page.wait_for_url(re.compile("class=dark"))


def test_nothing_is_wider_than_a_phone_or_smaller_than_a_finger(
    page: Any, home: ReviewedHome
) -> None:
    for address in (
        "/clips",
        "/clips?class=dark&name=no",
        "/clips?view=table",
        "/clip/2",
        "/clip/4",
    ):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], address
        for button in page.locator("main button:visible, main .pick:visible").all():
            box = button.bounding_box()
            assert box["height"] >= TARGET, (address, button.inner_text())
