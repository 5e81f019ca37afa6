from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import ARGS, QUICK, class_folders, untrained
from tiny import cache as cache

from learner import Classifier, checkpoint
from learner.dataset import Features, LabelledClip
from learner.errors import VidwatchError
from learner.models import NetworkArgs
from learner.train import TrainSettings, cross_validate, fit, folds, train


@pytest.fixture
def trained(tmp_path: Path, cache: Path) -> Path:
    return train(class_folders(tmp_path / "data"), tmp_path / "m", untrained(tmp_path), QUICK).path


def test_a_trained_model_tells_its_classes_apart(tmp_path: Path, trained: Path) -> None:
    paths = sorted((tmp_path / "data").glob("*/*.avi"))
    results = Classifier.load(trained).classify(paths)
    assert [result.prediction.class_name for result in results] == [path.parent.name for path in paths]


def test_the_manifest_tells_all_that_is_needed(tmp_path: Path, trained: Path) -> None:
    manifest = checkpoint.load(trained).manifest
    start = untrained(tmp_path)
    assert manifest.classes == ("bright", "dark")
    assert (manifest.clip, manifest.network) == (start.spec, ARGS)
    assert len(set(manifest.trained_on)) == 8
    assert manifest.measured["n"] == 8
    assert manifest.measured["method"].startswith("cross-validation over groups")
    assert manifest.created


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, trained: Path) -> None:
    again = train(tmp_path / "data", tmp_path / "again", untrained(tmp_path), QUICK).path
    assert again.read_bytes() == trained.read_bytes()


def test_a_model_can_be_trained_on_from_another(tmp_path: Path, trained: Path) -> None:
    """As retraining will: the backbone stays, the classes are the new folder's."""
    root = class_folders(tmp_path / "more", groups=2)
    (root / "dark").rename(root / "night")
    path = train(root, tmp_path / "next", Classifier.load(trained), QUICK).path
    assert checkpoint.load(path).manifest.classes == ("bright", "night")


def test_training_leaves_the_model_it_starts_from_as_it_was(tmp_path: Path, cache: Path) -> None:
    start = untrained(tmp_path)
    before = {name: tensor.clone() for name, tensor in start.network.state_dict().items()}
    train(class_folders(tmp_path / "data", groups=1), tmp_path / "m", start, QUICK)
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.network.state_dict().items())


def test_an_existing_model_is_never_written_over(tmp_path: Path, trained: Path) -> None:
    before = trained.read_bytes()
    with pytest.raises(VidwatchError, match="exists already"):
        train(tmp_path / "data", tmp_path / "m", untrained(tmp_path), QUICK)
    assert trained.read_bytes() == before


def test_one_class_alone_is_refused(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=1)
    (root / "dark" / "v_dark_g00_c01.avi").unlink()
    with pytest.raises(VidwatchError, match="at least two class folders"):
        train(root, tmp_path / "m", untrained(tmp_path), QUICK)


def test_a_class_of_which_no_clip_can_be_read_is_named(tmp_path: Path, cache: Path) -> None:
    root = class_folders(tmp_path / "data", groups=1)
    (root / "dark" / "v_dark_g00_c01.avi").write_text("no video")
    with pytest.raises(VidwatchError, match="not one clip of dark can be read"):
        train(root, tmp_path / "m", untrained(tmp_path), QUICK)


def test_one_group_a_class_trains_but_claims_no_accuracy(tmp_path: Path, cache: Path) -> None:
    result = train(class_folders(tmp_path / "data", groups=1), tmp_path / "m", untrained(tmp_path), QUICK)
    assert (result.score, result.baseline) == (None, None)
    assert checkpoint.load(result.path).manifest.measured == {}


def clips_of(groups: list[tuple[int, int]]) -> list[LabelledClip]:
    return [LabelledClip(Path(str(i)), f"c{label}", f"g{group}", str(i)) for i, (label, group) in enumerate(groups)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), min_size=2, max_size=60), st.integers(0, 3))
def test_a_group_is_never_on_both_sides_and_each_clip_is_held_out_once(
    groups: list[tuple[int, int]], seed: int
) -> None:
    """Also where groups reach over classes, are of very different size, or a class has few."""
    clips = clips_of(groups)
    held_out: list[int] = []
    for known, other in folds(clips, seed):
        assert not {clips[i].group for i in known} & {clips[i].group for i in other}
        assert {clips[i].label for i in other} <= {clips[i].label for i in known}
        held_out += list(other)
    assert sorted(held_out) in ([], list(range(len(clips))))


def test_accuracy_comes_from_unseen_groups_alone() -> None:
    """Features that tell the group and nothing of the class: by heart they give 1.0, honestly no more than chance."""
    clips = clips_of([(group % 2, group) for group in range(20) for _ in range(3)])
    values = torch.zeros(60, 2, 20)
    values[torch.arange(60), :, torch.arange(60) // 3] = 1
    truth = torch.tensor([int(clip.label[1]) for clip in clips])
    args, quick = NetworkArgs(hidden=4, dropout=0.0), TrainSettings(epochs=30, learning_rate=0.01)
    head, _ = fit(values, truth, 2, args, quick)
    with torch.inference_mode():
        assert np.array_equal(head(values).argmax(1), truth)
    score, baseline = cross_validate(Features(clips, values.half(), {}), truth, ("c0", "c1"), args, quick)
    assert score is not None
    assert baseline is not None
    assert max(score.accuracy, baseline.accuracy) < 0.75


def test_training_of_a_head_leaves_torch_as_it_was() -> None:
    """No seed and no number of threads leaks into the caller's program."""
    features = torch.randn(4, 2, 3).half()
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(features, torch.tensor([0, 1, 0, 1]), 2, NetworkArgs(hidden=2), TrainSettings(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
