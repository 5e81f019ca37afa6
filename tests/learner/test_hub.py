import os
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from learner import hub, recipe
from learner.backbone import CUSTOM, Backbone
from learner.errors import VidwatchError
from learner.spec import ClipSpec, NetworkArgs

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put_into_cache(root: Path, repository: str, name: str = "model.safetensors") -> Path:
    """An empty file where the hub's client would have put one that it fetched."""
    folder = root / f"models--{repository.replace('/', '--')}"
    path = folder / "snapshots" / COMMIT / name
    path.parent.mkdir(parents=True)
    path.touch()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return path


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache in a folder of the test's own, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_every_image_network_of_a_recipe_is_known() -> None:
    named = {recipe.load(name).network.backbone for name in recipe.names()}
    assert named - CUSTOM.keys() == hub.RECIPES.keys()


@pytest.mark.parametrize("name", hub.RECIPES)
def test_what_is_said_of_a_network_is_what_timm_says(name: str) -> None:
    facts = hub.RECIPES[name]
    config = timm.get_pretrained_cfg(name)
    with torch.device("meta"):
        body = timm.create_model(name)
    assert facts.parameters == sum(tensor.numel() for tensor in body.parameters())
    assert (facts.repository, facts.input_size, facts.licence) == (
        config.hf_hub_id,
        config.input_size[1],
        config.license,
    )


def test_without_a_cache_the_recipes_networks_are_to_fetch(hub_cache: Path) -> None:
    found = {network.name: network for network in hub.image_networks()}
    assert list(found) == list(hub.RECIPES)
    assert found["tf_efficientnet_lite0"].weights == "packaged"
    assert found["resnet101"].weights == "to fetch"
    assert found["resnet101"].size == 4 * 44549160
    assert found["resnet101"].path is None
    assert {"pretrained-base", "pretrained-64-as-run"} <= set(found["resnet101"].recipes)


def test_what_is_in_the_cache_is_named_with_its_file(hub_cache: Path) -> None:
    ours = put_into_cache(hub_cache, "timm/resnet101.a1h_in1k")
    other = put_into_cache(hub_cache, "timm/test_vit.r160_in1k")
    body = timm.create_model("test_vit")
    save_file(body.state_dict(), other)
    put_into_cache(hub_cache, "timm/no_network_of_timm", "pytorch_model.bin")
    put_into_cache(hub_cache, "google/bert")
    found = {network.name: network for network in hub.image_networks()}
    assert list(found) == [*hub.RECIPES, "no_network_of_timm", "test_vit.r160_in1k"]
    assert (found["resnet101"].weights, found["resnet101"].path) == ("cached", os.fspath(ours))
    vit = found["test_vit.r160_in1k"]
    assert vit.parameters == sum(tensor.numel() for tensor in body.parameters())
    assert (vit.input_size, vit.licence, vit.size) == (160, "apache-2.0", other.stat().st_size)
    unknown = found["no_network_of_timm"]
    assert (unknown.parameters, unknown.input_size, unknown.licence) == (None, None, None)


def test_an_unfinished_download_is_not_in_the_cache(hub_cache: Path) -> None:
    path = put_into_cache(hub_cache, "timm/resnet101.a1h_in1k")
    path.rename(path.with_suffix(".incomplete"))
    assert {network.name: network.weights for network in hub.image_networks()}[
        "resnet101"
    ] == "to fetch"


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_weights_come_from_the_cache_without_a_network(
    hub_cache: Path, name: str, file: str
) -> None:
    source = timm.create_model(name)
    path = put_into_cache(hub_cache, timm.get_pretrained_cfg(name).hf_hub_id, file)
    if file.endswith(".bin"):
        # Without a network, timm asks for the safetensors first and is told that there are none.
        (path.parents[2] / ".no_exist" / COMMIT).mkdir(parents=True)
        (path.parents[2] / ".no_exist" / COMMIT / "model.safetensors").touch()
        torch.save(source.state_dict(), path)
    else:
        save_file(source.state_dict(), path)
    net = Backbone(NetworkArgs(name), ClipSpec(frames=1, size=160))
    net.fetch_weights()
    for key, tensor in net.body.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[key]), key


@pytest.mark.parametrize("content", [b"", b"no weights at all"])
def test_a_damaged_file_in_the_cache_is_named_as_the_reason(
    hub_cache: Path, content: bytes
) -> None:
    path = put_into_cache(hub_cache, timm.get_pretrained_cfg("test_vit").hf_hub_id)
    path.write_bytes(content)
    net = Backbone(NetworkArgs("test_vit"), ClipSpec(frames=1, size=160))
    with pytest.raises(VidwatchError, match="the file of its weights in the cache is damaged"):
        net.fetch_weights()


def test_another_networks_weights_in_the_cache_are_refused(hub_cache: Path) -> None:
    path = put_into_cache(hub_cache, timm.get_pretrained_cfg("test_vit").hf_hub_id)
    save_file(timm.create_model("test_resnet").state_dict(), path)
    net = Backbone(NetworkArgs("test_vit"), ClipSpec(frames=1, size=160))
    with pytest.raises(VidwatchError, match="in the cache are those of another network; remove"):
        net.fetch_weights()


def test_a_network_without_pretrained_weights_says_so() -> None:
    assert "efficientnet_b6" not in timm.list_models(pretrained=True)
    net = Backbone(NetworkArgs("efficientnet_b6"), ClipSpec(frames=1, size=64))
    with pytest.raises(VidwatchError, match="timm knows no weights of it; give a file"):
        net.fetch_weights()
