"""A model on disk: `NAME.safetensors`, and a manifest `NAME.json` with all to use and judge it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from learner import files
from learner.calibration import Calibration
from learner.catalogue import manifest_path, read_manifest, read_manifest_file, weights_path
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError
from learner.familiarity import Scale
from learner.spec import ClipSpec, NetworkArgs

FORMAT = 3


class TrainingClip(NamedTuple):
    """A clip that a model was trained on, by its content."""

    sha256: str
    label: str
    group: str


@dataclass(frozen=True)
class Manifest:
    """What a model is, and what is known of it."""

    classes: tuple[str, ...]
    """In the order of the logits."""
    clip: ClipSpec
    network: NetworkArgs
    trained_on: tuple[TrainingClip, ...]
    """Every clip that it was trained on, or a model before it."""
    measured: Mapping[str, Any] = field(default_factory=dict)
    """The accuracy on clips that it had not seen, and how it was measured; empty if it was not."""
    temperature: float = 1.0
    """Logits are divided by it for probabilities."""
    bias: tuple[float, ...] = ()
    """Of each class: added to the logits after that; empty for none."""
    familiarity: Scale | None = None
    """Says how familiar a clip is; None in models of before."""
    unknown_below: float | None = None
    """In models of before: a clip is of no known class if the energy of its logits is below this.

    None if that was not measured.
    """
    created: str = ""
    precision: str = ""
    """What its backbone was computed in when it was trained and measured.

    "float32", "bfloat16" or "float16"; empty if that was not recorded.
    """

    @property
    def calibration(self) -> Calibration:
        """What makes probabilities of logits."""
        return Calibration(self.temperature, self.bias)


@dataclass(frozen=True)
class Checkpoint:
    """A manifest with float32 tensors by name."""

    name: str
    manifest: Manifest
    tensors: dict[str, torch.Tensor]
    digest: str
    """Tells models apart: by weights, classes, clip spec and network."""


def save(path: Path, manifest: Manifest, tensors: Mapping[str, torch.Tensor]) -> Path:
    """Write a model in half precision. Never over another model.

    Raises:
        VidwatchError: a model of that name exists, its weights are not finite, or the disk is full.
    """
    return replace([require_free(path)], manifest, tensors)


def replace(paths: Sequence[Path], manifest: Manifest, tensors: Mapping[str, torch.Tensor]) -> Path:
    """As `save`, over models that are there. Gives the path of the first one's weights.

    A reader finds the old model or the new one, wherever the process is ended.

    Raises:
        VidwatchError: weights are not finite, or the disk is full; the old model is as it was.
    """
    halves = {
        name: (t.half() if t.is_floating_point() else t).contiguous().cpu()
        for name, t in tensors.items()
    }
    if not all(tensor.isfinite().all() for tensor in halves.values()):
        raise VidwatchError(
            f"model {paths[0]}: its weights are not finite any more; try a smaller learning_rate"
        )
    weights = save_tensors(halves)
    document = {
        "format": FORMAT,
        **asdict(manifest),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = (json.dumps(document, indent=1) + "\n").encode()
    for path in paths:
        _write(path, weights, text)
    return weights_path(paths[0])


def load(path: Path) -> Checkpoint:
    """Read and verify a model; `NAME`, `NAME.json` and `NAME.safetensors` all mean the same one.

    Raises:
        VidwatchError: a file is missing, damaged, or of another format.
    """
    path = weights_path(path)
    manifest, weights, weights_sha256 = _read(path)
    try:
        tensors = load_tensors(weights)
    except safetensors.SafetensorError as error:
        raise VidwatchError(f"model {path}: not a safetensors file ({error})") from error
    floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return Checkpoint(path.stem, manifest, floats, _digest(weights_sha256, manifest))


def digest_of(path: Path) -> str:
    """The digest that `load` gives a model, without its tensors and without its network.

    Raises:
        VidwatchError: a file is missing, damaged, or of another format.
    """
    manifest, _, weights_sha256 = _read(weights_path(path))
    return _digest(weights_sha256, manifest)


def require_free(path: Path) -> Path:
    """The path of the weights of a model that does not exist yet.

    Raises:
        VidwatchError: it exists.
    """
    weights = weights_path(path)
    manifest = manifest_path(path)
    if weights.exists() and not manifest.exists() and files.part_of(manifest).exists():
        files.commit(manifest)  # the last step of saving it, if a process was ended before it
    for file in (weights, manifest):
        if file.exists():
            raise VidwatchError(
                f"{file} exists already; give the model another name, or move that one away"
            )
    return weights


def _write(path: Path, weights: bytes, manifest: bytes) -> None:
    weights_file = weights_path(path)
    manifest_file = manifest_path(path)
    try:
        weights_file.parent.mkdir(parents=True, exist_ok=True)
        files.prepare(manifest_file, manifest)
        files.write(weights_file, weights)
        files.commit(manifest_file)
    except OSError as error:
        raise VidwatchError(
            f"model {weights_file}: cannot be written ({error.strerror}); "
            "what was there before is kept"
        ) from error


def _read(path: Path) -> tuple[Manifest, bytes, str]:
    """The manifest, the bytes of the weights, and their SHA-256, which is the manifest's."""
    manifest, stated = _checked(read_manifest(path), manifest_path(path))
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise VidwatchError(f"model {path}: cannot read its weights ({error.strerror})") from error
    actual = hashlib.sha256(weights).hexdigest()
    unfinished = files.part_of(manifest_path(path))
    if actual != stated and unfinished.exists():
        # `replace` was ended between its two files: the new manifest is still under this name.
        manifest, stated = _checked(read_manifest_file(unfinished), unfinished)
    if actual != stated:
        raise VidwatchError(
            f"model {path}: the weights are not the ones its manifest was written for; "
            "copy both again"
        )
    return manifest, weights, actual


