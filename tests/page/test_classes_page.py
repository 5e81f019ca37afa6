"""Classes: what is shown of each, and how they are described, renamed, merged and retired."""

from pathlib import Path
from typing import Any

import pytest
from reviewed import COUNTING, Browser, ReviewedHome, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from tiny import cache

from daemon.database.tables import class_descriptions
from daemon.labels.class_changes import ClassChanges
from daemon.labels.class_descriptions import LONGEST, describe, descriptions
from daemon.labels.labels import Label
from daemon.page.site import Site
from learner.errors import VidwatchError

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def send(browser: Browser, path: str, **fields: str) -> Any:
    secret = hidden(browser.get("/name").text, "secret")
    return browser.post(path, data={"secret": secret, **fields})


def message(browser: Browser, response: Any) -> str:
    page = response.text
    return message_on(browser.counted("/classes") if COUNTING in page else page)


def texts(home: ReviewedHome) -> dict[str, str]:
    with home.engine.begin() as connection:
        return descriptions(connection)


def card(page: str, name: str) -> str:
    """What the page shows of a class."""
    begin = page.index(f'id="class-{name}"')
    return page[begin : page.index("</article>", begin)]


@pytest.mark.slow
def test_a_class_is_shown_with_its_newest_clip_and_its_figures(
    home: ReviewedHome, browser: Browser
) -> None:
    older, newer = home.clip("a.avi"), home.clip("b.avi")
    for video in (older, newer):
        home.give_label(video, "dark")
        home.tick()
    home.clip("c.avi")
    shown = card(browser.counted("/classes"), "dark")
    assert f"/strip/{newer}.jpg" in shown
    assert "2 clips</a>, 2 groups" in " ".join(shown.split())
    assert "command 2" in shown
    assert "2 of 10 clips to learn from" in shown or "clips to learn from" in shown
    assert "known to tiny" in shown
    assert 'href="/clips?class=dark"' in shown
    assert browser.get(f"/strip/{newer}.jpg").status_code == 200


def test_a_clip_whose_file_is_gone_or_that_is_blind_is_no_example(
    home: ReviewedHome, browser: Browser
) -> None:
    good = home.clip("a.avi")
    gone = home.clip("b.avi")
    blind = home.clip("c.avi", sampled=True)
    for video in (good, gone, blind):
        home.give_label(video, "dark")
        home.tick()
    home.path(gone).unlink()
    shown = card(browser.counted("/classes"), "dark")
    assert f"/strip/{good}.jpg" in shown
    assert "c.avi" not in shown
    assert f"/strip/{blind}.jpg" not in shown


def test_a_description_is_kept_replaced_and_removed(home: ReviewedHome, browser: Browser) -> None:
    home.give_label(home.clip(), "dark")
    send(browser, "/classes/describe", **{"class": "dark", "text": " the  <lamp> is off "})
    assert texts(home) == {"dark": "the <lamp> is off"}
    assert "the &lt;lamp&gt; is off" in card(browser.counted("/classes"), "dark")
    assert [row.who for row in home.rows(class_descriptions, "class")] == ["rita"]
    send(browser, "/classes/describe", **{"class": "dark", "text": "night"})
    assert texts(home) == {"dark": "night"}
    send(browser, "/classes/describe", **{"class": "dark", "text": "  "})
    assert texts(home) == {}


def test_a_description_that_is_too_long_is_shown_again_where_it_was_typed(
    home: ReviewedHome, browser: Browser
) -> None:
    home.give_label(home.clip(), "dark")
    long = "x" * (LONGEST + 1)
    response = send(browser, "/classes/describe", **{"class": "dark", "text": long})
    assert response.status_code == 422
    shown = card(response.text, "dark")
    assert f"{LONGEST} characters at most" in shown
    assert long in shown
    assert "<details open>" in shown


@pytest.mark.slow
def test_a_description_follows_its_class(home: ReviewedHome) -> None:
    for name in ("dark", "bright", "grey"):
        home.give_label(home.clip(), name)
        describe(home.engine, name, f"it is {name}", "ann", home.now)
    changes = ClassChanges(home.engine, home.folders, "ann")
    changes.rename("dark", "night", home.now)
    assert texts(home)["night"] == "it is dark"
    changes.merge("night", "grey", home.now)
    assert texts(home) == {"bright": "it is bright", "grey": "it is grey"}
    changes.retire("bright", home.now)
    assert texts(home) == {"bright": "it is bright", "grey": "it is grey"}
    # Another class takes the name of the retired one: its text counts, also if it has none.
    home.give_label(home.clip(), "day")
    changes.rename("day", "bright", home.now)
    assert texts(home) == {"grey": "it is grey"}


