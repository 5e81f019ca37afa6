"""A real network, small enough for a test, and class folders of small videos."""

from pathlib import Path

import pytest
import timm
import torch
from conftest import write_video

from learner.classifier import Classifier
from learner.models import NetworkArgs
from learner.train import TrainSettings
from learner.video import ClipSpec

SPEC = ClipSpec(frames=4, size=32)
ARGS = NetworkArgs(backbone="test_efficientnet", hidden=8)
QUICK = TrainSettings(epochs=20, batch=8, learning_rate=0.01)


def write_weights(path: Path) -> Path:
    """Random weights of the small backbone, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model(ARGS.backbone).state_dict(), path)
    return path


def untrained(folder: Path) -> Classifier:
    return Classifier.untrained(ARGS, SPEC, write_weights(folder / "weights.pth"))


def class_folders(root: Path, groups: int = 4) -> Path:
    """Two classes that a frame's brightness tells apart; each group has one clip of either class."""
    for label, shade in (("bright", 180), ("dark", 0)):
        (root / label).mkdir(parents=True)
        for group in range(groups):
            write_video(root / label / f"v_{label}_g{group:02}_c01.avi", frames=6 + group, shade=shade + group)
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The features' cache in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"
