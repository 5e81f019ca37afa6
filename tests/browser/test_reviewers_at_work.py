"""Keys, slips, colleagues and restarts on the review page, in a real browser."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from reviewed import ReviewedHome
from test_review_page import address as address
from test_review_page import chromium as chromium
from test_review_page import come, current, message, names, playwright
from test_review_page import home as home
from test_review_page import page as page
from tiny import cache

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
__all__ = ["cache"]


@contextmanager
def started(home: ReviewedHome, *options: str, port: int = 0) -> Iterator[list[str]]:
    """`vidwatch review` as a process of its own; gives the addresses that it prints."""
    code = "from daemon.cli.app import main; main()"
    command = [sys.executable, "-c", code, "--home", str(home.root), "review", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout
        lines = [server.stdout.readline() for _ in range(1 + options.count("--user"))]
        try:
            yield re.findall(r"http://\S+", " ".join(lines))
        finally:
            server.terminate()


def port_of(address: str) -> int:
    return int(address.split(":")[2].split("/")[0])


def given(home: ReviewedHome) -> list[tuple[int, str | None]]:
    return [(row[0], row[2]) for row in home.given_labels()]


def test_enter_twice_in_another_class_labels_one_clip(page: Any, home: ReviewedHome) -> None:
    page.keyboard.press("c")
    page.keyboard.type("jaguar")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    message(page, "first.avi: jaguar")
    for _ in range(3):
        page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert given(home) == [(1, "jaguar")]
    assert current(page) == "second.avi"


def test_enter_held_down_accepts_nothing(page: Any, home: ReviewedHome) -> None:
    page.locator("#clip-1").focus()
    for _ in range(10):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    page.locator("#clip-1 button[value=accept]").focus()
    for _ in range(10):
        page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    message(page, "first.avi: accepted")
    page.wait_for_timeout(500)
    assert given(home) == [(1, "bright")]


def test_the_keys_are_shown_and_switched_off_for_good(page: Any, home: ReviewedHome) -> None:
    shown = page.get_by_role("dialog")
    page.keyboard.press("?")
    playwright.expect(shown).to_be_visible()
    assert "accept the prediction" in shown.inner_text()
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    playwright.expect(shown).to_be_hidden()
    assert current(page) == "first.avi"
    page.keyboard.press("?")
    page.get_by_label("use these keys").press("Space")
    page.get_by_role("button", name="close").press("Enter")
    page.locator("#clip-1").focus()
    for key in ("a", "1", "u", "s", "x", "?"):
        page.keyboard.press(key)
    page.reload()
    page.keyboard.press("a")
    page.wait_for_timeout(500)
    assert given(home) == []
    playwright.expect(shown).to_be_hidden()
    assert not page.locator("#clip-1 kbd").first.is_visible()
    page.get_by_role("button", name="keys").click()
    page.get_by_label("use these keys").check()
    page.get_by_role("button", name="close").click()
    page.locator("#clip-1").focus()
    page.keyboard.press("a")
    message(page, "first.avi: accepted")


def test_all_is_done_by_the_keyboard_alone(page: Any, home: ReviewedHome) -> None:
    """With Tab, Space and Enter, by which every page is used, and with the page's own keys off."""
    page.evaluate("localStorage.setItem('keys', 'off')")
    page.reload()
    assert current(page) == "first.avi"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.value") == "dark":
            break
    page.keyboard.press("Space")
    message(page, "first.avi: dark")
    assert current(page) == "second.avi"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "other":
            break
    page.keyboard.type("jaguar")
    page.keyboard.press("Enter")
    message(page, "second.avi: jaguar")
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.id") == "undo":
            break
    page.keyboard.press("Enter")
    message(page, "1 label taken back: second.avi")
    assert given(home) == [(1, "dark"), (2, "jaguar"), (2, None)]


def test_when_the_last_clip_is_gone_the_last_label_can_still_be_undone_by_key(
    page: Any, home: ReviewedHome
) -> None:
    for _ in range(3):
        page.keyboard.press("u")
    playwright.expect(page.locator(".card")).to_have_count(1)
    page.keyboard.press("2")
    playwright.expect(page.locator(".card")).to_have_count(0)
    message(page, "drawn.avi: dark")
    page.keyboard.press("z")
    message(page, "1 label taken back: drawn.avi")
    assert names(page) == ["clip 4"]


