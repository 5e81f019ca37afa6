from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from learner import recipe
from learner.backbone import Backbone
from learner.errors import VidwatchError
from learner.image_networks import data_config, middle_stage, require_known
from learner.initial import with_backbone
from learner.spec import ClipSpec, NetworkArgs


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnt18", "did you mean 'resnet18'"),
        ("mobilenetv4", "did you mean 'mobilenetv4_conv_large'"),
        ("vit_small_dinov2", "did you mean 'vit_small_patch14_dinov2'"),
        ("hf-hub:timm/resnet18.a1_in1k", "did you mean 'resnet18'"),
        ("custom_3con", "'custom_3conv'"),
        ("resnet18.imagenet", "no weights of that name; did you mean 'resnet18.a1_in1k'"),
        ("", "timm has no network of that name, and neither have we"),
    ],
)
def test_near_names_are_offered_for_one_that_timm_lacks(name: str, near: str) -> None:
    with pytest.raises(VidwatchError) as caught:
        require_known(name, ["custom_3conv"])
    assert near in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k", "test_vit"])
def test_a_name_that_timm_has_passes(name: str) -> None:
    require_known(name)


def test_size_mean_and_std_are_the_networks_own() -> None:
    lite = data_config("tf_efficientnet_lite2")
    assert (lite.size, lite.mean, lite.std) == (260, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    dino = data_config("vit_small_patch14_dinov2.lvd142m")
    assert (dino.size, dino.mean) == (518, (0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("tf_efficientnet_lite0", 3),
        ("mobilenetv4_conv_medium", 3),
        ("convnext_atto", 2),
        ("tiny_vit_5m_224", 2),
        ("vit_tiny_patch16_224", None),
        ("resmlp_12_224", None),
    ],
)
def test_the_middle_stage_is_the_one_of_16_pixels(name: str, stage: int | None) -> None:
    assert middle_stage(name) == stage


def test_the_default_recipe_takes_the_middle_stage() -> None:
    network = recipe.load("default").network
    assert middle_stage(network.backbone) == network.stage


def test_a_recipe_takes_another_network_with_its_size_and_its_weights() -> None:
    default = recipe.load("default")
    made = with_backbone(default, "tf_efficientnet_lite2")
    assert (made.name, made.start, made.clip.size) == (
        "tf_efficientnet_lite2",
        "imagenet",
        260,
    )
    assert (made.network.stage, made.network.pooled) == (3, True)
    assert made.training == default.training
    assert made.training.freeze
    assert made.clip.frames == default.clip.frames


def test_a_vision_transformer_gives_its_pooled_features_alone() -> None:
    made = with_backbone(recipe.load("default"), "vit_small_patch16_dinov3")
    assert (made.clip.size, made.network.stage, made.network.pooled) == (256, None, False)


def test_a_recipe_that_has_the_network_already_stays_as_it_is() -> None:
    default = recipe.load("default")
    assert with_backbone(default, default.network.backbone) is default


def test_another_network_is_not_what_the_report_measured() -> None:
    made = with_backbone(recipe.load("pretrained-64"), "resnet18")
    assert made.report is None
    assert made.training == recipe.load("pretrained-64").training
    assert with_backbone(recipe.load("scratch"), "resnet18").network.differences is False


def test_our_own_networks_are_not_swapped_in() -> None:
    with pytest.raises(VidwatchError, match="'compact' is ours, and trained from scratch"):
        with_backbone(recipe.load("default"), "compact")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["strong", "tiny"])
def test_the_networks_of_our_recipes_are_built_and_give_features(name: str) -> None:
    loaded = recipe.load(name)
    size = loaded.clip.size
    assert data_config(loaded.network.backbone).size == size
    assert middle_stage(loaded.network.backbone) == loaded.network.stage
    net = Backbone(loaded.network, ClipSpec(frames=1, size=size)).eval()
    with torch.inference_mode():
        features = net(torch.randint(0, 256, (1, 1, size, size, 3), dtype=torch.uint8))
    assert features.shape == (1, 1, net.features)
    assert features.isfinite().all()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_of_another_size_are_resampled_as_timm_does(tmp_path: Path, suffix: str) -> None:
    """A vision transformer knows the places in a picture: its weights are for one size."""
    path = tmp_path / f"weights.{suffix}"
    tensors = timm.create_model("test_vit").state_dict()
    save_file(tensors, path) if suffix == "safetensors" else torch.save(tensors, path)
    ours = Backbone(NetworkArgs("test_vit"), ClipSpec(frames=1, size=96))
    ours.load_weights(path)
    overlay: dict[str, Any] = {"file": str(path)}
    options: dict[str, Any] = {"num_classes": 0, "img_size": 96, "pretrained_cfg_overlay": overlay}
    theirs = timm.create_model("test_vit", pretrained=True, **options).state_dict()
    assert ours.body.state_dict()["pos_embed"].shape != tensors["pos_embed"].shape
    for name, tensor in ours.body.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("source", ["test_efficientnet", "test_resnet"])
def test_another_networks_weights_are_named_in_one_line(tmp_path: Path, source: str) -> None:
    torch.save(timm.create_model(source).state_dict(), tmp_path / "w.pth")
    net = Backbone(NetworkArgs("test_vit"), ClipSpec(frames=1, size=160))
    before = {name: tensor.clone() for name, tensor in net.body.state_dict().items()}
    with pytest.raises(VidwatchError, match=r"of another network \(\w+ is missing\)") as caught:
        net.load_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.body.state_dict().items())