def _digest(weights_sha256: str, manifest: Manifest) -> str:
    # Stored with every prediction: a model that has not changed has to keep its digest.
    described = (
        f"({weights_sha256!r}, {manifest.classes!r}, "
        f"{manifest.clip.identity()}, {manifest.network.identity()})"
    )
    return hashlib.sha256(described.encode()).hexdigest()


def _checked(document: dict[str, Any], file: Path) -> tuple[Manifest, str]:
    """The manifest in `document`, which was read from `file`, and the SHA-256 that it states."""
    try:
        if document.pop("format") != FORMAT:
            raise VidwatchError(
                f"model manifest {file}: written by another version of vidwatch; upgrade vidwatch"
            )
        stated = document.pop("weights_sha256")
        document["clip"] = ClipSpec.from_json(document["clip"])
        document["network"] = TypeAdapter(NetworkArgs).validate_python(document["network"])
        document["classes"] = tuple(document["classes"])
        document["bias"] = tuple(document.get("bias", ()))
        if document.get("familiarity") is not None:
            document["familiarity"] = TypeAdapter(Scale).validate_python(document["familiarity"])
        document["trained_on"] = TypeAdapter(tuple[TrainingClip, ...]).validate_python(
            document["trained_on"]
        )
        manifest = Manifest(**document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = _first_line(error)
        raise VidwatchError(
            f"model manifest {file}: not one that this vidwatch wrote ({reason})"
        ) from error
    _require_usable(manifest, file)
    return manifest, stated


def _require_usable(manifest: Manifest, file: Path) -> None:
    if len(set(manifest.classes)) != len(manifest.classes) or not manifest.classes:
        raise VidwatchError(
            f"model manifest {file}: its classes must be different names, and at least one"
        )
    if not isinstance(manifest.measured, dict):
        raise VidwatchError(
            f"model manifest {file}: 'measured' is {manifest.measured!r}; it must be an object"
        )
    for name in manifest.classes:
        if not is_class_name(name):
            raise VidwatchError(f"model manifest {file}: class {name!r}: {CLASS_NAME_RULE}")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        return f"network.{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return repr(error)