@pytest.mark.parametrize(
    ("button", "label"), [("did you mean bright", "bright"), ("a new class: brihgt", "brihgt")]
)
def test_a_slip_is_asked_about_before_it_is_a_class(
    page: Any, home: ReviewedHome, button: str, label: str
) -> None:
    page.keyboard.press("c")
    page.keyboard.type("brihgt")
    page.keyboard.press("Enter")
    playwright.expect(page.get_by_role("button", name=button)).to_be_visible()
    page.keyboard.press("Enter")  # it asks again
    playwright.expect(page.locator("#other-1")).to_be_focused()
    assert given(home) == []
    page.get_by_role("button", name=button).click()
    message(page, f"first.avi: {label}")
    assert given(home) == [(1, label)]


def test_a_slip_for_several_clips_is_asked_about(page: Any, home: ReviewedHome) -> None:
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.locator("#bulk-class").fill("Bright")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="did you mean bright").click()
    message(page, "first.avi, second.avi: bright")
    assert given(home) == [(1, "bright"), (2, "bright")]


def test_the_random_share_is_blind_until_it_is_labelled(page: Any, home: ReviewedHome) -> None:
    card = page.locator("#clip-4")
    page.locator("#next [data-clip=clip-4]").click()
    page.wait_for_timeout(1000)  # what comes by itself
    buttons = card.locator("button[name=class]").all_inner_texts()
    assert [text.split()[-1] for text in buttons] == ["bright", "dark", "grey", "red"]
    assert card.locator(".evidence, .figure, [value=accept], [value=skip]").count() == 0
    assert "drawn" not in card.inner_html()
    card.locator(".why").click()
    page.keyboard.press("a")
    page.keyboard.press("s")
    page.keyboard.press("4")
    message(page, "drawn.avi: red. tiny had predicted bright (")
    page.keyboard.press("z")
    message(page, "1 label taken back: drawn.avi")
    assert current(page) == "clip 4"
    assert given(home) == [(4, "red"), (4, None)]


