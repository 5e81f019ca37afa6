"""Models and caches of version 0.1 stay valid: same digests, same keys, and entries are found."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import timm
import torch

from learner import checkpoint, replay, shelves
from learner.cache import Cache
from learner.catalogue import STARTER
from learner.classifier import Classifier
from learner.dataset import LabelledClip, extract, read_frames
from learner.shelves import features_shelf, frames_shelf
from learner.spec import ClipSpec, NetworkArgs, ReadOptions

OLD = Path(__file__).with_name("made_by_0_1")
RECORDED: dict[str, Any] = json.loads((OLD / "recorded.json").read_text())
CLIP = LabelledClip(Path("no file is needed"), "bright", "g1", RECORDED["sha256"])
NEAR = ReadOptions()
EXACT = ReadOptions(exact=True)


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what 0.1 wrote, opened with the versions of the libraries that it had then."""
    for library in (torch, timm, av):
        monkeypatch.setattr(library, "__version__", RECORDED["versions"][library.__name__])
    shutil.copytree(OLD, tmp_path / "old")
    return tmp_path / "old"


def load(path: Path, reading: ReadOptions = NEAR) -> Classifier:
    model = Classifier.load(path, "cpu", reading)
    model.precision = RECORDED["precision"]  # this processor may be faster in another
    return model


def test_its_model_opens_with_the_digest_that_it_had(old: Path) -> None:
    model = checkpoint.load(old / "tiny")
    assert model.digest == RECORDED["digest"]
    assert checkpoint.digest_of(old / "tiny.json") == RECORDED["digest"]
    assert model.manifest.clip == ClipSpec(4, 32, "crop", (0.5, 0.25, 0.125), (0.5, 0.5, 0.25))
    assert model.manifest.trained_on == ((RECORDED["sha256"], "bright", "g1"),)


@pytest.mark.parametrize("exact", [None, False, True])
def test_its_manifest_may_say_how_clips_were_read(old: Path, exact: bool | None) -> None:
    file = old / "tiny.json"
    manifest = json.loads(file.read_text())
    del manifest["clip"]["exact"]
    if exact is not None:
        manifest["clip"]["exact"] = exact
    file.write_text(json.dumps(manifest))
    assert checkpoint.load(file).digest == RECORDED["digest"]


@pytest.fixture(autouse=True)
def decoding_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of some files are others since then, which alone changes the keys."""
    monkeypatch.setattr(shelves, "DECODING", 3)


def test_its_cached_features_and_frames_are_found(old: Path) -> None:
    cache = Cache(root=old / "cache")
    model = load(old / "tiny")
    features = extract([CLIP], model, cache)
    frames = read_frames([CLIP], model.spec, cache)
    assert features.skipped == frames.skipped == {}
    assert features.values[0].shape == (4, 64)
    assert frames.values[0].shape == (4, 32, 32, 3)
    assert frames.values[0].dtype == np.uint8


def test_keys_are_those_that_it_had(old: Path) -> None:
    cache = Cache(root=old / "cache")
    near = load(old / "tiny")
    exact = load(old / "tiny", EXACT)
    assert features_shelf(near, cache).key == RECORDED["features_key"]
    assert features_shelf(exact, cache).key == RECORDED["features_key_exact"]
    assert frames_shelf(near.spec, cache).key == RECORDED["frames_key"]
    assert frames_shelf(near.spec, cache, exact=True).key == RECORDED["frames_key_exact"]


def test_what_its_model_learned_from_can_be_given_back(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "STARTER_FEATURES", old / "tiny.npz")
    cache = Cache(root=tmp_path / "new")
    model = load(old / "tiny")
    assert replay._backbone_id(model) == RECORDED["pack_source"]
    (clip,) = replay.clips_to_replay(model, features_shelf(model, cache), cache)
    assert clip.sha256 == RECORDED["sha256"]


def test_models_with_the_starters_backbone_find_the_features_that_it_had(old: Path) -> None:
    """The starter was made anew, with motion. Models of before have the same backbone."""
    cache = Cache(root=old / "cache")
    near = load(STARTER)
    exact = load(STARTER, EXACT)
    still = replace(near.spec, motion=False)
    assert near.digest == checkpoint.digest_of(STARTER)
    assert features_shelf(near, cache, still).key == RECORDED["starter_features_key"]
    assert features_shelf(exact, cache, still).key == RECORDED["starter_features_key_exact"]
    assert features_shelf(near, cache).key != RECORDED["starter_features_key"]
    assert frames_shelf(near.spec, cache).key == RECORDED["starter_frames_key"]
    assert replay._backbone_id(near) == RECORDED["starter_pack_source"]


def test_a_later_version_of_how_frames_are_decoded_gets_other_keys(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "DECODING", shelves.DECODING + 1)
    cache = Cache(root=old / "cache")
    assert frames_shelf(ClipSpec(4, 32, "crop"), cache).key != RECORDED["frames_key"]
    assert features_shelf(load(old / "tiny"), cache).key != RECORDED["features_key"]


@dataclass(frozen=True)
class LaterSpec(ClipSpec):
    colours: str = "rgb"


@dataclass(frozen=True)
class LaterNetwork(NetworkArgs):
    attention: bool = False


def test_a_new_field_does_not_change_the_identity() -> None:
    assert LaterSpec(16, 224).identity() == ClipSpec(16, 224).identity()
    assert LaterNetwork().identity() == NetworkArgs().identity()


def test_identities_are_the_texts_that_version_0_1_hashed() -> None:
    assert ClipSpec(16, 224).identity() == (
        "ClipSpec(frames=16, size=224, fit='squash', mean=(0.485, 0.456, 0.406), "
        "std=(0.229, 0.224, 0.225))"
    )
    assert NetworkArgs().identity() == (
        "NetworkArgs(backbone='tf_efficientnet_lite0', stage=None, pooled=False, "
        "differences=False, deviation=True, norm='standard', projection=128, dropout=0.5, "
        "layers=1, hidden=64, bidirectional=True, pooling='mean', skip=True)"
    )
    other = replace(NetworkArgs(), stage=3, pooled=True, dropout=0.25)
    assert "stage=3, pooled=True" in other.identity()
    assert "dropout=0.25" in other.identity()
