"""The review page in a real browser: keys, moving pictures, what a person sees.

Screenshots go to `tmp_path`.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import uvicorn
from reviewed import ReviewedHome
from tiny import SPEC, cache

from daemon.page.app import make_app
from daemon.page.server import _listen
from daemon.page.site import Site
from learner.video import read_clip

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
if not Path(CHROMIUM).exists():
    pytest.skip("needs Debian's chromium: apt-get install chromium", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install playwright"
)

playwright.expect.set_options(timeout=15_000)  # a busy machine
pytestmark = pytest.mark.slow
VIDWATCH = Path(sys.executable).with_name("vidwatch")
__all__ = ["cache"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@contextmanager
def served(site: Site, token: str | None = None) -> Iterator[str]:
    with _listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        site.port = port
        config = uvicorn.Config(
            make_app(site, "127.0.0.1", token), log_config=None, timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{port}/"
        server.should_exit = True
        thread.join()
        site.close()


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    home = ReviewedHome(tmp_path)
    home.clip("first.avi", logits=(2, 1.8, 0, -1), unsure="probability")
    home.clip("second.avi", logits=(1, 3, 0, -1))
    home.clip("third.avi", logits=(0, 1, 4, -1))
    home.clip("drawn.avi", logits=(6, 0, 0, 0), sampled=True)
    home.fail("notes.mp4", "not a video: text")
    return home


@pytest.fixture
def address(home: ReviewedHome) -> Iterator[str]:
    with served(home.site()) as address:
        yield address


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    come(page, address)
    yield page
    page.close()
    # A test may cause a refusal on purpose.
    assert [line for line in complaints if "status of 4" not in line] == []


def come(page: Any, address: str, name: str = "rita") -> None:
    """Open the page for the first time, and type a name."""
    page.goto(f"{address}review")
    playwright.expect(page.get_by_label("your name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    playwright.expect(page.locator(".reviewer b")).to_have_text(name)
    page.wait_for_load_state("domcontentloaded")  # its script has run


def names(page: Any) -> list[str]:
    return [name.strip() for name in page.locator(".card h2").all_inner_texts()]


def current(page: Any) -> str:
    return str(page.locator(".card:focus h2").inner_text().strip())


def message(page: Any, text: str) -> None:
    playwright.expect(page.locator("#message")).to_contain_text(text, timeout=15_000)


def test_the_buttons_are_in_sight_and_a_phone_shows_no_keys(chromium: Any, address: str) -> None:
    wide = {"viewport": {"width": 1280, "height": 900}}
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    for device in (wide, phone):
        context = chromium.new_context(**device)
        page = context.new_page()
        come(page, address)
        button = page.locator(".card.current .choices button").last
        if device is wide:
            box = button.bounding_box()
            assert box["y"] + box["height"] <= 900
            playwright.expect(page.locator("#show-keys")).to_be_visible()
        else:
            playwright.expect(page.locator("#show-keys")).to_be_hidden()
            playwright.expect(page.locator(".card.current kbd:visible")).to_have_count(0)
        context.close()


def test_a_clip_is_accepted_by_a_key_and_the_next_has_the_focus(
    page: Any, home: ReviewedHome
) -> None:
    assert names(page) == ["first.avi", "second.avi", "third.avi", "clip 4"]
    assert current(page) == "first.avi"
    page.evaluate("window.stays = 'as it was'")
    page.keyboard.press("a")
    message(page, "first.avi: accepted")
    assert current(page) == "second.avi"
    assert page.evaluate("window.stays") == "as it was"
    page.keyboard.press("a")
    message(page, "second.avi: accepted")
    assert [row[1:3] for row in home.given_labels()] == [
        ("labelled", "bright"),
        ("labelled", "dark"),
    ]


def test_the_likeliest_classes_have_the_keys_1_2_3(page: Any, home: ReviewedHome) -> None:
    page.keyboard.press("2")
    message(page, "first.avi: dark")
    page.keyboard.press("3")
    message(page, "second.avi: grey")
    assert [row[2] for row in home.given_labels()] == ["dark", "grey"]


def test_another_class_is_typed_and_a_refused_one_is_shown_at_its_card(
    page: Any, home: ReviewedHome
) -> None:
    page.keyboard.press("j")
    assert current(page) == "second.avi"
    page.keyboard.press("c")
    page.keyboard.type("a/b")
    page.keyboard.press("Enter")
    field = page.locator("[aria-invalid=true]")
    playwright.expect(field).to_be_focused()
    assert field.input_value() == "a/b"
    assert "cannot be a class" in page.locator("#clip-2 .error").inner_text()
    field.fill("jaguar")  # a, u and j are keys, too, elsewhere
    page.keyboard.press("Enter")
    message(page, "second.avi: jaguar")
    assert [row[:3] for row in home.given_labels()] == [(2, "labelled", "jaguar")]


def test_undo_brings_the_clip_back_and_puts_the_focus_on_it(page: Any, home: ReviewedHome) -> None:
    page.keyboard.press("j")
    page.keyboard.press("u")
    message(page, "second.avi: unsure")
    page.keyboard.press("s")
    message(page, "skipped")
    assert len(names(page)) == 2
    page.keyboard.press("z")
    message(page, "1 clip shown again")
    page.keyboard.press("z")
    message(page, "1 label taken back")
    assert current(page) == "second.avi"
    assert sorted(names(page)) == ["clip 4", "first.avi", "second.avi", "third.avi"]
    assert [row[1] for row in home.given_labels()] == ["unsure", "withdrawn"]


def test_many_are_selected_by_key_and_accepted_at_once(page: Any, home: ReviewedHome) -> None:
    for key in ("x", "ArrowDown", "x", "ArrowDown", "k"):
        page.keyboard.press(key)
    assert page.locator("#selected").inner_text() == "2 selected"
    page.get_by_role("button", name="accept all").click()
    message(page, "first.avi, second.avi: accepted")
    assert [row[2] for row in home.given_labels()] == ["bright", "dark"]
    page.keyboard.press("z")
    message(page, "2 labels taken back")
    assert len(names(page)) == 4


def test_enter_in_the_field_for_many_labels_them_and_accepts_nothing(
    page: Any, home: ReviewedHome
) -> None:
    page.locator("#clip-1 [type=checkbox]").check()
    page.locator("#bulk-class").fill("zebra")
    page.keyboard.press("Enter")
    message(page, "first.avi: zebra")
    assert [row[2] for row in home.given_labels()] == ["zebra"]


def test_the_random_share_is_marked(page: Any) -> None:
    marked = page.locator(".card", has_text="random share")
    assert marked.count() == 1
    assert marked.locator("h2").inner_text().strip() == "clip 4"
    assert "Drawn by chance" in marked.inner_text()


def mean_red(png: bytes) -> float:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    return float(picture[:, :, 0].mean())


def left_edge(page: Any) -> float:
    moved = "film => film.getBoundingClientRect().x - film.parentElement.getBoundingClientRect().x"
    return float(page.locator("#clip-1 .film").evaluate(moved))


def without_film(page: Any) -> None:
    """Load the page again, with no film in the strip's place."""
    page.route("**/media/**", lambda route: route.abort())
    page.reload()
    playwright.expect(page.locator("#clip-1 .screen")).to_be_visible()


