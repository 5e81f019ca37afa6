"""Who may use the review page, and what it lets a browser do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from reviewed import Browser, ReviewedHome, cards_on, hidden
from reviewed import browser as browser
from reviewed import site as site
from tiny import cache

from daemon.page.site import Site

VIDWATCH = Path(sys.executable).with_name("vidwatch")
TOKEN = "a long enough token & more"

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def test_every_response_forbids_the_browser_what_it_does_not_need(browser: Browser) -> None:
    for path in ("/", "/static/review.js", "/nothing", "/models"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_no_page_holds_script_or_style_that_the_policy_forbids(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip()
    for path in ("/", "/problems", "/models", "/quality", f"/evidence/{video}"):
        page = browser.get(path).text
        assert re.findall(r"<style|style=|\son[a-z]+=|<script(?! src=)|https?://", page) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://[", "sec-fetch-site": "same-origin"},
    ],
)
@pytest.mark.parametrize("path", ["/say", "/undo"])
def test_a_form_that_another_site_sends_is_refused(
    home: ReviewedHome, browser: Browser, path: str, headers: dict[str, str]
) -> None:
    video = home.clip()
    form = {
        "secret": hidden(browser.get("/review").text, "secret"),
        "id": video,
        "action": "accept",
    }
    assert browser.post(path, data=form, headers=headers).status_code == 403
    assert home.given_labels() == []


@pytest.mark.parametrize("secret", [None, "", "guessed"])
@pytest.mark.parametrize("path", ["/say", "/undo"])
def test_a_form_without_the_pages_secret_is_refused(
    home: ReviewedHome, browser: Browser, path: str, secret: str | None
) -> None:
    video = home.clip()
    form = {"id": video, "action": "accept", **({} if secret is None else {"secret": secret})}
    assert browser.post(path, data=form).status_code == 403
    assert home.given_labels() == []


def test_nothing_is_changed_by_a_link(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    assert browser.get(f"/say?id={video}&action=accept").status_code == 405
    assert browser.get("/undo").status_code == 405


def test_pictures_are_not_sent_to_other_sites(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    from_there = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert browser.get(f"/strip/{video}.jpg", headers=from_there).status_code == 403


def test_a_link_on_another_site_keeps_the_session_and_no_frame_holds_the_page(
    browser: Browser,
) -> None:
    visit = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    response = browser.get("/", headers={**visit, "sec-fetch-dest": "document"})
    assert (response.status_code, "set-cookie" in response.headers) == (200, False)
    assert 'http-equiv="refresh"' in response.text
    assert browser.get("/", headers={**visit, "sec-fetch-dest": "iframe"}).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:8765"]
)
def test_another_host_name_that_points_here_is_refused(site: Site, host: str) -> None:
    assert Browser(site).get("/", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "[::1]:8765"])
def test_this_machines_own_host_names_are_accepted(site: Site, host: str) -> None:
    assert Browser(site).get("/", headers={"host": host}).status_code == 200


def test_with_a_token_nothing_is_shown_without_it(home: ReviewedHome, site: Site) -> None:
    video = home.clip()
    browser = Browser(site, token=TOKEN)
    for path in (
        "/",
        f"/strip/{video}.jpg",
        "/static/review.js",
        "/?token=wrong",
        "/problems",
        f"/models?token={TOKEN}",
    ):
        assert browser.get(path).status_code == 403
    form = {"id": video, "action": "accept", "secret": site.reviewers.form_secret}
    assert browser.post("/say", data=form).status_code == 403
    assert home.given_labels() == []


def test_the_link_with_the_token_lets_a_browser_in(home: ReviewedHome, site: Site) -> None:
    video = home.clip()
    browser = Browser(site, token=TOKEN)
    cookie = browser.get("/", params={"token": TOKEN}).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert cards_on(browser.get("/review").text) == [video]
    browser.submit(video, action="accept")
    assert len(home.given_labels()) == 1


def test_a_page_on_all_addresses_is_open_only_with_the_token(site: Site) -> None:
    browser = Browser(site, "0.0.0.0", TOKEN, "http://camera-server.lan:8765")
    assert browser.get("/").status_code == 403
    browser.get("/", params={"token": TOKEN})
    assert browser.get("/").status_code == 200


def review(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([VIDWATCH, *arguments], capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--host", "0.0.0.0"], "needs a token; set VIDWATCH_REVIEW_TOKEN"),
        (["--token", "short"], "at least 16 characters"),
        (
            ["--host", "no.such.host.invalid", "--token", TOKEN],
            "cannot listen on no.such.host.invalid",
        ),
        ([], "vidwatch init"),
    ],
)
def test_a_mistake_of_the_user_is_reported_in_one_line(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    home = tmp_path / "none"
    if "no.such.host.invalid" in arguments:
        review("init", home)
    done = review("--home", home, "review", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
