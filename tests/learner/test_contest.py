"""Heads that compete, on a small real network and small videos."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_video
from tiny import QUICK, class_folders, recipe, write_weights
from tiny import cache as cache

from learner import checkpoint, contest
from learner.classifier import Classifier
from learner.dataset import extract, find_clips
from learner.splits import Sources
from learner.train import Start, Trained, train

HEADS = ("pooled", "lstm", "both")


def competed(folder: Path, head: str, groups: int = 4, **sources: Any) -> Trained:
    own = recipe(QUICK, head=head, baseline="spread")
    root = folder / "data"
    if not root.exists():
        class_folders(root, groups=groups)
    start = Start(weights=write_weights(folder / "weights.pth"))
    return train(Sources(root, **sources), folder / f"m-{head}", own, start)


def bright_in_dark(root: Path) -> None:
    """A clip in the wrong folder: no head is right on it."""
    write_video(root / "dark/v_dark_g09_c01.avi", frames=7, shade=183)


@pytest.mark.slow
def test_the_pooled_head_alone_is_convex_and_needs_no_epochs(tmp_path: Path, cache: Path) -> None:
    result = competed(tmp_path, "pooled")
    manifest = checkpoint.load(result.path).manifest
    assert manifest.network.head == "pooled"
    assert [head.head for head in result.heads] == ["pooled"]
    assert result.score.accuracy == 1
    assert not (result.run / "curves.svg").exists()
    again = train(
        Sources(tmp_path / "data"),
        tmp_path / "again",
        recipe(QUICK, head="pooled", baseline="spread"),
        Start(weights=tmp_path / "weights.pth"),
    )
    assert again.path.read_bytes() == result.path.read_bytes()


@pytest.mark.slow
def test_the_head_that_is_chosen_is_the_one_with_the_lowest_loss(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "CLEARLY", 1e9)  # no head gives up
    bright_in_dark(class_folders(tmp_path / "data"))
    result = competed(tmp_path, "best")
    assert {head.head for head in result.heads} == set(HEADS)
    best, *others = result.heads
    assert checkpoint.load(result.path).manifest.network.head == best.head
    assert all(best.loss <= head.loss + 0.05 for head in others)
    assert best.sure == 0.5
    assert all(0 <= head.sure <= 1 for head in others)


@pytest.mark.slow
def test_an_lstm_that_is_clearly_behind_is_given_up(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "CLEARLY", -1e9)
    bright_in_dark(class_folders(tmp_path / "data"))
    result = competed(tmp_path, "best")
    assert [head.head for head in result.heads] == ["pooled"]


def test_an_lstm_does_not_compete_if_the_pooled_head_is_never_wrong(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "CLEARLY", 1e9)
    result = competed(tmp_path, "best")
    assert result.score.accuracy == 1
    assert [head.head for head in result.heads] == ["pooled"]


def test_clips_of_one_group_a_class_can_be_kept_back_at_random(tmp_path: Path, cache: Path) -> None:
    class_folders(tmp_path / "data", groups=8)
    pattern = r"^(.)"  # all clips of a class are one group
    result = competed(tmp_path, "pooled", split="random", group_pattern=pattern)
    assert result.score.n == 4


def test_without_a_word_on_order_a_pooled_head_is_the_same_backwards(
    tmp_path: Path, cache: Path
) -> None:
    assert competed(tmp_path, "pooled").order.changed_backwards == 0


@pytest.mark.slow
def test_a_head_that_competes_begins_without_that_of_another_model(
    tmp_path: Path, cache: Path
) -> None:
    first = competed(tmp_path, "pooled")
    again = train(
        Sources(tmp_path / "data"),
        tmp_path / "again",
        recipe(QUICK, head="pooled", baseline="spread"),
        Start(model=first.path),
    )
    assert "flattering" not in again.method


@pytest.mark.slow
@pytest.mark.parametrize("head", ["both", "pooled"])
def test_a_model_in_use_gives_the_logits_that_were_fitted(
    tmp_path: Path, cache: Path, head: str
) -> None:
    result = competed(tmp_path, head)
    own = Classifier.load(result.path, "cpu")
    found = extract(find_clips(tmp_path / "data"), own)
    features = found.tensor()
    predicted = [own.classes[row] for row in own.logits(features).argmax(1)]
    assert predicted == [clip.label for clip in found.clips]
    evidence = own.evidence(features)
    np.testing.assert_allclose(evidence.mean(1), own.logits(features), atol=1e-3)


@pytest.mark.slow
def test_familiarity_travels_with_the_model(tmp_path: Path, cache: Path) -> None:
    result = competed(tmp_path, "pooled", groups=12)
    own = Classifier.load(result.path, "cpu")
    features = extract(find_clips(tmp_path / "data"), own).tensor()
    assert own.reference is not None
    known = own.judge(features)
    strange = own.judge(torch.full_like(features[:1], 50))
    assert not strange[0].known
    assert strange[0].familiarity == pytest.approx(1 / 25)
    assert np.mean([prediction.known for prediction in known]) > 0.8
    assert all(0 <= (prediction.familiarity or 0) <= 1 for prediction in known)


def test_the_manifest_says_what_cross_validation_found(tmp_path: Path, cache: Path) -> None:
    result = competed(tmp_path, "pooled")
    measured = checkpoint.load(result.path).manifest.measured
    assert measured["beats_chance"]
    assert measured["chance"] == 0.5
    assert measured["order"]["n"] == 8
    assert measured["automatic"][0][1:] == [1.0, 0.0]
    assert sum(row[2] for row in measured["reliability"]) == 8


@pytest.mark.slow
def test_clips_that_are_kept_back_judge_the_winner(tmp_path: Path, cache: Path) -> None:
    result = competed(tmp_path, "pooled", groups=6, split="random")
    assert result.score.n < 12
    manifest = checkpoint.load(result.path).manifest
    assert len(manifest.trained_on) == 12 - result.score.n


@pytest.mark.slow
def test_the_same_features_in_many_parts_give_the_same_logits(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = competed(tmp_path, "pooled")
    own = Classifier.load(result.path, "cpu")
    features = extract(find_clips(tmp_path / "data"), own).tensor()
    whole = own.logits(features)
    monkeypatch.setattr("learner.classifier.AT_ONCE", 3)
    np.testing.assert_allclose(own.logits(features), whole, atol=1e-5)


@pytest.mark.slow
def test_a_network_shares_its_backbone_with_another_head(tmp_path: Path, cache: Path) -> None:
    result = competed(tmp_path, "pooled")
    own = Classifier.load(result.path, "cpu").network
    other = own.with_head(replace(own.args, head="lstm"))
    assert other.backbone is own.backbone
