"""A run's history and results as files for people: JSON, CSV, pictures, and one page with all."""

import csv
import io
import json
import warnings
from collections import defaultdict
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from learner import files
from learner.errors import VidwatchError
from learner.evaluate import HeadScore, Order, Score, interval
from learner.fit import Epoch
from learner.recipe import Recipe


@dataclass(frozen=True)
class Results:
    """What a run found, on clips that its models had not seen."""

    method: str
    """How it was measured."""
    score: Score
    baseline: Score
    order: Order
    heads: tuple[HeadScore, ...]
    """The heads that competed, the chosen one first."""
    reliability: list[list[float]]
    """As `learner.calibration.reliability` gives it."""
    history: list[Epoch]
    classes: tuple[str, ...]
    """In the order of the confusion matrix."""
    skipped: dict[str, str]
    """Files that could not be read, and why."""

    def to_json(self) -> dict[str, Any]:
        """What `results.json` holds."""
        return {
            "method": self.method,
            "model": asdict(self.score),
            "baseline": asdict(self.baseline),
            "order": asdict(self.order),
            "heads": [asdict(head) for head in self.heads],
            "reliability": self.reliability,
            "skipped": self.skipped,
        }


def write(folder: Path, recipe: Recipe, results: Results) -> None:
    """Write `results.json`, pictures, `report.html` and the history into a run's folder.

    Raises:
        VidwatchError: one of them cannot be written.
    """
    write_history(folder, results.history)
    pictures = {
        "confusion": confusion(results.score, results.classes),
        "reliability": reliability(results.reliability),
    }
    if results.history:
        pictures["curves"] = curves(results.history)
    for name, picture in pictures.items():
        _write(folder / f"{name}.svg", picture)
    page = jinja2.Environment(
        loader=jinja2.PackageLoader("learner", "."), autoescape=True, trim_blocks=True
    )
    html = page.get_template("report.html").render(
        name=folder.stem,
        recipe=recipe,
        pictures=pictures,
        settings=recipe.to_json(),
        interval=interval,
        epochs=len([epoch for epoch in results.history if epoch.fold == 0]),
        **vars(results),
    )
    _write(folder / "results.json", json.dumps(results.to_json(), indent=1) + "\n")
    _write(folder / "report.html", html)


def write_history(folder: Path, history: list[Epoch]) -> None:
    """Write `history.json` and `history.csv`, a row an epoch."""
    rows = [asdict(epoch) for epoch in history]
    table = io.StringIO()
    writer = csv.DictWriter(table, [field.name for field in fields(Epoch)])
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


def reliability(rows: list[list[float]]) -> str:
    """What probabilities promised and what they kept, as SVG: the larger a dot, the more clips."""
    promised, kept, counts = np.array(rows).T
    figure = Figure(figsize=(4.5, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="lightgrey")
    axes.scatter(promised, kept, s=20 + 300 * counts / counts.sum(), alpha=0.7)
    axes.set(xlabel="probability of the predicted class", ylabel="share that is right")
    axes.set(xlim=(0, 1.05), ylim=(0, 1.05))
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
