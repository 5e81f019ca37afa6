"""A run's history and results as files for people: JSON, CSV, pictures, and one page with all."""

import csv
import io
import json
import warnings
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from learner import files
from learner.errors import VidwatchError
from learner.evaluate import Score, interval
from learner.fit import Epoch
from learner.recipe import Recipe


def write(
    folder: Path,
    recipe: Recipe,
    method: str,
    score: Score,
    baseline: Score,
    history: list[Epoch],
    classes: tuple[str, ...],
    skipped: dict[str, str],
) -> None:
    """Write `results.json`, `curves.svg`, `confusion.svg` and `report.html`, and the history.

    Args:
        folder: the run's.
        recipe: that was trained.
        method: how the scores were measured.
        score: of the model.
        baseline: of its mean-pooling baseline.
        history: an entry an epoch.
        classes: in the order of the confusion matrix.
        skipped: files that could not be read, and why.

    Raises:
        VidwatchError: one of them cannot be written.
    """
    write_history(folder, history)
    results = {
        "method": method,
        "model": asdict(score),
        "baseline": asdict(baseline),
        "skipped": skipped,
    }
    pictures = {"curves": curves(history), "confusion": confusion(score, classes)}
    for name, picture in pictures.items():
        _write(folder / f"{name}.svg", picture)
    page = jinja2.Environment(
        loader=jinja2.PackageLoader("learner", "."), autoescape=True, trim_blocks=True
    )
    template = page.get_template("report.html")
    html = template.render(
        name=folder.stem,
        recipe=recipe,
        method=method,
        score=score,
        baseline=baseline,
        skipped=skipped,
        pictures=pictures,
        settings=recipe.to_json(),
        interval=interval,
        epochs=len([epoch for epoch in history if epoch.fold == 0]),
    )
    _write(folder / "results.json", json.dumps(results, indent=1) + "\n")
    _write(folder / "report.html", html)


def write_history(folder: Path, history: list[Epoch]) -> None:
    """Write `history.json` and `history.csv`, a row an epoch."""
    rows = [asdict(epoch) for epoch in history]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    _write(folder / "history.json", json.dumps(rows, indent=1) + "\n")
    _write(folder / "history.csv", table.getvalue())


def curves(history: list[Epoch]) -> str:
    """Loss and accuracy over the epochs as SVG; of a cross-validation, the mean over its folds."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for label, key in (("training", name), ("validation", f"validation_{name}")):
            epochs, values = _mean_by_epoch(history, key)
            if epochs:
                axes.plot(epochs, values, label=label)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
    return _svg(figure)


def confusion(score: Score, classes: tuple[str, ...]) -> str:
    """The confusion matrix as SVG: a row for each true class."""
    counts = np.array(score.confusion)
    side = 2.5 + 0.45 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            shade = "white" if count > counts.max() / 2 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=shade)
    # A class may be called "$5", which is no formula.
    axes.set_xticks(range(len(classes)), classes, rotation=90, parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set(xlabel="predicted class", ylabel="true class")
    return _svg(figure)


def _mean_by_epoch(history: list[Epoch], key: str) -> tuple[list[int], list[float]]:
    """Epochs, and the mean of one figure over the folds.

    Without folds it is that of the model itself. With them the model itself is left out: it is not
    validated on any clip.
    """
    folds = [epoch for epoch in history if epoch.fold] or history
    found: dict[int, list[float]] = defaultdict(list)
    for epoch in folds:
        if getattr(epoch, key) is not None:
            found[epoch.epoch].append(getattr(epoch, key))
    return list(found), [float(np.mean(values)) for values in found.values()]


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        # The browser has fonts for characters for which matplotlib has none.
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _write(path: Path, text: str) -> None:
    try:
        files.write(path, text.encode())
    except OSError as error:
        raise VidwatchError(f"{path}: cannot be written ({error.strerror})") from error
