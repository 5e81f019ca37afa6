"""Training: the loop on frames and on features, ended and gone on with, and short of memory."""

import contextlib
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_setup import Setup, pictures, videos
from gpu_table import Table, rate

CLIPS = 12
LEARNED = np.arange(8)
KEPT = np.arange(8, CLIPS)


class EndedError(Exception):
    """What ends a training in the middle."""


def fit(setup: Setup, table: Table) -> None:
    """A custom and a pretrained recipe with few and small frames, each whole and gone on with."""
    _fit(setup, table, "custom-64", frames=4, epochs=2)
    _fit(setup, table, "pretrained-64", frames=2, epochs=2)


def _fit(setup: Setup, table: Table, name: str, frames: int, epochs: int) -> None:
    from learner import fit as module

    made = _Made(name, frames, epochs)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        whole = made.losses(made.network(setup.device))
    there = made.losses(made.network(torch.device("cpu")))  # on a CPU, once more
    table.difference(f"{name}: losses", made.off(whole, there), "on the CPU", 0.1)
    about_lstm = sum("RNN" in str(one.message) for one in told)
    table.fact(f"{name}: warnings of LSTMs in pieces", about_lstm, "wanted", 0)

    def end(history: list[Any]) -> None:
        if len(history) == epochs:
            raise EndedError

    between, module.SECONDS_BETWEEN_STATES = module.SECONDS_BETWEEN_STATES, -1.0
    state = setup.folder / f"{name}.pt"
    try:
        with contextlib.suppress(EndedError):
            made.losses(made.network(setup.device), state, end)
        gone_on = made.losses(made.network(setup.device), state)
    finally:
        module.SECONDS_BETWEEN_STATES = between
    table.difference(f"{name}: ended and gone on with", made.off(gone_on, whole), "at one go", 0.05)
    halved_network = made.network(setup.device, room=2)
    halved = made.losses(halved_network)
    # Batch normalisation takes the statistics of each part.
    norms = any(isinstance(layer, torch.nn.BatchNorm2d) for layer in halved_network.modules())
    off = made.off(halved, whole)
    table.difference(f"{name}: in parts, memory short", off, "whole", 0.3 if norms else 0.05)
    _steps_a_second(setup, table, name, made)


def _steps_a_second(setup: Setup, table: Table, name: str, made: "_Made") -> None:
    """A step is a forward and a backward pass, which is twice that, and the optimizer's."""
    network = made.network(setup.device)
    done = 0

    def count(step: int, of: int, loss: float) -> None:
        nonlocal done
        done = step

    began = time.perf_counter()
    made.losses(network, after_step=count)
    steps = done / (time.perf_counter() - began)
    network.eval()
    batch = made.data.batch(np.arange(made.settings.batch)).to(setup.device)
    with torch.inference_mode():
        forward = rate(lambda: network(batch), 1, setup.sync, 0.5)
    table.figure(
        f"{name}: steps, judging included", steps, "a second", "forward passes alone", forward
    )


class _Made:
    """A recipe's training on made clips of two classes, which the LSTM's head can tell apart."""

    def __init__(self, name: str, frames: int, epochs: int) -> None:
        from learner.batches import Data
        from learner.recipe import load
        from learner.spec import Augment, ClipSpec

        self.recipe = load(name)
        self.spec = ClipSpec(frames, self.recipe.clip.size)
        values = pictures(CLIPS, frames, self.recipe.clip.size)
        for number, clip in enumerate(values):
            clip[..., number % 2] //= 2
        self.data = Data(values, torch.arange(CLIPS) % 2, Augment())
        self.settings = replace(self.recipe.training, epochs=epochs)

    def network(self, device: torch.device, room: int | None = None) -> Any:
        """The same one each time. If `room` is given, it "has no memory" for more clips."""
        from learner.network import ClipNetwork

        class Made(ClipNetwork):
            def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                if room is not None and len(clips) > room:
                    raise torch.OutOfMemoryError("made up")
                return super().forward(clips)

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            made = Made(self.recipe.network, self.spec, 2).to(device)
        return made.to(memory_format=torch.channels_last).copied()

    def losses(
        self,
        network: Any,
        state: Path | None = None,
        after_epoch: Callable[[list[Any]], None] = lambda history: None,
        after_step: Callable[[int, int, float], None] = lambda step, of, loss: None,
    ) -> np.ndarray[Any, Any]:
        """Train it; the loss of each epoch."""
        from learner.fit import fit

        more = {"after_epoch": after_epoch, "after_step": after_step}
        history = fit(network, self.data, LEARNED, KEPT, self.settings, 0, state, **more)  # type: ignore[arg-type]
        return np.array([epoch.loss for epoch in history])

    def off(self, losses: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> float:
        """The largest difference, in nats."""
        return float(np.abs(losses - others).max())


def train(setup: Setup, table: Table) -> None:
    """The default recipe from files to a model, which is loaded and asked."""
    from learner.cache import Cache
    from learner.classifier import Classifier
    from learner.recipe import load
    from learner.splits import Sources
    from learner.train import train as run

    root = videos(setup.folder)
    recipe = load("default").changed({"folds": 3, "lstm_above": 0.0})
    cache = Cache(root=setup.folder / "cache")
    began = time.perf_counter()
    made = run(Sources(root), setup.folder / "own", recipe, cache=cache, device=setup.device.type)
    first = time.perf_counter() - began
    began = time.perf_counter()
    run(Sources(root), setup.folder / "again", recipe, cache=cache, device=setup.device.type)
    table.figure(
        "default: trained from files",
        first,
        "s",
        "with stored features",
        time.perf_counter() - began,
    )
    model = Classifier.load(made.path, setup.device.type)
    table.fact("default: where the model is", model.device.type, "asked for", setup.device.type)
    paths = sorted(root.glob("*/*"))
    right = sum(
        one.prediction.class_name == path.parent.name
        for one, path in zip(model.classify(paths), paths, strict=True)
    )
    table.figure("default: right on what it learned", right, "clips", "all", len(paths), "≥ 0.9")
    there = Classifier.load(made.path, "cpu").classify(paths)
    same = sum(
        one.prediction.class_name == other.prediction.class_name
        for one, other in zip(model.classify(paths), there, strict=True)
    )
    table.figure("default: same class", same, "clips", "on the CPU", len(paths), "≥ 0.995")
