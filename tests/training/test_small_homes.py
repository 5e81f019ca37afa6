"""What a person with few clips sees: real labels, a real process that trains, default rules."""

import json
import os
import subprocess

import pytest
from installed import VIDWATCH
from lab import SETTINGS, SHADES, Lab
from lab import champion as champion
from lab import lab as lab

from daemon.training.retraining import Retraining

DEFAULT = SETTINGS.model_copy(update={"min_new_labels": 20})


@pytest.fixture
def small(lab: Lab) -> Lab:
    """A home with the starter and the default number of labels."""
    lab.history.apply_setting("starter", lab.now)
    lab.retraining = Retraining(lab.home, DEFAULT, lab.history)
    return lab


def label(lab: Lab, first: int, last: int, **classes: str) -> None:
    """Labels of the shades by names of one's own."""
    for name, shade in classes.items():
        lab.label(shade, range(first, last), as_class=name, source="folder")


@pytest.mark.slow
def test_the_first_model_of_ones_own_takes_over_by_itself(small: Lab) -> None:
    label(small, 0, 5, day="bright", night="dark", dusk="grey")
    small.tend(small.decided)
    decision = small.history.newest_first()[0]
    assert (decision.verdict, decision.champion) == ("promoted", "starter"), decision
    assert decision.reason.startswith("Right on ")
    assert "the champion, which knows none of these classes, on 0" in decision.reason
    first = decision.figures["first"]
    assert (first["n"], first["is_shown"]) == (15, True)
    assert small.history.watched() is None
    assert json.loads((small.home.models / "auto-1.json").read_text())["classes"] == [
        "day",
        "dusk",
        "night",
    ]


@pytest.mark.slow
def test_that_nothing_is_there_is_learned_and_predicted_like_any_class(small: Lab) -> None:
    label(small, 0, 5, day="bright", night="dark", _empty="grey")
    small.tend(small.decided)
    assert small.history.champion() == "auto-1", small.history.newest_first()
    small.put_video("inbox/nothing.avi", frames=7, shade=SHADES["grey"] + 6)
    home = {"VIDWATCH_HOME": str(small.root), "VIDWATCH_SETTLE_SECONDS": "0.2"}
    run = [VIDWATCH, "run", "--once"]
    subprocess.run(run, env={**os.environ, **home}, check=True, timeout=300)
    assert (small.root / "classified/_empty/nothing.avi").exists()
    find = [VIDWATCH, "find", "_empty", "--json"]
    found = subprocess.run(find, env={**os.environ, **home}, check=True, capture_output=True)
    assert "nothing.avi" in [one["name"] for one in json.loads(found.stdout)]


@pytest.mark.slow
def test_a_class_that_is_added_later_is_answered_and_watched(small: Lab) -> None:
    label(small, 0, 8, day="bright", night="dark")
    small.tend(small.decided)
    assert small.history.champion() == "auto-1", small.history.newest_first()
    label(small, 0, 5, dusk="grey")
    small.tend(lambda: small.history.newest_first()[0].challenger == "auto-2")
    decision = small.history.newest_first()[0]
    assert (decision.verdict, decision.champion) == ("promoted", "auto-1"), decision
    assert "not worse as counted; at most" in decision.reason
    assert "auto-1 predicts beside it" in decision.reason
    assert small.history.shadow() == "auto-1"


@pytest.mark.slow
def test_a_class_that_lost_its_labels_is_dropped_by_the_next_champion(small: Lab) -> None:
    """Also if the labels are taken back while a model is trained that still learns the class."""
    label(small, 0, 5, day="bright", night="dark", dusk="grey")
    small.tend(lambda: small.trainings() and small.trainings()[-1].state == "training")
    dusk = [row[0] for row in small.given_labels() if row[2] == "dusk"]
    small.labels.undo(dusk, "command", "ann", small.now)
    small.tend(small.decided)
    assert small.history.champion() == "auto-1", small.history.newest_first()
    small.tend(lambda: small.history.newest_first()[0].challenger == "auto-2")
    decision = small.history.newest_first()[0]
    assert (decision.verdict, decision.champion) == ("promoted", "auto-1"), decision
    assert "It drops dusk, which has no label any more." in decision.reason
    classes = json.loads((small.home.models / "auto-2.json").read_text())["classes"]
    assert classes == ["day", "night"]
    small.idle()
    assert len(small.trainings()) == 2


@pytest.mark.slow
def test_a_model_that_only_guesses_is_refused_with_the_next_step(small: Lab) -> None:
    """The classes cannot be distinguished: both are of clips of one shade."""
    for name, numbers in (("odd", range(1, 24, 2)), ("even", range(0, 24, 2))):
        small.label("grey", numbers, as_class=name, source="folder")
    small.tend(small.decided)
    decision = small.history.newest_first()[0]
    assert decision.verdict in ("refused", "undecided"), decision
    assert small.history.champion() == "starter"
    assert "guessing (always " in decision.reason
    assert decision.figures["next"]
