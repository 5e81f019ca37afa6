"""How many clips of no known class are recognised: `unknown.py CLIPS`.

CLIPS is a folder of UCF101's class folders. Two classes are left out, five times, so that each of
ten is left out once. The default learns the others from groups up to g20; known clips are those of
the later groups, unknown ones all of the two classes. Then the starter sees videos in which there
is no action at all: made noise, test cards, screens with text, and empty scenes.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from learner import recipe
from learner.cache import Cache
from learner.classifier import Classifier
from learner.dataset import class_names, extract, find_clips
from learner.evaluate import interval
from learner.familiarity import Reference, Scale
from learner.initial import Start, initial_network
from learner.nested import fit_best
from learner.pooling import ORDER_FREE, Statistics
from learner.prediction import LEAST_FAMILIARITY
from learner.spec import ReadOptions
from learner.splits import folds

LAST_LEARNED = 20
FRAMES = 50
SIZE = (320, 240)
OF_NOTHING = 20


def main() -> None:
    """Print both tables."""
    left_out(Path(sys.argv[1]))
    no_action()


def left_out(root: Path) -> None:
    """The table of classes left out."""
    clips = find_clips(root)
    names = class_names(clips)
    model, _ = initial_network(recipe.load("default"), names, Start(), "cpu", ReadOptions())
    found = extract(clips, model, Cache())
    statistics = Statistics(model.network.appearance, model.network.motion)
    width = statistics.slices[ORDER_FREE[-1]].stop
    values = np.concatenate(
        [statistics.of_clips(torch.from_numpy(one)[None]).numpy() for one in found.values]
    )
    number = np.array([int(clip.group.rpartition("_g")[2]) for clip in found.clips])
    labels = np.array([clip.label for clip in found.clips])
    told: list[bool] = []
    kept: list[bool] = []
    areas = []
    for pair in zip(names[:5], names[5:], strict=True):
        is_known = ~np.isin(labels, pair)
        known = np.flatnonzero(is_known & (number <= LAST_LEARNED))
        classes = sorted(set(labels[known]))
        truth = np.array([classes.index(labels[i]) for i in known])
        groups = np.array([found.clips[i].group for i in known])
        figures = np.zeros((len(known), 3))
        for some, others in folds([found.clips[i] for i in known], 5, 0):
            figures[others] = judged(
                statistics, values, truth[some], groups[some], known[some], known[others], width
            )
        scale = Scale.of(figures)
        judging = np.flatnonzero(is_known & (number > LAST_LEARNED))
        unknown = np.flatnonzero(~is_known)
        of_known, of_unknown = (
            judged(statistics, values, truth, groups, known, some, width)
            for some in (judging, unknown)
        )
        scores = np.concatenate([scale.scores(of_known), scale.scores(of_unknown)])
        areas.append(roc_auc_score([1] * len(judging) + [0] * len(unknown), scores))
        is_kept = scale.familiarity(of_known) >= LEAST_FAMILIARITY
        is_told = scale.familiarity(of_unknown) < LEAST_FAMILIARITY
        kept += list(is_kept)
        told += list(is_told)
        print(
            f"| {', '.join(pair)} | {is_kept.mean():.3f} of {len(is_kept)} "
            f"| {is_told.mean():.3f} of {len(is_told)} | {areas[-1]:.3f} |",
            flush=True,
        )
    low, high = interval(sum(told), len(told))
    print(
        f"| all | {np.mean(kept):.3f} of {len(kept)} | {np.mean(told):.3f} of {len(told)} "
        f"({low:.3f} to {high:.3f}) | {np.mean(areas):.3f} |"
    )


def judged(
    statistics: Statistics,
    values: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    known: np.ndarray,
    others: np.ndarray,
    width: int,
) -> np.ndarray:
    """Figures of familiarity of `others`, by a model of `known`."""
    classes = int(truth.max()) + 1
    with threadpool_limits(1):
        head, _ = fit_best(statistics, values[known], truth, groups, classes)
        reference = Reference.of(values[known, :width], truth, classes)
        return reference.figures(values[others, :width], head.logits(values[others]))


def no_action() -> None:
    """How many videos in which nothing happens the starter marks as unknown."""
    starter = Classifier.load()
    with tempfile.TemporaryDirectory() as folder:
        for kind in (noise, test_card, screen, empty_scene):
            paths = [
                written(Path(folder, f"{kind.__name__}-{seed}.mp4"), kind(seed))
                for seed in range(OF_NOTHING)
            ]
            results = starter.classify(paths)
            recognised = sum(not result.prediction.known for result in results)
            print(f"| {kind.__name__.replace('_', ' ')} | {recognised} of {len(results)} |")


def noise(seed: int) -> Iterator[np.ndarray]:
    """Each frame is drawn anew, coarse or fine."""
    generator = np.random.default_rng(seed)
    side = int(generator.choice([1, 4, 16]))
    for _ in range(FRAMES):
        small = generator.integers(0, 256, (SIZE[1] // side, SIZE[0] // side, 3), np.uint8)
        yield cv2.resize(small, SIZE, interpolation=cv2.INTER_NEAREST)


def test_card(seed: int) -> Iterator[np.ndarray]:
    """Colour bars with a running counter."""
    generator = np.random.default_rng(seed)
    bars = generator.integers(0, 256, (1, int(generator.integers(5, 12)), 3), np.uint8)
    card = cv2.resize(bars, SIZE, interpolation=cv2.INTER_NEAREST)
    for number in range(FRAMES):
        frame = card.copy()
        place = (120, int(generator.integers(118, 122)))
        cv2.putText(frame, f"{number:04}", place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255,) * 3, 2)
        yield frame


def screen(seed: int) -> Iterator[np.ndarray]:
    """Lines of text that scroll."""
    generator = np.random.default_rng(seed)
    light = bool(generator.integers(2))
    words = ["".join(chr(c) for c in generator.integers(97, 123, 8)) for _ in range(400)]
    for number in range(FRAMES):
        frame = np.full((SIZE[1], SIZE[0], 3), 245 if light else 25, np.uint8)
        for line in range(14):
            text = " ".join(words[(line + number // 4) * 3 :][:4])
            ink = (20, 20, 20) if light else (200, 220, 200)
            cv2.putText(frame, text, (6, 17 + 17 * line), cv2.FONT_HERSHEY_PLAIN, 0.9, ink, 1)
        yield frame


def empty_scene(seed: int) -> Iterator[np.ndarray]:
    """A room without anyone: smooth surfaces, a little noise."""
    generator = np.random.default_rng(seed)
    small = generator.integers(60, 200, (5, 7, 3)).astype(np.float32)
    room = cv2.resize(small, SIZE, interpolation=cv2.INTER_CUBIC)
    edge = int(generator.integers(120, 200))
    room[edge:] *= generator.uniform(0.5, 0.8)
    for _ in range(FRAMES):
        yield np.clip(room + generator.normal(0, 3, room.shape), 0, 255).astype(np.uint8)


def written(path: Path, frames: Iterator[np.ndarray]) -> Path:
    """The frames as an MP4 file."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    return path


if __name__ == "__main__":
    main()
