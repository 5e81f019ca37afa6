"""The page of one clip, requested as by a browser, without a browser."""

import html
import re
from pathlib import Path

import pytest
from reviewed import CLASSES, Browser, ReviewedHome, cards_on, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from sqlalchemy import insert, update
from tiny import cache

from daemon.database.tables import home as home_table
from daemon.database.tables import videos
from daemon.export.filters import Filters
from daemon.export.records import read_all_labels, read_videos
from daemon.labels.class_changes import ClassChanges
from daemon.page.site import Site

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def shown(browser: Browser, video: int) -> str:
    """The text of the page, without the classes that it offers."""
    page = re.sub(
        r"<datalist.*?</datalist>", "", browser.get(f"/clip/{video}").text, flags=re.DOTALL
    )
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def send(browser: Browser, video: int, **fields: str) -> tuple[int, str]:
    """Send a form of the page; gives the status and the page after it."""
    page = browser.get(f"/clip/{video}").text
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen")}
    if 'name="blind"' in page:
        form["blind"] = "yes"
    response = browser.post(f"/clip/{video}", data={**form, **fields})
    return response.status_code, html.unescape(response.text)


@pytest.mark.slow
def test_a_clips_page_shows_what_is_known_of_it(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip("a.avi", group="scene 7")
    other = home.clip("b.avi", group="scene 7")
    copy = home.copy_of(video)
    home.give_label(video, "red", who="bob")
    page = browser.get(f"/clip/{video}").text
    assert f'<video class="player" controls preload="metadata" src="/media/{video}"' in page
    assert cards_on(page) == [other]
    assert f'href="/clip/{copy}"' in page
    text = shown(browser, video)
    for word in (
        "a.avi",
        "bright",
        "by tiny",
        "63.1 %",
        "dark",
        "red",
        "bob",
        "command",
        "scene 7",
    ):
        assert word in text, word
    assert str(home.path(video)) in text
    assert re.search(r"<dt>finished</dt><dd><time datetime=[^/]*</time>, [0-9.]+ s after", page)
    assert "63.1 %" in shown(browser, copy)
    assert f"the same as clip {video}" in shown(browser, copy)


@pytest.mark.slow
def test_a_clip_is_labelled_and_the_label_is_taken_back(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("a.avi")
    status, page = send(browser, video, other="dark", action="other")
    assert (status, message_on(page)) == (200, "a.avi: dark")
    assert send(browser, video, action="unsure")[0] == 200
    label = hidden(browser.get(f"/clip/{video}").text, "label")
    status, page = send(browser, video, action="take back", label=label)
    assert message_on(page) == "the label is taken back; now dark counts, by rita (page)"
    assert "taken back by rita" in page
    status, page = send(browser, video, action="take back", label=label)
    assert "does not count any more" in message_on(page)
    assert [row[1] for row in home.given_labels()] == ["labelled", "unsure", "withdrawn"]
    assert len(re.findall(">take back<", page)) == 1
    assert re.search(r"taken back by rita,\s+<time datetime=", page)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"other": "", "action": "other"}, "no class is given"),
        ({"other": "../x", "action": "other"}, "cannot be a class"),
        ({"other": "brihgt", "action": "other"}, "did you mean bright"),
    ],
)
def test_a_refused_label_is_said_at_the_form(
    home: ReviewedHome, browser: Browser, fields: dict[str, str], reason: str
) -> None:
    video = home.clip()
    status, page = send(browser, video, **fields)
    assert (status, home.given_labels()) == (422, [])
    assert reason in page
    assert 'id="whole-error"' in page
    assert browser.post(f"/clip/{video}", data={"secret": "x", "other": "dark"}).status_code == 403


