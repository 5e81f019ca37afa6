import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from learner.backbone import Backbone, backbone_statistics
from learner.errors import VidwatchError
from learner.spec import ClipSpec, NetworkArgs

SPEC = ClipSpec(frames=2, size=32, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
TINY = "test_efficientnet"


def backbone(name: str, stage: int | None = None, **args: Any) -> Backbone:
    return Backbone(NetworkArgs(backbone=name, stage=stage, **args), SPEC)


def test_a_backbone_gets_rgb_normalised_with_its_own_statistics() -> None:
    """What the report did wrong: here red is normalised with red's mean and std."""
    net = backbone(TINY).eval()
    frames = torch.randint(0, 256, (1, 2, 32, 32, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (SPEC.mean, SPEC.std))
    with torch.inference_mode():
        expected = net.body((frames[0].permute(0, 3, 1, 2) / 255 - mean) / std)
        actual = net(frames)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual[0], expected, atol=0.02, rtol=0.05)  # bf16 has three digits


def test_a_stage_is_averaged_to_two_by_two() -> None:
    stage = backbone("test_resnet", 1).eval()
    frames = torch.randint(0, 256, (1, 2, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        maps = stage.body((frames[0].permute(0, 3, 1, 2) - stage.mean) / stage.std)[0]
        quarters = maps.unflatten(2, (2, -1)).unflatten(4, (2, -1)).mean((3, 5)).flatten(1)
        torch.testing.assert_close(stage(frames)[0], quarters, atol=0.02, rtol=0.05)


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(VidwatchError, match="no_such_net"):
        backbone("no_such_net")


def test_a_backbones_statistics_are_its_own_and_not_imagenets() -> None:
    assert backbone_statistics("tf_efficientnet_lite0") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


# By hand from the course report: the convolutions of its three networks, as channels in and out.
CONVOLUTIONS = {
    "custom_2conv": [(3, 32), (32, 512)],
    "custom_3conv": [(3, 32), (32, 128), (128, 512)],
    "custom_4conv": [(3, 32), (32, 64), (64, 128), (128, 512)],
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_reports_networks_have_its_convolutions_and_2048_features(name: str) -> None:
    net = backbone(name)
    assert sum(tensor.numel() for tensor in net.body.parameters()) == sum(
        9 * given * taken + taken for given, taken in CONVOLUTIONS[name]
    )
    features = net(torch.zeros(1, 2, 64, 64, 3, dtype=torch.uint8))
    assert features.shape == (1, 2, 2048)
    assert net.features == 2048


# By hand from the course report: its ReLU comes before the pool. A number is the channels of a
# convolution.
LAYERS: dict[str, list[int | str]] = {
    "custom_2conv": [32, "pool", 512, "adapt"],
    "custom_3conv": [32, "pool", 128, "pool", 512, "adapt"],
    "custom_4conv": [32, 64, "pool", 128, "pool", 512, "adapt"],
}


def as_in_the_report(name: str) -> nn.Sequential:
    pools: dict[int | str, nn.Module] = {"pool": nn.MaxPool2d(2), "adapt": nn.AdaptiveMaxPool2d(2)}
    layers: list[nn.Module] = []
    channels = 3
    for layer in LAYERS[name]:
        if isinstance(layer, int):
            layers += [nn.Conv2d(channels, layer, 3, padding=1), nn.ReLU()]
            channels = layer
        else:
            layers.append(pools[layer])
    return nn.Sequential(*layers, nn.Flatten())


@pytest.mark.parametrize("name", LAYERS)
def test_the_reports_networks_give_its_values_and_gradients(name: str) -> None:
    """Ours pools before the ReLU, which is the same on fewer numbers."""
    ours, theirs = backbone(name).body, as_in_the_report(name)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 32, 32)
    features = ours(images)
    assert torch.equal(features, theirs(images))
    for net in (ours, theirs):
        net(images).square().sum().backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize(("stage", "features"), [(2, 2048), (1, 1024)])
def test_resnet101s_stages_have_the_reports_features(stage: int, features: int) -> None:
    assert backbone("resnet101", stage).features == features


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_a_stage_gives_what_it_gives_within_the_whole_network_and_later_ones_are_not_built(
    name: str,
) -> None:
    whole = timm.create_model(name, features_only=True).eval()
    stage = backbone(name, 2).eval()
    wanted = stage.body.model.state_dict()
    stage.body.model.load_state_dict({key: whole.state_dict()[key] for key in wanted})
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(stage.body(images)[0], whole(images)[2])
    assert len(wanted) < 0.8 * len(whole.state_dict())


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet18", "test_vit"])
def test_the_number_of_features_is_what_comes_out(name: str) -> None:
    """Of some of timm's networks, what they say of themselves is another number."""
    spec = ClipSpec(frames=2, size=160)
    net = Backbone(NetworkArgs(name), spec).eval()
    assert net(torch.zeros(1, 2, 160, 160, 3, dtype=torch.uint8)).shape == (1, 2, net.features)


@pytest.mark.parametrize(("name", "size"), [("vit_tiny_patch16_224", 8), ("custom_4conv", 3)])
def test_a_size_that_a_network_does_not_take_is_an_error(name: str, size: int) -> None:
    with pytest.raises(VidwatchError, match=f"takes no {size}x{size} pictures"):
        Backbone(NetworkArgs(name), ClipSpec(frames=2, size=size))


def test_differences_are_taken_within_pairs_of_frames() -> None:
    net = backbone("compact", differences=True).eval()
    frames = torch.randint(0, 256, (1, 4, 32, 32, 3), dtype=torch.uint8)
    features = net(frames)
    assert features.shape == (1, 2, 256)
    changed = frames.clone()
    changed[:, 3] = 0
    assert torch.equal(net(changed)[:, 0], features[:, 0])
    assert not torch.equal(net(changed)[:, 1], features[:, 1])


def test_pooled_features_and_a_stages_quarters_stand_side_by_side() -> None:
    both, pooled, stage = backbone(TINY, 2, pooled=True), backbone(TINY), backbone(TINY, 2)
    pooled.body.load_state_dict(both.body.state_dict())
    stage.body.model.load_state_dict(both.body.state_dict(), strict=False)
    frames = torch.randint(0, 256, (1, 2, 32, 32, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = torch.cat([pooled.eval()(frames), stage.eval()(frames)], -1)
        torch.testing.assert_close(both.eval()(frames), expected, atol=0.02, rtol=0.05)


def test_a_custom_network_has_no_stages() -> None:
    with pytest.raises(VidwatchError, match="leave stage 1 out"):
        backbone("custom_3conv", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}]
)
def test_pretrained_weights_that_cannot_be_fetched_are_an_error_with_what_to_do(
    setting: dict[str, str],
) -> None:
    """In a process of its own, since the hub reads these settings when it is imported."""
    program = (
        "from learner.backbone import Backbone; from learner.spec import ClipSpec, NetworkArgs\n"
        "Backbone(NetworkArgs('resnet18'), ClipSpec(1, 32)).fetch_weights()"
    )
    environment = {**os.environ, **setting, "HF_HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    reason = "its pretrained weights cannot be fetched; connect this machine once"
    assert f"VidwatchError: backbone 'resnet18': {reason}" in done.stderr
    assert done.stderr.strip().endswith("or give a file of them with --weights")


def test_a_custom_network_has_no_weights_to_fetch() -> None:
    with pytest.raises(VidwatchError, match="from scratch"):
        backbone("custom_3conv").fetch_weights()


def test_weights_from_a_file_fill_a_stage(tmp_path: Path) -> None:
    source = timm.create_model("test_resnet")
    torch.save(source.state_dict(), tmp_path / "w.pth")
    net = backbone("test_resnet", 1)
    net.load_weights(tmp_path / "w.pth")
    loaded = net.body.model.state_dict()
    assert all(torch.equal(loaded[name], source.state_dict()[name]) for name in loaded)