def test_the_strip_moves_from_frame_to_frame_of_what_the_model_saw(
    chromium: Any, address: str, home: ReviewedHome
) -> None:
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    come(page, address)
    without_film(page)
    film, screen = page.locator("#clip-1 .film"), page.locator("#clip-1 .screen")
    playwright.expect(film).to_have_js_property("naturalWidth", 4 * 32)
    width = screen.bounding_box()["width"]
    seen = set()
    for _ in range(40):
        seen.add(round(-left_edge(page) / width, 2))
        page.wait_for_timeout(30)
    assert seen == {0, 1, 2, 3}
    film.evaluate("film => film.getAnimations()[0].pause()")
    reds = []
    for time_ms in (75, 225, 375, 525):  # the middle of each of the four frames
        film.evaluate("(film, now) => { film.getAnimations()[0].currentTime = now }", time_ms)
        reds.append(mean_red(screen.screenshot()))
    clip = read_clip(home.path(1), SPEC)
    assert reds == pytest.approx(
        [float(frame[:, :, 0].mean()) for frame in clip.frames], abs=6
    )  # a JPEG's loss
    page.close()


def test_the_strip_stops_under_the_pointer_and_if_motion_is_not_wanted(
    chromium: Any, address: str
) -> None:
    page = chromium.new_page()
    come(page, address)
    without_film(page)
    state = "film => getComputedStyle(film).animationPlayState"
    film = page.locator("#clip-1 .film")
    assert film.evaluate(state) == "running"
    page.locator("#clip-1 .screen").hover()
    assert film.evaluate(state) == "paused"
    page.mouse.move(0, 0)
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    playwright.expect(page.locator("#clip-1 .screen")).to_be_visible()
    running = "film => film.getAnimations()[0].playState"
    assert film.evaluate(running) == "paused"
    page.get_by_role("button", name="play or pause").click()  # by hand
    assert film.evaluate(running) == "running"
    page.locator("#clip-1").focus()
    page.keyboard.press(" ")
    assert film.evaluate(running) == "paused"
    page.close()


