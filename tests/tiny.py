"""A real network, small enough for a test, and class folders of small videos."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from conftest import write_video

from learner.classifier import Classifier
from learner.recipe import Frames, Recipe
from learner.spec import Augment, ClipSpec, NetworkArgs, TrainSettings
from learner.splits import Sources
from learner.train import Start, Trained, train

SPEC = ClipSpec(frames=4, size=32)
ARGS = NetworkArgs(backbone="test_efficientnet", hidden=8)
QUICK = TrainSettings(epochs=12, batch=8, learning_rate=0.02)
# Its backbone learns too, as the course report's did.
WHOLE = TrainSettings(
    freeze=False,
    epochs=4,
    batch=4,
    optimizer="adam",
    learning_rate=1e-3,
    weight_decay=0,
    schedule="constant",
    folds=0,
)


def write_weights(path: Path) -> Path:
    """Random weights of the small backbone, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model(ARGS.backbone).state_dict(), path)
    return path


def untrained(folder: Path) -> Classifier:
    path = write_weights(folder / "weights.pth")
    return Classifier.untrained(
        ARGS, SPEC, ("bright", "dark"), 0, lambda network: network.backbone.load_weights(path)
    )


def recipe(
    training: TrainSettings = QUICK, augment: Augment | None = None, **network: Any
) -> Recipe:
    return Recipe(
        name="tiny",
        about="for tests",
        start="scratch",
        clip=Frames(frames=4, size=32),
        network=replace(ARGS, **network),
        augment=augment or Augment(),
        training=training,
    )


def whole_recipe(augment: Augment | None = None, **training: Any) -> Recipe:
    """The smallest of the report's networks and its head, made small."""
    head: dict[str, Any] = {
        "norm": "none",
        "deviation": False,
        "projection": 0,
        "dropout": 0.0,
        "skip": False,
    }
    head |= {"bidirectional": False, "pooling": "last"}
    return recipe(replace(WHOLE, **training), augment, backbone="custom_2conv", **head)


def trained_on(root: Path, out: Path) -> Trained:
    """The head of the small network, trained on class folders."""
    return train(
        Sources(root), out, recipe(), Start(weights=write_weights(root.parent / "weights.pth"))
    )


def class_folders(root: Path, groups: int = 4) -> Path:
    """Two classes, bright and dark frames; each group has one clip of each class."""
    for label, shade in (("bright", 180), ("dark", 0)):
        (root / label).mkdir(parents=True)
        for group in range(groups):
            write_video(
                root / label / f"v_{label}_g{group:02}_c01.avi",
                frames=6 + group,
                shade=shade + group,
            )
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def untouchable_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that torch says is there, and that must not be used."""

    def refuse() -> None:
        raise AssertionError("the GPU is used")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "_lazy_init", refuse)
    # Of its own accord torch's optimizer asks any GPU whether it is captured into a graph.
    check = "_accelerator_graph_capture_health_check"
    monkeypatch.setattr(torch.optim.Optimizer, check, lambda optimizer: None)
