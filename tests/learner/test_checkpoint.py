import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from learner import Classifier, checkpoint
from learner.errors import VidwatchError
from learner.spec import ClipSpec, NetworkArgs

MANIFEST = checkpoint.Manifest(
    classes=("cat", "dog"),
    clip=ClipSpec(frames=4, size=32, mean=(0.5, 0.5, 0.5)),
    network=NetworkArgs(hidden=8),
    trained_on=(checkpoint.TrainingClip("ab" * 32, "bright", "g1"),),
    measured={"accuracy": 0.5},
    created="2024-01-01T00:00:00+00:00",
)
TENSORS = {"weight": torch.tensor([0.1, 2.0]), "steps": torch.tensor(3)}


def saved(folder: Path) -> Path:
    return checkpoint.save(folder / "m", MANIFEST, TENSORS)


def edit(path: Path, **changes: object) -> None:
    file = path.with_suffix(".json")
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_is_saved_is_loaded_in_half_precision(tmp_path: Path) -> None:
    loaded = checkpoint.load(saved(tmp_path))
    assert loaded.manifest == MANIFEST
    assert loaded.name == "m"
    assert torch.equal(loaded.tensors["weight"], TENSORS["weight"].half().float())
    assert torch.equal(loaded.tensors["steps"], TENSORS["steps"])


@pytest.mark.parametrize("name", ["m", "m.json", "m.safetensors"])
def test_a_model_is_named_by_its_stem_or_either_file(tmp_path: Path, name: str) -> None:
    saved(tmp_path)
    assert checkpoint.load(tmp_path / name).manifest == MANIFEST


def test_a_dot_in_a_models_name_is_kept(tmp_path: Path) -> None:
    assert checkpoint.save(tmp_path / "v1.5", MANIFEST, TENSORS) == tmp_path / "v1.5.safetensors"
    assert checkpoint.load(tmp_path / "v1.5").name == "v1.5"


def test_the_folder_is_made_and_nothing_but_the_pair_is_left(tmp_path: Path) -> None:
    saved(tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["m.json", "m.safetensors"]


@pytest.mark.parametrize("survivor", [".json", ".safetensors"])
def test_no_model_is_written_over_even_half_of_another(tmp_path: Path, survivor: str) -> None:
    path = saved(tmp_path)
    for suffix in {".json", ".safetensors"} - {survivor}:
        path.with_suffix(suffix).unlink()
    with pytest.raises(VidwatchError, match="exists already"):
        saved(tmp_path)


def test_one_changed_byte_of_the_weights_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(VidwatchError, match="copy both again"):
        checkpoint.load(path)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_half_is_an_error(tmp_path: Path, suffix: str) -> None:
    saved(tmp_path).with_suffix(suffix).unlink()
    with pytest.raises(VidwatchError, match="cannot read"):
        checkpoint.load(tmp_path / "m")


def test_a_manifest_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    edit(path, format=checkpoint.FORMAT + 1)
    with pytest.raises(VidwatchError, match="another version"):
        checkpoint.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "\xff"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    saved(tmp_path).with_suffix(".json").write_text(text, encoding="latin-1")
    with pytest.raises(VidwatchError, match="manifest"):
        checkpoint.load(tmp_path / "m")


WRONG: list[dict[str, object]] = [
    {"clip": {"frames": 0, "size": 1}},
    {"network": {"unknown": 1}},
    {"network": {"norm": True}},
    {"network": {"hidden": 0}},
    {"extra": 1},
]


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_a_manifest_with_wrong_fields_is_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    path = saved(tmp_path)
    edit(path, **changes)
    with pytest.raises(VidwatchError, match="manifest"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../up", "a\0b", "new\nline", ".hidden", "_own", "x" * 201, 3]
)
def test_a_class_that_is_no_folders_name_is_refused_in_one_line(
    tmp_path: Path, name: object
) -> None:
    path = saved(tmp_path)
    edit(path, classes=["dog", name])
    with pytest.raises(
        VidwatchError, match=r"^model manifest .*class .*must be a folder's name"
    ) as caught:
        checkpoint.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [[], ["dog", "dog"]])
def test_no_classes_and_the_same_class_twice_are_refused(
    tmp_path: Path, classes: list[str]
) -> None:
    path = saved(tmp_path)
    edit(path, classes=classes)
    with pytest.raises(VidwatchError, match="different names"):
        checkpoint.load(path)


@pytest.mark.parametrize("name", ["Biking", "Weiß", "two words", "x" * 200])
def test_ordinary_folder_names_are_classes(tmp_path: Path, name: str) -> None:
    path = checkpoint.save(tmp_path / "m", replace(MANIFEST, classes=("dog", name)), TENSORS)
    assert checkpoint.load(path).manifest.classes == ("dog", name)


def test_the_same_weights_with_other_classes_are_another_model(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = checkpoint.load(path).digest
    edit(path, classes=["dog", "cat"])
    assert checkpoint.load(path).digest != before


@pytest.mark.parametrize("backbone", ["hf-hub:timm/resnet18", "nonsense", 5])
def test_a_backbone_that_timm_does_not_have_is_never_looked_for_elsewhere(
    tmp_path: Path, backbone: object
) -> None:
    path = saved(tmp_path)
    edit(
        path,
        network=json.loads(path.with_suffix(".json").read_text())["network"]
        | {"backbone": backbone},
    )
    with pytest.raises(VidwatchError, match=r"no network|not one that this vidwatch wrote"):
        Classifier(checkpoint.load(path))
