import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_video
from tiny import ARGS, SPEC

from daemon.home.settings import Settings
from learner import Classifier, checkpoint
from learner.ahead import BATCH, decoded
from learner.catalogue import STARTER
from learner.classifier import DEFAULT_READING
from learner.errors import VidwatchError
from learner.network import ClipNetwork
from learner.prediction import Classified, Prediction, Unread
from learner.video import Clip, read_clip

CLASSES = ("left", "right", "up")


def model(folder: Path, classes: tuple[str, ...] = CLASSES, changes: Any = None) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ClipNetwork(ARGS, SPEC, len(CLASSES))
    manifest = checkpoint.Manifest(classes, SPEC, ARGS, (), **(changes or {}))
    return checkpoint.save(folder / "m", manifest, network.state_dict())


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    return Classifier.load(model(tmp_path), device="cpu")


def judged(own: Classifier, logits: list[float]) -> Prediction:
    """What `own` makes of these logits: its linear layer is made to give them."""
    linear = own.network.head.linear
    linear.weight.data.zero_()
    linear.bias.data = torch.tensor(logits)
    if own.network.head.skip is not None:
        own.network.head.skip.weight.data.zero_()
        own.network.head.skip.bias.data.zero_()
    return own.judge(torch.zeros(1, 4, own.network.appearance))[0]


def test_a_prediction_is_the_largest_logit_with_its_softmax_probability(
    classifier: Classifier,
) -> None:
    prediction = judged(classifier, [1.0, 3.0, 2.0])
    assert (prediction.class_name, prediction.class_index) == ("right", 1)
    assert prediction.probability == pytest.approx(np.exp(3) / (np.exp(1) + np.exp(2) + np.exp(3)))
    assert prediction.logits == {"left": 1.0, "right": 3.0, "up": 2.0}


def test_the_temperature_flattens_probabilities_and_leaves_logits_raw(tmp_path: Path) -> None:
    warm = Classifier.load(model(tmp_path, changes={"temperature": 2.0}), device="cpu")
    prediction = judged(warm, [1.0, 3.0, 2.0])
    assert prediction.probability == pytest.approx(
        np.exp(1.5) / (np.exp(0.5) + np.exp(1) + np.exp(1.5))
    )
    assert prediction.logits == {"left": 1.0, "right": 3.0, "up": 2.0}


def test_a_clip_whose_energy_is_below_the_threshold_is_like_no_known_class(tmp_path: Path) -> None:
    choosy = Classifier.load(model(tmp_path, changes={"unknown_below": 3.0}), device="cpu")
    assert judged(choosy, [1.0, 3.0, 2.0]).known
    assert not judged(choosy, [1.0, 2.0, 1.5]).known


def test_familiarity_is_the_share_of_known_clips_that_look_stranger(tmp_path: Path) -> None:
    scale = {"means": [2.0], "stds": [1.0], "count": 99, "quantiles": [-2.0, -1.0, 0.0, 1.0, 2.0]}
    own = Classifier.load(model(tmp_path, changes={"familiarity": scale}), device="cpu")
    energy = np.logaddexp.reduce([1.0, 0.0, 0.0])
    found = judged(own, [1.0, 0.0, 0.0])
    assert found.familiarity == pytest.approx((99 * (energy - 2 + 2) / 4 + 1) / 100, abs=1e-6)
    assert found.known
    assert not judged(own, [-5.0, -5.0, -5.0]).known
    assert judged(own, [-5.0, -5.0, -5.0]).familiarity == pytest.approx(0.01)


def test_a_bias_changes_probabilities_and_leaves_logits_raw(tmp_path: Path) -> None:
    own = Classifier.load(model(tmp_path, changes={"bias": [2.0, 0.0, 0.0]}), device="cpu")
    found = judged(own, [1.0, 2.0, 0.0])
    assert found.class_name == "left"
    assert found.logits == {"left": 1.0, "right": 2.0, "up": 0.0}


def test_huge_logits_do_not_overflow(classifier: Classifier) -> None:
    assert judged(classifier, [1e30, -1e30, 0]).probability == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_an_error_and_no_prediction(
    tmp_path: Path, value: float
) -> None:
    broken = Classifier.load(model(tmp_path), device="cpu")
    broken.network.head.linear.bias.data.fill_(value)  # no such model is ever written
    with pytest.raises(VidwatchError, match="not finite"):
        broken.predict(np.zeros((1, 4, 32, 32, 3), np.uint8))


def test_a_clips_logits_do_not_depend_on_its_batch(classifier: Classifier) -> None:
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), np.uint8)
    together = np.array([list(p.logits.values()) for p in classifier.predict(clips)])
    alone = np.array([list(classifier.predict(clip[None])[0].logits.values()) for clip in clips])
    np.testing.assert_allclose(together, alone, atol=2e-2)


