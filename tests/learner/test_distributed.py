"""Several processes train one model, as one process would."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_video
from several import torchrun
from tiny import QUICK, WHOLE, class_folders, recipe, whole_recipe, write_weights
from tiny import cache as cache

from learner import checkpoint
from learner.batches import Data, mix
from learner.distributed import ALONE, Processes, joined
from learner.errors import VidwatchError
from learner.fit import Epoch
from learner.recipe import Recipe
from learner.spec import Augment
from learner.splits import Sources
from learner.train import Start, Trained, Watch, train

VARIED = Augment(segments=2, flip=True, crop=0.5, jitter=0.3, mix=0.5)
# One of two processes dies at the end of an epoch, if the last words say so.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path

import learner.fit
from learner.distributed import joined
from learner.recipe import Recipe
from learner.splits import Sources
from learner.train import Watch, train

learner.fit.SECONDS_BETWEEN_STATES = 0.0
data, out, recipe, killed = sys.argv[1:]

def after(epoch):
    if killed == f"{os.environ['RANK']} after {epoch.epoch}":
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    with joined("cpu") as (processes, device):
        train(Sources(Path(data)), Path(out), Recipe(**json.loads(recipe)),
              watch=Watch(epoch=after), device=device, processes=processes)
        print("trained")
"""


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 16])
def test_each_clip_of_a_batch_is_in_one_share(count: int, size: int) -> None:
    shares = [Processes(rank, count).share(size, mixed=False) for rank in range(count)]
    rows = np.concatenate([share.rows for share in shares])
    if size < count:
        assert [share.rows.tolist() for share in shares] == [list(range(size))] * count
    else:
        assert rows.tolist() == list(range(size))
        assert all(len(share.rows) for share in shares)
    assert {share.parts for share in shares} == {1 if size < count else count}


@pytest.mark.parametrize("clips", [2, 5, 8])
def test_a_clip_is_varied_and_mixed_alike_in_whichever_process(clips: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (clips, 4, 8, 8, 3), np.uint8)
    data = Data(list(frames), torch.arange(clips) % 2, VARIED)
    everyone = np.arange(clips)

    def seen_by(processes: Processes, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(seed)
        share = processes.share(clips, mixed=True)
        varied = data.varied(everyone, share.rows)
        shown, aims = mix(varied, data.truth[everyone[share.rows]], 2, VARIED.mix)
        return shown[share.lead :], aims[share.lead :]

    for seed in range(8):
        whole, aims = seen_by(ALONE, seed)
        parts = [seen_by(Processes(rank, 2), seed) for rank in range(2)]
        assert torch.equal(torch.cat([part for part, _ in parts]), whole)
        assert torch.equal(torch.cat([part for _, part in parts]), aims)


def test_clips_that_are_judged_are_judged_once() -> None:
    parts = [Processes(rank, 3).part(np.arange(7)) for rank in range(3)]
    assert np.concatenate(parts).tolist() == list(range(7))


def test_a_head_on_features_is_not_trained_by_several_processes(
    tmp_path: Path, cache: Path
) -> None:
    start = Start(weights=write_weights(tmp_path / "weights.pth"))
    sources = Sources(class_folders(tmp_path / "data"))
    with pytest.raises(VidwatchError, match=r"'tiny' trains a head alone.* without torchrun"):
        train(sources, tmp_path / "m", recipe(), start, processes=Processes(0, 2))
    assert not (tmp_path / "m.run").exists()


def test_batch_normalisation_is_not_shared_by_processes_on_a_cpu(
    tmp_path: Path, cache: Path
) -> None:
    """PyTorch shares its statistics on GPUs alone: on a CPU it would be another training."""
    sources = Sources(class_folders(tmp_path / "data"))
    chosen = recipe(replace(QUICK, freeze=False), backbone="compact")
    with pytest.raises(VidwatchError, match=r"'compact' has batch normalisation.*without torchrun"):
        train(sources, tmp_path / "m", chosen, device="cpu", processes=Processes(0, 2))


def started(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    for name, value in ({"TORCHELASTIC_RUN_ID": "1", "RANK": "0"} | environment).items():
        monkeypatch.setenv(name, value)


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever other launchers have set."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with joined("auto") as found:
        assert found == (ALONE, "auto")
    assert not torch.distributed.is_initialized()


def test_one_process_under_torchrun_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, WORLD_SIZE="1", LOCAL_WORLD_SIZE="1")
    with joined("cpu") as found:
        assert found == (ALONE, "cpu")


def test_processes_on_several_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, WORLD_SIZE="4", LOCAL_WORLD_SIZE="2")
    with (
        pytest.raises(VidwatchError, match="run on one machine; leave --nnodes out"),
        joined("cpu"),
    ):
        pass


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, WORLD_SIZE="4", LOCAL_WORLD_SIZE="4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    refused = pytest.raises(VidwatchError, match=r"4 processes.* 2 GPU.*--nproc-per-node 2")
    with refused, joined("auto"):
        pass


