"""Long videos on the review page: bars, frames of windows, and labels of parts."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from long_reviewed import LongReviewedHome
from reviewed import Browser, ReviewedHome, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from tiny import SPEC, cache

from daemon.database.tables import labels, part_labels
from daemon.labels.parts import labels_of_parts
from daemon.page.bars import LEAST, WIDTH, Places, draw_timeline
from daemon.report.events import Event, Span
from daemon.report.timeline import Timeline

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> Iterator[LongReviewedHome]:
    home = LongReviewedHome(tmp_path)
    yield home
    home.close()


def send(browser: Browser, video: int, **fields: str) -> tuple[int, str]:
    """Send the form of the video's page; gives the status and the page after it."""
    page = browser.get(f"/clip/{video}").text
    response = browser.post(
        f"/clip/{video}/part", data={"secret": hidden(page, "secret"), **fields}
    )
    return response.status_code, html.unescape(response.text)


def parts(home: ReviewedHome) -> list[tuple[float, float, str, str]]:
    with home.engine.begin() as connection:
        found = labels_of_parts(connection)
    return [(one.part.start, one.part.end, one.class_name, one.who) for one in found]


def test_a_card_draws_what_is_in_a_long_video_and_leads_to_its_page(
    home: LongReviewedHome, browser: Browser
) -> None:
    video = home.long()
    short = home.clip()
    page = browser.get("/review").text
    card, other = (
        re.search(f'id="clip-{one}".*?</article>', page, re.DOTALL)[0]  # type: ignore[index]
        for one in (video, short)
    )
    assert re.findall(r'x="([\d.]+)"\s+width="([\d.]+)"', card) == [
        ("0.0", "333.33"),
        ("333.33", "333.33"),
        ("666.67", "333.33"),
    ]
    assert f'href="/clip/{video}?window=1#window"' in card
    assert "0:00:02 of 0:00:06, 33%" in card
    assert f'<a href="/clip/{video}">its parts: 3 events</a>' in card
    assert "timeline" not in other


@pytest.mark.slow
def test_a_click_plays_the_frames_of_a_window_alone(
    home: LongReviewedHome, browser: Browser
) -> None:
    video = home.long()
    page = browser.get(f"/clip/{video}?window=2").text
    assert "0:00:04 to 0:00:06" in page
    assert "The model is not sure of it" in page
    for number, colour in enumerate([(235, 235, 235), (16, 16, 16), (0, 0, 235)]):
        address = f"/clip/{video}/{number}.jpg"
        assert address in browser.get(f"/clip/{video}?window={number}").text
        response = browser.get(address)
        assert response.status_code == 200
        picture = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (SPEC.size, SPEC.size * SPEC.frames, 3)
        assert np.abs(picture.mean((0, 1)) - colour).max() < 40
    assert browser.get(f"/clip/{video}/3.jpg").status_code == 404
    assert browser.get(f"/clip/{video}/x.jpg").status_code == 404
    # Windows that there are not show the first one.
    assert "0:00:00 to 0:00:02" in browser.get(f"/clip/{video}?window=99").text


@pytest.mark.slow
def test_frames_of_a_file_that_holds_something_else_are_not_shown(
    home: LongReviewedHome, browser: Browser
) -> None:
    video = home.long()
    path = home.path(video)
    path.write_bytes(path.read_bytes() + b"\0\0\0\x08free")
    response = browser.get(f"/clip/{video}/0.jpg")
    assert response.status_code == 404
    assert "no longer the one that was classified" in response.text


@pytest.mark.slow
def test_a_part_is_labelled_on_the_page_and_taken_back(
    home: LongReviewedHome, browser: Browser
) -> None:
    video = home.long()
    place = home.place(video)
    times = {"from": "0:00:02", "to": "0:00:04", "window": "1"}
    status, page = send(browser, video, action="label", other="grey", **times)
    assert (status, message_on(page)) == (200, "0:00:02 to 0:00:04: labelled grey")
    assert parts(home) == [(2, 4, "grey", "rita")]
    assert home.rows(labels) == []
    assert home.place(video) == place
    assert re.search(r"<td>grey</td>\s*<td class=\"n\">labelled</td>", page)
    status, page = send(browser, video, action="undo", **times)
    assert (status, message_on(page)) == (200, "0:00:02 to 0:00:04: label grey taken back")
    assert parts(home) == []


