"""The page of all clips, requested as by a browser, without a browser."""

import csv
import html
import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from reviewed import NOW, Browser, ReviewedHome, cards_on, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from sqlalchemy import update
from tiny import cache

from daemon.database.tables import videos
from daemon.page.clips_query import ClipsQuery
from learner.errors import VidwatchError

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def found(browser: Browser, query: str = "") -> list[int]:
    response = browser.get(f"/clips?{query}")
    assert response.status_code == 200
    return cards_on(response.text)


def send(browser: Browser, query: str = "", **fields: object) -> tuple[int, str]:
    """Send a form of the page; gives the status and the page after it."""
    page = browser.get(f"/clips?{query}").text
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen"), "query": query}
    response = browser.post("/clips", data={**form, **fields})
    return response.status_code, html.unescape(response.text)


def change(home: ReviewedHome, video: int, **columns: object) -> None:
    with home.writing() as connection:
        connection.execute(update(videos).where(videos.c.id == video).values(**columns))


def test_clips_are_listed_by_what_a_person_asks_for(home: ReviewedHome, browser: Browser) -> None:
    bright = home.clip("cam1/a.avi")
    dark = home.clip("cam1/b.avi", logits=(0, 4, 0, 0))
    unsure = home.clip("cam2/c.avi", logits=(1, 1.2, 1, 1), unsure="probability")
    failed = home.fail("d.avi")
    change(home, bright, source="cam1", recorded_at=NOW - timedelta(days=3), recorded_by="name")
    change(home, dark, source="cam1/sub")
    change(home, unsure, source="cam2")
    home.give_label(dark, "red", who="bob")
    for query, expected in (
        ("", [failed, unsure, dark, bright]),
        ("class=red", [dark]),
        ("class=dark", []),
        ("class=_unsure", [unsure]),
        ("predicted=dark", [dark]),
        ("label=red", [dark]),
        ("label=red&predicted=dark", [dark]),
        ("source=cam1", [dark, bright]),
        ("state=failed", [failed]),
        ("who=bob", [dark]),
        ("who=zoe", []),
        ("least=50", [dark, bright]),
        ("most=50", [unsure]),
        ("name=A.AVI", [bright]),
        ("name=cam?/*.avi", [unsure, dark, bright]),
        ("to=2025-12-30", [bright]),
        ("from=2025-12-31", [failed, unsure, dark]),
        ("to=2025-12-30&by=arrived", []),
        ("from=2025-12-30&to=2025-12-30&class=bright", [bright]),
    ):
        assert found(browser, query) == expected, query


def test_hours_and_weekdays_are_those_of_the_browsers_clocks(
    home: ReviewedHome, browser: Browser
) -> None:
    browser.cookies.set("vidwatch-zone", "Europe/Berlin")
    zone = ZoneInfo("Europe/Berlin")
    winter, summer, night = home.clip(), home.clip(), home.clip()
    for video, moment in (
        (winter, datetime(2026, 1, 5, 8, 30, tzinfo=zone)),  # a Monday
        (summer, datetime(2026, 7, 7, 8, 30, tzinfo=zone)),
        (night, datetime(2026, 7, 8, 0, 15, tzinfo=zone)),  # by UTC, it is still Tuesday
    ):
        change(home, video, recorded_at=moment.astimezone(UTC), recorded_by="name")
    assert found(browser, "hour=8") == [summer, winter]
    assert found(browser, "hour=08-09") == [summer, winter]
    assert found(browser, "hour=22-4") == [night]
    assert found(browser, "hour=9-23") == []
    assert found(browser, "weekday=0") == [winter]
    assert found(browser, "weekday=2") == [night]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("from=soon", "from: 'soon' is no time"),
        ("to=2026-99-01", "is no time"),
        ("hour=25", "hours of the day: '25' is none"),
        ("weekday=9", "weekday: '9' is none"),
        ("least=200", "is not between 0 and 100 %"),
        ("most=x", "is not between 0 and 100 %"),
        ("class=brihgt", "there is no class 'brihgt': did you mean 'bright'?"),
        ("source=cam9", "there is no source 'cam9'"),
        ("state=lost", "there is no state 'lost'"),
        ("class=<script>alert(1)</script>", "there is no class"),
    ],
)
def test_what_cannot_be_asked_for_is_said_and_stays_in_the_form(
    home: ReviewedHome, browser: Browser, query: str, reason: str
) -> None:
    home.clip()
    response = browser.get(f"/clips?{query}")
    assert response.status_code == 422
    assert reason in html.unescape(response.text)
    assert "<script>alert" not in response.text
    assert cards_on(response.text) == []
    assert browser.get(f"/clips.csv?{query}").status_code == 400


