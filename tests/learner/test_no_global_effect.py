"""Whoever uses the learner in a notebook finds the process as it was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# What others change when they are imported is theirs: all of them are imported first.
PROGRAM = """
import ctypes, logging, os, signal, sys, threading, warnings
from pathlib import Path

import av, cv2, jinja2, matplotlib, matplotlib.figure, numpy, pydantic, safetensors.torch
import scipy.optimize, sklearn.metrics, sklearn.model_selection, threadpoolctl, timm, torch
import torchmetrics.functional.classification, torchvision.transforms.v2
from huggingface_hub import constants
from huggingface_hub import utils as hub

class Library(ctypes.CDLL):
    def __getattr__(self, name):
        assert name not in ("mallopt", "prctl", "madvise"), name
        return super().__getattr__(name)

ctypes.CDLL = Library

def in_a_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def state():
    loggers = {"": logging.root, **logging.root.manager.loggerDict}
    return {
        "threads": torch.get_num_threads(),
        "threads of a new thread": in_a_new_thread(torch.get_num_threads),
        "threads between operations": torch.get_num_interop_threads(),
        "cv2's threads": cv2.getNumThreads(),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "loggers": {
            name: (logger.level, logger.disabled, list(logger.handlers))
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger) and not name.startswith("learner")
        },
        "the hub's constants": {k: v for k, v in vars(constants).items() if k.isupper()},
        "the hub's verbosity": hub.logging.get_verbosity(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "random numbers": (torch.get_rng_state().tolist(), str(numpy.random.get_state())),
        "gradients": torch.is_grad_enabled(),
        "deterministic": (
            torch.backends.cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
        ),
        "precision": (torch.get_default_dtype(), torch.get_float32_matmul_precision()),
        "pictures": dict(matplotlib.rcParams),
        "modules": sys.path[:],
    }

torch.set_num_threads(2)
before = state()
import learner
from learner.errors import VidwatchError
from learner.spec import ClipSpec, NetworkArgs, TrainSettings

model = learner.Classifier.load(device="cpu")
files = sorted(Path(sys.argv[1]).rglob("*.avi"))[:2]
assert len(model.classify(files)) == len(files)

try:
    learner.Classifier.untrained(
        NetworkArgs("resnet18"), ClipSpec(1, 32), ("a", "b"), 0,
        lambda network: network.backbone.fetch_weights(),
    )
except VidwatchError:
    pass
else:
    raise AssertionError

from tiny import recipe, whole_recipe
from learner.splits import Sources
from learner.train import train
for chosen in (recipe(TrainSettings(epochs=1, folds=2)), whole_recipe(epochs=1)):
    train(Sources(Path(sys.argv[1])), Path(sys.argv[2], chosen.network.backbone), chosen)

after = state()
# Libraries make more loggers of their own on the way.
after["loggers"] = {name: after["loggers"].get(name) for name in before["loggers"]}
changed = [name for name in before if before[name] != after[name]]
assert not changed, changed
print("as it was")
"""


@pytest.mark.slow
def test_a_model_is_used_and_trained_and_the_process_is_as_it_was(tmp_path: Path) -> None:
    from tiny import class_folders

    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": "/nonexistent",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    data = class_folders(tmp_path / "data")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, data, tmp_path / "models"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stdout.strip() == "as it was", done.stderr
