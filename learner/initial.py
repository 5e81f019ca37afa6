"""The network that a training begins with, and the clips that its weights were trained on."""

from dataclasses import dataclass, replace
from pathlib import Path

from learner.backbone import CUSTOM, backbone_statistics
from learner.catalogue import STARTER
from learner.checkpoint import TrainingClip
from learner.classifier import Classifier
from learner.errors import VidwatchError
from learner.image_networks import data_config, middle_stage, require_known
from learner.network import ClipNetwork
from learner.recipe import Recipe
from learner.spec import ClipSpec, ReadOptions


@dataclass(frozen=True)
class Start:
    """The weights to begin with, instead of those that the recipe names."""

    weights: Path | None = None
    """A file of the backbone's weights."""
    model: Path | None = None
    """A model of ours."""
    head: bool = True
    """Whether the head of `model` is taken over, too."""


@dataclass(frozen=True)
class Before:
    """What a network was trained on before its training begins."""

    clips: tuple[TrainingClip, ...] = ()
    head: bool = False
    """Whether its head was: then its accuracy on these clips is flattering."""


def with_backbone(recipe: Recipe, name: str) -> Recipe:
    """The same training with another of timm's networks, and with its own pretrained weights.

    The size of the pictures is the network's own. Beside its pooled features it has those of a
    stage, if the network has stages.

    Raises:
        VidwatchError: timm has no network of that name, or it takes other pictures.
    """
    if name in CUSTOM:
        raise VidwatchError(
            f"backbone {name!r} is ours, and trained from scratch: name it in a recipe of your own"
        )
    require_known(name, CUSTOM)
    if name == recipe.network.backbone:
        return recipe
    stage = middle_stage(name)
    network = replace(
        recipe.network,
        backbone=name,
        stage=stage,
        pooled=stage is not None,
        differences=False,
    )
    clip = recipe.clip.model_copy(update={"size": data_config(name).size})
    about = f"{recipe.name}, with the image network {name}"
    changes = {"name": name, "about": about, "start": "imagenet", "clip": clip, "network": network}
    return recipe.model_copy(update={**changes, "report": None})


def initial_network(
    recipe: Recipe, classes: tuple[str, ...], start: Start, device: str, reading: ReadOptions
) -> tuple[Classifier, Before]:
    """The untrained network, with the weights that there are, and what those were trained on.

    Args:
        recipe: its network, its clips and where its weights come from.
        classes: in the order of the logits.
        start: the weights to begin with, instead of those that the recipe names.
        device: as for a `Classifier`.
        reading: as for a `Classifier`.

    Raises:
        VidwatchError: weights are missing or are those of another network, or there is no such
            device.
    """
    before = Before()
    mean, std = backbone_statistics(recipe.network.backbone)
    spec = ClipSpec(**recipe.clip.model_dump(), mean=mean, std=std)

    def fill(network: ClipNetwork) -> None:
        nonlocal before
        if start.weights:
            network.backbone.load_weights(start.weights)
        elif start.model or recipe.start == "starter":
            model = Classifier.load(start.model or STARTER, device)
            with_head = start.model is not None and start.head
            has_head = _take_over(network, model, recipe, classes, with_head=with_head)
            if start.model:
                before = Before(model.manifest.trained_on, has_head)
        elif recipe.start == "imagenet":
            network.backbone.fetch_weights()

    seed = recipe.training.seed
    network = Classifier.untrained(recipe.network, spec, classes, seed, fill, device, reading)
    return network, before


def _take_over(
    network: ClipNetwork,
    model: Classifier,
    recipe: Recipe,
    classes: tuple[str, ...],
    *,
    with_head: bool,
) -> bool:
    """The backbone of another model.

    Its head, too, if that is asked for, and network, classes and motion are the same. Returns
    whether it was taken. Heads that compete begin with none.
    """
    own = recipe.network
    other = model.manifest.network
    if own.body() != other.body():
        raise VidwatchError(
            f"model {model.name!r} has another architecture "
            f"(backbone {other.backbone}, stage {other.stage}) than "
            f"recipe {recipe.name!r} (backbone {own.backbone}, stage {own.stage})"
        )
    network.backbone.load_state_dict(model.network.backbone.state_dict())
    is_same = own == other and recipe.clip.motion == model.spec.motion
    competes = own.head != "lstm"
    takes_head = with_head and is_same and classes == model.classes and not competes
    if takes_head:
        network.load_state_dict(model.network.state_dict())
    return takes_head
