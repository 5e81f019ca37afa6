"""When a training is due, with real labels."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from lab import SETTINGS, TINY, Lab
from lab import champion as champion
from lab import lab as lab

from daemon.labels.labels import Label
from daemon.training.forecast import Forecast, Known, count_new_labels
from daemon.training.forecast import forecast as whole_forecast
from daemon.training.records import Decision, KnownLabels
from daemon.training.retraining import request
from learner.catalogue import STARTER, read_manifest
from learner.errors import VidwatchError

STARTER_ALONE = Known(read_manifest(STARTER))
MANY = SETTINGS.model_copy(update={"min_new_labels": 20})


def forecast(lab: Lab, known: Known, last_label: int = 0) -> Forecast:
    with lab.engine.begin() as connection:
        return count_new_labels(connection, MANY, KnownLabels(last_label), known)


def newest(lab: Lab) -> int:
    return len(lab.given_labels())


def trained(lab: Lab, known: Known, *classes: str) -> Known:
    """A model of these classes was trained on all clips that have labels now."""
    rows = [(lab.row(video)["sha256"], name) for video, _, name, _ in lab.given_labels() if name]
    manifest: dict[str, Any] = {"classes": list(classes)}
    manifest["trained_on"] = [[sha256, name, f"group of {sha256}"] for sha256, name in rows]
    return Known(known.champion, manifest)


@pytest.mark.slow
def test_the_first_own_model_waits_for_no_more_labels_than_three_of_two_classes(lab: Lab) -> None:
    lab.label("bright", range(3))
    found = forecast(lab, STARTER_ALONE)
    assert (found.is_due, found.enough) == (False, ("bright",))
    lab.label("dark", range(2))
    assert not forecast(lab, STARTER_ALONE).is_due
    lab.label("dark", range(2, 3))
    found = forecast(lab, STARTER_ALONE)
    assert (found.why, found.enough) == ("enough labels of bright, dark", ("bright", "dark"))


@pytest.mark.slow
def test_of_many_labels_not_all_are_counted(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.label("bright", range(6))
    lab.label("dark", range(6))
    lab.labels.add([Label(1, "labelled", "dark")], "csv", "ann", lab.now)
    before = forecast(lab, STARTER_ALONE)
    for name, most in (("MANY_LABELS", 5), ("LABELS_OF_CLASS", 4), ("CLIPS_OF_CLASS", 4)):
        monkeypatch.setattr(f"daemon.training.forecast.{name}", most)
    few = MANY.model_copy(update={"min_new_labels": 3, "min_class_clips": 2})
    with lab.engine.begin() as connection:
        found = count_new_labels(connection, few, KnownLabels(0), STARTER_ALONE)
    assert (before.new, before.at_least, found.new, found.at_least) == (12, False, 8, True)
    assert (found.enough, found.short, found.why) == (before.enough, {}, "at least 8 new labels")
    # By the newest clips alone, this class would have one group.
    lab.label("grey", range(2))
    lab.label("grey", range(2, 3), clips=4)
    with lab.engine.begin() as connection:
        found = count_new_labels(connection, few, KnownLabels(0), STARTER_ALONE)
    assert found.enough == ("bright", "dark", "grey")


def test_one_recording_is_no_class(lab: Lab) -> None:
    lab.label("bright", range(3))
    lab.label("dark", range(1), clips=4)
    assert not forecast(lab, STARTER_ALONE).is_due


def test_after_a_refused_first_model_half_as_many_labels_again_are_needed(lab: Lab) -> None:
    lab.label("bright", range(4))
    lab.label("dark", range(4))
    known = trained(lab, STARTER_ALONE, "bright", "dark")
    last = newest(lab)
    assert not forecast(lab, known, last).is_due
    lab.label("dark", range(4, 7))
    assert (forecast(lab, known, last).new, forecast(lab, known, last).needed) == (3, 4)
    lab.label("bright", range(4, 5))
    assert forecast(lab, known, last).why == "4 new labels"


def test_a_class_that_becomes_learnable_starts_a_training(lab: Lab) -> None:
    lab.label("bright", range(12))
    lab.label("dark", range(12))
    known = trained(lab, TINY, "bright", "dark")
    last = newest(lab)
    lab.label("grey", range(2))
    assert not forecast(lab, known, last).is_due
    lab.label("grey", range(2, 3))
    assert forecast(lab, known, last).why == "enough labels of grey"


def test_labels_taken_back_count_as_news(lab: Lab) -> None:
    lab.label("bright", range(6))
    lab.label("dark", range(2))
    known = trained(lab, TINY, "bright", "dark")
    last = newest(lab)
    videos = [row[0] for row in lab.given_labels()]
    lab.labels.undo(videos[:1], "command", "ann", lab.now)
    assert (forecast(lab, known, last).removed, forecast(lab, known, last).is_due) == (1, False)
    lab.labels.add([Label(videos[0], "labelled", "bright")], "command", "ann", lab.now)
    assert forecast(lab, known, last).removed == 0  # it has the same class again
    lab.labels.undo(videos[1:5], "command", "ann", lab.now)
    assert forecast(lab, known, last).why == "4 labels taken back"


def test_a_class_that_lost_all_its_labels_starts_a_training_once(lab: Lab) -> None:
    lab.label("bright", range(10))
    lab.label("dark", range(10))
    lab.label("grey", range(3))
    champion = {"classes": ["bright", "dark", "grey"]}
    known = trained(lab, Known(champion), "bright", "dark", "grey")
    last = newest(lab)
    grey = [row[0] for row in lab.given_labels() if row[2] == "grey"]
    lab.labels.undo(grey[:2], "command", "ann", lab.now)
    assert not forecast(lab, known, last).is_due
    lab.labels.undo(grey[2:], "command", "ann", lab.now)
    assert forecast(lab, known, last).why == "no labels of grey any more"
    again = trained(lab, Known(champion), "bright", "dark")
    assert not forecast(lab, again, newest(lab)).is_due


def test_a_class_that_only_the_champion_knows_starts_a_training_when_it_has_labels_again(
    lab: Lab,
) -> None:
    lab.label("bright", range(10))
    lab.label("dark", range(10))
    champion = {"classes": ["bright", "dark", "grey"]}
    known = trained(lab, Known(champion), "bright", "dark")
    last = newest(lab)
    assert not forecast(lab, known, last).is_due
    lab.label("grey", range(3))
    assert forecast(lab, known, last).why == "enough labels of grey"
    again = trained(lab, Known(champion), "bright", "dark", "grey")
    assert not forecast(lab, again, newest(lab)).is_due


def test_as_many_labels_as_the_last_comparison_asked_for_start_a_training(lab: Lab) -> None:
    lab.label("bright", range(10))
    lab.label("dark", range(10))
    known = replace(trained(lab, TINY, "bright", "dark"), asked=5)
    last = newest(lab)
    lab.label("bright", range(10, 14))
    assert (forecast(lab, known, last).needed, forecast(lab, known, last).is_due) == (5, False)
    lab.label("dark", range(10, 11))
    assert forecast(lab, known, last).why == "5 new labels"
    assert forecast(lab, replace(known, asked=500), last).needed == 10


def test_the_comparison_of_the_last_trained_model_says_how_many_it_asked_for(lab: Lab) -> None:
    lab.label("bright", range(6))
    lab.label("dark", range(6))
    lab.history.request_training("12 new labels", lab.now)
    training = lab.history.requested_training()
    assert training
    lab.history.begin(training, KnownLabels(newest(lab)), lab.now)
    whole = whole_forecast(lab.engine, lab.home, MANY)
    assert (whole.in_training, whole.unread) == ("auto-1", 0)
    (lab.home.models / "auto-1.json").write_text((lab.home.models / "tiny.json").read_text())
    figures = {"able": 0, "missing": {"clips": 4}, "label": {"dark": 2, "bright": 2}}
    undecided = Decision("undecided", "too few", figures)
    lab.history.conclude("auto-1", "tiny", undecided, lab.now, training)
    whole = whole_forecast(lab.engine, lab.home, MANY)
    assert (whole.in_training, whole.needed) == (None, 4)


def test_retrain_during_a_training_that_knows_all_labels_asks_for_no_other(lab: Lab) -> None:
    lab.label("bright", range(6))
    lab.label("dark", range(6))
    assert request(lab.engine, lab.home, SETTINGS, lab.now) == "asked for: auto-1"
    training = lab.history.requested_training()
    assert training
    lab.history.begin(training, KnownLabels(newest(lab)), lab.now)
    assert "is under way" in request(lab.engine, lab.home, SETTINGS, lab.now)
    lab.label("dark", range(6, 7))
    assert request(lab.engine, lab.home, SETTINGS, lab.now) == "asked for: auto-2"


def test_a_requested_training_waits_until_the_labelled_clips_are_read(lab: Lab) -> None:
    lab.label("bright", range(6))
    lab.label("dark", range(6))
    path = lab.put_video("labelled/dark/late.avi", shade=3)
    lab.class_folders.notice([lab.found(path)], lab.now)
    assert request(lab.engine, lab.home, SETTINGS, lab.now) == "asked for: auto-1"
    for _ in range(3):
        lab.now += timedelta(seconds=10)
        lab.retraining.tend(lab.now)
    assert [row.state for row in lab.trainings()] == ["asked"]
    assert whole_forecast(lab.engine, lab.home, MANY).unread == 1
    lab.predict_and_file(lab.model_prediction("dark"))
    lab.retraining.tend(lab.now)
    assert [row.state for row in lab.trainings()] == ["training"]


def test_retrain_that_cannot_be_trained_says_so_at_once(lab: Lab) -> None:
    lab.history.apply_setting("starter", lab.now)
    lab.label("bright", range(6))
    with pytest.raises(VidwatchError, match=r"fewer than two classes .* label clips of a second"):
        request(lab.engine, lab.home, SETTINGS, lab.now)
    assert lab.trainings() == []
    lab.label("dark", range(6))
    assert request(lab.engine, lab.home, SETTINGS, lab.now) == "asked for: auto-1"


def test_retrain_after_a_label_was_taken_back_has_something_to_learn(lab: Lab) -> None:
    lab.label("bright", range(4))
    lab.label("dark", range(4))
    request(lab.engine, lab.home, SETTINGS, lab.now)
    training = lab.history.requested_training()
    assert training
    lab.history.begin(training, KnownLabels(newest(lab)), lab.now)
    lab.history.end(training, "trained", None, lab.now)
    nothing = "nothing was labelled since the last training: nothing to learn"
    assert request(lab.engine, lab.home, SETTINGS, lab.now) == nothing
    lab.labels.undo([lab.given_labels()[0][0]], "command", "ann", lab.now)
    assert request(lab.engine, lab.home, SETTINGS, lab.now) == "asked for: auto-2"
