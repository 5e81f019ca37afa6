import copy
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_video
from tiny import (
    ARGS,
    QUICK,
    SPEC,
    class_folders,
    recipe,
    trained_on,
    untrained,
    whole_recipe,
    write_weights,
)
from tiny import cache as cache
from tiny import untouchable_gpu as untouchable_gpu

from learner import Classifier, checkpoint
from learner.batches import Data, Indices
from learner.dataset import find_clips
from learner.errors import VidwatchError
from learner.fit import Epoch, fit
from learner.recipe import Recipe
from learner.spec import Augment
from learner.splits import Sources
from learner.train import Start, Watch, train


@pytest.fixture
def trained(tmp_path: Path, cache: Path) -> Path:
    return trained_on(class_folders(tmp_path / "data"), tmp_path / "m").path


def weights(tmp_path: Path) -> Start:
    return Start(weights=write_weights(tmp_path / "weights.pth"))


def test_a_trained_model_predicts_its_classes(tmp_path: Path, trained: Path) -> None:
    paths = sorted((tmp_path / "data").glob("*/*.avi"))
    results = Classifier.load(trained).classify(paths)
    assert [result.prediction.class_name for result in results] == [
        path.parent.name for path in paths
    ]


@pytest.mark.slow
def test_the_manifest_holds_all_that_is_needed(trained: Path) -> None:
    manifest = checkpoint.load(trained).manifest
    assert manifest.classes == ("bright", "dark")
    assert (manifest.clip, manifest.network) == (
        replace(SPEC, mean=manifest.clip.mean, std=manifest.clip.std),
        ARGS,
    )
    assert len(set(manifest.trained_on)) == 8
    assert manifest.measured["n"] == 8
    assert "cross-validation over groups" in manifest.measured["method"]
    assert manifest.temperature > 0
    assert manifest.familiarity is not None
    assert manifest.created
    assert manifest.precision == Classifier.load(trained).precision


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_clips_that_nothing_groups_are_learned_and_the_figure_is_called_optimistic(
    tmp_path: Path, cache: Path, whole: bool
) -> None:
    """The flat frames of a class all look the same, and were written in one go."""
    root = tmp_path / "data"
    for path in sorted(class_folders(root, groups=6).glob("*/*.avi")):
        path.rename(path.with_name(f"clip_{path.name[-10:]}"))
    result = train(
        Sources(root),
        tmp_path / "m",
        whole_recipe() if whole else recipe(),
        Start() if whole else weights(tmp_path),
    )
    measured = checkpoint.load(result.path).manifest.measured
    assert "each clip of bright and dark counts as one" in measured["optimistic"]
    assert measured["method"].endswith(f"; {measured['optimistic']}")
    assert result.groups == 12
    assert measured["optimistic"] in json.loads((result.run / "results.json").read_text())["method"]


def test_clips_with_stated_groups_are_not_called_optimistic(trained: Path) -> None:
    assert "optimistic" not in checkpoint.load(trained).manifest.measured


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, trained: Path) -> None:
    again = trained_on(tmp_path / "data", tmp_path / "again").path
    assert again.read_bytes() == trained.read_bytes()


@pytest.mark.slow
def test_another_seed_gives_other_weights(tmp_path: Path, trained: Path) -> None:
    other = train(
        Sources(tmp_path / "data"),
        tmp_path / "o",
        recipe(replace(QUICK, seed=1)),
        weights(tmp_path),
    ).path
    assert other.read_bytes() != trained.read_bytes()


@pytest.mark.slow
def test_a_model_can_be_trained_on_from_another(tmp_path: Path, trained: Path) -> None:
    """As retraining will: the backbone stays, the classes are the new folder's."""
    root = class_folders(tmp_path / "more", groups=2)
    (root / "dark").rename(root / "night")
    result = train(Sources(root), tmp_path / "next", recipe(), Start(model=trained))
    manifest = checkpoint.load(result.path).manifest
    assert manifest.classes == ("bright", "night")
    labels = {clip.sha256: clip.label for clip in manifest.trained_on}
    assert labels.keys() >= {clip.sha256 for clip in checkpoint.load(trained).manifest.trained_on}
    assert set(labels.values()) == {
        "bright",
        "dark",
        "night",
    }  # those of the same content are the newer ones


