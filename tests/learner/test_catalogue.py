"""One reader of manifests for all: which file it reads, and what it says of one that is damaged."""

from pathlib import Path

import pytest

from learner import files
from learner.catalogue import find_models, manifest_path, read_manifest, weights_path
from learner.errors import VidwatchError


@pytest.mark.parametrize("name", ["m", "m.json", "m.safetensors"])
def test_a_model_is_named_by_its_stem_or_either_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "m.json").write_text('{"classes": ["cat"]}')
    assert weights_path(tmp_path / name) == tmp_path / "m.safetensors"
    assert manifest_path(tmp_path / name) == tmp_path / "m.json"
    assert read_manifest(tmp_path / name) == {"classes": ["cat"]}


def test_a_dot_in_a_name_is_part_of_it(tmp_path: Path) -> None:
    assert weights_path(tmp_path / "v1.5").name == "v1.5.safetensors"
    assert manifest_path(tmp_path / "v1.5").name == "v1.5.json"


def test_a_manifest_that_was_not_put_in_its_place_is_read_if_there_is_no_other(
    tmp_path: Path,
) -> None:
    files.prepare(tmp_path / "m.json", b'{"classes": ["new"]}')
    assert read_manifest(tmp_path / "m") == {"classes": ["new"]}
    (tmp_path / "m.json").write_text('{"classes": ["old"]}')
    assert read_manifest(tmp_path / "m") == {"classes": ["old"]}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_what_is_no_manifest_is_an_error_that_names_the_file(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(VidwatchError, match=rf"^model manifest {tmp_path}/m\.json: not "):
        read_manifest(tmp_path / "m")
    assert find_models(tmp_path)[1].problem


def test_a_manifest_that_is_missing_is_an_error_that_names_the_model(tmp_path: Path) -> None:
    with pytest.raises(VidwatchError, match=rf"^no model {tmp_path}/m: cannot read m\.json \(No "):
        read_manifest(tmp_path / "m.safetensors")


def test_a_list_of_models_shows_which_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"classes": ["cat"]}')
    starter, found = find_models(tmp_path)
    assert (starter.name, len(starter.classes), starter.problem) == ("starter", 10, None)
    assert (found.name, found.problem) == ("m", "m.json is not a manifest that vidwatch wrote")
