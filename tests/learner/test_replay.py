from pathlib import Path

import numpy as np
import pytest
from tiny import cache as cache
from tiny import class_folders, recipe, trained_on, write_weights

from learner import replay
from learner.cache import Cache
from learner.classifier import Classifier
from learner.errors import VidwatchError
from learner.motion import MOTION_FEATURES
from learner.replay import Array, clips_to_replay, save_features
from learner.shelves import features_shelf
from learner.splits import Sources
from learner.train import Start, train


@pytest.fixture
def model(tmp_path: Path, cache: Path) -> Classifier:
    return Classifier.load(trained_on(class_folders(tmp_path / "data"), tmp_path / "m").path)


@pytest.mark.slow
def test_clips_of_a_model_are_replayed_if_the_cache_has_them(
    model: Classifier,
) -> None:
    shelf = features_shelf(model, Cache())
    assert [
        (clip.sha256, clip.label, clip.group) for clip in clips_to_replay(model, shelf, Cache())
    ] == list(model.manifest.trained_on)
    (shelf.folder / model.manifest.trained_on[0].sha256).unlink()
    assert len(clips_to_replay(model, shelf, Cache())) == 7


def saved_and_read(
    model: Classifier, file: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[Array, Array]]:
    """The features of each clip before they were saved, and as they are read from the file."""
    cache = Cache()
    shelf = features_shelf(model, cache)
    before = {clip.sha256: shelf.get(clip.sha256) for clip in model.manifest.trained_on}
    save_features(model, shelf, file)
    cache.clear()
    monkeypatch.setattr(replay, "STARTER_FEATURES", file)
    assert len(clips_to_replay(model, shelf, cache)) == 8
    pairs = []
    for sha256, values in before.items():
        again = shelf.get(sha256)
        assert values is not None
        assert again is not None
        pairs.append((values, again))
    return pairs


@pytest.mark.slow
def test_saved_features_come_back_nearly_as_they_were(
    model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = saved_and_read(model, tmp_path / "features.npz", monkeypatch)
    spread = np.ptp(np.stack([values for values, _ in pairs]).astype(float), axis=(0, 1))
    for values, again in pairs:
        # 16 levels: half a step each way, and the little that lies outside.
        assert (np.abs(again.astype(float) - values).mean(0) <= spread / 30 + 0.01).all()


def test_an_odd_number_of_levels_is_packed_too() -> None:
    levels = np.arange(15, dtype=np.uint8).reshape(1, 3, 5)
    packed = replay._packed(levels)
    assert packed.nbytes == 8
    assert np.array_equal(replay._unpacked(packed, (1, 3, 5)), levels)


@pytest.fixture
def moving(tmp_path: Path, cache: Path) -> Classifier:
    """A model that takes motion, too."""
    data = class_folders(tmp_path / "again" / "data")
    start = Start(weights=write_weights(tmp_path / "weights.pth"))
    with_motion = recipe()
    frames = with_motion.clip.model_copy(update={"motion": True})
    with_motion = with_motion.model_copy(update={"clip": frames})
    return Classifier.load(train(Sources(data), tmp_path / "moving", with_motion, start).path)


@pytest.mark.slow
def test_saved_motion_is_for_models_with_motion_and_the_rest_for_others_too(
    moving: Classifier, model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for values, again in saved_and_read(moving, tmp_path / "features.npz", monkeypatch):
        assert again.shape == values.shape
        assert np.array_equal(again[:, -MOTION_FEATURES:], values[:, -MOTION_FEATURES:])
        assert values[:, -MOTION_FEATURES:].any()
    cache = Cache()
    without = features_shelf(model, cache)
    assert len(clips_to_replay(model, without, cache)) == 8
    stored = without.get(model.manifest.trained_on[0].sha256)
    assert stored is not None
    assert stored.shape == (4, moving.network.appearance)


@pytest.mark.slow
@pytest.mark.parametrize("saved", ["without motion", "with another version of it"])
def test_a_model_with_motion_gets_nothing_of_a_file_that_lacks_it(
    saved: str,
    moving: Classifier,
    model: Classifier,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = Cache()
    source = model if saved == "without motion" else moving
    save_features(source, features_shelf(source, cache), tmp_path / "features.npz")
    cache.clear()
    monkeypatch.setattr(replay, "STARTER_FEATURES", tmp_path / "features.npz")
    if source is moving:
        monkeypatch.setattr(replay, "MOTION", replay.MOTION + 1)
    shelf = features_shelf(moving, cache)
    assert clips_to_replay(moving, shelf, cache) == []
    assert len(clips_to_replay(model, features_shelf(model, cache), cache)) == 8


@pytest.mark.slow
def test_saved_features_of_another_backbone_are_not_used(model: Classifier) -> None:
    Cache().clear()
    assert clips_to_replay(model, features_shelf(model, Cache()), Cache()) == []


@pytest.mark.slow
def test_features_that_are_not_in_the_cache_cannot_be_saved(
    model: Classifier, tmp_path: Path
) -> None:
    Cache().clear()
    with pytest.raises(
        VidwatchError, match="features of 8 clips are not in the cache; train m again"
    ):
        save_features(model, features_shelf(model, Cache()), tmp_path / "features.npz")


@pytest.mark.slow
def test_the_starter_comes_with_the_features_of_its_clips(cache: Path) -> None:
    starter = Classifier.load()
    found = clips_to_replay(starter, features_shelf(starter, Cache()), Cache())
    assert len(found) == len(starter.manifest.trained_on) == 350
    assert {clip.label for clip in found} == set(starter.classes)
