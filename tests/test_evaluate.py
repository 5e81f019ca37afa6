import json
from pathlib import Path

import numpy as np
import pytest
from tiny import QUICK, class_folders, untrained
from tiny import cache as cache

from learner import Classifier
from learner.errors import VidwatchError
from learner.evaluate import evaluate, interval, score
from learner.train import train

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
        "a": {"n": 1, "correct": 1, "accuracy": 1.0},
        "b": {"n": 3, "correct": 2, "accuracy": pytest.approx(2 / 3)},
    }


def test_the_interval_is_wilsons() -> None:
    """Of the 143 of 150 clips in NUMBERS.md: 0.91 to 0.98."""
    assert interval(143, 150) == pytest.approx((0.9069, 0.9772), abs=1e-4)
    assert interval(0, 1)[0] == 0


@pytest.fixture
def trained(tmp_path: Path, cache: Path) -> Classifier:
    root = class_folders(tmp_path / "data", groups=2)
    return Classifier.load(train(root, tmp_path / "m", untrained(tmp_path), QUICK).path)


def test_clips_that_the_model_learned_from_are_counted(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=3)
    result = evaluate(root, trained)
    assert (result.score.n, result.seen) == (6, 4)


def test_evaluation_agrees_with_classification_file_by_file(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=3)
    paths = sorted(root.glob("*/*.avi"))
    right = sum(r.prediction.class_name == p.parent.name for p, r in zip(paths, trained.classify(paths), strict=True))
    assert evaluate(root, trained).score.accuracy == right / len(paths)


def test_a_class_that_the_model_does_not_know_is_named(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=1)
    (root / "dark").rename(root / "zebra")
    with pytest.raises(VidwatchError, match=r"does not know the classes zebra; it knows bright, dark"):
        evaluate(root, trained)


def test_one_of_the_models_classes_alone_can_be_evaluated(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=1)
    (root / "bright" / "v_bright_g00_c01.avi").unlink()
    assert list(evaluate(root, trained).score.per_class) == ["dark"]


def test_skipped_files_do_not_count_and_are_told(tmp_path: Path, trained: Classifier) -> None:
    root = class_folders(tmp_path / "more", groups=1)
    (root / "dark" / "text.mp4").write_text("no video")
    result = evaluate(root, trained)
    assert result.score.n == 2
    assert list(result.skipped) == [str(root / "dark" / "text.mp4")]


def test_json_has_the_documented_keys(tmp_path: Path, trained: Classifier) -> None:
    document = json.loads(json.dumps(evaluate(class_folders(tmp_path / "more", groups=1), trained).to_json()))
    assert {"n", "accuracy", "loss", "per_class", "interval", "baseline", "model"} <= document.keys()
