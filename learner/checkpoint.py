"""A model on disk: `NAME.safetensors`, and a manifest `NAME.json` with all that is needed to use and to judge it."""

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
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError
from learner.spec import ClipSpec, NetworkArgs

FORMAT = 3


class Taught(NamedTuple):
    """A clip that a model learned from, by its content."""

    sha256: str
    label: str
    group: str


@dataclass(frozen=True)
class Manifest:
    """`classes` in the order of the logits; `trained_on` every clip that it, or a model before it, learned from.

    `measured` holds the accuracy on clips it had not seen, and how that was measured; empty where nothing could be.
    `temperature` is what logits are divided by for probabilities. A clip whose logits' log-sum-exp is below
    `unknown_below` is like none of the classes; None where that was not measured. `precision` is what its backbone was
    computed in when it was trained and measured ("float32", "bfloat16", "float16"); empty where that was not recorded.
    """

    classes: tuple[str, ...]
    clip: ClipSpec
    network: NetworkArgs
    trained_on: tuple[Taught, ...]
    measured: Mapping[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    unknown_below: float | None = None
    created: str = ""
    precision: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A manifest with float32 tensors by name; `digest` tells models apart: weights, classes, clip, network."""

    name: str
    manifest: Manifest
    tensors: dict[str, torch.Tensor]
    digest: str


def save(path: Path, manifest: Manifest, tensors: Mapping[str, torch.Tensor]) -> Path:
    """Write a model in half precision. Never over another model.

    Raises:
        VidwatchError: a model of that name exists, its weights are not finite, or the disk takes no more.
    """
    return replace([require_free(path)], manifest, tensors)


def replace(paths: Sequence[Path], manifest: Manifest, tensors: Mapping[str, torch.Tensor]) -> Path:
    """As `save`, over the models that are there: a reader finds those or the new one, whatever happens in between.

    Gives the first path.

    Raises:
        VidwatchError: weights are not finite or the disk takes no more; the model that was there is as it was.
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
    for path in map(weights_path, paths):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.prepare(path.with_suffix(".json"), text)
            files.write(path, weights)
            files.commit(path.with_suffix(".json"))
        except OSError as error:
            hint = "what was there before is kept"
            raise VidwatchError(
                f"model {path}: cannot be written ({error.strerror}); {hint}"
            ) from error
    return weights_path(paths[0])


def load(path: Path) -> Checkpoint:
    """Read and verify a model.

    Raises:
        VidwatchError: a file is missing, damaged, or of another format.
    """
    path = weights_path(path)
    beside, unfinished = path.with_suffix(".json"), files.part_of(path.with_suffix(".json"))
    # Where `replace` was ended between its two files, the new manifest lies ready.
    manifest, stated = _read_manifest(
        beside if beside.exists() or not unfinished.exists() else unfinished
    )
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise VidwatchError(f"model {path}: cannot read its weights ({error.strerror})") from error
    digest = hashlib.sha256(weights).hexdigest()
    if digest != stated and unfinished.exists():
        manifest, stated = _read_manifest(unfinished)
    if digest != stated:
        raise VidwatchError(
            f"model {path}: the weights are not the ones its manifest was written for; copy both again"
        )
    try:
        tensors = load_tensors(weights)
    except safetensors.SafetensorError as error:
        raise VidwatchError(f"model {path}: not a safetensors file ({error})") from error
    floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    described = repr((digest, manifest.classes, manifest.clip, manifest.network))
    return Checkpoint(path.stem, manifest, floats, hashlib.sha256(described.encode()).hexdigest())


def require_free(path: Path) -> Path:
    """The weights' path of a model that does not exist yet.

    Raises:
        VidwatchError: it does.
    """
    path = weights_path(path)
    manifest = path.with_suffix(".json")
    if path.exists() and not manifest.exists() and files.part_of(manifest).exists():
        files.commit(manifest)  # a kill had left out this last step of saving it
    for file in (path, manifest):
        if file.exists():
            raise VidwatchError(
                f"{file} exists already; give the model another name, or move that one away"
            )
    return path


def weights_path(path: Path) -> Path:
    """`NAME`, `NAME.json` and `NAME.safetensors` all mean the same model."""
    suffixed = path.suffix in (".json", ".safetensors")
    return (
        path.with_suffix(".safetensors") if suffixed else path.with_name(path.name + ".safetensors")
    )


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    try:
        document = json.loads(path.read_text())
        if document.pop("format") != FORMAT:
            raise VidwatchError(
                f"model manifest {path}: written by another version of vidwatch; upgrade vidwatch"
            )
        stated = document.pop("weights_sha256")
        spec = document["clip"]
        document["clip"] = ClipSpec(
            **{**spec, "mean": tuple(spec["mean"]), "std": tuple(spec["std"])}
        )
        document["network"] = TypeAdapter(NetworkArgs).validate_python(document["network"])
        document["classes"] = tuple(document["classes"])
        document["trained_on"] = TypeAdapter(tuple[Taught, ...]).validate_python(
            document["trained_on"]
        )
        manifest = Manifest(**document)
    except OSError as error:
        raise VidwatchError(
            f"no model {path.with_suffix('')}: cannot read {path.name} ({error.strerror})"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = _first_line(error)
        raise VidwatchError(
            f"model manifest {path}: not one that this vidwatch wrote ({reason})"
        ) from error
    if len(set(manifest.classes)) != len(manifest.classes) or not manifest.classes:
        raise VidwatchError(
            f"model manifest {path}: its classes must be different names, and at least one"
        )
    if not isinstance(manifest.measured, dict):
        raise VidwatchError(
            f"model manifest {path}: 'measured' is {manifest.measured!r}; it must be an object"
        )
    for name in manifest.classes:
        if not is_class_name(name):
            raise VidwatchError(f"model manifest {path}: class {name!r}: {CLASS_NAME_RULE}")
    return manifest, stated


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        return f"network.{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    return repr(error)
