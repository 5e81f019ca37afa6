"""Finds models and reads their manifests: no weights and no network are loaded, nothing heavy."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from learner import files
from learner.errors import VidwatchError

STARTER = Path(__file__).with_name("starter.safetensors")

_SUFFIXES = (".json", ".safetensors")


@dataclass(frozen=True)
class Entry:
    """A model as a list shows it."""

    name: str
    classes: tuple[str, ...] = ()
    clips: int = 0
    """How many clips of its classes it was trained on."""
    accuracy: float | None = None
    """On clips that it had not seen; None if it was not measured."""
    interval: tuple[float, float] | None = None
    """The 95 % interval of the accuracy."""
    method: str = ""
    """How the accuracy was measured."""
    created: str = ""
    problem: str | None = None
    """Why the model cannot be used."""
    chance: float | None = None
    """The accuracy of always guessing the commonest class; None if that was not measured."""
    baseline: float | None = None
    """The accuracy of the model's baseline on the same clips: it knows nothing of the order of the
    frames. None if it was not measured."""
    beats_chance: bool = True
    """Whether it was shown to be better than such guessing, or that was not measured."""
    optimistic: str = ""
    """Why the accuracy is optimistic, in words; empty if nothing is known that makes it so."""

    def guessing_in_words(self) -> str:
        """That the model is no better than guessing; empty if it is, or that is not known."""
        if self.beats_chance:
            return ""
        guessing = "always guessing the commonest class"
        share = "" if self.chance is None else f" (right on {self.chance:.1%})"
        return f"no better than {guessing}{share}, and recognises no class beyond chance"

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        return asdict(self)


class Automatic(NamedTuple):
    """What stays automatic if predictions below a probability are unsure, by cross-validation."""

    threshold: float
    share: float
    """Of the clips: how many have at least this probability."""
    wrong: float
    """Of these clips: how many were wrong."""


def automatic_rows(measured: Mapping[str, Any]) -> list[Automatic] | None:
    """The rows of a manifest's `measured`, by rising threshold; None if an older model has none."""
    try:
        rows = [Automatic(*map(float, row)) for row in measured["automatic"]]
    except (KeyError, TypeError, ValueError):
        return None
    return sorted(rows)


def weights_path(path: Path) -> Path:
    """The weights of a model: `NAME`, `NAME.json` and `NAME.safetensors` all mean the same one."""
    return _beside(path, ".safetensors")


def manifest_path(path: Path) -> Path:
    """The manifest of a model, which is named as for `weights_path`."""
    return _beside(path, ".json")


def model_name(name: str) -> str:
    """The name of a model that is given by its name, or by a path as for `weights_path`."""
    return weights_path(Path(name)).stem


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a model, as JSON holds it: `learner.checkpoint.load` checks its values.

    `path` is as for `weights_path`. If a process was ended while it saved the model, between the
    weights and the manifest, the new manifest is still under its unfinished name: it is read there.

    Raises:
        VidwatchError: it cannot be read, or is not a JSON object.
    """
    manifest = manifest_path(path)
    try:
        return read_manifest_file(manifest)
    except VidwatchError as error:
        unfinished = files.part_of(manifest)
        if isinstance(error.__cause__, FileNotFoundError) and os.path.lexists(unfinished):
            return read_manifest_file(unfinished)
        raise


@cache
def starter_classes() -> frozenset[str]:
    """The classes of the model in the package."""
    return frozenset(read_manifest(STARTER)["classes"])


@cache
def starter_contents() -> frozenset[str]:
    """SHA-256 of the clips that the model in the package was trained on."""
    return frozenset(sha256 for sha256, _, _ in read_manifest(STARTER)["trained_on"])


def read_manifest_file(file: Path) -> dict[str, Any]:
    """As `read_manifest`, of exactly this file.

    Raises:
        VidwatchError: it cannot be read, or is not a JSON object.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        reason = f"cannot read {file.name} ({error.strerror})"
        raise VidwatchError(f"no model {file.with_suffix('')}: {reason}") from error
    except OSError as error:
        raise VidwatchError(f"model manifest {file}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise VidwatchError(f"model manifest {file}: not valid JSON ({error})") from error
    if not isinstance(document, dict):
        raise VidwatchError(f"model manifest {file}: not a JSON object")
    return document


def find_models(folder: Path) -> list[Entry]:
    """The starter, then the models in `folder` by name."""
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stem)
    return [describe("starter", STARTER), *(describe(path.stem, path) for path in paths)]


def describe(name: str, path: Path) -> Entry:
    """A model as a list shows it; `path` is as for `weights_path`."""
    try:
        manifest = read_manifest(path)
    except VidwatchError as error:
        return Entry(name, problem=str(error))
    try:
        return _described(name, manifest, has_weights=weights_path(path).is_file())
    except (ValueError, KeyError, TypeError, AttributeError):
        file = manifest_path(path).name
        return Entry(name, problem=f"{file} is not a manifest that vidwatch wrote")


def _beside(path: Path, suffix: str) -> Path:
    # A dot in a model's name is part of it: only the two suffixes of a model's own are replaced.
    if path.suffix in _SUFFIXES:
        return path.with_suffix(suffix)
    return path.with_name(path.name + suffix)


def _described(name: str, manifest: dict[str, Any], *, has_weights: bool) -> Entry:
    classes = tuple(manifest["classes"])
    measured = manifest["measured"]
    accuracy = None
    interval = None
    if measured:
        low, high = measured["interval_95"]
        accuracy = float(measured["accuracy"])
        interval = (float(low), float(high))
    return Entry(
        name=name,
        classes=classes,
        clips=sum(label in classes for _, label, _ in manifest["trained_on"]),
        accuracy=accuracy,
        interval=interval,
        method=str(measured.get("method", "")),
        created=str(manifest["created"]),
        problem=None if has_weights else "its weights are missing",
        chance=_share(measured.get("chance")),
        baseline=_share(measured.get("baseline_accuracy")),
        beats_chance=bool(measured.get("beats_chance", True)),
        optimistic=str(measured.get("optimistic") or ""),
    )


def _share(value: Any) -> float | None:
    return None if value is None else float(value)
