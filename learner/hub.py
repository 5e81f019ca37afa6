"""Image networks whose weights lie in the Hugging Face hub's cache on this machine, or would be
fetched into it.

Nothing is fetched. What is said of the networks that our recipes name stands here, so that neither
torch nor timm is loaded for it; `tests/learner/test_hub.py` holds it against timm.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import constants

from learner import recipe

# timm looks for a file of these names, in this order.
FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
OWNER = "timm"
Weights = Literal["packaged", "cached", "to fetch"]
# The backbone of our starter model, which comes with vidwatch.
PACKAGED = "tf_efficientnet_lite0"


@dataclass(frozen=True)
class Facts:
    """What timm says of a network."""

    repository: str
    """On the hub."""
    parameters: int
    """With those of its own classifier, which vidwatch leaves out."""
    input_size: int
    """It was trained on pictures of so many pixels a side."""
    licence: str
    """Of its weights."""


RECIPES = {
    "tf_efficientnet_lite0": Facts("timm/tf_efficientnet_lite0.in1k", 4652008, 224, "apache-2.0"),
    "mobilenetv4_conv_medium.e500_r224_in1k": Facts(
        "timm/mobilenetv4_conv_medium.e500_r224_in1k", 9715512, 224, "apache-2.0"
    ),
    "vit_pe_core_base_patch16_224.fb": Facts(
        "timm/vit_pe_core_base_patch16_224.fb", 93673984, 224, "apache-2.0"
    ),
    "resnet101": Facts("timm/resnet101.a1h_in1k", 44549160, 224, "apache-2.0"),
}


@dataclass(frozen=True)
class ImageNetwork:
    """One network of the list."""

    name: str
    """As in a recipe, or after `--backbone`."""
    recipes: tuple[str, ...]
    """Which name it."""
    parameters: int | None
    """With those of its own classifier; None if the file does not say."""
    input_size: int | None
    """None if timm does not know it."""
    licence: str | None
    """None if timm does not know it."""
    weights: Weights
    size: int
    """Bytes of the file in the cache, or about what would be fetched."""
    path: str | None
    """The file in the cache."""

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        return asdict(self)


def image_networks() -> list[ImageNetwork]:
    """The networks that our recipes name, in their order, then the others in the cache by name."""
    found = [_of_recipes(name, recipes) for name, recipes in _named_by_recipes().items()]
    known = {facts.repository for facts in RECIPES.values()}
    return found + [
        _other(name, path) for name, path in _cached() if f"{OWNER}/{name}" not in known
    ]


def _named_by_recipes() -> dict[str, list[str]]:
    """The image networks that recipes name, ours first, with the names of these recipes."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in recipe.names():
        found[recipe.load(name).network.backbone].append(name)
    return {name: found[name] for name in RECIPES if name in found}


def _of_recipes(name: str, recipes: list[str]) -> ImageNetwork:
    facts = RECIPES[name]
    path = _file_of(facts.repository)
    absent: Weights = "packaged" if name == PACKAGED else "to fetch"
    return ImageNetwork(
        name=name,
        recipes=tuple(recipes),
        parameters=facts.parameters,
        input_size=facts.input_size,
        licence=facts.licence,
        weights="cached" if path else absent,
        size=path.stat().st_size if path else 4 * facts.parameters,
        path=os.fspath(path) if path else None,
    )


def _other(name: str, path: Path) -> ImageNetwork:
    # Only if there are such networks, since loading timm takes seconds.
    import timm

    is_known = timm.is_model(name) and name in timm.list_models(include_tags=True)
    config = timm.get_pretrained_cfg(name) if is_known else None
    return ImageNetwork(
        name=name,
        recipes=(),
        parameters=_count(path),
        input_size=config.input_size[1] if config else None,
        licence=config.license if config else None,
        weights="cached",
        size=path.stat().st_size,
        path=os.fspath(path),
    )


def _cached() -> Iterator[tuple[str, Path]]:
    """Networks of timm in the cache, and the file of each."""
    prefix = f"models--{OWNER}--"
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob(f"{prefix}*")):
        name = folder.name.removeprefix(prefix)
        path = _file_of(f"{OWNER}/{name}")
        if path:
            yield name, path


def _file_of(repository: str) -> Path | None:
    """The file of weights that timm would use without a network."""
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    paths = [folder / "snapshots" / commit / name for name in FILES]
    return next((path for path in paths if path.is_file()), None)


def _count(path: Path) -> int | None:
    """The numbers that a file of safetensors holds, by its header; None for another file."""
    if path.suffix != ".safetensors":
        return None
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 10_000_000)))
        shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        return sum(int(prod(shape)) for shape in shapes)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
