"""Models: the newest decision in words, the bars, and who changes the champion."""

import json
from pathlib import Path
from typing import Any

import pytest
from reviewed import CLASSES, Browser, ReviewedHome, hidden, message_on
from reviewed import browser as browser
from reviewed import site as site
from tiny import cache

from daemon.page.models import newest_in_words
from daemon.page.site import Site
from daemon.report.training import TrainingStatus
from daemon.training.decisions import Decisions
from daemon.training.records import Decision, DecisionRow

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    home = ReviewedHome(tmp_path)
    home.save_model("auto-1", tmp_path)
    return home


def send(browser: Browser, path: str, **fields: str) -> Any:
    secret = hidden(browser.get("/name").text, "secret")
    return browser.post(path, data={"secret": secret, **fields})


def measure(home: ReviewedHome, name: str, **measured: Any) -> None:
    path = home.home.models / f"{name}.json"
    document = json.loads(path.read_text())
    document["measured"] = measured
    path.write_text(json.dumps(document))


def training(state: str, **more: str) -> TrainingStatus:
    fields = dict.fromkeys(("progress", "error", "verdict", "reason", "next", "outlook"))
    known = {"new_labels": 0, "new_labels_at_least": False, **fields, **more}
    return TrainingStatus(name="auto-1", state=state, **known)  # type: ignore[arg-type]


def decision(home: ReviewedHome, verdict: str, reason: str, **figures: str) -> DecisionRow:
    return DecisionRow(verdict, "auto-1", "tiny", reason, figures, home.now)


def test_what_became_of_the_newest_training_is_a_sentence(home: ReviewedHome) -> None:
    refused = decision(home, "refused", "It was worse on dark.", next="Label 5 clips of dark.")
    promoted = decision(home, "promoted", "It was right more often.")
    said = {
        newest_in_words(training("training", progress="epoch 3 of 9"), []),
        newest_in_words(training("failed", error="out of memory"), []),
        newest_in_words(training("trained"), []),
        newest_in_words(training("trained"), [refused]),
        newest_in_words(training("trained"), [promoted]),
    }
    assert said == {
        "auto-1 is being trained: epoch 3 of 9.",
        "The training of auto-1 ended without a model: out of memory",
        "auto-1 was trained, and is not compared yet.",
        "auto-1 did not take over: It was worse on dark. Label 5 clips of dark.",
        "auto-1 took over: It was right more often.",
    }


def test_the_accuracy_is_a_bar_beside_baseline_and_guessing(
    home: ReviewedHome, browser: Browser
) -> None:
    more = {"chance": 0.25, "baseline_accuracy": 0.7, "method": "cross-validation of 40 clips"}
    measure(home, "tiny", accuracy=0.8, interval_95=[0.6, 0.9], **more)
    page = browser.get("/models").text
    assert "Right on <b>80.0 %</b> (60.0 % to 90.0 %); its baseline 70.0 %, guessing 25.0 %" in page
    assert '<rect class="for" x="60.0" y="2" height="4"' in page
    assert 'class="baseline" x1="70.0"' in page
    assert 'class="chance" x1="25.0"' in page
    assert page.index("model-tiny") < page.index("model-auto-1") < page.index("model-starter")


def test_the_matrix_of_the_champion_is_a_table(home: ReviewedHome, browser: Browser) -> None:
    run = home.home.models / "tiny.run"
    run.mkdir()
    (run / "confusion.svg").write_text("<svg/>")
    rows = [[5, 1, 0, 0], [0, 4, 0, 0], [0, 0, 3, 0], [0, 0, 0, 2]]
    (run / "results.json").write_text(json.dumps({"model": {"confusion": rows}}))
    page = browser.get("/models").text
    assert 'class="n s5 right">5</td>' in page
    assert page.index("true class") < page.index("<summary>How it learned</summary>")
    for broken in ("{", "{}", json.dumps({"model": {"confusion": [[1]]}})):
        (run / "results.json").write_text(broken)
        page = browser.get("/models").text
        assert "true class</th>" not in page
        assert '<img class="picture" src="/models/tiny/confusion.svg"' in page