def test_pages_go_to_older_clips_and_back(
    home: ReviewedHome, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.page.clips.SHOWN", 2)
    ids = [home.clip() for _ in range(5)][::-1]
    page = browser.get("/clips").text
    seen = [cards_on(page)]
    assert 'rel="prev"' not in page
    while older := re.search(r'rel="next" href="([^"]+)"', page):
        page = browser.get(html.unescape(older[1])).text
        seen.append(cards_on(page))
    assert seen == [ids[:2], ids[2:4], ids[4:]]
    newer = re.search(r'rel="prev" href="([^"]+)"', page)
    assert newer
    assert cards_on(browser.get(html.unescape(newer[1])).text) == ids[2:4]
    assert "5 clips" in page


def test_a_table_and_csv_show_the_same_clips(home: ReviewedHome, browser: Browser) -> None:
    first = home.clip("=1+1.avi")
    home.clip("b.avi", logits=(0, 4, 0, 0))
    page = browser.get("/clips?class=bright&view=table").text
    assert re.findall(r'href="/clip/(\d+)">\1</a>', page) == [str(first)]
    text = browser.get("/clips.csv?class=bright&view=table").text
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [(row["id"], row["name"], row["class"]) for row in rows] == [
        (str(first), "'=1+1.avi", "bright")
    ]


@pytest.mark.slow
def test_nothing_tells_the_class_of_a_clip_that_awaits_its_random_review(
    home: ReviewedHome, browser: Browser
) -> None:
    blind = home.clip("bright zebra.avi", sampled=True)
    copy = home.copy_of(blind)
    change(home, blind, source="cam1")
    change(home, copy, source="cam1")
    home.give_label(blind, "bright", who="bob")
    page = browser.get("/clips").text
    assert cards_on(page) == [copy, blind]
    for view in ("", "view=table"):
        told = re.sub(
            r"<(datalist|select).*?</\1>", "", browser.get(f"/clips?{view}").text, flags=re.DOTALL
        )
        assert f"clip {blind}" in told or view
        for telling in ("bright", "bob", "copy of", "zebra", "the same as"):
            assert telling not in told
        assert 'type="checkbox"' not in told
    for query in (
        "class=bright",
        "label=bright",
        "predicted=bright",
        "source=cam1",
        "who=bob",
        "least=1",
        "most=100",
        "name=zebra",
        "name=copy",
    ):
        assert found(browser, query) == [], query
    assert found(browser, "state=filed&hour=0-24") == [copy, blind]
    assert "bright" not in browser.get("/clips.csv").text.partition("\n")[2]
    browser.submit(blind, **{"class": "dark"})
    assert found(browser, "class=dark") == [copy, blind]


def test_several_clips_are_labelled_at_once_and_undone_as_one(
    home: ReviewedHome, browser: Browser
) -> None:
    clips = [home.clip("a.avi"), home.clip("b.avi"), home.clip("c.avi")]
    status, page = send(browser, "class=bright", id=clips[:2], other="dark", action="other")
    assert (status, message_on(page)) == (200, "a.avi, b.avi: dark")
    assert cards_on(page) == clips[2:]
    assert home.given_labels("sampled") == [
        (video, "labelled", "dark", "page", False) for video in clips[:2]
    ]
    assert home.who() == ["rita", "rita"]
    status, page = send(browser, action="undo")
    assert message_on(page).startswith("2 labels taken back")
    assert found(browser, "class=bright") == clips[::-1]


@pytest.mark.slow
def test_what_cannot_be_labelled_is_refused_as_a_whole(
    home: ReviewedHome, browser: Browser
) -> None:
    first = home.clip()
    blind = home.clip("secret.avi", sampled=True)
    copy = home.copy_of(blind)
    failed = home.fail("d.avi")
    for ids, name, reason in (
        ([first, blind], "dark", f"clip {blind}: of the random share"),
        ([first, copy], "dark", f"clip {copy}: of the random share"),
        ([first, failed], "dark", "could not be read"),
        ([], "dark", "no clip is selected"),
        ([first], "", "no class is given"),
        ([first], "../x", "cannot be a class"),
        ([first], "brihgt", "did you mean bright"),
        ([first, 10**17], "dark", "there is no video"),
    ):
        status, page = send(browser, id=ids, other=name, action="other")
        assert (status, home.given_labels()) == (422, [])
        assert reason in page, page
    page = browser.get("/clips").text
    forged = browser.post("/clips", data={"secret": "x", "id": first, "other": "dark"})
    assert (forged.status_code, home.given_labels()) == (403, [])


@pytest.mark.slow
def test_a_correction_of_a_reviewed_clip_is_none_of_its_random_review(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip(sampled=True)
    browser.submit(video, **{"class": "dark"})
    send(browser, id=[video], other="bright", action="other")
    assert home.given_labels("sampled") == [
        (video, "labelled", "dark", "page", True),
        (video, "labelled", "bright", "page", False),
    ]


def test_others_labels_are_asked_about(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip("a.avi")
    page = browser.get("/clips").text
    home.give_label(video, "red", who="bob")
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen"), "id": video}
    asked = browser.post("/clips", data={**form, "other": "dark", "action": "other"}).text
    assert "bob labelled a.avi red" in asked
    question = hidden(asked, "question")
    answer = {"secret": hidden(asked, "secret"), "question": question, "answer": "label"}
    assert hidden(asked, "back") == "/clips"
    for back, path in (("//evil.example/clips", "/review"), ("/clips?state=filed", "/clips")):
        answered = browser.post("/answer", data={**answer, "back": back})
        assert answered.url.path == path
    assert home.given_labels("sampled")[-1] == (video, "labelled", "dark", "page", False)


@pytest.mark.slow
def test_searches_are_kept_for_all_browsers(
    home: ReviewedHome, browser: Browser, site: object
) -> None:
    home.clip()
    assert send(browser, "class=bright", action="keep", title=" bright  ones ")[0] == 200
    other = Browser(site, reviewer="bob")  # type: ignore[arg-type]
    page = other.get("/clips").text
    assert '<a class="button" href="/clips?class=bright">bright ones</a>' in page
    assert send(other, "class=dark", action="keep", title="bright ones")[0] == 200
    page = other.get("/clips?class=dark").text
    assert page.count("bright ones</a>") == 1
    assert send(other, "class=dark", action="keep", title=" ")[0] == 422
    assert send(other, "view=table", action="keep", title="all")[0] == 422
    search = hidden(page, "search")
    assert send(other, "class=dark", action="forget", search=search)[0] == 200
    assert "bright ones" not in browser.get("/clips").text


def test_the_page_without_a_name_shows_clips_and_no_forms(home: ReviewedHome, site: object) -> None:
    video = home.clip()
    nobody = Browser(site, reviewer=None)  # type: ignore[arg-type]
    page = nobody.get("/clips").text
    assert cards_on(page) == [video]
    assert 'method="post"' not in page


def test_an_address_keeps_its_fields() -> None:
    query = ClipsQuery.of_text("class=a%26b&name=%3Cx%3E&view=table&before=7&evil=1&state=")
    assert query.text == "class=a%26b&name=%3Cx%3E&view=table&before=7"
    assert query.search == "class=a%26b&name=%3Cx%3E"
    assert ClipsQuery.of_text(query.text) == query
    with pytest.raises(VidwatchError):
        ClipsQuery.of({"hour": "x"}).filters(None)


def test_a_character_that_no_database_takes_is_no_error_of_the_server(browser: Browser) -> None:
    for path in ("/clips?name=a%00b", "/clips?class=%00", "/review?class=%00", "/grid?class=%00"):
        assert browser.get(path).status_code < 500, path
