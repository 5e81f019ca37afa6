"""The random share is labelled blind: nothing on the page tells what was predicted, before."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from reviewed import NOW, Browser, ReviewedHome, cards_on, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from tiny import cache

from daemon.labels.labels import Label
from daemon.page.queue import count_waiting
from daemon.page.site import Site
from daemon.report import accuracy
from daemon.report.lately import days

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def article(page: str) -> str:
    """The one card of a page."""
    return page[page.index("<article") : page.index("</article>")]


@pytest.mark.parametrize("logits", [(6, 0, 0, 0), (0, 0, 5, 4), (0, 0.1, 0, 0)])
def test_the_card_is_the_same_whatever_was_predicted(
    home: ReviewedHome, browser: Browser, logits: tuple[float, ...]
) -> None:
    video = home.clip("v_Biking_g08.avi", logits=logits, sampled=True, unsure="unknown")
    card = article(browser.get("/review").text)
    known = f"/strip/{video}.jpg?of={home.row(video)['sha256'][:16]}&amp;model=tiny"
    shown = re.sub(r'name="(secret|seen)" value="[^"]*"', "", card.replace(known, ""))
    assert re.findall(r'name="class" value="(\w+)"', card) == ["bright", "dark", "grey", "red"]
    for tells in ("Biking", "%", "accept", "unsure</span>", "stranger", "evidence", "classified"):
        assert tells not in shown
    assert f"clip {video}" in card


def test_neither_address_nor_error_tells_the_file_and_its_class(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("v_Biking_g08.avi", sampled=True)
    assert "bright" in home.place(video)
    evidence = browser.get(f"/evidence/{video}")
    assert evidence.status_code == 404
    home.path(video).write_bytes(b"no video any more")
    picture = browser.get(f"/strip/{video}.jpg")
    home.path(video).unlink()
    gone = article(browser.get("/review").text)
    assert "its file: No such file or directory" in gone
    for text in (evidence.text, picture.text, gone.replace('value="bright"', "")):
        assert "Biking" not in text
        assert "bright/" not in text


def test_the_prediction_is_shown_when_the_clip_is_labelled_and_can_be_undone(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("a.avi", logits=(6, 0, 0, 0), sampled=True)
    message = message_on(browser.submit(video, **{"class": "dark"}).text)
    assert re.fullmatch(r"a.avi: dark. tiny had predicted bright \([0-9.]+ %\) for a.avi", message)
    assert browser.undo() == "1 label taken back: a.avi"
    page = browser.get("/review").text
    assert cards_on(page) == [video]
    assert "a.avi" not in article(page)


def test_unsure_is_an_answer_and_shows_the_prediction_too(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("a.avi", sampled=True)
    message = message_on(browser.submit(video, action="unsure").text)
    assert message.startswith("a.avi: unsure. tiny had predicted bright (")
    assert home.given_labels("sampled") == [(video, "unsure", None, "page", True)]


def test_accepting_a_prediction_that_was_not_shown_is_refused(
    home: ReviewedHome, browser: Browser
) -> None:
    drawn, other = home.clip("a.avi", sampled=True), home.clip()
    refused = browser.submit([drawn, other], action="accept", bulk="yes")
    assert refused.status_code == 422
    assert f"clip {drawn}: its prediction is shown when it is labelled; give its" in refused.text
    assert "a.avi" not in refused.text
    assert home.given_labels() == []


def test_a_question_about_a_blind_clip_tells_neither_its_name_nor_a_class(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("v_Biking_g08.avi", sampled=True)
    page = browser.get("/review").text
    home.give_label(video, "grey", who="bob")
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen"), "id": video}
    shown = browser.post("/say", data={**form, "class": "red"}).text
    asked = shown[shown.index('class="asked"') : shown.index("</section>")]
    report = f"bob labelled clip {video} otherwise (command)"
    assert f"{report}. You said: clip {video}: red." in asked
    assert message_on(shown).startswith(f"nothing is labelled yet, since meanwhile {report}")
    answer = {"secret": hidden(shown, "secret"), "question": hidden(shown, "question")}
    after = browser.post("/answer", data={**answer, "answer": "leave"}).text
    assert message_on(after) == f"left as it is: clip {video}"
    for text in (asked, message_on(shown), after):
        assert "Biking" not in text
    assert "grey" not in asked + message_on(shown) + message_on(after)
    assert cards_on(after) == [video]
    browser.submit(video, **{"class": "red"})
    assert [row[2] for row in home.given_labels()] == ["grey", "red"]


def test_a_clip_stays_blind_to_a_reviewer_when_another_one_has_reviewed_it_meanwhile(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip("v_Biking_g08.avi", sampled=True)
    page = browser.get("/review").text
    home.give_label(video, "grey", source="page", who="bob", sampled=True)
    form = {"secret": hidden(page, "secret"), "seen": hidden(page, "seen"), "id": video}
    shown = browser.post("/say", data={**form, "class": "red"}).text
    asked = shown[shown.index('class="asked"') : shown.index("</section>")]
    report = f"bob labelled clip {video} otherwise (page)"
    assert f"{report}. You said: clip {video}: red." in asked
    for text in (asked, message_on(shown)):
        assert "grey" not in text
        assert "Biking" not in text
    answer = {"secret": hidden(shown, "secret"), "question": hidden(shown, "question")}
    after = message_on(browser.post("/answer", data={**answer, "answer": "label"}).text)
    assert after.startswith("v_Biking_g08.avi: red. tiny had predicted bright (")
    assert [row[2] for row in home.given_labels()] == ["grey", "red"]


def test_live_accuracy_counts_blind_labels_and_none_that_was_given_beside_the_prediction(
    home: ReviewedHome, browser: Browser
) -> None:
    """`vidwatch label --accept` shows the prediction, so such a label is none of the share."""
    right, wrong, accepted = (home.clip(sampled=True) for _ in range(3))
    home.labels.accept([accepted], "accepted", "ann", NOW)
    browser.submit(right, **{"class": "bright"})
    browser.submit(wrong, **{"class": "red"})
    with home.engine.begin() as connection:
        (live,) = accuracy.live_accuracy(connection)
    assert (live.n, live.right) == (2, 1)
    assert cards_on(browser.get("/review").text) == [accepted]


def test_a_second_label_of_who_has_seen_the_prediction_is_not_blind(
    home: ReviewedHome, browser: Browser, site: Site
) -> None:
    """Neither after undo, nor by a form that is sent again; the first one counts, or none."""
    undone, sent_twice, by_two = (home.clip(sampled=True) for _ in range(3))
    browser.submit(undone, **{"class": "red"})
    browser.undo()
    assert undone in cards_on(browser.get("/review").text)
    said = message_on(browser.submit(undone, **{"class": "bright"}).text)
    assert "this label is left out of how often the model is right" in said
    browser.submit(sent_twice, **{"class": "red"})
    browser.submit(sent_twice, **{"class": "bright"})
    browser.submit(by_two, **{"class": "red"})
    browser.undo()
    assert cards_on(browser.get("/review").text) == [by_two]
    Browser(site, reviewer="bob").submit(by_two, **{"class": "bright"})
    counted = [row[-1] for row in home.given_labels("sampled") if row[1] == "labelled"]
    assert counted == [True, False, True, False, True, True]
    with home.engine.begin() as connection:
        (live,) = accuracy.live_accuracy(connection)
    assert (live.n, live.right) == (2, 1)
    assert cards_on(browser.get("/review").text) == []
    assert "1 more is left out" in browser.counted("/quality")


def test_the_unsure_ones_of_today_are_counted_without_those_that_await_a_blind_review(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip(sampled=True, unsure="probability")
    home.clip(unsure="probability")
    with home.engine.begin() as connection:
        assert [day.unsure for day in days(connection, home.now, count=1)] == [1]
        assert count_waiting(connection, home.folders).doubtful == 1
    browser.submit(video, action="unsure")
    with home.engine.begin() as connection:
        assert [day.unsure for day in days(connection, home.now, count=1)] == [2]


def test_many_classes_are_typed_and_none_is_more_likely_than_another(
    home: ReviewedHome, browser: Browser
) -> None:
    video = home.clip(sampled=True)
    teacher = home.clip()
    for number in range(60):
        home.labels.add([Label(teacher, "labelled", f"species {number:02}")], "csv", "ann", NOW)
    card = article(browser.get("/review").text)
    assert cards_on(browser.get("/review").text) == [video]
    assert 'name="class"' not in card
    assert 'name="other"' in card


def test_a_class_that_was_renamed_has_its_new_name_on_a_card(
    home: ReviewedHome, browser: Browser
) -> None:
    from daemon.labels.class_changes import ClassChanges

    home.clip("a.avi")
    video = home.clip("b.avi", logits=(4, 2, 0, -1))
    ClassChanges(home.engine, home.folders, "ann").rename("bright", "sunny", NOW + timedelta(1))
    page = browser.get("/review").text
    assert 'value="sunny"' in page
    assert 'value="bright"' not in page
    browser.submit(video, action="accept")
    assert [row[2] for row in home.given_labels()] == ["sunny"]