def test_a_note_is_kept_beside_the_label_through_a_rename(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("a.avi")
    send(browser, video, other="dark", action="other", note=" two  animals, one <behind> ")
    browser.submit(video, action="unsure", note="too far away")
    ClassChanges(home.engine, home.folders, "ann").rename("dark", "gloomy", home.now)
    assert home.given_labels("note")[-2:] == [
        (video, "labelled", "gloomy", "page", "two animals, one <behind>"),
        (video, "unsure", None, "page", "too far away"),
    ]
    assert "two animals, one <behind>" in shown(browser, video)
    status, page = send(browser, video, other="red", action="other", note="x" * 301)
    assert (status, "a note has 300 characters at most, this has 301" in page) == (422, True)
    with home.engine.begin() as connection:
        (found,) = read_videos(connection, Filters())
        notes = [one.note for one in read_all_labels(connection, Filters()) if one.counts]
    assert found.note == "too far away"
    assert notes == ["too far away"]


def test_a_new_class_is_given_after_the_question(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    assert send(browser, video, new="brihgt")[0] == 200
    assert home.given_labels()[0][2] == "brihgt"


@pytest.mark.slow
def test_a_blind_clip_shows_its_video_and_the_form_alone(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("bright zebra.avi", sampled=True, group="brights")
    relative = home.clip("known.avi", group="brights")
    copy = home.copy_of(video)
    home.give_label(video, "bright", who="bob")
    for one in (video, copy):
        text = shown(browser, one)
        assert f"clip {one}" in text
        for telling in (*CLASSES[:3], "zebra", "bob", "tiny,", "scene", "copy of", "%", "Evidence"):
            assert telling not in text, telling
        assert f'src="/media/{video}"' in browser.get(f"/clip/{one}").text
    assert cards_on(browser.get(f"/clip/{relative}").text) == []
    assert browser.get(f"/clip/{video}/0.jpg").status_code == 404
    status, page = send(browser, video, other="dark", action="other")
    assert (status, "tiny had predicted bright" in message_on(page)) == (200, True)
    assert home.given_labels("sampled")[-1] == (video, "labelled", "dark", "page", True)
    assert "bright zebra.avi" in shown(browser, video)
    send(browser, video, other="bright", action="other")  # by who knows the prediction
    assert home.given_labels("sampled")[-1] == (video, "labelled", "bright", "page", False)


@pytest.mark.slow
def test_the_random_share_is_reviewed_on_the_page_of_a_copy_too(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("bright zebra.avi", sampled=True)
    copy = home.copy_of(video)
    home.give_label(video, "bright", who="bob")
    form = {"secret": hidden(browser.get(f"/clip/{copy}").text, "secret"), "seen": "0"}
    form |= {"blind": "yes", "other": "dark", "action": "other"}
    asked = browser.post(f"/clip/{copy}", data=form).text
    assert f"bob labelled clip {video} otherwise" in asked
    for telling in ("copy of", "bright (", "zebra"):
        assert telling not in asked
    status, page = send(browser, copy, other="dark", action="other")
    assert (status, "tiny had predicted bright" in message_on(page)) == (200, True)
    assert home.given_labels("sampled")[-1] == (video, "labelled", "dark", "page", True)


def test_a_clip_that_became_blind_again_is_not_labelled_by_who_saw_it(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip(sampled=True)
    send(browser, video, other="dark", action="other")
    page = browser.get(f"/clip/{video}").text
    browser.undo()
    form = {"secret": hidden(page, "secret"), "seen": "999", "other": "red", "action": "other"}
    response = browser.post(f"/clip/{video}", data=form)
    assert response.status_code == 422
    assert "of the random share" in response.text


def test_a_failed_clip_says_why_and_leads_to_problems(home: ReviewedHome, browser: Browser) -> None:
    video = home.fail("notes.mp4", "not a video: <b>text</b>")
    page = browser.get(f"/clip/{video}").text
    assert "not a video: &lt;b&gt;text&lt;/b&gt;" in page
    assert 'href="/problems">try again' in page
    assert 'name="other"' not in page
    assert "<video" not in page


def test_a_clip_in_the_queue_says_so(home: ReviewedHome, browser: Browser) -> None:
    video = home.arrive("new.mp4")
    assert "It is not classified yet: it is queued." in shown(browser, video)


def test_a_clip_whose_file_is_gone_says_so(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip("a.avi")
    home.path(video).unlink()
    assert "Its file is not there any more" in shown(browser, video)
    assert "<video" not in browser.get(f"/clip/{video}").text
    with home.writing() as connection:
        trashed = bytes(home.root / "trash" / "a.avi")
        connection.execute(insert(home_table).values(root=bytes(home.root)))
        times = {"trashed_at": home.now, "removed_at": home.now}
        connection.execute(update(videos).where(videos.c.id == video).values(path=trashed, **times))
    assert "Its file was deleted from the trash." in shown(browser, video)


@pytest.mark.parametrize("address", ["/clip/99", "/clip/x", "/clip/9999999999999999999999"])
def test_a_clip_that_there_is_not_is_not_found(
    home: ReviewedHome, browser: Browser, address: str
) -> None:
    assert browser.get(address).status_code == 404


def test_cards_elsewhere_lead_to_the_page(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    assert f'href="/clip/{video}"' in browser.get("/").text


def test_who_has_no_name_sees_no_forms(home: ReviewedHome, site: Site) -> None:
    video = home.clip()
    home.give_label(video, "red")
    page = Browser(site, reviewer=None).get(f"/clip/{video}").text
    assert 'method="post"' not in page
    assert "say your name" in page
