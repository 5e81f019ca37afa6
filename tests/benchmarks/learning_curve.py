"""How many labelled clips a class needs: `learning_curve.py CLIPS [PICTURE]`.

CLIPS is a folder of class folders. Of each class five groups are drawn to judge; so many clips a
class as a row says are drawn from the other groups, each of another group while there are enough.
Ten draws. The LSTM learns from three of them, since it takes seconds where the others take none.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits

from learner import recipe
from learner.batches import Data
from learner.cache import Cache
from learner.classifier import Classifier
from learner.dataset import LabelledClip, class_names, extract, find_clips
from learner.fit import fit, judge
from learner.initial import Start, initial_network
from learner.nested import fit_best
from learner.pooling import ORDER_FREE, Statistics
from learner.spec import ReadOptions

COUNTS = (1, 2, 3, 5, 10, 20)
DRAWS = 10
DRAWS_OF_LSTM = 3
JUDGING_GROUPS = 5


def main() -> None:
    """Print the table, and draw the picture if its name is given."""
    default = recipe.load("default")
    clips = find_clips(Path(sys.argv[1]))
    model, _ = initial_network(default, class_names(clips), Start(), "cpu", ReadOptions())
    found = extract(clips, model, Cache())
    classes = class_names(found.clips)
    truth = np.array([classes.index(clip.label) for clip in found.clips])
    network = model.network
    statistics = Statistics(network.appearance, network.motion)
    values = np.concatenate(
        [statistics.of_clips(torch.from_numpy(one)[None]).numpy() for one in found.values]
    )
    data = Data(found.values, torch.from_numpy(truth), default.augment, motion=network.motion)
    groups = np.array([clip.group for clip in found.clips])
    width = statistics.slices[ORDER_FREE[-1]].stop
    rows: dict[str, list[tuple[int, list[float]]]] = {"pooled": [], "baseline": [], "lstm": []}
    for count in COUNTS:
        right: dict[str, list[float]] = {name: [] for name in rows}
        for draw in range(DRAWS):
            known, judged = drawn(found.clips, count, np.random.default_rng(draw))
            with threadpool_limits(1):
                head, baseline = fit_best(
                    statistics, values[known], truth[known], groups[known], len(classes)
                )
            right["pooled"].append(share(head.logits(values[judged]), truth[judged]))
            right["baseline"].append(share(baseline.logits(values[judged, :width]), truth[judged]))
            if draw < DRAWS_OF_LSTM:
                right["lstm"].append(of_lstm(model, data, known, judged, default))
        for name, found_rows in rows.items():
            found_rows.append((count, right[name]))
        cells = " | ".join(f"{np.mean(of):.3f} ({np.std(of):.3f})" for of in right.values())
        print(f"| {count} | {cells} |", flush=True)
    if len(sys.argv) > 2:
        picture(rows, Path(sys.argv[2]))


def drawn(
    clips: list[LabelledClip], count: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of `count` clips a class to learn from, and of the clips that judge."""
    known: list[int] = []
    judged: list[int] = []
    for label in class_names(clips):
        of_class = [i for i, clip in enumerate(clips) if clip.label == label]
        groups = generator.permutation(sorted({clips[i].group for i in of_class}))
        judging = set(groups[:JUDGING_GROUPS])
        judged += [i for i in of_class if clips[i].group in judging]
        rounds = {
            group: list(generator.permutation([i for i in of_class if clips[i].group == group]))
            for group in groups[JUDGING_GROUPS:]
        }
        chosen: list[int] = []
        while len(chosen) < count and any(rounds.values()):
            chosen += [members.pop() for members in rounds.values() if members]
        known += chosen[:count]
    return np.array(known), np.array(judged)


def share(logits: np.ndarray, truth: np.ndarray) -> float:
    """How much is right."""
    return float((logits.argmax(1) == truth).mean())


def of_lstm(
    model: Classifier,
    data: Data,
    known: np.ndarray,
    judged: np.ndarray,
    default: recipe.Recipe,
) -> float:
    """What an LSTM that learns from the same clips is right on."""
    from dataclasses import replace

    network = model.network.with_head(replace(model.network.args, head="lstm"))
    norm = network.head.norm
    norm.learn([network.head.inputs(data.batch(known).float())])
    fit(network, data, known, known[:0], default.training)
    return share(judge(network, data, judged)[0], data.truth.numpy()[judged])


def picture(rows: dict[str, list[tuple[int, list[float]]]], path: Path) -> None:
    """Accuracy over clips a class, as SVG."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    names = {"pooled": "the default's pooled head", "baseline": "baseline", "lstm": "LSTM"}
    for name, found in rows.items():
        counts = [count for count, _ in found]
        means = np.array([np.mean(right) for _, right in found])
        spread = np.array([np.std(right) for _, right in found])
        (line,) = axes.plot(counts, means, marker="o", label=names[name])
        axes.fill_between(
            counts, means - spread, means + spread, alpha=0.15, color=line.get_color()
        )
    axes.set(
        xscale="log", xlabel="labelled clips of each class", ylabel="right on unseen recordings"
    )
    axes.set_xticks(COUNTS, map(str, COUNTS))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
