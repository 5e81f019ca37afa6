import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_forward import frames, trained

from learner import checkpoint, engine_trial, engines
from learner.backbone import Backbone
from learner.cache import Cache
from learner.catalogue import STARTER
from learner.classifier import Classifier
from learner.compiled import Compiled, compile_backbone
from learner.engine_trial import TOLERANCES, compile_if_better, tried
from learner.engines import Engine, choose
from learner.forward import Forward, ready
from learner.precision import fast_precision
from learner.shelves import features_key
from learner.video import read_clip

CPU = torch.device("cpu")
PRECISION = fast_precision(CPU)

needs_openvino = pytest.mark.skipif(
    not importlib.util.find_spec("openvino"), reason="needs openvino"
)


def starter(engine: str) -> Classifier:
    return Classifier(checkpoint.load(STARTER), "cpu", engine=engine)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(root=tmp_path)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | None], list[bool]]:
    """As if OpenVINO were installed, and each trial gave these bytes; which trials there were."""

    def answers(blob: bytes | None) -> list[bool]:
        asked: list[bool] = []

        def answer(backbone: Backbone, precision: torch.dtype, *, anyway: bool) -> bytes | None:
            asked.append(anyway)
            return blob

        monkeypatch.setattr(engines, "version", lambda: "1.2")
        monkeypatch.setattr(engines, "tried", answer)
        return asked

    return answers


def test_without_openvino_pytorch_computes_and_keys_are_as_before(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "version", lambda: None)
    model = starter("auto")
    assert model.engine.compiled() is None
    assert model.runs_on == "cpu"
    assert "engine" not in features_key(model)


@pytest.mark.parametrize(("blob", "name"), [(b"compiled", "OpenVINO 1.2"), (b"", "PyTorch")])
def test_a_trial_is_kept_for_the_same_backbone(
    cache: Cache, answered: Callable[[bytes | None], list[bool]], blob: bytes, name: str
) -> None:
    asked = answered(blob)
    net = trained("test_efficientnet")
    assert [choose(net, cache=cache).name for _ in range(2)] == [name, name]
    assert len(asked) == 1
    with torch.no_grad():
        next(net.parameters()).add_(1)
    choose(net, cache=cache)
    assert len(asked) == 2


def test_a_trial_that_failed_is_made_again(
    cache: Cache, answered: Callable[[bytes | None], list[bool]]
) -> None:
    asked = answered(None)
    net = trained("test_efficientnet")
    assert {choose(net, cache=cache).name for _ in range(2)} == {"PyTorch"}
    assert len(asked) == 2


def test_who_asks_for_an_engine_gets_it_even_if_it_is_slower(
    cache: Cache, answered: Callable[[bytes | None], list[bool]]
) -> None:
    """As a machine of a cluster, whose features have to be those of the others."""
    asked = answered(b"")
    net = trained("test_efficientnet")
    choose(net, cache=cache)
    choose(net, "torch", cache)
    assert asked == [False]
    choose(net, "openvino", cache)
    assert asked == [False, True]


def test_features_by_another_engine_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one = starter("torch")
    other = starter("torch")
    monkeypatch.setitem(vars(other), "engine", Engine("OpenVINO 1.2"))
    assert features_key(other) != features_key(one)
    assert other.runs_on == "cpu by OpenVINO 1.2"


@needs_openvino
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("test_efficientnet", {"stage": 2, "pooled": True}),
        ("test_resnet", {"stage": 1}),
        ("compact", {"differences": True}),
        ("custom_3conv", {}),
    ],
)
def test_openvino_gives_the_features_of_pytorch(name: str, args: dict[str, Any]) -> None:
    net = trained(name, **args)
    blob = compile_backbone(ready(net, torch.float32), PRECISION)
    theirs = Forward(net, CPU, Compiled(blob, PRECISION, threads=2))
    expected = Forward(net, CPU)(frames(3)).float()
    apart = (theirs(frames(3)).float() - expected).abs().max()
    # Halves have three digits, too.
    assert apart <= max(TOLERANCES[PRECISION], 2e-3) * expected.abs().max()


@needs_openvino
def test_a_trial_takes_openvino_only_if_it_is_faster_and_as_exact(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    net = trained("compact")
    monkeypatch.setattr(engine_trial, "_time_share", lambda *all_of_it: 0.5)
    assert compile_if_better(net, PRECISION, anyway=False)
    monkeypatch.setattr(engine_trial, "_time_share", lambda *all_of_it: 1.0)
    assert compile_if_better(net, PRECISION, anyway=False) == b""
    assert compile_if_better(net, PRECISION, anyway=True)
    monkeypatch.setattr(engine_trial, "_apart", lambda *both: float("nan"))
    assert compile_if_better(net, PRECISION, anyway=True) == b""
    assert "computes other features" in caplog.text


def test_features_that_are_no_numbers_are_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    class OfNoiseAlone:
        """Gives the right features of the first frames, and none of the second ones."""

        def __init__(self, *_: object, **__: object) -> None:
            self.frames = 1
            self.calls = 0

        def __call__(self, given: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            exact = ready(backbone, torch.float32)
            found = exact.extract(exact.images(given.float()))
            return found if self.calls == 1 else found * torch.nan

    backbone = starter("torch").network.backbone
    monkeypatch.setattr(engine_trial, "compile_backbone", lambda *_: b"compiled")
    monkeypatch.setattr(engine_trial, "Compiled", OfNoiseAlone)
    with torch.inference_mode():
        assert compile_if_better(backbone, torch.float32, anyway=True) == b""


def test_what_openvino_cannot_compute_is_computed_by_pytorch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(backbone: Backbone, precision: torch.dtype) -> bytes:
        raise ArithmeticError("no such operation\nat length")

    monkeypatch.setattr(engine_trial, "compile_backbone", refuse)
    assert compile_if_better(trained("compact"), PRECISION, anyway=True) == b""
    assert "cannot compute backbone compact (no such operation)" in caplog.text


@needs_openvino
def test_openvino_tells_nobody_that_it_is_imported(tmp_path: Path) -> None:
    """Its reporter would write to Google Analytics."""
    (tmp_path / "openvino_telemetry.py").write_text("raise SystemExit('it reports')")
    code = "from learner.compiled import openvino; openvino().convert_model; print('quiet')"
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "quiet\n", done.stderr


@needs_openvino
@pytest.mark.slow
def test_a_trial_in_a_process_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    blob = tried(trained("test_efficientnet"), PRECISION, anyway=True)
    assert blob
    assert "of PyTorch's time" in caplog.text
    assert Compiled(blob, PRECISION, threads=1).frames == 1


@needs_openvino
@pytest.mark.slow
def test_the_starter_predicts_the_same_by_openvino(real_clips: Path) -> None:
    paths = sorted((real_clips / "ucf10").glob("*/*.mp4"))[::10]
    models = [starter(engine) for engine in ("torch", "openvino")]
    clips = [read_clip(path, models[0].spec) for path in paths]
    classes = [np.array([one.class_index for one in model.predict(clips)]) for model in models]
    assert models[1].engine.name.startswith("OpenVINO")
    assert (classes[0] == classes[1]).mean() >= 0.995