ByTwo = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def by_two(tmp_path: Path, cache: Path) -> ByTwo:
    """Trains by two processes."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def start(out: Path, chosen: Recipe, killed: str = "") -> "subprocess.CompletedProcess[str]":
        words = [program, tmp_path / "data", out, json.dumps(chosen.to_json()), killed]
        paths = os.pathsep.join(filter(None, sys.path))
        return subprocess.run(
            [*torchrun(), *map(str, words)],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return start


def uneven(root: Path) -> Path:
    """Of two classes with 5 and 7 clips."""
    class_folders(root, groups=5)
    for group in (8, 9):
        write_video(root / "dark" / f"v_dark_g{group:02}_c01.avi", frames=9, shade=20 + group)
    return root


def require_same(one: Path, two: Path) -> None:
    """The same history, weights and figures, within rounding."""
    rows = [json.loads((path / "history.json").read_text()) for path in (one, two)]
    assert len(rows[0]) == len(rows[1])
    for own, other in zip(*rows, strict=True):
        numbers = [name for name in own if name != "seconds" and own[name] is not None]
        assert [own[name] for name in numbers] == pytest.approx(
            [other[name] for name in numbers], rel=1e-4
        )
    models = [checkpoint.load(path.with_suffix("")) for path in (one, two)]
    for name, tensor in models[0].tensors.items():
        torch.testing.assert_close(tensor, models[1].tensors[name], rtol=1e-2, atol=1e-3)
    assert models[0].manifest.trained_on == models[1].manifest.trained_on
    measured = [model.manifest.measured for model in models]
    assert measured[0]["accuracy"] == measured[1]["accuracy"]
    assert measured[0]["loss"] == pytest.approx(measured[1]["loss"], rel=1e-3)


RECIPES = {
    # 7 clips to learn from: the last batch has fewer clips than there are processes.
    "held out": whole_recipe(
        VARIED, batch=3, class_weights=True, label_smoothing=0.1, clip_norm=1.0, schedule="plateau"
    ),
    "folds": whole_recipe(folds=2, batch=5, epochs=2, schedule="one_cycle", optimizer="adamw"),
}
# As the processes read them: 0 has become 0.0.
CHOSEN = {kind: Recipe(**chosen.to_json()) for kind, chosen in RECIPES.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHOSEN)
def test_two_processes_learn_what_one_learns(tmp_path: Path, by_two: ByTwo, kind: str) -> None:
    one = train(Sources(uneven(tmp_path / "data")), tmp_path / "one", CHOSEN[kind])
    ended = by_two(tmp_path / "two", CHOSEN[kind])
    assert (ended.returncode, ended.stdout) == (0, "trained\ntrained\n"), ended.stderr
    require_same(one.run, tmp_path / "two.run")
    names = [{path.name for path in run.iterdir()} for run in (one.run, tmp_path / "two.run")]
    assert names[0] == names[1]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_if_one_process_is_killed_both_end_and_any_number_goes_on(
    tmp_path: Path, by_two: ByTwo, rank: int
) -> None:
    sources = Sources(uneven(tmp_path / "data"))
    chosen = CHOSEN["held out"]
    ended = by_two(tmp_path / "two", chosen, f"{rank} after 3")
    assert ended.returncode != 0
    assert f"exitcode  : -{signal.SIGKILL.value}" in ended.stderr
    assert "trained" not in ended.stdout
    assert not (tmp_path / "two.safetensors").exists()
    checkpoint.load(tmp_path / "two.run" / "last")  # not a half of one

    epochs: list[Epoch] = []
    straight: Trained = train(sources, tmp_path / "one", chosen)
    if rank:
        assert by_two(tmp_path / "two", chosen).returncode == 0
    else:
        train(sources, tmp_path / "two", chosen, watch=Watch(epoch=epochs.append))
        assert epochs[0].epoch == 3
    assert WHOLE.epochs == 4
    require_same(straight.run, tmp_path / "two.run")