def test_an_open_page_goes_on_when_the_server_was_restarted(
    chromium: Any, home: ReviewedHome
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    with started(home) as (address,):
        come(page, address)
        page.keyboard.press("a")
        message(page, "first.avi: accepted")
    page.keyboard.press("a")
    message(page, "second.avi: The page's server does not respond")
    assert current(page) == "third.avi"
    with started(home, port=port_of(address)):
        page.keyboard.press("k")
        page.keyboard.press("a")
        message(page, "second.avi: accepted")
        page.keyboard.press("z")
        message(page, "1 label taken back: second.avi")
        page.close()
        page = context.new_page()
        page.goto(f"{address}review")
        playwright.expect(page.locator(".card").first).to_be_focused()
        page.keyboard.press("z")
        message(page, "1 label taken back: first.avi")
    assert [row[1:3] for row in home.given_labels()][2:] == [("withdrawn", None)] * 2
    context.close()


def test_a_page_whose_key_is_gone_says_so_and_loads_itself_anew(
    chromium: Any, home: ReviewedHome
) -> None:
    page = chromium.new_page()
    with started(home) as (address,):
        come(page, address)
    home.home.review_key.unlink()
    with started(home, port=port_of(address)):
        page.keyboard.press("a")
        message(page, "The page's key is another one since this page was loaded")
        message(page, "the page was reloaded")
        assert given(home) == []
        playwright.expect(page.locator("#clip-1")).to_be_focused()
        page.keyboard.press("a")
        message(page, "first.avi: accepted")
    page.close()


def test_what_was_typed_is_not_lost_by_a_reload(chromium: Any, home: ReviewedHome) -> None:
    page = chromium.new_page()
    with started(home) as (address,):
        come(page, address)
    home.home.review_key.unlink()
    with started(home, port=port_of(address)):
        page.keyboard.press("j")
        page.fill("#other-2", "a long description")
        page.keyboard.press("Escape")
        page.keyboard.press("k")
        page.locator("#clip-1 [value=accept]").click()
        message(page, "The page's key is another one since this page was loaded")
        assert page.input_value("#other-2") == "a long description"
        page.get_by_role("button", name="reload").click()
        playwright.expect(page.locator("#other-2")).to_have_value("")
        page.locator("#clip-1 [value=accept]").click()
        message(page, "first.avi: accepted")
    page.close()


def test_a_token_that_is_another_one_after_a_restart_is_the_reason_that_is_shown(
    chromium: Any, home: ReviewedHome
) -> None:
    page = chromium.new_page()
    with started(home, "--token", "the first of the tokens") as (address,):
        come(page, address)
    with started(home, "--token", "the second of the tokens", port=port_of(address)):
        page.keyboard.press("a")
        message(page, "This page needs its token: open the link that vidwatch review printed")
        page.keyboard.press("z")
        message(page, "This page needs its token")
    page.close()


def test_a_database_that_cannot_be_used_is_the_reason_that_is_shown(
    chromium: Any, home: ReviewedHome, address: str
) -> None:
    page = chromium.new_page()
    come(page, address)
    with home.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE labels RENAME TO mislaid")
    page.keyboard.press("a")
    message(page, "first.avi: the database cannot be used: no such table")
    with home.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE mislaid RENAME TO labels")
    page.locator("#clip-1").focus()
    page.keyboard.press("a")
    message(page, "first.avi: accepted")
    page.close()


def test_two_reviewers_by_their_links_ask_before_they_overrule_each_other(
    chromium: Any, home: ReviewedHome
) -> None:
    options = ("--user", "ann", "--user", "Bob <b>")
    with started(home, *options) as (ann_link, bob_link):
        ann_context, bob_context = chromium.new_context(), chromium.new_context()
        ann, bob = ann_context.new_page(), bob_context.new_page()
        ann.goto(ann_link)
        bob.goto(bob_link)
        for one in (ann, bob):
            one.get_by_role("link", name="Review", exact=True).click()
        playwright.expect(ann.locator(".reviewer b")).to_have_text("ann")
        playwright.expect(bob.locator(".reviewer b")).to_have_text("Bob <b>")
        playwright.expect(bob.locator(".card").first).to_be_focused()
        playwright.expect(ann.locator(".card").first).to_be_focused()
        bob.keyboard.press("2")
        message(bob, "first.avi: dark")
        ann.keyboard.press("1")
        ann.keyboard.press("a")  # the next clip, before the question is there
        message(ann, "second.avi: accepted")
        question = ann.locator(".asked")
        playwright.expect(question).to_contain_text("Bob <b> labelled first.avi dark (page)")
        playwright.expect(question).to_contain_text("You said: first.avi: bright")
        assert given(home) == [(1, "dark"), (2, "dark")]
        question.get_by_role("button", name="label all the same").click()
        message(ann, "first.avi: bright")
        playwright.expect(question).to_have_count(0)
        assert home.who() == ["Bob <b>", "ann", "ann"]
        bob.keyboard.press("z")  # his own is not the one that counts
        message(bob, "Left as it is")
        ann.keyboard.press("z")
        message(ann, "1 label taken back: first.avi")
        assert home.who() == ["Bob <b>", "ann", "ann", "ann"]
        stranger = chromium.new_page()
        stranger.goto(ann_link.partition("?")[0])
        assert "needs its token" in stranger.inner_text("body")
    with started(home, *options, port=port_of(ann_link)):
        ann.keyboard.press("z")
        message(ann, "1 label taken back: second.avi")
        bob.reload()
        playwright.expect(bob.locator(".reviewer b")).to_have_text("Bob <b>")
    for context in (ann_context, bob_context):
        context.close()


def test_a_name_of_markup_is_text(chromium: Any, home: ReviewedHome, address: str) -> None:
    page = chromium.new_page()
    alerts: list[str] = []
    page.on("dialog", lambda dialog: alerts.append(dialog.message))
    name = "<img src=x onerror=alert(1)>"
    come(page, address, name)
    page.keyboard.press("a")
    message(page, "first.avi: accepted")
    assert alerts == []
    assert page.locator("header img").count() == 0
    page.get_by_role("link", name="change").click()
    page.get_by_label("your name").fill("x" * 61)
    assert page.get_by_label("your name").input_value() == "x" * 60
    page.get_by_label("your name").fill("   ")
    page.keyboard.press("Enter")
    playwright.expect(page.get_by_role("alert")).to_contain_text("name is empty")
    assert home.who() == [name]
    page.close()