def test_the_film_of_a_file_that_no_browser_plays_is_made_and_stepped_through_by_keys(
    page: Any, home: ReviewedHome
) -> None:
    film = page.locator("#clip-1 video")
    playwright.expect(film).to_be_visible(timeout=90_000)
    assert film.evaluate("film => !film.error && film.muted")
    playwright.expect(film).to_have_js_property("paused", False)
    assert film.evaluate("film => [film.videoWidth, film.videoHeight]") == [64, 48]
    page.keyboard.press(" ")
    playwright.expect(film).to_have_js_property("paused", True)
    film.evaluate("film => { film.currentTime = 0 }")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(".")
    page.keyboard.press(",")
    playwright.expect(film).not_to_have_js_property("currentTime", 0)
    page.keyboard.press("j")
    playwright.expect(page.locator("#clip-2 video")).to_be_visible(timeout=90_000)
    # Only the current clip plays.
    assert page.locator("video").evaluate_all("films => films.filter((f) => !f.paused).length") < 2
    assert film.evaluate("film => film.paused")
    assert home.given_labels() == []


def test_the_evidence_comes_when_its_fold_is_opened_and_stands_under_its_frames(page: Any) -> None:
    page.locator("#clip-1 summary").click()
    rows = page.locator("#clip-1 .evidence svg")
    playwright.expect(rows).to_have_count(3, timeout=60_000)
    frames, row = page.locator("#clip-1 .frames").bounding_box(), rows.first.bounding_box()
    assert (row["x"], row["width"]) == pytest.approx((frames["x"], frames["width"]), abs=1)
    assert rows.first.locator("rect").count() == 4


def test_a_file_that_cannot_be_read_says_so_in_the_strips_place(
    chromium: Any, home: ReviewedHome, address: str
) -> None:
    home.path(1).write_bytes(b"no video any more")
    page = chromium.new_page()
    come(page, address)
    playwright.expect(page.locator("#clip-1 .problem")).to_have_text(
        re.compile("cannot be shown: not a video")
    )
    page.keyboard.press("2")
    message(page, "first.avi: dark")
    page.close()