def test_the_text_of_a_class_goes_to_one_that_has_none_if_they_are_merged(
    home: ReviewedHome,
) -> None:
    for name in ("dark", "grey"):
        home.give_label(home.clip(), name)
    describe(home.engine, "dark", "it is dark", "ann", home.now)
    ClassChanges(home.engine, home.folders, "ann").merge("dark", "grey", home.now)
    assert texts(home) == {"grey": "it is dark"}


def test_what_is_no_class_is_not_described(home: ReviewedHome) -> None:
    with pytest.raises(VidwatchError, match="there is no class 'nothing'"):
        describe(home.engine, "nothing", "a text", "ann", home.now)


def test_a_class_is_renamed_by_who_has_said_a_name(home: ReviewedHome, browser: Browser) -> None:
    video = home.clip()
    home.give_label(video, "dark")
    response = send(browser, "/classes/rename", **{"class": "dark", "new": "night"})
    assert "dark is night from now on: 1 label changed" in message(browser, response)
    assert home.given_labels("who")[-2:] == [
        (video, "withdrawn", None, "command", "rita"),
        (video, "labelled", "night", "command", "ann"),
    ]
    assert "was dark" in card(browser.counted("/classes"), "night")


def test_a_name_that_another_class_has_is_refused_at_its_form(
    home: ReviewedHome, browser: Browser
) -> None:
    for name in ("dark", "grey"):
        home.give_label(home.clip(), name)
    response = send(browser, "/classes/rename", **{"class": "dark", "new": "grey"})
    assert response.status_code == 422
    shown = card(response.text, "dark")
    assert "there is a class &#39;grey&#39;" in shown
    assert 'value="grey" aria-invalid="true"' in shown
    assert "aria-invalid" not in card(response.text, "grey")


def test_a_class_is_merged_when_the_question_was_answered(
    home: ReviewedHome, browser: Browser
) -> None:
    for name in ("dark", "grey"):
        home.give_label(home.clip(), name)
    question = browser.get("/classes/merge?class=dark&into=grey").text
    assert "Make dark part of grey?" in question
    assert "1 label of dark" in question
    assert [row[2] for row in home.given_labels()] == ["dark", "grey"]
    fields = {"class": "dark", "into": "grey", "n": hidden(question, "n")}
    response = send(browser, "/classes/merge", **fields)
    assert "dark is part of grey from now on" in message(browser, response)
    assert home.given_labels()[-1][2] == "grey"


def test_an_answer_counts_only_while_the_figures_of_its_question_do(
    home: ReviewedHome, browser: Browser
) -> None:
    home.give_label(home.clip(), "dark")
    question = browser.get("/classes/retire?class=dark").text
    home.give_label(home.clip(), "dark")
    fields = {"class": "dark", "n": hidden(question, "n")}
    response = send(browser, "/classes/retire", **fields)
    assert response.status_code == 422
    assert "meanwhile 2 labels of dark count" in response.text
    assert len(home.given_labels()) == 2
    again = send(browser, "/classes/retire", **{"class": "dark", "n": hidden(response.text, "n")})
    assert "dark is retired: 2 labels changed" in message(browser, again)
    assert "Retired" in browser.counted("/classes")


def test_forms_without_the_secret_or_a_name_change_nothing(home: ReviewedHome, site: Site) -> None:
    home.give_label(home.clip(), "dark")
    browser = Browser(site)
    for path in ("describe", "rename", "merge", "retire"):
        fields = {"class": "dark", "secret": "guessed", "new": "a", "text": "a", "n": "1"}
        assert browser.post(f"/classes/{path}", data=fields).status_code == 403
    nobody = Browser(site, reviewer=None)
    assert send(nobody, "/classes/rename", **{"class": "dark", "new": "a"}).status_code == 403
    assert [row[2] for row in home.given_labels()] == ["dark"]
    assert "/classes/rename" not in nobody.counted("/classes")


def test_near_twins_are_named_with_a_way_to_make_them_one(
    home: ReviewedHome, browser: Browser
) -> None:
    first, second = home.clip(), home.clip()
    home.give_label(first, "elephant")
    slip = Label(second, "labelled", "elephent")
    home.labels.add([slip], "folder", "ann", home.now, new_class=True)
    shown = card(browser.counted("/classes"), "elephent")
    assert "elephant is nearly the same" in shown
    assert "/classes/merge?class=elephent&amp;into=elephant" in shown


def test_a_class_that_is_gone_is_named_in_the_message(home: ReviewedHome, browser: Browser) -> None:
    response = send(browser, "/classes/rename", **{"class": "gone", "new": "night"})
    assert "there is no class &#39;gone&#39;" in response.text
    assert browser.get("/classes/retire?class=gone").status_code == 404


def test_the_button_of_a_class_says_what_it_is(home: ReviewedHome, browser: Browser) -> None:
    home.give_label(home.clip(), "dark")
    describe(home.engine, "dark", 'no "lamp"', "ann", home.now)
    home.clip()
    page = browser.get("/review").text
    assert '<button name="class" value="dark" title="no &#34;lamp&#34;">' in page
