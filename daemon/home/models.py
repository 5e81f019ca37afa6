"""Brings a model into a home: the daemon uses only models that lie there."""

from pathlib import Path

from daemon.home.folder import Home
from daemon.home.folders import below
from daemon.home.similar import question, similar
from learner.catalogue import manifest_path, weights_path
from learner.errors import VidwatchError
from learner.files import sha256_of, write

HELD_OUT = "held_out.json"
"""In the folder of a run: what cross-validation predicts, by which later models are compared."""


def require_model(home: Home, name: str) -> Path:
    """The path of a model that is there, whether or not it can be used.

    Raises:
        VidwatchError: there is none of this name; the message says what lists them.
    """
    path = home.model_or_starter(name)
    if not any(file.exists() for file in (manifest_path(path), weights_path(path))):
        where = path if "/" in name else f"{home.models}/"
        trouble = f"there is no model {name!r} ({where})"
        hint = "'vidwatch models' lists them"
        if "/" not in name and (asked := question(similar(name, names_of_models(home)))):
            hint = f"{asked} {hint}"
        raise VidwatchError(f"{trouble}; {hint}")
    return path


def names_of_models(home: Home) -> list[str]:
    """The models that a command can name: "starter", and those in `models/`."""
    return ["starter", *sorted(path.stem for path in home.models.glob("*.json"))]


def adopt(home: Home, name: str) -> str:
    """The name of a model in this home. A model that lies elsewhere is copied into `models/`.

    Args:
        home: The home.
        name: "starter", the name of a model in `models/`, or the path of a model.

    Raises:
        VidwatchError: there is no such model, `models/` has another one of that name, or it cannot
            be copied.
    """
    if "/" not in name:
        return name
    path = home.model(name).absolute()
    given = below(home.root, path) or path
    weights = weights_path(given)
    if weights.parent == home.models:
        return weights.stem
    if weights.is_relative_to(home.root):
        return str(given)
    target = weights_path(home.model(weights.stem))
    try:
        if manifest_path(target).exists() or target.exists():
            _require_same(weights, target)
        _copy(weights, target)
    except OSError as error:
        problem = f"cannot be copied into {home.models} ({error.strerror})"
        raise VidwatchError(f"model {weights}: {problem}") from error
    return weights.stem


def _require_same(weights: Path, target: Path) -> None:
    if not target.exists() or sha256_of(weights) == sha256_of(target):
        return
    hint = "give the new one another name, both of its files"
    raise VidwatchError(f"{target} is another model of that name; {hint}")


def _copy(weights: Path, target: Path) -> None:
    """Copy the files of a model, the manifest last: without it, there is no model."""
    write(target, weights.read_bytes())
    held_out = weights.with_suffix(".run") / HELD_OUT
    if held_out.is_file():
        folder = target.with_suffix(".run")
        folder.mkdir(exist_ok=True)
        write(folder / HELD_OUT, held_out.read_bytes())
    write(manifest_path(target), manifest_path(weights).read_bytes())
