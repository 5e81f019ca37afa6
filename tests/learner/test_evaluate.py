import json
from pathlib import Path

import numpy as np
import pytest
from tiny import cache as cache
from tiny import class_folders, trained_on

from learner import Classifier
from learner.errors import VidwatchError
from learner.evaluate import (
    Order,
    calibration_error,
    evaluate,
    interval,
    score,
)

LOGITS = np.array([[2.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 2, 0]])
TRUTH = np.array([0, 1, 1, 1])


def test_accuracy_loss_and_confusion_by_hand() -> None:
    result = score(LOGITS, TRUTH, ("a", "b", "c"))
    right, wrong = (np.log(np.exp(2) + 2) - value for value in (2, 0))
    assert (result.n, result.accuracy) == (4, 0.75)
    assert result.loss == pytest.approx((3 * right + wrong) / 4)
    assert result.confusion == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_a_class_without_a_clip_has_no_accuracy() -> None:
    assert score(LOGITS, TRUTH, ("a", "b", "c")).per_class == {
        "a": {"n": 1, "correct": 1, "accuracy": 1.0, "precision": 0.5, "recall": 1.0},
        "b": {
            "n": 3,
            "correct": 2,
            "accuracy": pytest.approx(2 / 3),
            "precision": 1.0,
            "recall": pytest.approx(2 / 3),
        },
    }


def test_the_interval_is_wilsons() -> None:
    """Of the 143 of 150 clips in NUMBERS.md: 0.91 to 0.98."""
    assert interval(143, 150) == pytest.approx((0.9069, 0.9772), abs=1e-4)
    assert interval(0, 1)[0] == 0


@pytest.fixture
def trained(tmp_path: Path, cache: Path) -> Classifier:
    return Classifier.load(
        trained_on(class_folders(tmp_path / "data", groups=2), tmp_path / "m").path
    )


@pytest.mark.slow
def test_clips_that_the_model_learned_from_are_counted(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=3)
    result = evaluate(root, trained)
    assert (result.score.n, result.seen) == (6, 4)


@pytest.mark.slow
def test_evaluation_agrees_with_classification_file_by_file(
    tmp_path: Path, trained: Classifier
) -> None:
    root = class_folders(tmp_path / "more", groups=3)
    paths = sorted(root.glob("*/*.avi"))
    right = sum(
        r.prediction.class_name == p.parent.name
        for p, r in zip(paths, trained.classify(paths), strict=True)
    )
    assert evaluate(root, trained).score.accuracy == right / len(paths)


@pytest.mark.slow
def test_a_class_that_the_model_does_not_know_is_named(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=1)
    (root / "dark").rename(root / "zebra")
    with pytest.raises(
        VidwatchError, match=r"does not know the classes zebra; it knows bright, dark"
    ):
        evaluate(root, trained)


@pytest.mark.slow
def test_one_of_the_models_classes_alone_can_be_evaluated(
    tmp_path: Path, trained: Classifier
) -> None:
    root = class_folders(tmp_path / "more", groups=1)
    (root / "bright" / "v_bright_g00_c01.avi").unlink()
    (root / "bright").rmdir()
    assert list(evaluate(root, trained).score.per_class) == ["dark"]


@pytest.mark.slow
def test_skipped_files_do_not_count_and_are_listed(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=5)
    (root / "dark" / "text.mp4").write_text("no video")
    result = evaluate(root, trained)
    assert result.score.n == 10
    assert list(result.skipped) == [str(root / "dark" / "text.mp4")]


@pytest.mark.slow
def test_json_has_the_documented_keys(tmp_path: Path, trained: Classifier) -> None:
    document = json.loads(
        json.dumps(evaluate(class_folders(tmp_path / "more", groups=1), trained).to_json())
    )
    assert {
        "n",
        "accuracy",
        "loss",
        "per_class",
        "interval",
        "baseline",
        "model",
    } <= document.keys()


def test_calibration_error_by_hand() -> None:
    """Four predictions of 0.75 each, of which one is right: off by a half."""
    logits = np.log(np.array([[0.75, 0.25]] * 4, np.float32))
    assert calibration_error(logits, np.array([0, 1, 1, 1])) == pytest.approx(0.5, abs=1e-6)


def test_guessing_is_said_beside_what_is_right() -> None:
    assert score(LOGITS, TRUTH, ("a", "b", "c")).chance == 0.75
    assert not score(LOGITS, TRUTH, ("a", "b", "c")).beats_chance
    sure = np.eye(2).repeat(10, 0)
    assert score(sure, sure.argmax(1), ("a", "b")).beats_chance
    assert not score(sure[:6], sure[:6].argmax(1), ("a", "b")).beats_chance


def test_a_model_that_recognises_the_rarer_class_is_no_guessing() -> None:
    """Right on 60 of 80, as always predicting the commonest class is."""
    truth = np.repeat([0, 1], [60, 20])
    predicted = np.repeat([0, 1, 1, 0], [46, 14, 14, 6])
    of_model = score(np.eye(2)[predicted], truth, ("a", "b"))
    assert (of_model.accuracy, of_model.chance, of_model.beats_chance) == (0.75, 0.75, True)


def test_the_loss_is_that_of_the_calibrated_probabilities() -> None:
    flat = score(LOGITS, TRUTH, ("a", "b", "c"), LOGITS / 1e9)
    assert flat.loss == pytest.approx(np.log(3))
    assert flat.accuracy == 0.75


def test_a_model_is_held_against_its_baseline_and_played_backwards() -> None:
    truth = np.zeros(12, int)
    wrong = np.ones(12, int)
    order = Order.of(truth, truth, wrong, np.array([0] * 9 + [1] * 3))
    assert (order.n, order.gains, order.losses, order.changed_backwards) == (12, 12, 0, 3)
    assert order.beats_baseline
    assert not Order.of(truth, truth, truth, truth).beats_baseline
    half = np.array([0] * 6 + [1] * 6)
    assert not Order.of(truth, half, 1 - half, half).beats_baseline


@pytest.mark.slow
def test_clips_of_no_known_class_are_counted(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=3)
    strange = class_folders(tmp_path / "strange", groups=2)
    for label in ("bright", "dark"):
        (strange / label).rename(strange / f"not_{label}")
    result = evaluate(root, trained, unknown=strange).unknowns
    assert result is not None
    # They are the videos of known classes under other names: so both are recognised alike.
    assert result.n == 4
    assert 0 <= result.told <= 1
    assert result.interval[0] <= result.told <= result.interval[1]
    assert result.auroc == pytest.approx(0.5, abs=0.35)


@pytest.mark.slow
def test_a_known_class_among_the_unknown_ones_is_named(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=2)
    with pytest.raises(VidwatchError, match="knows bright, dark; take it out"):
        evaluate(root, trained, unknown=root)