@pytest.mark.slow
def test_undo_takes_back_what_was_labelled_last_a_part_or_a_clip(
    home: LongReviewedHome, browser: Browser
) -> None:
    video = home.long()
    clip = home.clip()
    times = {"from": "0:00:02", "to": "0:00:04"}
    send(browser, video, action="label", other="grey", **times)
    browser.submit(clip, **{"class": "dark"})
    send(browser, video, action="label", other="red", **times)
    assert browser.undo() == "label red of long.mp4, 0:00:02 to 0:00:04: taken back"
    assert [name for *_, name, _ in parts(home)] == ["grey"]
    assert browser.undo().startswith("1 label taken back")
    assert browser.undo() == "label grey of long.mp4, 0:00:02 to 0:00:04: taken back"
    assert parts(home) == []
    assert browser.undo() == "there is nothing to undo for rita"
    assert len(home.rows(part_labels)) == 4


@pytest.mark.slow
def test_what_is_wrong_is_said_beside_the_form_which_keeps_what_was_typed(
    home: LongReviewedHome, browser: Browser
) -> None:
    video = home.long()
    times = {"from": "0:00:02", "to": "0:00:04", "action": "label"}
    status, page = send(browser, video, other="briht", **times)
    assert status == 422
    assert "did you mean bright" in page
    assert 'value="briht"' in page
    assert send(browser, video, new="briht", **times)[0] == 200
    assert parts(home) == [(2, 4, "briht", "rita")]
    for wrong, reason in (
        ({"other": ""}, "no class is given"),
        ({"other": "red", "from": "soon"}, "'soon' is no time"),
        ({"other": "red", "from": "9:00", "to": "10:00"}, "has no part from 0:09:00"),
        ({"from": "0:00:04", "to": "0:00:02"}, "ends before it begins: exchange the two times"),
        ({"other": "../x"}, "a class must be a folder's name"),
    ):
        status, page = send(browser, video, **{**times, **wrong})
        assert status == 422
        assert reason in page
    forged = browser.post(f"/clip/{video}/part", data={"secret": "x", "other": "red", **times})
    assert forged.status_code == 403
    assert len(parts(home)) == 1


@pytest.mark.slow
def test_a_clip_of_the_random_share_shows_none_of_it_before_it_is_labelled(
    home: LongReviewedHome, browser: Browser
) -> None:
    video = home.long(sampled=True)
    queue = browser.get("/review").text
    assert "timeline" not in queue
    assert f"/clip/{video}" not in queue
    assert browser.get(f"/clip/{video}/0.jpg").status_code == 404
    assert send(browser, video, **{"from": "0:00:02", "to": "0:00:04", "other": "red"})[0] == 404
    page = browser.get(f"/clip/{video}").text
    for telling in ("bright", "long.mp4", "timeline", "0:00:02"):
        assert telling not in re.sub("<datalist.*?</datalist>", "", page, flags=re.DOTALL)
    browser.submit(video, **{"class": "dark"})
    assert "timeline" in browser.get(f"/clip/{video}").text


def test_a_video_without_windows_has_no_parts(home: LongReviewedHome, browser: Browser) -> None:
    short = home.clip()
    assert "timeline" not in browser.get(f"/clip/{short}").text
    status, page = send(browser, short, **{"from": "0:00", "to": "0:01", "other": "red"})
    assert (status, "has no windows" in page) == (404, True)
    assert browser.get("/clip/99").status_code == 404


def test_the_page_of_a_long_video_is_found_by_its_old_address(
    home: LongReviewedHome, browser: Browser
) -> None:
    video = home.long()
    page = browser.get(f"/video/{video}?window=2")
    assert page.url.path == f"/clip/{video}"
    assert "0:00:04 to 0:00:06" in page.text
    assert browser.get("/video/x").status_code == 404


@pytest.mark.slow
def test_a_page_of_a_month_is_no_larger_than_one_of_an_hour() -> None:
    windows = [Span(10.0 * n, 10.0 * n + 10, "ab"[n % 2], 0.9, number=n) for n in range(50_000)]
    drawing = draw_timeline(Timeline(tuple(windows)))
    assert drawing.n_events == 50_000
    assert len(drawing.events) == 500
    assert sum(len(row.bars) for row in drawing.rows) <= 2 * WIDTH / LEAST


def test_an_event_plays_a_window_of_its_own_class_near_its_middle() -> None:
    windows = [Span(5.0 * n, 5.0 * n + 10, "ab"[n == 2], 0.9, number=n) for n in range(6)]
    places = Places(windows)
    assert places.window_in(Event(2, 33, "a", 0.9)).number == 3
    assert places.window_in(Event(11, 14, "b", 0.9)).number == 2
    assert places.window_in(Event(11, 12, "c", None)).number in (1, 2)
