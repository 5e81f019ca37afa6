"""The grid of clips that are probably of one class."""

from pathlib import Path

import pytest
from reviewed import Browser, ReviewedHome, cards_on, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from tiny import cache

from daemon.page.site import Site

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def send(browser: Browser, page: str, ids: list[int], **fields: object) -> str:
    """Send the form of a grid."""
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen"), "id": ids}
    return str(browser.post("/grid", data={**form, "action": "other", **fields}).text)


def test_the_sure_ones_of_a_class_are_shown_the_least_certain_first_and_none_of_the_random_share(
    home: ReviewedHome, browser: Browser
) -> None:
    surest, sure = home.clip(logits=(9, 0, 0, 0)), home.clip(logits=(5, 0, 0, 0))
    home.clip(logits=(1, 0, 0, 0), unsure="probability")
    home.clip(logits=(0, 9, 0, 0))
    drawn = home.clip("v_Biking.avi", logits=(9, 0, 0, 0), sampled=True)
    labelled = home.clip(logits=(9, 0, 0, 0))
    home.give_label(labelled, "bright")
    page = browser.get("/grid?class=bright").text
    assert cards_on(page) == [sure, surest]
    assert f"clip {drawn}" not in page
    assert "Biking" not in page
    assert "No clip waits" in browser.get("/grid?class=zebra").text
    assert browser.get("/grid").url.path == "/review"
    assert browser.get("/grid?like=x").status_code == 404


def test_the_marked_ones_are_left_for_the_review_and_the_others_labelled_and_undone_at_once(
    home: ReviewedHome, browser: Browser
) -> None:
    clips = [home.clip(f"{n}.avi", logits=(9 - n, 0, 0, 0)) for n in range(4)]
    page = browser.get("/grid?class=bright").text
    after = send(browser, page, clips, of="bright", other="bright", wrong=[clips[1]])
    assert message_on(after).startswith("0.avi, 2.avi, 3.avi: bright. 1 clip marked")
    assert [row[:3] for row in home.given_labels()] == [
        (video, "labelled", "bright") for video in (clips[0], *clips[2:])
    ]
    assert cards_on(after) == []
    assert cards_on(browser.get("/review").text)[0] == clips[1]
    assert browser.undo() == "3 labels taken back: 0.avi, 2.avi, 3.avi"
    assert len(cards_on(browser.get("/review").text)) == 4


def test_what_a_colleague_said_meanwhile_is_asked_about_and_a_slip_too(
    home: ReviewedHome, browser: Browser
) -> None:
    clips = [home.clip(f"{n}.avi", logits=(9, 0, 0, 0)) for n in range(2)]
    page = browser.get("/grid?class=bright").text
    refused = send(browser, page, clips, of="bright", other="brihgt")
    assert "did you mean bright" in refused
    home.give_label(clips[0], "dark", who="bob")
    after = send(browser, page, clips, of="bright", other="bright")
    assert len(home.given_labels()) == 1
    assert "answer at the top of the review" in after
    assert "bob labelled 0.avi dark (command)" in browser.get("/review").text


@pytest.mark.slow
def test_a_blind_clip_gets_no_label_by_the_form_of_a_grid(
    home: ReviewedHome, browser: Browser
) -> None:
    """The name of the class is on the page: who sends it knows what was predicted."""
    home.clip(logits=(9, 0, 0, 0))
    page = browser.get("/grid?class=bright").text
    blind = home.clip(logits=(9, 0, 0, 0), sampled=True)
    assert "of the random share" in send(browser, page, [blind], of="bright", other="bright")
    assert home.given_labels() == []


@pytest.mark.slow
def test_clips_like_one_are_those_whose_kept_features_are_nearest(
    home: ReviewedHome, browser: Browser, site: Site
) -> None:
    example, near, far, unknown = (home.clip(f"{n}.avi", logits=(9, 0, 0, 0)) for n in range(4))
    drawn = home.clip(logits=(9, 0, 0, 0), sampled=True)
    for video in (example, near, far, drawn):
        browser.get(f"/evidence/{video}")
    shelf = site.pictures._load("tiny")[1]
    own = shelf.get(home.row(example)["sha256"])
    assert own is not None
    shelf.put(home.row(near)["sha256"], own * 2)
    shelf.put(home.row(far)["sha256"], -own)
    page = browser.get(f"/grid?like={example}").text
    assert cards_on(page) == [near, far]
    assert unknown not in cards_on(page)
    after = send(browser, page, [near, far], like=str(example), other="red", wrong=[far])
    assert [row[:3] for row in home.given_labels()] == [(near, "labelled", "red")]
    assert "No clip is known that looks like it" in after
    assert browser.get(f"/grid?like={drawn}").status_code == 404
    assert browser.get("/grid?like=99").status_code == 404


@pytest.mark.parametrize("path", ["/grid"])
def test_a_form_without_the_pages_secret_is_refused(
    home: ReviewedHome, browser: Browser, path: str
) -> None:
    video = home.clip()
    form = {"id": video, "of": "bright", "other": "bright", "action": "other"}
    assert browser.post(path, data=form).status_code == 403
    assert home.given_labels() == []
