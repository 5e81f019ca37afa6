"""Reviewers have names, ask before they overrule each other, and undo what they did themselves."""

import contextlib
import os
import re
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reviewed import NOW, Browser, ReviewedHome, cards_on, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from sqlalchemy import update
from tiny import cache

from daemon.database.tables import videos
from daemon.labels.class_changes import ClassChanges
from daemon.page.key import kept_key
from daemon.page.reviewers import Reviewers, reviewer_name, typed_cookie_name
from daemon.page.site import Site
from learner.errors import VidwatchError

VIDWATCH = Path(sys.executable).with_name("vidwatch")
TOKEN = "a long enough token & more"
HOSTILE = '<img src=x onerror=alert(1)> "ann" & bob'

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def give_name(browser: Browser, name: str) -> str:
    """Type a name on the page, as a person does; gives the page that follows."""
    secret = hidden(browser.get("/name").text, "secret")
    return browser.post("/name", data={"secret": secret, "name": name}).text


def test_the_page_asks_once_for_a_name_and_labels_are_under_it(
    home: ReviewedHome, site: Site
) -> None:
    video = home.clip()
    browser = Browser(site, reviewer=None)
    assert "Who reviews?" in browser.get("/review").text
    assert cards_on(give_name(browser, "  Zoë\n Müller ")) == [video]
    assert "you are <b>Zoë Müller</b>" in browser.get("/problems").text
    browser.submit(video, action="accept")
    assert home.who() == ["Zoë Müller"]


def test_nothing_is_labelled_without_a_name(home: ReviewedHome, site: Site) -> None:
    video = home.clip()
    browser = Browser(site, reviewer=None)
    form = {"secret": site.reviewers.form_secret, "id": video, "action": "accept"}
    for path in ("/say", "/undo"):
        refused = browser.post(path, data=form)
        assert refused.status_code == 403
        assert "does not know your name" in refused.text
        assert "data-stale" in refused.text
    assert home.given_labels() == []


@pytest.mark.slow
def test_a_name_of_markup_is_shown_as_it_is_and_runs_nothing(
    home: ReviewedHome, site: Site
) -> None:
    video = home.clip("a.avi")
    browser = Browser(site, reviewer=None)
    page = give_name(browser, HOSTILE)
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    browser.submit(video, action="accept")
    assert home.who() == [HOSTILE]
    other = Browser(site)
    asked = other.submit(video, seen="0", **{"class": "red"}).text
    assert "<img src=x" not in asked
    assert "&lt;img src=x onerror" in asked


@pytest.mark.parametrize(
    "name", ["", " \n\t ", "x" * 61, "a\x00b", "a\u202eb", "a\x1b[31m", "\u200b"]
)
def test_a_name_that_cannot_be_one_is_refused_with_the_reason(
    home: ReviewedHome, site: Site, name: str
) -> None:
    home.clip()
    browser = Browser(site, reviewer=None)
    secret = hidden(browser.get("/review").text, "secret")
    body = urlencode({"secret": secret, "name": name})
    as_form = {"content-type": "application/x-www-form-urlencoded"}
    refused = browser.post("/name", content=body, headers=as_form)
    assert refused.status_code == 422
    assert "reviewer" in refused.text
    assert "Who reviews?" in browser.get("/review").text


@pytest.mark.slow
@given(st.text(max_size=80), st.binary(min_size=32, max_size=32))
def test_a_name_that_is_taken_comes_back_from_its_cookie(text: str, key: bytes) -> None:
    reviewers = Reviewers(key)
    try:
        cookie = reviewers.typed_cookie(text)
    except VidwatchError:
        return
    assert cookie.isascii()
    assert reviewers.name({typed_cookie_name(1): cookie}, 1) == reviewer_name(text)


@pytest.mark.parametrize(
    "cookie", ["", "%", "%ff", "%00", "a" * 5000, "%0a", "a%20%20b", "a b", "%E2%80%AE"]
)
def test_a_cookie_that_the_page_did_not_make_names_nobody(cookie: str) -> None:
    assert Reviewers(b"key").name({typed_cookie_name(1): cookie}, 1) is None