def test_a_model_is_promoted_when_the_question_was_answered(
    home: ReviewedHome, browser: Browser
) -> None:
    question = browser.get("/models/promote?name=auto-1").text
    assert "Make auto-1 the champion?" in question
    assert Decisions(home.engine).champion() == "tiny"
    fields = {"name": "auto-1", "champion": hidden(question, "champion")}
    page = send(browser, "/models/promote", **fields).text
    assert message_on(page) == "auto-1 is the champion from now on"
    newest = Decisions(home.engine).newest_first()[0]
    assert (newest.verdict, newest.challenger) == ("chosen", "auto-1")
    assert newest.reason == "on the page, by rita"


def test_the_champion_before_comes_back_when_the_question_was_answered(
    home: ReviewedHome, browser: Browser
) -> None:
    assert "/models/rollback" not in browser.get("/models").text
    assert browser.get("/models/rollback").status_code == 404
    Decisions(home.engine).choose("auto-1", home.now)
    assert "go back to tiny" in browser.get("/models").text
    assert "Go back to tiny?" in browser.get("/models/rollback").text
    page = send(browser, "/models/rollback", champion="auto-1").text
    assert message_on(page) == "tiny is the champion from now on, instead of auto-1"
    newest = Decisions(home.engine).newest_first()[0]
    assert (newest.verdict, newest.reason) == ("rolled back", "on the page, by rita")


def test_an_answer_counts_only_while_the_same_model_is_the_champion(
    home: ReviewedHome, browser: Browser, tmp_path: Path
) -> None:
    home.save_model("auto-2", tmp_path)
    Decisions(home.engine).choose("auto-2", home.now)
    response = send(browser, "/models/promote", name="auto-1", champion="tiny")
    assert response.status_code == 422
    assert "meanwhile auto-2 is the champion" in response.text
    assert Decisions(home.engine).champion() == "auto-2"


@pytest.mark.slow
def test_a_model_that_cannot_be_used_is_refused(home: ReviewedHome, browser: Browser) -> None:
    (home.home.models / "auto-1.safetensors").write_bytes(b"damaged")
    response = send(browser, "/models/promote", name="auto-1", champion="tiny")
    assert response.status_code == 422
    assert 'role="alert"' in response.text
    assert Decisions(home.engine).champion() == "tiny"
    Decisions(home.engine).choose("auto-1", home.now)
    Decisions(home.engine).choose("tiny", home.now)
    response = send(browser, "/models/rollback", champion="tiny")
    assert "cannot be used" in response.text
    assert Decisions(home.engine).champion() == "tiny"


def test_no_path_leads_to_a_model_outside_of_the_home(home: ReviewedHome, browser: Browser) -> None:
    for name in (str(home.home.models / "auto-1"), "../auto-1", "nothing"):
        assert send(browser, "/models/promote", name=name, champion="tiny").status_code == 404
        assert browser.get("/models/promote", params={"name": name}).status_code == 404


def test_train_now_says_what_the_command_says(home: ReviewedHome, browser: Browser) -> None:
    response = send(browser, "/models/train")
    assert response.status_code == 422
    assert "no labels to learn from" in response.text
    home.write_settings("min_class_clips = 2\n")
    browser = Browser(home.site())
    for n in range(4):
        home.give_label(home.clip(), CLASSES[n % 2])
    page = send(browser, "/models/train").text
    assert "asked for: auto-2; the daemon is not running" in message_on(page)
    assert "auto-2 is trained next." in page


def test_forms_without_the_secret_or_a_name_change_nothing(home: ReviewedHome, site: Site) -> None:
    for path in ("train", "promote", "rollback"):
        fields = {"secret": "guessed", "name": "auto-1", "champion": "tiny"}
        assert Browser(site).post(f"/models/{path}", data=fields).status_code == 403
    nobody = Browser(site, reviewer=None)
    fields = {"name": "auto-1", "champion": "tiny"}
    assert send(nobody, "/models/promote", **fields).status_code == 403
    assert "/models/train" not in nobody.get("/models").text
    assert Decisions(home.engine).champion() == "tiny"


def test_a_decision_is_shown_whole(home: ReviewedHome, browser: Browser) -> None:
    figures = {"next": "Label 5 clips of dark.", "label": {"dark": 5}}
    refused = Decision("refused", "It was worse on <dark>.", figures)
    Decisions(home.engine).conclude("auto-1", "tiny", refused, home.now)
    page = browser.get("/models").text
    assert "It was worse on &lt;dark&gt;. Label 5 clips of dark." in page
    assert '<span class="mark">refused</span>' in page
