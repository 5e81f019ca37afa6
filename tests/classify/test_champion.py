"""The champion, the challenger in its shadow, and the features that are kept.

With real models and real clips.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import write_video
from lab import SETTINGS, Lab
from lab import champion as champion
from lab import lab as lab

from daemon.classify.champion import ChampionLoader
from daemon.classify.decoding import Decoders
from daemon.classify.inference import Thresholds
from daemon.training.decisions import Decision
from learner.cache import Cache
from learner.checkpoint import load, save
from learner.classifier import Classifier
from learner.errors import PassingError, VidwatchError
from learner.fingerprint import fingerprint
from learner.network import ClipNetwork
from learner.prediction import Prediction
from learner.shelves import features_shelf
from learner.video import Clip, read_clip

PROMOTED = Decision("promoted", "better", {})
UNDECIDED = Decision("undecided", "too few clips", {})


@pytest.fixture
def engines(lab: Lab) -> Iterator[ChampionLoader]:
    engines = ChampionLoader(
        lab.home,
        SETTINGS.model_copy(update={"model": "tiny", "decoders": 1}),
        lab.predictions,
        lab.history,
    )
    yield engines
    engines.close()


def copy_of_tiny(lab: Lab, name: str) -> None:
    """A model with the same backbone, and a head with other weights: its logits differ."""
    tiny = load(lab.home.model("tiny"))
    tensors = {
        key: value * 0.5 if key.startswith("head.linear") else value
        for key, value in tiny.tensors.items()
    }
    save(lab.home.model(name), tiny.manifest, tensors)


def clips(tmp_path: Path, model: Classifier) -> list[Clip]:
    return [
        read_clip(bytes(write_video(tmp_path / f"{shade}.avi", shade=shade)), model.spec)
        for shade in (0, 180)
    ]


@pytest.mark.slow
def test_a_promotion_gives_a_new_predictor_once(lab: Lab, engines: ChampionLoader) -> None:
    first = engines.first(lab.now)
    assert engines.predictor_if_changed(lab.now) is None
    copy_of_tiny(lab, "auto-1")
    lab.history.conclude("auto-1", "tiny", PROMOTED, lab.now)
    second = engines.predictor_if_changed(lab.now)
    assert second
    assert second.model_id != first.model_id
    assert second.reader is first.reader  # it wants the same frames
    assert engines.predictor_if_changed(lab.now) is None


@pytest.mark.slow
def test_a_champion_whose_files_come_late_is_waited_for_by_a_daemon_that_does_not_lead(
    lab: Lab, engines: ChampionLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.classify.champion.RETRY", 0)
    notices: dict[str, str | None] = {}
    made = (lab.home, engines._settings, lab.predictions, lab.history, notices.__setitem__)
    with closing(ChampionLoader(*made, may_roll_back=lambda: False)) as follower:
        follower.first(lab.now)
        lab.history.conclude("auto-1", "tiny", PROMOTED, lab.now)
        assert follower.predictor_if_changed(lab.now) is None
        assert "auto-1 cannot be loaded yet" in (notices["champion"] or "")
        assert lab.history.champion() == "auto-1"
        copy_of_tiny(lab, "auto-1")
        assert follower.predictor_if_changed(lab.now)
        assert notices["champion"] is None
        assert follower.in_use()[0] == "auto-1"


def test_a_gpu_that_cannot_compute_is_noticed_and_the_processor_is_used(
    lab: Lab, engines: ChampionLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is older than PyTorch was built for: the daemon would fail at its first clip, for ever."""
    notices: dict[str, str | None] = {}
    settings = engines._settings.model_copy(update={"device": "auto"})
    made = (lab.home, settings, lab.predictions, lab.history, notices.__setitem__)
    ChampionLoader(*made).close()
    assert notices["device"] is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for module in ("learner.precision", "daemon.classify.champion"):
        monkeypatch.setattr(f"{module}.gpu_problem", lambda device: "no kernel image")
    with closing(ChampionLoader(*made)) as loader:
        loader.first(lab.now)
        assert loader.in_use() == ("tiny", "cpu")
    assert "the GPU cannot compute (no kernel image)" in (notices["device"] or "")


