"""Recipes: a network and how it is trained, as TOML files.

With `extends` a recipe names another one, and holds only what differs from it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from learner.errors import VidwatchError
from learner.spec import Augment, Count, NetworkArgs, TrainSettings

# Not a recipe: what retraining does by default, with the network of the champion.
HEAD = "head"
FOLDER = Path(__file__).with_name("recipes")
# The others are the course report's.
OURS = ("default", "scratch", "strong", "tiny")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Frames(_Strict):
    """The part of a clip spec that a recipe chooses: mean and std are the backbone's own."""

    frames: Count
    size: Count
    fit: Literal["squash", "crop"] = "squash"
    motion: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_exact(cls, values: Any) -> Any:
        # A recipe of 0.1 could say it; now the setting `exact_frames` does, for all recipes.
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if name != "exact"}
        return values


class Report(_Strict):
    """The figures of the course report."""

    accuracy: float
    """On its test clips."""
    loss: float
    """On its test clips."""
    train: float
    """Batches of 4 clips a second on its GPU, in training."""
    evaluate: float
    """Batches of 4 clips a second on its GPU, in evaluation."""


class Recipe(_Strict):
    """A network, how it is trained, and what the course report measured with it."""

    name: Annotated[str, Field(pattern=r"^[^/.][^/]{0,99}$")]
    about: str
    start: Literal["starter", "imagenet", "scratch"]
    """The backbone's first weights: our starter model's, the pretrained ones of timm, or random."""
    clip: Frames
    network: NetworkArgs
    augment: Augment = Augment()
    training: TrainSettings
    report: Report | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.training.folds and (self.training.patience or self.training.schedule == "plateau"):
            raise ValueError(
                "patience and plateau need folds = 0: "
                "with folds, the clips that judge would say when to stop"
            )
        if self.training.freeze and self.augment != Augment():
            raise ValueError(
                "augment needs freeze = false: of a frozen backbone, features are computed once"
            )
        if self.network.head != "lstm" and not (self.training.freeze and self.training.folds):
            raise ValueError(
                f"network.head is {self.network.head!r}: heads other than 'lstm' need "
                "freeze = true and folds above 0, since they learn from features"
            )
        if self.clip.motion and (not self.training.freeze or self.network.differences):
            raise ValueError(
                "clip.motion needs freeze = true and no differences: "
                "it stands beside the features of a frozen backbone"
            )
        inputs = self.clip.frames // 2 if self.network.differences else self.clip.frames
        if self.augment.segments > inputs:
            raise ValueError(
                f"augment.segments is {self.augment.segments}: "
                f"more than the {inputs} inputs of a clip"
            )
        if self.network.differences and self.clip.frames % 2:
            raise ValueError(f"clip.frames is {self.clip.frames}: with differences it must be even")
        return self

    def changed(self, training: Mapping[str, Any]) -> Self:
        """The same recipe with other values for some keys of `training`."""
        return self.model_copy(update={"training": replace(self.training, **training)})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        parts = {name: asdict(getattr(self, name)) for name in ("network", "augment", "training")}
        return self.model_dump(include={"name", "about", "start", "clip", "report"}) | parts


def names() -> list[str]:
    """The recipes that come with vidwatch: ours first."""
    found = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return sorted(found, key=lambda name: name not in OURS)


def load(name: str) -> Recipe:
    """A recipe by its name, or by the path of a file (with a slash in it or `.toml` at its end).

    Raises:
        VidwatchError: there is none, or it has an unknown key or a wrong value.
    """
    path = Path(name) if "/" in name or name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        return Recipe(**{"name": path.stem, **_read(path, ())})
    except ValidationError as error:
        raise VidwatchError(f"recipe {path}: {'; '.join(map(_explain, error.errors()))}") from error


def _read(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    """The tables of a recipe, merged into those of the one that it extends."""
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        near = "".join(
            f"; did you mean {name!r}?" for name in get_close_matches(path.stem, names(), 1)
        )
        raise VidwatchError(
            f"no recipe {path.stem!r}{near or ';'} `vidwatch recipes` lists them"
        ) from error
    except OSError as error:
        raise VidwatchError(f"recipe {path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VidwatchError(f"recipe {path}: not valid TOML ({error})") from error
    parent = own.pop("extends", None)
    if parent is None:
        return own
    base = path.with_name(f"{parent}.toml")
    if not base.is_file():
        base = FOLDER / base.name
    if base in (path, *below):
        raise VidwatchError(f"recipe {path}: it extends itself")
    inherited = _read(base, (path, *below))
    if path.parent != FOLDER:
        inherited.pop("report", None)  # the report did not measure a person's change of it
    return _merged(inherited, own)


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key
        for key in base.keys() & change.keys()
        if isinstance(base[key], dict) and isinstance(change[key], dict)
    }
    return {**base, **change, **{key: _merged(base[key], change[key]) for key in both}}


def _explain(problem: Any) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"key {key!r} is unknown"
    rule = problem["msg"].removeprefix("Value error, ")
    return f"{key} is {problem['input']!r}: {rule[:1].lower() + rule[1:]}" if key else rule
