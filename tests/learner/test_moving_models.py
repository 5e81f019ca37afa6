"""Models that take the motion of a clip beside what its frames show."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from motion_clips import make_frames, make_site, write_video
from tiny import ARGS, SPEC, recipe, write_weights
from tiny import cache as cache

from learner import checkpoint, shelves
from learner.batches import Data
from learner.cache import Cache
from learner.classifier import Classifier
from learner.dataset import extract, find_clips
from learner.errors import VidwatchError
from learner.motion import MOTION_FEATURES, REVERSED
from learner.recipe import Recipe
from learner.shelves import features_shelf, frames_shelf
from learner.spec import Augment, ClipSpec
from learner.splits import Sources
from learner.train import Start, train
from learner.video import read_clip

MOVING = replace(SPEC, motion=True)
CLASSES = ("Leftward", "Rightward")


def moving_recipe() -> Recipe:
    plain = recipe()
    frames = plain.clip.model_copy(update={"motion": True, "frames": 8})
    return plain.model_copy(update={"clip": frames})


def made_by_hand(folder: Path, spec: ClipSpec) -> Classifier:
    path = write_weights(folder / "weights.pth")
    return Classifier.untrained(
        ARGS, spec, CLASSES, 0, lambda network: network.backbone.load_weights(path), "cpu"
    )


def write_class(folder: Path, label: str, sites: range, clips: int) -> None:
    for site in sites:
        for number in range(clips):
            draw = np.random.default_rng((site, number, CLASSES.index(label)))
            path = folder / label / f"v_{label}_g{site:02}_c{number}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, make_frames(label, make_site(np.random.default_rng(site)), draw))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips to the left and to the right of five sites to learn from, and of three others."""
    folder = tmp_path_factory.mktemp("directions")
    for label in CLASSES:
        write_class(folder / "learned", label, range(5), 3)
        write_class(folder / "fresh", label, range(50, 53), 3)
    return folder


@pytest.mark.slow
def test_motion_comes_last_in_half_precision(tmp_path: Path, folders: Path) -> None:
    (clip, *_) = find_clips(folders / "learned")
    moving = made_by_hand(tmp_path, MOVING)
    plain = made_by_hand(tmp_path, SPEC)
    read = read_clip(clip.path, MOVING)
    features = moving.features([read])
    assert features.dtype == torch.float16
    assert moving.network.appearance == plain.network.appearance
    assert features.shape == (1, 4, plain.network.appearance + MOTION_FEATURES)
    assert torch.equal(features[..., : plain.network.appearance], plain.features([read]))
    assert read.motion is not None
    assert np.allclose(
        features[0, :, plain.network.appearance :], read.motion, rtol=1e-3, atol=1e-4
    )
    assert [prediction.class_name in CLASSES for prediction in moving.predict([read])] == [True]


@pytest.mark.slow
def test_frames_alone_are_refused_by_a_model_that_needs_motion(
    tmp_path: Path, folders: Path
) -> None:
    (clip, *_) = find_clips(folders / "learned")
    moving = made_by_hand(tmp_path, MOVING)
    for given in (read_clip(clip.path, SPEC), read_clip(clip.path, SPEC).frames):
        with pytest.raises(VidwatchError, match="'untrained' needs the motion of a clip"):
            moving.predict([given])


def test_a_model_keeps_that_it_takes_motion_and_its_digest_says_so(tmp_path: Path) -> None:
    digests = set()
    for name, spec in (("plain", SPEC), ("moving", MOVING)):
        model = made_by_hand(tmp_path, spec)
        # The same weights: the clip spec alone differs.
        tensors = {"weight": torch.zeros(1)}
        checkpoint.save(tmp_path / name, model.manifest, tensors)
        loaded = checkpoint.load(tmp_path / name)
        assert loaded.manifest.clip == spec
        digests.add(loaded.digest)
    assert len(digests) == 2
    manifest = json.loads((tmp_path / "plain.json").read_text())
    del manifest["clip"]["motion"]  # models of before say nothing of it
    (tmp_path / "plain.json").write_text(json.dumps(manifest))
    assert checkpoint.load(tmp_path / "plain").digest in digests
    manifest["clip"]["motion"] = "much"
    (tmp_path / "plain.json").write_text(json.dumps(manifest))
    with pytest.raises(VidwatchError, match="motion is 'much'; it must be true or false"):
        checkpoint.load(tmp_path / "plain")


@pytest.mark.parametrize(
    ("module", "name"), [("shelves", "FORWARD"), ("cv2", "__version__"), ("shelves", "MOTION")]
)
def test_features_that_another_version_made_are_not_taken(
    module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf_of = {
        spec: features_shelf(made_by_hand(tmp_path, spec), Cache()).key for spec in (SPEC, MOVING)
    }
    assert shelf_of[SPEC] != shelf_of[MOVING]
    holder = shelves if module == "shelves" else shelves.cv2
    monkeypatch.setattr(holder, name, "another")
    changed = {
        spec: features_shelf(made_by_hand(tmp_path, spec), Cache()).key for spec in (SPEC, MOVING)
    }
    assert changed[MOVING] != shelf_of[MOVING]
    assert (changed[SPEC] != shelf_of[SPEC]) == (name != "MOTION")


def test_stored_frames_do_not_depend_on_motion() -> None:
    assert frames_shelf(MOVING, Cache()).key == frames_shelf(SPEC, Cache()).key


def test_played_backwards_motion_changes_its_sign() -> None:
    values = np.random.default_rng(0).normal(size=(2, 4, 3 + MOTION_FEATURES)).astype(np.float16)
    data = Data(list(values), torch.zeros(2), Augment(), motion=MOTION_FEATURES)
    backwards = data.played_backwards().batch(np.arange(2)).numpy()
    assert np.array_equal(backwards[..., :3], values[:, ::-1, :3])
    assert np.array_equal(backwards[..., 3:], values[:, ::-1, 3:] * REVERSED.astype(np.float16))
    assert np.array_equal(data.batch(np.arange(2)).numpy(), values)


@pytest.mark.slow
def test_a_model_with_motion_tells_directions_that_one_without_cannot(
    tmp_path: Path, cache: Path, folders: Path
) -> None:
    start = Start(weights=write_weights(tmp_path / "weights.pth"))
    trained = train(Sources(folders / "learned"), tmp_path / "moving", moving_recipe(), start)
    model = Classifier.load(trained.path, "cpu")
    assert model.spec.motion
    fresh = extract(find_clips(folders / "fresh"), model)
    right = [
        found.class_name == clip.label
        for found, clip in zip(model.judge(fresh.tensor()), fresh.clips, strict=True)
    ]
    assert sum(right) >= 16  # of 18
    results = [
        found.prediction.class_name for found in model.classify([c.path for c in fresh.clips])
    ]
    assert results == [found.class_name for found in model.judge(fresh.tensor())]
