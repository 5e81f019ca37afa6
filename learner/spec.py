"""What a model is, how clips are read and how it is trained, as data.

Loads neither torch nor a decoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Interval, Le, MinLen

from learner.errors import VidwatchError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# When pydantic reads one of these from a file, an unknown key is an error.
STRICT = {"extra": "forbid"}

Count = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, lt=1)]


@dataclass(frozen=True)
class ClipSpec:
    """Which frames of a clip a network takes, and how they are made."""

    frames: int
    """How many, sampled evenly over the clip."""
    size: int
    """Each is made `size` x `size` pixels."""
    fit: Literal["squash", "crop"] = "squash"
    """Squashed to the square, as in the course report, or cropped to its centre."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """RGB, of values in 0..1: the backbone's own."""
    std: tuple[float, ...] = IMAGENET_STD
    """As `mean`."""
    motion: bool = False
    """Whether the motion between each sampled frame and the next one is measured, too."""

    def __post_init__(self) -> None:
        for name in ("frames", "size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise VidwatchError(
                    f"clip spec: {name} is {value!r}; it must be a whole number of at least 1"
                )
        if not isinstance(self.motion, bool):
            raise VidwatchError(f"clip spec: motion is {self.motion!r}; it must be true or false")
        if self.fit not in ("squash", "crop"):
            raise VidwatchError(f"clip spec: fit is {self.fit!r}; it must be 'squash' or 'crop'")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The clip spec of a manifest.

        Raises:
            KeyError, TypeError, AttributeError: a field is missing, unknown or of another type.
            VidwatchError: a value is wrong.
        """
        # Version 0.1 wrote here, too, whether frames were read exactly: see `ReadOptions`.
        known = {name: value for name, value in fields.items() if name != "exact"}
        return cls(**{**known, "mean": tuple(known["mean"]), "std": tuple(known["std"])})

    def identity(self) -> str:
        """The text by which digests and cache keys differ between clip specs.

        It must not change for a value that exists already: models would get another digest, and
        all stored features would be lost. A new field is added here only if it changes features,
        and only when it differs from its default.
        """
        motion = ", motion=True" if self.motion else ""
        return (
            f"ClipSpec(frames={self.frames!r}, size={self.size!r}, fit={self.fit!r}, "
            f"mean={self.mean!r}, std={self.std!r}{motion})"
        )


@dataclass(frozen=True)
class ReadOptions:
    """How a clip is read: a choice of the reader, not of the model."""

    min_read_share: float = 1.0
    """Of a clip that is cut short, the share that has to be there."""
    exact: bool = False
    """Of a long clip, the middle frame of each part, not the key frame that is nearest to it.

    Slower. See `learner.container_index.sought`.
    """


@dataclass(frozen=True)
class NetworkArgs:
    """What builds a network, beside its classes and its clip spec.

    The head of the course report has none of `deviation`, `norm`, `projection`, `dropout` and
    `skip`.
    """

    __pydantic_config__ = STRICT

    backbone: Annotated[str, MinLen(1)] = "tf_efficientnet_lite0"
    """One of timm's networks, or of `learner.backbone.CUSTOM`."""
    stage: Annotated[int, Ge(0)] | None = None
    """One of timm's `features_only` stages, averaged to 2x2 as in the course report.

    None for the backbone's own pooled features.
    """
    pooled: bool = False
    """Whether the backbone's own pooled features stand beside those of the stage."""
    differences: bool = False
    """Whether two frames make one input: the first one, and its change to the second one."""
    deviation: bool = True
    """Whether each feature has beside it how far it is from the clip's mean.

    Over UCF101's ten classes that was worth 2.4 points on groups not seen; without it the LSTM lost
    to the mean.
    """
    norm: Literal["standard", "layer", "none"] = "standard"
    """How features are made comparable.

    "standard": by the mean and deviation of the training clips; "layer": within each frame.
    """
    projection: Annotated[int, Ge(0)] = 128
    """The width to which features are brought before the LSTM; 0 for as they are."""
    dropout: Share = 0.5
    layers: Count = 1
    """Of the LSTM, as are the next two."""
    hidden: Count = 64
    bidirectional: bool = True
    pooling: Literal["mean", "last"] = "mean"
    """What becomes of the LSTM's states: their mean, or the last one as in the report."""
    skip: bool = True
    """Whether a linear layer from the mean of the inputs is added."""
    head: Literal["lstm", "pooled", "both", "best"] = "lstm"
    """What turns features into logits.

    "lstm": all of the above; "pooled": a linear layer on statistics of each feature over time;
    "both": the mean of their logits. "best", in recipes alone: whichever of them cross-validation
    finds to be best.
    """
    baseline: Literal["mean", "spread"] = "mean"
    """What the baseline sees of each feature over a clip: its mean, or its deviation, too."""

    def identity(self) -> str:
        """The text by which digests differ between networks; see `ClipSpec.identity`."""
        later = [
            f", {name}={value!r}"
            for name, value, at_first in (
                ("head", self.head, "lstm"),
                ("baseline", self.baseline, "mean"),
            )
            if value != at_first
        ]
        return (
            f"NetworkArgs(backbone={self.backbone!r}, stage={self.stage!r}, "
            f"pooled={self.pooled!r}, differences={self.differences!r}, "
            f"deviation={self.deviation!r}, norm={self.norm!r}, "
            f"projection={self.projection!r}, dropout={self.dropout!r}, layers={self.layers!r}, "
            f"hidden={self.hidden!r}, bidirectional={self.bidirectional!r}, "
            f"pooling={self.pooling!r}, skip={self.skip!r}{''.join(later)})"
        )

    def body(self) -> tuple[str, int | None, bool]:
        """What has to be equal for weights to fit: the backbone, its last stage, differences."""
        return self.backbone, None if self.pooled else self.stage, self.differences