def test_the_page_works_without_javascript(chromium: Any, home: ReviewedHome, address: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    come(page, address)
    page.locator("#clip-1 button[value=accept]").click()
    message(page, "first.avi: accepted")
    page.locator("#other-2").fill("zebra")
    page.locator("#other-2").press("Enter")
    message(page, "second.avi: zebra")
    page.locator("#clip-3 [type=checkbox]").check()
    page.get_by_role("button", name="accept all").click()
    message(page, "third.avi: accepted")
    page.get_by_role("button", name="undo").click()
    message(page, "1 label taken back")
    page.locator("#clip-3 summary").click()
    page.locator("#clip-3 .evidence a").click()
    assert page.locator("svg").count() == 3
    assert [row[2] for row in home.given_labels()] == ["bright", "zebra", "grey", None]
    context.close()


def test_the_other_pages_are_reached_from_each(page: Any) -> None:
    page.get_by_role("link", name="Problems").click()
    assert "not a video: text" in page.locator("table").inner_text()
    page.get_by_role("link", name="Models").click()
    assert "in use" in page.locator("main").inner_text()
    page.get_by_role("link", name="Quality").click()
    assert "No clip of the random share has been reviewed yet" in page.locator("main").inner_text()


def test_the_link_with_the_token_works_from_a_message_too(
    chromium: Any, home: ReviewedHome
) -> None:
    """A click elsewhere is a cross-site request: its redirect is sent without a strict cookie."""
    token = "sixteen characters or more"
    with served(home.site(), token) as address:
        context = chromium.new_context()
        page = context.new_page()
        page.set_content(f'<a href="{address}?token={token.replace(" ", "%20")}">the page</a>')
        page.get_by_role("link").click()
        page.get_by_role("link", name="Review", exact=True).click()
        page.get_by_label("your name").fill("rita")
        page.keyboard.press("Enter")
        playwright.expect(page.locator(".card")).to_have_count(4)
        assert page.url == f"{address}review"
        page.keyboard.press("a")
        message(page, "first.avi: accepted")
        stranger = chromium.new_context().new_page()
        stranger.goto(address)
        assert "needs its token" in stranger.inner_text("body")
        context.close()


def test_a_form_of_another_site_is_refused_by_the_browsers_headers(
    chromium: Any, home: ReviewedHome, address: str
) -> None:
    """Even with the secret, which that site cannot know."""
    page = chromium.new_page()
    come(page, address)
    secret = page.locator("[name=secret]").first.get_attribute("value")
    fields = "".join(
        f'<input name={name} value="{value}">' for name, value in (("secret", secret), ("id", 1))
    )
    page.goto("about:blank")
    page.set_content(
        f'<form method=post action="{address}say">{fields}<button name=action value=accept></form>'
    )
    page.locator("button").click()
    playwright.expect(page.locator("body")).to_contain_text("Another site sent this")
    assert home.given_labels() == []
    page.close()


def test_a_key_acts_only_where_the_focus_is_in_a_card(page: Any, home: ReviewedHome) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.locator("#other-3").click()
    page.keyboard.press("Escape")
    page.locator("h1").click()
    assert page.locator(".card.current h2").inner_text().strip() == "third.avi"
    page.locator(".card.current").scroll_into_view_if_needed()
    for key in ("a", "1", "u", "s", "z", "x", "Enter", "Enter"):
        page.keyboard.press(key)
    page.get_by_role("link", name="Quality").focus()
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    assert home.given_labels() == []
    assert len(names(page)) == 4
    page.locator("#clip-3 h2").click(position={"x": 400, "y": 5})
    page.keyboard.press("a")
    message(page, "third.avi: accepted")


def test_a_key_never_acts_on_a_card_that_is_out_of_sight(page: Any, home: ReviewedHome) -> None:
    page.set_viewport_size({"width": 800, "height": 250})
    page.evaluate("scrollTo(0, 100000)")
    below = "card => card.getBoundingClientRect().bottom < 80"
    assert page.locator("#clip-1").evaluate(below)
    page.keyboard.press("2")
    page.wait_for_timeout(300)
    assert not page.locator("#clip-1").evaluate(below)
    assert home.given_labels() == []
    page.mouse.wheel(0, 4000)
    page.keyboard.press("Enter")
    assert home.given_labels() == []


def test_keys_that_come_fast_each_count_for_the_card_they_were_meant_for(
    page: Any, home: ReviewedHome
) -> None:
    before = page.locator(".card").count()
    for _ in range(3):
        page.keyboard.press("a")
    playwright.expect(page.locator(".card")).to_have_count(before - 3)
    assert len(home.given_labels()) == 3


def test_a_refused_class_for_many_is_shown_in_sight_and_the_selection_stays(page: Any) -> None:
    for key in ("x", "j", "x"):
        page.keyboard.press(key)
    page.fill("#bulk-class", "a/b")
    page.keyboard.press("Enter")
    message(page, "'a/b' cannot be a class")
    assert page.locator("#message").is_visible()
    assert page.locator(".card [type=checkbox]:checked").count() == 2
    assert page.input_value("#bulk-class") == "a/b"


def test_skipped_clips_can_be_shown_again(page: Any) -> None:
    first = current(page)
    before = page.locator(".card").count()
    page.keyboard.press("s")
    playwright.expect(page.locator(".card")).to_have_count(before - 1)
    page.get_by_role("button", name="show the 1 skipped again").click()
    playwright.expect(page.locator(".card")).to_have_count(before)
    assert first in names(page)


def test_a_server_that_has_ended_is_reported(chromium: Any, home: ReviewedHome) -> None:
    page = chromium.new_page()
    with served(home.site()) as address:
        come(page, address)
    page.keyboard.press("a")
    message(page, "does not respond")
    page.close()


LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 900}},
    "narrow": {"color_scheme": "light", "viewport": {"width": 400, "height": 900}},
}


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_sticks_out_in_light_dark_and_narrow(
    chromium: Any, address: str, home: ReviewedHome, tmp_path: Path, look: str
) -> None:
    page = chromium.new_page(**LOOKS[look])
    come(page, address)
    for name in ("review", "grid?class=bright", "problems", "models", "quality"):
        page.goto(address + name)
        if name == "review":
            page.locator("#clip-1 summary").click()
            playwright.expect(page.locator("#clip-1 .evidence svg")).to_have_count(
                3, timeout=60_000
            )
        page.screenshot(path=tmp_path / f"{look}-{name.partition('?')[0]}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_real_clips_are_reviewed_with_the_installed_command(
    chromium: Any, real_clips: Path, tmp_path: Path, cache: Path
) -> None:
    """The starter model, its evidence, and a label that the daemon's next run acts on."""
    environment = {**os.environ, "VIDWATCH_HOME": str(tmp_path / "real"), "VIDWATCH_DEVICE": "cpu"}
    environment |= {"VIDWATCH_SETTLE_SECONDS": "0.5", "VIDWATCH_UNSURE_BELOW": "0.9999"}
    subprocess.run([VIDWATCH, "init"], env=environment, check=True, capture_output=True)
    for clip in sorted((real_clips / "ucf10-original").glob("*/*.avi"))[::9]:
        shutil.copy(clip, tmp_path / "real/inbox")
    subprocess.run(
        [VIDWATCH, "run", "--once"], env=environment, check=True, capture_output=True, timeout=300
    )
    command = [VIDWATCH, "review", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        began = time.monotonic()
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found
        assert time.monotonic() - began < 30
        page = chromium.new_page(viewport={"width": 1200, "height": 900})
        come(page, found[0])
        name = current(page)
        page.locator(".card summary").first.click()
        playwright.expect(page.locator(".card .evidence svg").nth(2)).to_be_visible(timeout=120_000)
        assert page.locator(".card").first.locator("rect").count() == 3 * 16
        page.screenshot(path=tmp_path / "real.png")
        page.keyboard.press("1")
        message(page, name)
        page.close()
        server.terminate()
        assert server.wait(30) == 0
    subprocess.run(
        [VIDWATCH, "run", "--once"], env=environment, check=True, capture_output=True, timeout=300
    )
    assert [path.name for path in (tmp_path / "real/labelled").rglob("*.avi")] == [name]
