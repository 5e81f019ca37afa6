from typing import Any

import pytest
import torch

from learner.head import Head, Standardise
from learner.network import ClipNetwork
from learner.spec import ClipSpec, NetworkArgs

TINY = "test_efficientnet"
SPEC = ClipSpec(frames=2, size=32)
# The course report's head: two layers one way, the last state, and nothing before or beside them.
REPORT: dict[str, object] = {
    "norm": "none",
    "deviation": False,
    "projection": 0,
    "layers": 2,
    "hidden": 128,
    "bidirectional": False,
    "pooling": "last",
    "skip": False,
}


@pytest.mark.parametrize("frames", [1, 5])
@pytest.mark.parametrize(
    "args",
    [
        {},
        {"pooling": "last"},
        {"bidirectional": False, "layers": 2},
        {"norm": "none"},
        {"norm": "layer"},
        {"projection": 0},
        REPORT,
    ],
    ids=str,
)
def test_a_head_gives_finite_logits_for_any_number_of_frames(
    args: dict[str, object], frames: int
) -> None:
    head = Head(6, 3, NetworkArgs(**{"hidden": 4} | args)).eval()  # type: ignore[arg-type]
    logits = head(torch.randn(2, frames, 6))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()


def test_the_last_states_are_the_two_directions_ends() -> None:
    """As in the report: the state after the last frame forwards, after the first backwards."""
    head = Head(
        6, 3, NetworkArgs(**REPORT | {"hidden": 4, "layers": 1, "bidirectional": True})
    ).eval()  # type: ignore[arg-type]
    features = torch.randn(2, 5, 6)
    states, _ = head.lstm(features)
    expected = head.linear(torch.cat([states[:, -1, :4], states[:, 0, 4:]], 1))
    torch.testing.assert_close(head(features), expected)


def test_a_features_deviation_stands_beside_it() -> None:
    features = torch.tensor([[[1.0], [4.0]]]).half()
    assert Head(1, 2, NetworkArgs()).inputs(features).tolist() == [[[1.0, 1.5], [4.0, 1.5]]]


@pytest.mark.parametrize(
    "args", [{}, {"skip": False}, {"bidirectional": False, "layers": 2}, {"deviation": False}]
)
def test_evidence_of_averaged_states_has_the_logits_as_its_mean(args: dict[str, object]) -> None:
    head = Head(6, 3, NetworkArgs(**{"hidden": 4} | args)).eval()  # type: ignore[arg-type]
    features = torch.randn(2, 5, 6)
    with torch.inference_mode():
        evidence = head.evidence(features)
        assert evidence.shape == (2, 5, 3)
        torch.testing.assert_close(evidence.mean(1), head(features))


@pytest.mark.parametrize("skip", [False, True])
def test_evidence_of_the_last_state_is_what_the_logits_would_be_had_the_clip_ended_there(
    skip: bool,
) -> None:
    args: dict[str, Any] = REPORT | {"hidden": 4, "skip": skip}
    head = Head(6, 3, NetworkArgs(**args)).eval()
    features = torch.randn(2, 5, 6)
    with torch.inference_mode():
        evidence = head.evidence(features)
        for step in range(5):
            torch.testing.assert_close(evidence[:, step], head(features[:, : step + 1]))


def test_standardised_features_have_mean_zero_and_deviation_one() -> None:
    features = 3 + 2 * torch.randn(40, 4, 6)
    norm = Standardise(6)
    norm.learn(features.split(7))
    out = norm(features).flatten(0, 1)
    torch.testing.assert_close(out.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(0, correction=0), torch.ones(6), atol=1e-4, rtol=0)


def test_a_feature_that_never_differs_is_not_divided_by_nothing() -> None:
    norm = Standardise(1)
    norm.learn([torch.full((3, 2, 1), 5.0)])
    assert norm(torch.full((1, 1, 1), 5.0)).item() == 0


def test_a_networks_logits_are_its_heads_of_its_backbones_features() -> None:
    network = ClipNetwork(NetworkArgs(backbone=TINY, hidden=4), SPEC, 3).eval()
    frames = torch.randint(0, 256, (2, 2, 32, 32, 3), dtype=torch.uint8)
    features = network.backbone(frames)
    for logits in (network(frames), network(features)):
        torch.testing.assert_close(logits, (network.head(features), network.baseline(features)))