@dataclass(frozen=True)
class Augment:
    """How a training clip is varied each time it is used; all of its frames alike."""

    __pydantic_config__ = STRICT

    segments: Annotated[int, Ge(0)] = 0
    """One frame of each of so many equal parts of the clip is used, drawn anew each time.

    Two frames that follow each other if the network takes differences; 0 for all frames (Wang et
    al., Temporal Segment Networks, 2016).
    """
    flip: bool = False
    crop: Annotated[float, Gt(0), Le(1)] = 1.0
    """The smallest share of the picture that a rectangle cut from it has; 1 for no cut."""
    jitter: Share = 0.0
    """By how much at most brightness, contrast and saturation change, as a share."""
    mix: Annotated[float, Ge(0), Le(1)] = 0.0
    """The share of batches whose clips are blended with one another, or get a rectangle of another.

    Zhang et al., mixup, 2018; Yun et al., CutMix, 2019.
    """


@dataclass(frozen=True)
class TrainSettings:
    """How a network learns."""

    __pydantic_config__ = STRICT

    freeze: bool = True
    """The backbone stays as it is: its features are computed once and kept."""
    epochs: Count = 20
    batch: Count = 32
    steps: Count | None = None
    """Batches an epoch.

    None for one pass over the clips, or over a part of them if the backbone is frozen and they are
    many.
    """
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    """The peak under "one_cycle" (Smith, 2018), else the rate to begin with."""
    weight_decay: Annotated[float, Ge(0)] = 1.0
    schedule: Literal["one_cycle", "plateau", "cosine_restarts", "constant"] = "one_cycle"
    """How the learning rate changes.

    "plateau" divides it by ten after three epochs without a better loss of those that `watch`
    names; "cosine_restarts" (Loshchilov and Hutter, 2017) takes it to 1e-6 over twenty epochs,
    again and again.
    """
    watch: Literal["validation", "training"] = "validation"
    label_smoothing: Share = 0.0
    class_weights: bool = False
    clip_norm: Annotated[float, Gt(0)] | None = None
    patience: Count | None = None
    """Training ends after so many epochs without a better validation loss."""
    keep: Literal["lowest_loss", "best_accuracy", "last"] = "lowest_loss"
    """The checkpoint that becomes the model."""
    folds: Annotated[int, Interval(ge=0, le=20)] = 5
    """Above 0, accuracy is measured by cross-validation.

    The model then learns from all clips, and its last weights are kept. At 0 a fifth of the groups
    is kept back for the test, and a fifth of the others for validation.
    """
    lstm_above: Share = 0.0
    """If heads compete, the LSTM does so if the pooled head is wrong on a larger share of clips."""
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
