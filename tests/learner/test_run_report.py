import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from tiny import whole_recipe

from learner import report
from learner.calibration import reliability
from learner.evaluate import HeadScore, Order, score
from learner.fit import Epoch

CLASSES = ("bright", "dark <b> $x_{$ 猫")
HISTORY = [Epoch(0, number, 1e-4, 2 / number, 0.5, 3 / number, 0.25, 1.5) for number in (1, 2, 3)]


def written(folder: Path, history: list[Epoch] = HISTORY) -> Path:
    logits = np.array([[2.0, 0], [2, 0], [0, 2]], np.float32)
    truth = np.array([0, 1, 1])
    predicted = logits.argmax(1)
    results = report.Results(
        method="on a test",
        score=score(logits, truth, CLASSES),
        baseline=score(-logits, truth, CLASSES),
        order=Order.of(truth, predicted, 1 - predicted, predicted),
        heads=(HeadScore("pooled", 0.9, 0.1, 0.5), HeadScore("lstm", 0.8, 0.3, 0.97)),
        reliability=reliability(logits, truth),
        history=history,
        classes=CLASSES,
        skipped={"bad.mp4": "not a video"},
    )
    report.write(folder, whole_recipe(), results)
    return folder


def test_a_convex_head_has_no_curves(tmp_path: Path) -> None:
    page = (written(tmp_path, []) / "report.html").read_text()
    assert "Loss and accuracy" not in page
    assert not (tmp_path / "curves.svg").exists()


def test_the_page_says_which_head_was_chosen_and_whether_order_counts(tmp_path: Path) -> None:
    page = (written(tmp_path) / "report.html").read_text()
    assert "pooled (chosen)" in page
    assert "0 of 3 clips get another class" in page
    assert "not shown to beat its baseline" in page


def test_the_history_is_there_twice(tmp_path: Path) -> None:
    written(tmp_path)
    rows = json.loads((tmp_path / "history.json").read_text())
    assert [Epoch(**row) for row in rows] == HISTORY
    table = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [float(row["validation_loss"]) for row in table] == [3.0, 1.5, 1.0]


def test_the_page_has_figures_intervals_baseline_and_pictures_in_it(tmp_path: Path) -> None:
    page = (written(tmp_path) / "report.html").read_text()
    assert "66.7 %" in page
    assert "33.3 %" in page  # the baseline's
    assert "20.8 to 93.9 %" in page
    assert page.count("<svg") == 3
    assert "bad.mp4" in page
    assert "src=" not in page  # it can be sent to somebody as it is


def test_a_class_cannot_put_markup_into_the_page(tmp_path: Path) -> None:
    page = (written(tmp_path) / "report.html").read_text()
    assert "dark <b>" not in page
    assert "dark &lt;b&gt;" in page


def test_the_pictures_are_pictures(tmp_path: Path) -> None:
    written(tmp_path)
    for name in ("curves", "confusion", "reliability"):
        assert ElementTree.parse(tmp_path / f"{name}.svg").getroot().tag.endswith("svg")


def test_curves_of_a_cross_validation_are_the_means_over_its_folds(tmp_path: Path) -> None:
    folds = [Epoch(fold, 1, 1e-4, 1.0, 0.5, float(fold), 0.5, 1.0) for fold in (1, 2, 3)]
    whole = [Epoch(0, 1, 1e-4, 9.0, 0.5, None, None, 1.0)]
    assert report._mean_by_epoch(folds + whole, "validation_loss") == ([1], [2.0])
    assert report._mean_by_epoch(whole, "validation_loss") == ([], [])
    assert written(tmp_path, folds + whole)