def test_a_champion_for_which_a_gpu_has_no_memory_now_is_not_rolled_back(
    lab: Lab, engines: ChampionLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.first(lab.now)
    copy_of_tiny(lab, "auto-1")
    lab.history.conclude("auto-1", "tiny", PROMOTED, lab.now)
    with monkeypatch.context() as patch:
        patch.setattr(ClipNetwork, "to", full)
        assert engines.predictor_if_changed(lab.now) is None
        with pytest.raises(PassingError, match="model auto-1: the GPU has no memory for it now"):
            engines.first(lab.now)
    assert lab.history.champion() == "auto-1"
    assert engines.first(lab.now)


def full(network: ClipNetwork, *args: object, **kwargs: object) -> ClipNetwork:
    raise torch.OutOfMemoryError("no room")


def test_a_new_champion_that_cannot_be_loaded_is_replaced_by_the_one_before(
    lab: Lab, engines: ChampionLoader
) -> None:
    engines.first(lab.now)
    copy_of_tiny(lab, "auto-1")
    lab.home.model("auto-1.safetensors").write_bytes(b"damaged")
    lab.history.conclude("auto-1", "tiny", PROMOTED, lab.now)
    assert engines.predictor_if_changed(lab.now) is None
    assert lab.history.champion() == "tiny"
    row = lab.history.newest_first()[0]
    assert (row.verdict, row.challenger, row.champion) == ("rolled back", "tiny", "auto-1")
    assert "went back by itself" in row.reason


def test_a_champion_that_is_gone_at_the_start_is_replaced_too(
    lab: Lab, engines: ChampionLoader
) -> None:
    lab.history.conclude("auto-1", "tiny", PROMOTED, lab.now)
    engines.first(lab.now)
    assert (engines.champion.name, lab.history.champion()) == ("tiny", "tiny")


def test_exact_frames_are_decoded_and_their_features_are_kept_apart(lab: Lab) -> None:
    settings = SETTINGS.model_copy(update={"model": "tiny", "decoders": 1, "exact_frames": True})
    engines = ChampionLoader(lab.home, settings, lab.predictions, lab.history)
    assert engines.first(lab.now).reader.settings.reading.exact
    exact, near = engines.champion, Classifier.load(lab.home.model("tiny"))
    assert not near.reading.exact
    assert features_shelf(exact, Cache()).folder != features_shelf(near, Cache()).folder
    engines.close()


def test_a_setting_that_names_no_model_is_an_error(lab: Lab) -> None:
    settings = SETTINGS.model_copy(update={"model": "none"})
    with pytest.raises(
        VidwatchError, match=r"setting 'model' is 'none'.*'vidwatch models' lists them"
    ):
        ChampionLoader(lab.home, settings, lab.predictions, lab.history).first(lab.now)


def test_a_threshold_of_a_class_that_the_model_does_not_know_is_logged(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    changed = {"model": "tiny", "decoders": 1, "thresholds": {"bright": 0.4, "Darkk": 0.4}}
    engines = ChampionLoader(
        lab.home, SETTINGS.model_copy(update=changed), lab.predictions, lab.history
    )
    engines.first(lab.now)
    engines.close()
    assert "setting 'thresholds': model tiny has no class Darkk" in caplog.text


def test_an_undecided_challenger_predicts_in_the_shadow_of_the_champion(
    lab: Lab, engines: ChampionLoader, tmp_path: Path
) -> None:
    copy_of_tiny(lab, "auto-1")
    lab.history.conclude("auto-1", "tiny", UNDECIDED, lab.now)
    engine = engines.first(lab.now)
    outcomes = engine.predict(clips(tmp_path, engines.champion))
    assert [outcome.prediction.class_name for outcome in outcomes] == ["dark", "bright"]
    for outcome in outcomes:
        assert outcome.shadow
        model_id, prediction = outcome.shadow
        assert model_id != engine.model_id
        assert prediction.logits != outcome.prediction.logits


def test_a_challenger_that_cannot_be_loaded_does_not_stop_the_champion(
    lab: Lab, engines: ChampionLoader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab.history.conclude("auto-1", "tiny", UNDECIDED, lab.now)
    engine = engines.first(lab.now)
    outcomes = engine.predict(clips(tmp_path, engines.champion))
    assert [outcome.shadow for outcome in outcomes] == [None, None]
    assert "challenger auto-1 cannot be loaded" in caplog.text


@pytest.mark.slow
def test_a_challenger_that_takes_motion_predicts_beside_a_champion_that_does_not(
    lab: Lab, engines: ChampionLoader, tmp_path: Path
) -> None:
    tiny = load(lab.home.model("tiny")).manifest
    spec = replace(tiny.clip, motion=True)
    moving = Classifier.untrained(tiny.network, spec, tiny.classes, 1, lambda network: None)
    save(lab.home.model("auto-1"), moving.manifest, moving.network.state_dict())
    lab.history.conclude("auto-1", "tiny", UNDECIDED, lab.now)
    engine = engines.first(lab.now)
    assert isinstance(engine.reader, Decoders)
    assert engine.reader.settings.spec == spec
    seen = [read_clip(write_video(tmp_path / "a.avi", frames=6), spec)]
    (outcome,) = engine.predict(seen)
    assert outcome.shadow
    own = engines.champion.features(seen)
    assert outcome.prediction.logits == engines.champion.judge(own)[0].logits
    # The scene is found in what the frames show: with motion and without it alike.
    assert outcome.fingerprint == fingerprint(own[0].numpy())
    lab.history.conclude("auto-1", "tiny", PROMOTED, lab.now)
    promoted = engines.predictor_if_changed(lab.now)
    assert promoted
    assert promoted.reader is engine.reader
    (after,) = promoted.predict(seen)
    assert after.fingerprint is not None


def test_the_features_of_a_model_are_kept(
    lab: Lab, engines: ChampionLoader, tmp_path: Path
) -> None:
    engine = engines.first(lab.now)
    seen = clips(tmp_path, engines.champion)
    engine.predict(seen)
    shelf = features_shelf(engines.champion, engines.cache)
    for clip in seen:
        stored = shelf.get(clip.sha256)
        assert stored is not None
        assert (stored == engines.champion.features(clip.frames[None]).numpy()[0]).all()


@pytest.mark.parametrize(
    ("probability", "known", "reason"),
    [
        (0.9, True, None),
        (0.9, False, "unknown"),
        (0.4, True, "probability"),
        (0.7, True, "probability"),
    ],
)
def test_a_prediction_is_unsure_below_its_threshold_or_if_the_clip_is_unknown(
    probability: float, known: bool, reason: str | None
) -> None:
    thresholds = Thresholds(0.5, {"Biking": 0.8})
    prediction = Prediction("Biking" if probability == 0.7 else "Skiing", 0, probability, {}, known)
    assert thresholds.unsure_because(prediction) == reason


def test_with_a_target_a_threshold_of_a_class_counts_only_if_it_is_higher() -> None:
    thresholds = Thresholds(0.6, {"Biking": 0.8, "Skiing": 0.3}, only_raised=True)
    unsure = [
        thresholds.unsure_because(Prediction(name, 0, 0.7, {})) for name in ("Biking", "Skiing")
    ]
    assert unsure == ["probability", None]
    assert thresholds.unsure_because(Prediction("Skiing", 0, 0.5, {})) == "probability"


def test_the_target_sets_the_threshold_and_a_model_without_figures_is_noticed(
    lab: Lab, tmp_path: Path
) -> None:
    """Of an older model nothing is known; a target that no threshold keeps leaves all unsure."""
    settings = SETTINGS.model_copy(update={"model": "tiny", "unsure_target": 0.02})
    notices: dict[str, str | None] = {}
    arguments = (lab.home, settings, lab.predictions, lab.history, notices.__setitem__)
    manifest = lab.home.model("tiny").with_suffix(".json")
    document = json.loads(manifest.read_text())
    for rows, noticed in ((None, "unsure_below"), ([[0.0, 1.0, 0.5]], "all are unsure")):
        document["measured"].pop("automatic", None)
        if rows:
            document["measured"]["automatic"] = rows
        manifest.write_text(json.dumps(document))
        with closing(ChampionLoader(*arguments)) as loader:
            outcomes = loader.first(lab.now).predict(clips(tmp_path, loader.champion))
            assert noticed in (notices["unsure_target"] or "")
            if rows:
                assert {outcome.unsure for outcome in outcomes} <= {"probability", "unknown"}


def test_a_challenger_that_is_the_champion_itself_has_no_shadow_predictions(
    lab: Lab, engines: ChampionLoader, tmp_path: Path
) -> None:
    tiny = load(lab.home.model("tiny"))
    save(lab.home.model("auto-1"), tiny.manifest, tiny.tensors)
    lab.history.conclude("auto-1", "tiny", UNDECIDED, lab.now)
    outcomes = engines.first(lab.now).predict(clips(tmp_path, engines.champion))
    assert [outcome.shadow for outcome in outcomes] == [None, None]


def test_a_model_in_use_does_not_need_its_files_any_more(lab: Lab, engines: ChampionLoader) -> None:
    engines.first(lab.now)
    for suffix in (".json", ".safetensors"):
        (lab.home.models / f"tiny{suffix}").unlink()
    lab.history.conclude("auto-1", "tiny", UNDECIDED, lab.now)
    assert engines.predictor_if_changed(lab.now)
    assert engines.champion.name == lab.history.champion() == "tiny"


def test_if_no_other_model_is_left_the_one_in_use_goes_on(
    lab: Lab, engines: ChampionLoader
) -> None:
    engines.first(lab.now)
    lab.history.apply_setting("none", lab.now)
    lab.history.roll_back(lab.now)
    lab.history.apply_setting("gone", lab.now)
    assert engines.predictor_if_changed(lab.now) is None
    assert engines.champion.name == "tiny"


def test_a_misspelt_model_in_the_settings_does_not_replace_the_champion(lab: Lab) -> None:
    misspelt = ChampionLoader(
        lab.home, SETTINGS.model_copy(update={"model": "nix"}), lab.predictions, lab.history
    )
    with pytest.raises(VidwatchError, match="setting 'model' is 'nix'"):
        misspelt.first(lab.now)
    assert lab.history.champion() == "tiny"
    assert [row.challenger for row in lab.history.newest_first()] == ["tiny"]
