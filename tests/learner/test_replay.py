from pathlib import Path

import numpy as np
import pytest
from tiny import cache as cache
from tiny import class_folders, trained_on

from learner import replay
from learner.cache import Cache
from learner.classifier import Classifier
from learner.dataset import features_shelf
from learner.errors import VidwatchError
from learner.replay import clips_to_replay, save_features


@pytest.fixture
def model(tmp_path: Path, cache: Path) -> Classifier:
    return Classifier.load(trained_on(class_folders(tmp_path / "data"), tmp_path / "m").path)


def test_clips_of_a_model_are_replayed_if_the_cache_has_them(
    model: Classifier,
) -> None:
    shelf = features_shelf(model, Cache())
    assert [
        (clip.sha256, clip.label, clip.group) for clip in clips_to_replay(model, shelf, Cache())
    ] == list(model.manifest.trained_on)
    (shelf.folder / model.manifest.trained_on[0].sha256).unlink()
    assert len(clips_to_replay(model, shelf, Cache())) == 7


def test_saved_features_come_back_nearly_as_they_were(
    model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache()
    shelf = features_shelf(model, cache)
    before = {clip.sha256: shelf.get(clip.sha256) for clip in model.manifest.trained_on}
    save_features(model, shelf, tmp_path / "features.npz")
    cache.clear()
    monkeypatch.setattr(replay, "STARTER_FEATURES", tmp_path / "features.npz")
    assert len(clips_to_replay(model, shelf, cache)) == 8
    for sha256, values in before.items():
        again = shelf.get(sha256)
        assert values is not None
        assert again is not None
        assert np.abs(again.astype(float) - values).max() < np.ptp(values.astype(float)) / 100


def test_saved_features_of_another_backbone_are_not_used(model: Classifier) -> None:
    Cache().clear()
    assert clips_to_replay(model, features_shelf(model, Cache()), Cache()) == []


def test_features_that_are_not_in_the_cache_cannot_be_saved(
    model: Classifier, tmp_path: Path
) -> None:
    Cache().clear()
    with pytest.raises(
        VidwatchError, match="features of 8 clips are not in the cache; train m again"
    ):
        save_features(model, features_shelf(model, Cache()), tmp_path / "features.npz")


def test_the_starter_comes_with_the_features_of_its_clips(cache: Path) -> None:
    starter = Classifier.load()
    found = clips_to_replay(starter, features_shelf(starter, Cache()), Cache())
    assert len(found) == len(starter.manifest.trained_on) == 350
    assert {clip.label for clip in found} == set(starter.classes)