@pytest.mark.slow
def test_a_model_may_begin_with_another_ones_backbone_alone(tmp_path: Path, trained: Path) -> None:
    result = train(
        Sources(tmp_path / "data"), tmp_path / "next", recipe(), Start(model=trained, head=False)
    )
    assert "flattering" not in result.method
    manifest = checkpoint.load(result.path).manifest
    assert manifest.trained_on == checkpoint.load(trained).manifest.trained_on


@pytest.mark.slow
def test_clips_may_be_given_instead_of_a_folder_and_what_no_fold_had_learned_from_is_kept(
    tmp_path: Path, cache: Path
) -> None:
    clips = find_clips(class_folders(tmp_path / "data"))
    start = Start(weights=write_weights(tmp_path / "weights.pth"))
    result = train(Sources(clips=tuple(clips)), tmp_path / "m", recipe(), start)
    kept = json.loads((result.run / "held_out.json").read_text())
    assert kept["classes"] == ["bright", "dark"]
    assert kept["clips"].keys() == {clip.sha256 for clip in clips}
    assert all(sum(row) == pytest.approx(1, abs=1e-5) for row in kept["clips"].values())


@pytest.mark.slow
def test_clips_that_taught_the_model_it_began_with_flatter_and_that_is_kept(
    tmp_path: Path, trained: Path
) -> None:
    result = train(Sources(tmp_path / "data"), tmp_path / "next", recipe(), Start(model=trained))
    assert (
        "flattering, since the model that it began with was trained on 8 of these clips"
        in result.method
    )
    assert checkpoint.load(result.path).manifest.measured["method"] == result.method
    assert "flattering" in (result.run / "report.html").read_text()
    assert "flattering" not in trained_on(tmp_path / "data", tmp_path / "fresh").method