def test_a_users_link_gives_the_name_and_nobody_comes_without(home: ReviewedHome) -> None:
    video = home.clip()
    site = home.site(users=("ann", "Zoë M"))
    browser = Browser(site, reviewer=None)
    browser.cookies.set(typed_cookie_name(8765), "ann")
    for path in ("/", "/static/review.js", "/?user=ann", "/?user=ann&key=guessed", "/name"):
        assert browser.get(path).status_code == 403
    link = site.reviewers.link("Zoë M")
    cookie = browser.get(f"/?{link}").headers["set-cookie"]
    assert dict(parse_qsl(link))["key"] not in cookie
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    browser.submit(video, action="accept")
    assert home.who() == ["Zoë M"]
    site.close()


def test_a_users_key_is_good_for_that_name_and_that_home_alone() -> None:
    reviewers = Reviewers(b"key", ("ann", "bob"))
    ann = dict(parse_qsl(reviewers.link("ann")))
    assert reviewers.user_of_link(reviewers.link("ann")) == "ann"
    assert reviewers.user_of_link(f"user=bob&key={ann['key']}") is None
    assert Reviewers(b"another", ("ann",)).user_of_link(reviewers.link("ann")) is None
    assert Reviewers(b"key", ("bob",)).user_of_link(reviewers.link("ann")) is None
    cookie = reviewers.user_cookie("ann")
    assert reviewers.user_of_cookie(cookie) == "ann"
    assert reviewers.user_of_cookie(cookie.replace("ann", "bob")) is None
    assert Reviewers(b"key", ("bob",)).user_of_cookie(cookie) is None
    for cookie in ("", ".", "ann", "ann.", "\xff.\xff"):
        assert reviewers.user_of_cookie(cookie) is None


def test_beside_links_of_users_a_token_lets_others_in_who_cannot_take_their_names(
    home: ReviewedHome,
) -> None:
    home.clip()
    site = home.site(users=("Ann",))
    browser = Browser(site, token=TOKEN, reviewer=None)
    browser.get("/", params={"token": TOKEN})
    assert "has a link of their own" in give_name(browser, "ann")
    browser.cookies.set(typed_cookie_name(8765), "Ann")
    assert "Who reviews?" in browser.get("/review").text
    assert "you are <b>bob</b>" in give_name(browser, "bob")
    site.close()


@pytest.mark.slow
def test_the_command_prints_a_link_for_each_user_that_is_the_same_after_a_restart(
    home: ReviewedHome,
) -> None:
    command = [VIDWATCH, "--home", home.root, "review", "--port", "0", "--user", "ann"]
    command += ["--user", "bob", "--user", "ann", "--host", "0.0.0.0"]
    keys = []
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            lines = [server.stdout.readline() for _ in range(3)]
            server.terminate()
        assert "http" not in lines[0]
        assert [line.split(" alone")[0] for line in lines[1:]] == ["  for ann", "  for bob"]
        keys.append([urlsplit(line.split()[-1]).query for line in lines[1:]])
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 2