def test_every_file_gets_a_result_in_order(classifier: Classifier, tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{index}.avi", frames=5) for index in range(BATCH + 2)]
    results = classifier.classify(paths)
    assert [result.file for result in results] == [str(path) for path in paths]
    assert {(result.frames_asked, result.frames_read) for result in results} == {(4, 4)}


def test_a_file_that_cannot_be_read_does_not_hold_up_the_others(
    classifier: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    good = write_video(tmp_path / "good.avi")
    bad, missing, last = classifier.results([tmp_path / "text.mp4", tmp_path / "missing.mp4", good])
    assert isinstance(bad, Unread)
    assert "not a video" in bad.error
    assert isinstance(missing, Unread)
    assert "No such file" in missing.error
    assert isinstance(last, Classified)


def test_classify_raises_for_a_file_that_cannot_be_read_and_names_it(
    classifier: Classifier, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VidwatchError, match=r"text\.mp4: not a video"):
        classifier.classify([tmp_path / "text.mp4"])


def test_a_one_frame_clip_is_classified_and_says_so(classifier: Classifier, tmp_path: Path) -> None:
    (result,) = classifier.classify([write_video(tmp_path / "one.avi", frames=1)])
    assert (result.frames_asked, result.frames_read) == (4, 1)


def test_a_clip_cut_short_is_classified_on_what_is_there_and_says_how_much_that_is(
    classifier: Classifier, tmp_path: Path
) -> None:
    whole = write_video(tmp_path / "whole.avi", frames=60).read_bytes()
    (tmp_path / "most.avi").write_bytes(whole[: len(whole) * 3 // 4])
    (tmp_path / "little.avi").write_bytes(whole[: len(whole) // 3])
    most, little = classifier.results([tmp_path / "most.avi", tmp_path / "little.avi"])
    assert isinstance(most, Classified)
    assert most.read_share == pytest.approx(0.7, abs=0.1)
    assert most.to_json()["read_share"] == most.read_share
    assert isinstance(little, Unread)
    assert little.error.startswith("cut short: ")


def test_files_are_classified_by_hand_and_by_the_daemon_by_one_rule() -> None:
    assert Settings().reading == DEFAULT_READING


def test_names_of_any_bytes_come_back_as_they_were(classifier: Classifier, tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.avi")
    write_video(tmp_path / "a.avi").rename(path)
    assert classifier.classify([path])[0].file == path


def test_json_has_the_documented_keys_in_order(classifier: Classifier, tmp_path: Path) -> None:
    (result,) = classifier.classify([write_video(tmp_path / "a.avi")])
    document = json.loads(json.dumps(result.to_json()))
    assert list(document) == [
        *("file", "class", "class_index", "probability", "logits", "model"),
        *("frames_asked", "frames_read", "read_share", "known", "familiarity"),
    ]
    assert list(document["logits"]) == list(CLASSES)
    assert CLASSES[document["class_index"]] == document["class"]


def test_weights_that_do_not_fit_the_manifest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VidwatchError, match="do not fit"):
        Classifier.load(model(tmp_path, classes=("left", "right")))


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(VidwatchError, match=r"no model .*nothing"):
        Classifier.load(tmp_path / "nothing")


def test_nothing_is_decoded_further_ahead_than_one_batch(tmp_path: Path) -> None:
    """A million files must not be read into memory while the first batch is classified."""
    asked: list[str] = []

    def read(path: str) -> Clip:
        asked.append(path)
        return read_clip(path, SPEC)

    video = write_video(tmp_path / "a.avi")
    next(decoded([video] * (4 * BATCH), read))
    assert len(asked) <= 2 * BATCH


def test_the_starter_is_right_on_nearly_all_clips_as_published(real_clips: Path) -> None:
    """Xvid in AVI, but it was trained on H.264: the container must make no difference."""
    paths = sorted((real_clips / "ucf10-original").glob("*/*.avi"))[::5]
    results = Classifier.load().classify(paths)
    right = sum(
        result.prediction.class_name == path.parent.name
        for path, result in zip(paths, results, strict=True)
    )
    assert right >= len(paths) - 1


def test_the_starter_is_small_and_says_how_good_it_is() -> None:
    assert STARTER.stat().st_size < 12_000_000
    manifest = checkpoint.load(STARTER).manifest
    assert len(manifest.classes) == 10
    assert len(manifest.trained_on) == 350
    assert manifest.measured["accuracy"] >= 0.94
    assert manifest.measured["accuracy"] > manifest.measured["baseline_accuracy"]


def test_logits_are_the_same_to_the_bit_in_any_batch_and_by_any_number_of_threads() -> None:
    """Products of matrices are rounded otherwise for another number of rows or of threads."""
    starter = Classifier.load(device="cpu")
    network = starter.network
    values = torch.randn(40, 16, network.appearance, generator=torch.Generator().manual_seed(0))
    motion = torch.rand(40, 16, network.motion, generator=torch.Generator().manual_seed(1))
    features = torch.cat([values, motion], -1).half()
    alone = [starter.judge(clip)[0] for clip in torch.split(features, 1)]
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert starter.judge(features) == alone
            assert starter.judge(features[:7]) == alone[:7]
    finally:
        torch.set_num_threads(threads)


def test_a_single_path_has_a_single_result_with_all_probabilities(
    classifier: Classifier, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "a.avi")
    for path in (clip, str(clip)):
        result = classifier.classify(path)
        assert (result.file, [result]) == (str(clip), classifier.classify([path]))
    prediction = result.prediction
    assert list(prediction.probabilities) == list(CLASSES)
    assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert max(prediction.probabilities.values()) == prediction.probability
    assert "probabilities" not in result.to_json()


def test_to_import_the_learner_loads_nothing_heavy_and_has_all_names() -> None:
    code = """
import sys, learner
assert not {"torch", "timm", "cv2", "av", "numpy"} & {*sys.modules}
from learner import *
assert Classifier.__module__ == "learner.classifier" and {*learner.__all__} <= {*dir(learner)}
"""
    subprocess.run([sys.executable, "-c", code], check=True)