@pytest.mark.slow
def test_a_start_of_another_architecture_is_refused(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(
        VidwatchError, match=r"another architecture \(backbone test_efficientnet.*custom_2conv"
    ):
        train(Sources(tmp_path / "data"), tmp_path / "next", whole_recipe(), Start(model=trained))


@pytest.mark.slow
def test_an_existing_model_is_never_written_over(tmp_path: Path, trained: Path) -> None:
    before = trained.read_bytes()
    with pytest.raises(VidwatchError, match="exists already"):
        trained_on(tmp_path / "data", tmp_path / "m")
    assert trained.read_bytes() == before


def test_one_class_alone_is_refused(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data")
    for path in (root / "dark").iterdir():
        path.unlink()
    (root / "dark").rmdir()
    with pytest.raises(VidwatchError, match="at least two class folders"):
        trained_on(root, tmp_path / "m")


def test_a_class_of_which_no_clip_can_be_read_is_named(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=10)
    (root / "zebra").mkdir()
    for group in range(2):
        (root / "zebra" / f"v_zebra_g0{group}_c01.avi").write_text(f"no video {group}")
    with pytest.raises(VidwatchError, match="not one clip of zebra can be read"):
        trained_on(root, tmp_path / "m")


@pytest.mark.parametrize(("groups", "quick"), [(1, True), (2, False)])
def test_a_class_with_too_few_groups_is_refused_by_name(
    tmp_path: Path, cache: Path, groups: int, quick: bool
) -> None:
    """One clip, or several of one scene: none could judge what the others taught."""
    root = class_folders(tmp_path / "data", groups)
    with pytest.raises(
        VidwatchError, match=rf"class 'bright' has clips of {groups} group\(s\).*needs {groups + 1}"
    ):
        train(Sources(root), tmp_path / "m", recipe() if quick else whole_recipe(), Start())
    assert not (tmp_path / "m.run").exists()


@pytest.mark.slow
def test_a_whole_network_learns_and_its_run_can_be_opened(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=5)
    result = train(Sources(root), tmp_path / "m", whole_recipe(epochs=12))
    assert result.method == "on groups kept back for the test"
    assert (result.score.n, result.baseline.n) == (2, 2)
    names = {path.name for path in result.run.iterdir()}
    checkpoints = {f"{name}{suffix}" for name in KEPT for suffix in (".json", ".safetensors")}
    pictures = {"curves.svg", "confusion.svg", "reliability.svg", "report.html"}
    assert (
        names
        == {"lock", "settings.json", "history.json", "history.csv", "results.json", "held_out.json"}
        | checkpoints
        | pictures
    )
    history = [Epoch(**row) for row in json.loads((result.run / "history.json").read_text())]
    assert [epoch.epoch for epoch in history] == list(range(1, 13))
    assert history[-1].loss < history[0].loss
    assert (result.run / "history.csv").read_text().count("\n") == 13
    assert (
        json.loads((result.run / "results.json").read_text())["model"]["accuracy"]
        == result.score.accuracy
    )


KEPT = ("lowest_loss", "best_accuracy", "last")


@pytest.mark.slow
def test_the_checkpoint_that_the_recipe_keeps_becomes_the_model(
    tmp_path: Path, cache: Path
) -> None:
    root = class_folders(tmp_path / "data", groups=5)
    tensors = {}
    for keep in KEPT:
        result = train(Sources(root), tmp_path / keep, whole_recipe(keep=keep, learning_rate=0.02))
        own, kept = checkpoint.load(result.path), checkpoint.load(result.run / keep)
        assert all(torch.equal(tensor, own.tensors[name]) for name, tensor in kept.tensors.items())
        tensors[keep] = own.tensors["head.linear.weight"]
    history = json.loads((tmp_path / "last.run" / "history.json").read_text())
    losses = [row["validation_loss"] for row in history]
    assert torch.equal(tensors["last"], tensors["lowest_loss"]) == (
        losses.index(min(losses)) == len(losses) - 1
    )


@pytest.mark.slow
def test_a_checkpoint_of_a_run_is_a_model_like_any_other(tmp_path: Path, cache: Path) -> None:
    result = train(
        Sources(class_folders(tmp_path / "data", groups=5)), tmp_path / "m", whole_recipe(epochs=1)
    )
    path = next((tmp_path / "data").glob("*/*.avi"))
    assert Classifier.load(result.run / "last").classify([path])[0].prediction.class_name in (
        "bright",
        "dark",
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "head"])
@pytest.mark.parametrize("ended_at", [1, 3])
def test_a_run_that_was_ended_goes_on_to_the_same_result(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str, ended_at: int
) -> None:
    monkeypatch.setattr("learner.fit.SECONDS_BETWEEN_STATES", 0.0)
    sources = Sources(class_folders(tmp_path / "data", groups=5))
    augment = Augment(segments=2, flip=True, crop=0.5, jitter=0.3, mix=0.5)
    chosen, start = {
        "whole": (whole_recipe(augment, schedule="plateau"), Start()),
        "head": (recipe(replace(QUICK, epochs=4)), weights(tmp_path)),
    }[kind]
    straight = train(sources, tmp_path / "straight", chosen, start)

    def end(epoch: Epoch) -> None:
        if epoch.epoch == ended_at + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(sources, tmp_path / "ended", chosen, start, watch=Watch(epoch=end))
    assert not (tmp_path / "ended.safetensors").exists()
    epochs: list[Epoch] = []
    again = train(sources, tmp_path / "ended", chosen, start, watch=Watch(epoch=epochs.append))
    assert epochs[0].epoch == ended_at + 1
    assert again.path.read_bytes() == straight.path.read_bytes()
    assert again.score == straight.score


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_result(tmp_path: Path, cache: Path) -> None:
    """From outside, at whatever moment SIGKILL hits."""
    root = class_folders(tmp_path / "data", groups=5)
    text = whole_recipe(epochs=12).to_json()
    program = (
        "import json, sys; from pathlib import Path; from learner.recipe import Recipe;"
        "from learner.splits import Sources;"
        "import learner.fit; learner.fit.SECONDS_BETWEEN_STATES = 0.0;"
        "from learner.train import Watch, train;"
        "train(Sources(Path(sys.argv[1])), Path(sys.argv[2]), Recipe(**json.loads(sys.argv[3])),"
        "watch=Watch(epoch=lambda epoch: print(epoch.epoch, flush=True)))"
    )
    command = [sys.executable, "-c", program, str(root), str(tmp_path / "killed"), json.dumps(text)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout
        for _ in range(4):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert list((tmp_path / "killed.run").glob("state-0.pt"))
    chosen = Recipe(**text)
    killed = train(Sources(root), tmp_path / "killed", chosen)
    straight = train(Sources(root), tmp_path / "straight", chosen)
    assert killed.path.read_bytes() == straight.path.read_bytes()


def test_an_unfinished_run_of_something_else_is_not_gone_on_with(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("learner.fit.SECONDS_BETWEEN_STATES", 0.0)
    sources = Sources(class_folders(tmp_path / "data", groups=5))

    def end(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(sources, tmp_path / "m", whole_recipe(), watch=Watch(epoch=end))
    with pytest.raises(VidwatchError, match="holds a run with other settings"):
        train(sources, tmp_path / "m", whole_recipe(learning_rate=0.1))
    (tmp_path / "m.run" / "state-0.pt").write_bytes(b"cut")
    with pytest.raises(VidwatchError, match=r"state-0\.pt: the state of this run cannot be read"):
        train(sources, tmp_path / "m", whole_recipe())


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = Sources(class_folders(tmp_path / "data", groups=5))
    chosen = recipe(replace(QUICK, folds=0, epochs=9))
    varied, poisoned = Data.varied, []

    def overflowing(data: Data, *clips: Indices) -> torch.Tensor:
        return varied(data, *clips) * (float("inf") if poisoned else 1)

    def poison(epoch: Epoch) -> None:
        poisoned.extend([epoch] * (epoch.epoch == 3))

    monkeypatch.setattr(Data, "varied", overflowing)
    with pytest.raises(
        VidwatchError, match=r"the loss is nan at step 1 of epoch 4: .*learning_rate"
    ):
        train(sources, tmp_path / "m", chosen, weights(tmp_path), watch=Watch(epoch=poison))
    assert not (tmp_path / "m.safetensors").exists()
    kept = checkpoint.load(tmp_path / "m.run" / "last")
    assert all(tensor.isfinite().all() for tensor in kept.tensors.values())


def test_a_rate_that_is_far_too_high_is_an_error_at_once(tmp_path: Path, cache: Path) -> None:
    sources = Sources(class_folders(tmp_path / "data", groups=5))
    with pytest.raises(
        VidwatchError, match=r"the loss is (nan|inf) at .* epoch 1: .*learning_rate"
    ):
        train(sources, tmp_path / "m", whole_recipe(learning_rate=1e30))
    assert not list((tmp_path / "m.run").glob("*.safetensors"))


@pytest.mark.slow
def test_training_stops_when_validation_gets_no_better(tmp_path: Path, cache: Path) -> None:
    result = train(
        Sources(class_folders(tmp_path / "data", groups=5)),
        tmp_path / "m",
        whole_recipe(epochs=60, patience=2, learning_rate=0.03),
    )
    losses = [
        row["validation_loss"] for row in json.loads((result.run / "history.json").read_text())
    ]
    assert len(losses) < 60
    assert losses.index(min(losses)) == len(losses) - 3


@pytest.mark.slow
def test_folders_for_validation_and_test_are_used_as_they_are(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=7)
    for number, part in ((5, "validation"), (6, "test")):
        for label in ("bright", "dark"):
            (tmp_path / part / label).mkdir(parents=True)
            name = f"v_{label}_g{number:02}_c01.avi"
            (root / label / name).rename(tmp_path / part / label / name)
    result = train(
        Sources(root, tmp_path / "validation", tmp_path / "test"),
        tmp_path / "m",
        whole_recipe(epochs=1),
    )
    assert (result.score.n, result.method) == (2, "on the clips of the test folder")
    assert len(checkpoint.load(result.path).manifest.trained_on) == 12


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_folder_of_which_no_clip_can_be_read_is_not_replaced_by_another(
    tmp_path: Path, cache: Path, part: str
) -> None:
    root = class_folders(tmp_path / "data", groups=12)
    (tmp_path / part / "dark").mkdir(parents=True)
    (tmp_path / part / "dark" / "text.avi").write_text("no video")
    sources = replace(Sources(root), **{part: tmp_path / part})
    with pytest.raises(
        VidwatchError,
        match=rf"not one clip of the {part} folder can be read: .*text\.avi: not a video",
    ):
        train(sources, tmp_path / "m", whole_recipe(epochs=1))


def test_clips_that_judge_a_fold_have_no_say_in_its_training(tmp_path: Path, cache: Path) -> None:
    """With their labels swapped, the model that is judged is the same: only its score differs."""
    data = Data(
        list(np.random.default_rng(0).random((8, 4, 256), np.float32)),
        torch.arange(8) % 2,
        Augment(),
    )
    turned = Data(data.values, torch.cat([data.truth[:6], 1 - data.truth[6:]]), Augment())
    networks = [copy.deepcopy(untrained(tmp_path).network) for _ in range(2)]
    for network, of in zip(networks, (data, turned), strict=True):
        fit(network, of, np.arange(6), np.arange(6, 8), replace(recipe().training, epochs=3))
    pairs = zip(networks[0].state_dict().values(), networks[1].state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.slow
def test_a_class_called_like_a_formula_is_no_trouble(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=2)
    (root / "dark").rename(root / "$x_{$")
    assert trained_on(root, tmp_path / "m").path.exists()


@pytest.mark.slow
def test_a_random_split_says_that_it_is_optimistic(tmp_path: Path, cache: Path) -> None:
    sources = Sources(class_folders(tmp_path / "data", groups=6), split="random")
    for chosen, start in ((recipe(), weights(tmp_path)), (whole_recipe(epochs=1), Start())):
        result = train(sources, tmp_path / chosen.network.backbone, chosen, start)
        assert "optimistic" in result.method
        assert checkpoint.load(result.path).manifest.measured["method"] == result.method


@pytest.mark.slow
def test_an_unreadable_clip_is_named_and_skipped(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=6)
    (root / "dark" / "v_dark_g09_c01.avi").write_text("no video")
    result = trained_on(root, tmp_path / "m")
    assert list(result.skipped) == [str(root / "dark" / "v_dark_g09_c01.avi")]
    assert "v_dark_g09_c01.avi" in (result.run / "report.html").read_text()
    assert len(checkpoint.load(result.path).manifest.trained_on) == 12


@pytest.mark.slow
def test_training_leaves_the_model_it_starts_from_as_it_was(tmp_path: Path, trained: Path) -> None:
    before = trained.read_bytes()
    train(
        Sources(tmp_path / "data"),
        tmp_path / "next",
        recipe(replace(QUICK, freeze=False)),
        Start(model=trained),
    )
    assert trained.read_bytes() == before


def test_an_untrained_network_has_its_backbones_weights(tmp_path: Path) -> None:
    own, other = untrained(tmp_path), untrained(tmp_path)
    pairs = zip(own.network.state_dict().values(), other.network.state_dict().values(), strict=True)
    assert all(torch.equal(mine, yours) for mine, yours in pairs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"class_weights": True}, {"label_smoothing": 0.1}, {"clip_norm": 0.01}]
)
def test_settings_change_what_is_learned(
    tmp_path: Path, cache: Path, settings: dict[str, Any]
) -> None:
    root = class_folders(tmp_path / "data", groups=5)
    write_video(root / "dark" / "v_dark_g09_c01.avi", frames=9)
    plain = train(Sources(root), tmp_path / "plain", whole_recipe(epochs=2))
    changed = train(Sources(root), tmp_path / "changed", whole_recipe(epochs=2, **settings))
    assert changed.path.read_bytes() != plain.path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True])
def test_on_the_cpu_of_a_machine_with_a_gpu_nothing_is_put_on_the_gpu(
    tmp_path: Path, cache: Path, untouchable_gpu: None, whole: bool
) -> None:
    sources = Sources(class_folders(tmp_path / "data"))
    chosen = whole_recipe() if whole else recipe()
    start = Start() if whole else weights(tmp_path)
    with pytest.raises(AssertionError, match="the GPU is used"):
        train(sources, tmp_path / "there", chosen, start)
    result = train(sources, tmp_path / "here", chosen, start, device="cpu")
    settings = json.loads((result.run / "settings.json").read_text())
    assert settings["device"] == "cpu"
    model = Classifier.load(result.path, "cpu")
    assert model.device.type == "cpu"
    assert {tensor.device.type for tensor in model.network.state_dict().values()} == {"cpu"}


@pytest.mark.slow
def test_a_device_that_is_not_there_is_an_error_with_what_to_do(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(VidwatchError, match=r"device is 'cuda'.* give 'auto' or 'cpu'"):
        Classifier.load(trained, "cuda")