@pytest.mark.slow
def test_the_server_ends_while_pictures_are_being_made(home: ReviewedHome) -> None:
    clips = [home.clip() for _ in range(8)]
    command = [VIDWATCH, "--home", home.root, "review", "--port", "0"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(home.root.parent / "cache")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout
        address = server.stdout.readline().split()[-4]
        pictures = [
            threading.Thread(target=load, args=(f"{address}strip/{clip}.jpg",)) for clip in clips
        ]
        for picture in pictures:
            picture.start()
        time.sleep(0.5)
        server.terminate()
        try:
            assert server.wait(30) == 0
        finally:
            server.kill()
            for picture in pictures:
                picture.join()


def load(address: str) -> None:
    """Ask for something; no answer will do."""
    with contextlib.suppress(OSError):
        urllib.request.urlopen(address, timeout=60).close()


@pytest.mark.slow
def test_a_user_name_that_cannot_be_one_is_an_error_of_one_line(home: ReviewedHome) -> None:
    command = [VIDWATCH, "--home", home.root, "review", "--user", "a\x1bb"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "characters that cannot be shown" in done.stderr


def test_the_key_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / ".review-key"
    before = os.umask(0)
    try:
        key = kept_key(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept_key(path) == key
    assert [each.name for each in tmp_path.iterdir()] == [".review-key"]


def test_a_key_that_others_may_know_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / ".review-key"
    key = kept_key(path)
    path.chmod(0o640)
    assert kept_key(path) != key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for text in ("", "00", "not hexadecimal", "00" * 33):
        path.write_text(text)
        assert len(kept_key(path)) == 32


def test_a_link_in_the_keys_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("00" * 32)
    (tmp_path / "target").chmod(0o600)
    (tmp_path / ".review-key").symlink_to("target")
    assert kept_key(tmp_path / ".review-key") != bytes(32)
    assert not (tmp_path / ".review-key").is_symlink()
    assert (tmp_path / "target").read_text() == "00" * 32


@pytest.mark.slow
def test_an_open_page_goes_on_after_a_restart_and_its_undo_too(
    home: ReviewedHome, site: Site, browser: Browser
) -> None:
    first, second = home.clip("a.avi"), home.clip("b.avi")
    browser.submit(first, action="accept")
    page = browser.get("/review").text
    again = home.site()
    restarted = Browser(again)
    restarted.cookies = browser.cookies
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen"), "id": second}
    done = restarted.post("/say", data={**form, "class": "red"})
    assert message_on(done.text) == "b.avi: red"
    assert restarted.undo() == "1 label taken back: b.avi"
    assert restarted.undo() == "1 label taken back: a.avi"
    assert restarted.undo() == "there is nothing to undo for rita"
    again.close()


def test_a_form_of_another_key_is_refused_as_one_of_an_old_page(
    home: ReviewedHome, site: Site, browser: Browser
) -> None:
    home.clip()
    page = browser.get("/review").text
    home.home.review_key.unlink()
    again = home.site()
    refused = Browser(again).post("/undo", data={"secret": hidden(page, "secret")})
    assert refused.status_code == 403
    assert "The page&#39;s key is another one since this page was loaded" in refused.text
    assert "data-stale" in refused.text
    again.close()


@pytest.mark.slow
def test_each_reviewer_undoes_their_own_labels_in_whatever_browser(
    home: ReviewedHome, site: Site
) -> None:
    first, second = home.clip("a.avi"), home.clip("b.avi")
    ann, bob = Browser(site, reviewer="ann"), Browser(site, reviewer="bob")
    ann.submit(first, action="accept")
    bob.submit(second, action="accept")
    assert Browser(site, reviewer="ann").undo() == "1 label taken back: a.avi"
    assert ann.undo() == "there is nothing to undo for ann"
    assert bob.undo() == "1 label taken back: b.avi"


@pytest.mark.slow
def test_undo_finds_a_label_whose_class_was_renamed(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip("a.avi")
    browser.submit(video, action="accept")
    ClassChanges(home.engine, home.folders, "ann").rename("bright", "sunny", NOW)
    assert browser.undo() == "1 label taken back: a.avi"
    assert browser.undo() == "there is nothing to undo for rita"
    assert cards_on(browser.get("/review").text) == [video]


def say_late(browser: Browser, page: str, video: int | list[int], **fields: str) -> str:
    """Send a form of a page that was made earlier."""
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen"), "id": video, **fields}
    return str(browser.post("/say", data=form).text)


def reply(browser: Browser, page: str, answer: str) -> str:
    """Answer to the first question on a page; gives the message on the page that follows."""
    question = hidden(page, "question")
    form = {"secret": hidden(page, "secret"), "question": question, "answer": answer}
    return message_on(browser.post("/answer", data=form).text)


@pytest.mark.slow
@pytest.mark.parametrize("drawn", [False, True])
def test_a_colleagues_newer_label_is_shown_before_another_one_is_given(
    home: ReviewedHome, site: Site, drawn: bool
) -> None:
    video = home.clip("a.avi", sampled=drawn)
    ann, bob = Browser(site, reviewer="ann"), Browser(site, reviewer="bob")
    page = ann.get("/review").text
    bob.submit(video, **{"class": "dark"})
    asked = say_late(ann, page, video, **{"class": "red"})
    title = f"clip {video}" if drawn else "a.avi"
    report = f"bob labelled {title} {'otherwise' if drawn else 'dark'} (page)"
    assert f"Meanwhile\n  {report}. You said: {title}: red." in asked
    assert f"nothing is labelled yet, since meanwhile {report}" in message_on(asked)
    assert home.who() == ["bob"]
    assert reply(ann, asked, "label").startswith("a.avi: red")
    assert [row[2] for row in home.given_labels()] == ["dark", "red"]
    assert home.who() == ["bob", "ann"]
    assert ann.undo() == "1 label taken back: a.avi"


@pytest.mark.slow
def test_a_colleagues_label_is_left_if_that_is_the_answer(home: ReviewedHome, site: Site) -> None:
    video = home.clip("a.avi")
    ann, bob = Browser(site, reviewer="ann"), Browser(site, reviewer="bob")
    page = ann.get("/review").text
    bob.submit(video, action="unsure")
    asked = say_late(ann, page, video, action="accept")
    assert "bob labelled a.avi unsure (page). You said: a.avi: accepted." in asked
    assert reply(ann, asked, "leave") == "left as it is: a.avi"
    assert 'class="asked"' not in ann.get("/review").text
    assert home.who() == ["bob"]
    assert reply(ann, asked, "label") == "this question is not open any more; nothing was labelled"
    assert home.who() == ["bob"]


@pytest.mark.slow
def test_a_question_stays_until_it_is_answered_whatever_comes_between(
    home: ReviewedHome, site: Site
) -> None:
    video, other = home.clip("a.avi"), home.clip("b.avi")
    ann = Browser(site, reviewer="ann")
    page = ann.get("/review").text
    home.give_label(video, "dark", who="bob")
    say_late(ann, page, video, **{"class": "red"})
    ann.submit(other, action="accept")
    asked = ann.get("/review").text
    assert "bob labelled a.avi dark (command)" in asked
    home.give_label(video, "grey", who="carl")
    assert "nothing is labelled yet" in reply(ann, asked, "label")
    asked = ann.get("/review").text
    assert "carl labelled a.avi grey (command)" in asked
    assert asked.count('class="asked"') == 1
    assert reply(ann, asked, "label").startswith("a.avi: red")


@pytest.mark.slow
def test_of_several_clips_those_that_nobody_else_labelled_can_be_labelled_alone(
    home: ReviewedHome, site: Site
) -> None:
    videos = [home.clip(f"{n}.avi") for n in range(3)]
    ann = Browser(site, reviewer="ann")
    page = ann.get("/review").text
    home.give_label(videos[1], "dark", who="bob")
    asked = say_late(ann, page, videos, action="other", other="red", bulk="yes")
    assert len(home.given_labels()) == 1
    message = reply(ann, asked, "leave")
    assert message.startswith("0.avi, 2.avi: red. ")
    assert message.endswith("Left as it is: 1.avi")
    assert [row[:3] for row in home.given_labels()[1:]] == [
        (videos[0], "labelled", "red"),
        (videos[2], "labelled", "red"),
    ]


@pytest.mark.slow
def test_a_clip_that_turned_out_to_be_a_copy_meanwhile_is_left_as_it_is_too(
    home: ReviewedHome, site: Site
) -> None:
    first, copy = home.clip("a.avi"), home.clip("b.avi")
    ann = Browser(site, reviewer="ann")
    page = ann.get("/review").text
    assert set(cards_on(page)) == {first, copy}
    with home.writing() as connection:  # as a new hash finds it
        is_copy = update(videos).where(videos.c.id == copy)
        connection.execute(is_copy.values(duplicate_of=first))
    home.give_label(first, "dark", who="bob")
    for clips, names in ((copy, "b.avi"), ([first, copy], "a.avi, b.avi")):
        asked = say_late(ann, page, clips, **{"class": "red"})
        assert "bob labelled b.avi dark (command)" in asked
        assert reply(ann, asked, "leave") == f"left as it is: {names}"
    assert home.who() == ["bob"]


def test_a_question_names_the_folder_that_a_clip_came_from(home: ReviewedHome, site: Site) -> None:
    video = home.clip("a.avi")
    with home.writing() as connection:
        connection.execute(update(videos).values(source="north"))
    ann = Browser(site, reviewer="ann")
    page = ann.get("/review").text
    home.give_label(video, "dark", who="bob")
    asked = say_late(ann, page, video, **{"class": "red"})
    assert "bob labelled north/a.avi dark (command)" in message_on(asked)
    assert reply(ann, asked, "leave") == "left as it is: north/a.avi"


@pytest.mark.slow
def test_nothing_is_asked_if_the_colleague_says_the_same_or_the_person_said_it_before(
    home: ReviewedHome, site: Site
) -> None:
    agreed, own = home.clip("a.avi"), home.clip("b.avi")
    ann = Browser(site, reviewer="ann")
    page = ann.get("/review").text
    home.give_label(agreed, "red", who="bob")
    assert message_on(say_late(ann, page, agreed, **{"class": "red"})).startswith("a.avi: red. Mea")
    ann.submit(own, **{"class": "dark"})
    assert message_on(say_late(ann, page, own, **{"class": "red"})).startswith("b.avi: red")
    assert [row[2] for row in home.given_labels()] == ["red", "red", "dark", "red"]


@pytest.mark.parametrize(
    "path",
    [
        f"/frames-{'9' * 5000}.css",
        "/frames-x.css",
        "/frames-%C2%B2.css",
        "/frames--1.css",
        f"/strip/{'9' * 5000}.jpg",
        f"/evidence/{'9' * 5000}",
        "/strip/%00.jpg",
        f"/models/{'x' * 5000}/report.html",
        "/models/tiny/%00",
        "/models/%00/report.html",
        "/static/%00",
        f"/static/{'x' * 5000}",
    ],
)
def test_an_odd_address_is_not_found_and_no_fault_of_the_page(
    home: ReviewedHome, browser: Browser, path: str
) -> None:
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"seen": "9" * 5000},
        {"seen": "²"},
        {"id": "9" * 5000},
        {"id": "\x00"},
        {"action": "other", "other": "\x00"},
        {"new": "\ufffd\u202e"},
        {"class": "x" * 100_000},
    ],
)
def test_odd_fields_are_refused_and_no_fault_of_the_page(
    home: ReviewedHome, browser: Browser, fields: dict[str, str]
) -> None:
    video = home.clip()
    secret = hidden(browser.get("/review").text, "secret")
    form = {"secret": secret, "id": str(video), **fields}
    assert browser.post("/say", data=form).status_code in (200, 422)
    answered = browser.post("/answer", data={"secret": secret, "question": "x" * 5000})
    assert answered.status_code == 200
    assert browser.post("/answer", data={"secret": secret}).status_code == 200


@pytest.mark.slow
def test_what_status_calls_unsure_without_a_label_is_what_the_page_calls_so(
    home: ReviewedHome, browser: Browser
) -> None:
    for unsure in (None, "probability", "unknown", "unknown"):
        home.clip(unsure=unsure)
    drawn = home.clip(unsure="probability", sampled=True)
    home.clip(sampled=True)
    command = [VIDWATCH, "--home", home.root, "status"]
    for n in (4, 3):
        page = browser.get("/review").text
        assert f"{n} unsure without a label" in page
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert f"{n} unsure clips without a label" in re.sub(r"[\s│]+", " ", done.stdout)
        browser.submit(drawn, **{"class": "red"})
