import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import ARGS, SPEC

from learner import checkpoint
from learner.errors import VidwatchError
from learner.fit import Epoch
from learner.network import ClipNetwork
from learner.run import Run

MANIFEST = checkpoint.Manifest(("bright", "dark"), SPEC, ARGS, ())


def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "m.run", MANIFEST)


def epochs(*rows: tuple[float, float, float]) -> list[Epoch]:
    """Of training accuracy, validation accuracy and validation loss."""
    return [
        Epoch(0, number, 0.1, 1.0, accuracy, loss, validation, 1.0)
        for number, (accuracy, validation, loss) in enumerate(rows, start=1)
    ]


def kept(tmp_path: Path, *rows: tuple[float, float, float]) -> dict[str, int]:
    """At which epoch each checkpoint was last written; the network's bias shows it."""
    of_run, network = run(tmp_path), ClipNetwork(ARGS, SPEC, 2)
    of_run.folder.mkdir(parents=True)
    for number in range(1, len(rows) + 1):
        network.head.linear.bias.data.fill_(float(number))
        of_run.keep(epochs(*rows[:number]), network)
    paths = sorted(of_run.folder.glob("*.safetensors"))
    return {path.stem: int(checkpoint.load(path).tensors["head.linear.bias"][0]) for path in paths}


def test_the_three_checkpoints_are_those_of_the_course_report(tmp_path: Path) -> None:
    """Epoch 3 has the lowest loss; at 2 both accuracies are best; at 4 only training's is."""
    found = kept(tmp_path, (0.5, 0.4, 2.0), (0.7, 0.6, 1.5), (0.6, 0.7, 1.0), (0.9, 0.5, 1.2))
    assert found == {"best_accuracy": 2, "lowest_loss": 3, "last": 4}


def test_an_epoch_as_good_as_the_best_replaces_it_only_when_one_accuracy_is_better(
    tmp_path: Path,
) -> None:
    assert kept(tmp_path, (0.5, 0.5, 1.0), (0.5, 0.5, 1.0), (0.5, 0.6, 1.0))["best_accuracy"] == 3
    again = tmp_path / "again"
    assert kept(again, (0.5, 0.5, 1.0), (0.5, 0.5, 1.0)) == {
        "best_accuracy": 1,
        "lowest_loss": 1,
        "last": 2,
    }


def begin(tmp_path: Path, **settings: int) -> None:
    with run(tmp_path).opened(settings):
        pass


@pytest.mark.parametrize("left", ["state-0.pt", "last.safetensors", "results.json"])
def test_a_run_is_gone_on_with_only_with_the_same_settings(tmp_path: Path, left: str) -> None:
    """Another run, begun or ended, is not taken for this one, and not written over."""
    begin(tmp_path, rate=1)
    begin(tmp_path, rate=2)  # nothing was done yet
    (tmp_path / "m.run" / left).write_bytes(b"")
    begin(tmp_path, rate=2)
    with pytest.raises(VidwatchError, match="holds a run with other settings"):
        begin(tmp_path, rate=1)
    assert json.loads((tmp_path / "m.run" / "settings.json").read_text()) == {"rate": 2}


def test_a_run_is_gone_on_with_only_with_the_same_groups(tmp_path: Path) -> None:
    this = run(tmp_path)
    with this.opened({}):
        this.require_groups("these")
        this.require_groups("others")  # nothing has begun with the first ones
        this.state(1).touch()
        this.require_groups("others")
        with pytest.raises(VidwatchError, match="holds a run with other groups of clips"):
            this.require_groups("these")


def test_two_trainings_are_not_at_work_in_one_folder(tmp_path: Path) -> None:
    with (
        run(tmp_path).opened({}),
        pytest.raises(VidwatchError, match="another training is at work"),
    ):
        begin(tmp_path)


def test_an_error_in_the_training_is_not_taken_for_one_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), run(tmp_path).opened({}):
        raise FileNotFoundError("elsewhere")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.run").write_text("a file where the folder should be")
    with pytest.raises(VidwatchError, match=r"m\.run: cannot be used \(File exists\)"):
        begin(tmp_path)


def test_weights_that_are_not_finite_in_half_precision_are_not_written(tmp_path: Path) -> None:
    network = ClipNetwork(ARGS, SPEC, 2)
    checkpoint.replace([tmp_path / "m"], MANIFEST, network.state_dict())
    network.head.linear.bias.data.fill_(1e6)
    with pytest.raises(VidwatchError, match="not finite any more; try a smaller learning_rate"):
        checkpoint.replace([tmp_path / "m"], MANIFEST, network.state_dict())
    assert checkpoint.load(tmp_path / "m").tensors["head.linear.bias"].abs().max() < 1


FILL = """
import resource, signal, sys
from pathlib import Path
import torch
from learner import checkpoint
from learner.spec import ClipSpec, NetworkArgs
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
manifest = checkpoint.Manifest(("a", "b"), ClipSpec(4, 32), NetworkArgs(), ())
path = Path(sys.argv[1])
checkpoint.replace([path], manifest, {"weight": torch.zeros(1000)})
before = checkpoint.load(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    checkpoint.replace([path], manifest, {"weight": torch.ones(100_000)})
except checkpoint.VidwatchError as error:
    print(error)
assert checkpoint.load(path).tensors["weight"].sum() == 0
assert checkpoint.load(path).digest == before.digest
"""


@pytest.mark.parametrize("limit", [100, 50_000])
def test_a_disk_that_takes_no_more_leaves_the_old_checkpoint_as_it_was(
    tmp_path: Path, limit: int
) -> None:
    """By a limit on the size of files: writing fails in the manifest, or within the weights."""
    assert resource.RLIMIT_FSIZE
    done = subprocess.run(
        [sys.executable, "-c", FILL, tmp_path / "m", str(limit)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "m.safetensors: cannot be written (File too large); what was there before is kept"
        in done.stdout
    )
    assert {path.name for path in tmp_path.iterdir()} - {"m.json.part"} == {
        "m.json",
        "m.safetensors",
    }


def test_a_crash_between_the_two_files_of_a_checkpoint_leaves_the_new_one(tmp_path: Path) -> None:
    """Weights are in place, and their manifest lies ready beside the old one."""
    network = ClipNetwork(ARGS, SPEC, 2)
    path = checkpoint.replace([tmp_path / "m"], MANIFEST, network.state_dict())
    old = path.with_suffix(".json").read_bytes()
    network.head.linear.bias.data.fill_(7.0)
    checkpoint.replace([tmp_path / "m"], MANIFEST, network.state_dict())
    path.with_suffix(".json").rename(tmp_path / "m.json.part")
    path.with_suffix(".json").write_bytes(old)
    assert checkpoint.load(path).tensors["head.linear.bias"][0] == 7.0


def test_a_crash_before_the_last_step_of_a_first_save_loses_nothing(tmp_path: Path) -> None:
    network = ClipNetwork(ARGS, SPEC, 2)
    path = checkpoint.save(tmp_path / "m", MANIFEST, network.state_dict())
    path.with_suffix(".json").rename(tmp_path / "m.json.part")
    assert checkpoint.load(path).manifest == MANIFEST
    with pytest.raises(VidwatchError, match="exists already"):
        checkpoint.save(tmp_path / "m", MANIFEST, network.state_dict())
    assert {file.name for file in tmp_path.iterdir()} == {"m.json", "m.safetensors"}
