"""What a model is and how it is trained, as data. Loads neither torch nor a decoder."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Interval, Le, MinLen

from learner.errors import VidwatchError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

STRICT = {"extra": "forbid"}  # pydantic, where it reads these from a file, takes no unknown key

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

    def __post_init__(self) -> None:
        for name in ("frames", "size"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise VidwatchError(
                    f"clip spec: {name} is {value!r}; it must be a whole number of at least 1"
                )
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
        """The text by which digests and cache keys tell clip specs apart.

        It must not change for a value that exists already: models would get another digest, and
        all stored features would be lost. A new field is added here only if it changes features,
        and only when it differs from its default.
        """
        return (
            f"ClipSpec(frames={self.frames!r}, size={self.size!r}, fit={self.fit!r}, "
            f"mean={self.mean!r}, std={self.std!r})"
        )


@dataclass(frozen=True)
class ReadOptions:
    """How a clip is read: a choice of the reader, not of the model."""

    min_read_share: float = 1.0
    """Of a clip that is cut short, the share that has to be there."""
    exact: bool = False
    """Of a long clip, the middle frame of each part, not the key frame that is nearest to it.

    Slower. See `learner.frames.sought`.
    """


@dataclass(frozen=True)
class NetworkArgs:
    """What builds a network, beside its classes and its clip spec.

    The backbone. `backbone` is one of timm's networks or of `learner.backbone.CUSTOM`. `stage` is one of timm's
    `features_only` stages, averaged to 2x2 as in the course report, and `pooled` sets the backbone's own pooled
    features beside it; without a stage, they are all there is. `differences` makes one input of every two frames: the
    first, and how it changes to the second.

    The head. `deviation` sets beside each feature how far it is from the clip's mean: over UCF101's ten classes that
    was worth 2.4 points on groups not seen, without it the LSTM lost to the mean. `norm` makes features comparable:
    "standard" by the training clips' mean and deviation, "layer" within each frame. `projection` is the width to which
    features are brought before the LSTM, 0 for as they are. `pooling` makes one vector of the LSTM's states: their
    mean, or the last one as in the report. `skip` adds a linear layer from the mean of the inputs. The report's head
    has none of `deviation`, `norm`, `projection`, `dropout` and `skip`.
    """

    __pydantic_config__ = STRICT

    backbone: Annotated[str, MinLen(1)] = "tf_efficientnet_lite0"
    stage: Annotated[int, Ge(0)] | None = None
    pooled: bool = False
    differences: bool = False
    deviation: bool = True
    norm: Literal["standard", "layer", "none"] = "standard"
    projection: Annotated[int, Ge(0)] = 128
    dropout: Share = 0.5
    layers: Count = 1
    hidden: Count = 64
    bidirectional: bool = True
    pooling: Literal["mean", "last"] = "mean"
    skip: bool = True

    def identity(self) -> str:
        """The text by which digests tell networks apart; the rule is that of `ClipSpec.identity`."""
        return (
            f"NetworkArgs(backbone={self.backbone!r}, stage={self.stage!r}, "
            f"pooled={self.pooled!r}, differences={self.differences!r}, "
            f"deviation={self.deviation!r}, norm={self.norm!r}, "
            f"projection={self.projection!r}, dropout={self.dropout!r}, layers={self.layers!r}, "
            f"hidden={self.hidden!r}, bidirectional={self.bidirectional!r}, "
            f"pooling={self.pooling!r}, skip={self.skip!r})"
        )

    def body(self) -> tuple[str, int | None, bool]:
        """What tells whose weights fit: the backbone, where it is cut off, and whether it takes differences."""
        return self.backbone, None if self.pooled else self.stage, self.differences


@dataclass(frozen=True)
class Augment:
    """How a training clip is varied, each time it is shown; all of its frames alike.

    `segments` shows one frame of each of so many equal parts of the clip, drawn anew each time (Wang et al., Temporal
    Segment Networks, 2016), two frames that follow each other where the network takes differences; 0 shows all frames.
    `crop` is the smallest share of the picture that a rectangle cut from the frames has, 1 for no cut. `jitter` is by
    how much at most brightness, contrast and saturation change, as a share. `mix` is the share of batches whose clips
    are blended with one another, or have a rectangle of another (Zhang et al., mixup, 2018; Yun et al., CutMix, 2019).
    """

    __pydantic_config__ = STRICT

    segments: Annotated[int, Ge(0)] = 0
    flip: bool = False
    crop: Annotated[float, Gt(0), Le(1)] = 1.0
    jitter: Share = 0.0
    mix: Annotated[float, Ge(0), Le(1)] = 0.0


@dataclass(frozen=True)
class TrainSettings:
    """How a network learns.

    `freeze` keeps the backbone as it is: its features are then computed once and kept. `steps` is the number of batches
    an epoch, None for one pass over the clips; where the backbone is frozen and clips are many, for a part of them.
    `learning_rate` is the peak under "one_cycle" (Smith, 2018), else where it starts: "plateau" divides it by ten after
    three epochs without a better loss of those that `watch` names, "cosine_restarts" (Loshchilov and Hutter, 2017)
    takes it to 1e-6 over twenty epochs again and again. `patience` ends training after so many epochs without a better
    validation loss. `keep` is the checkpoint that becomes the model. `folds` above 0 measures by cross-validation and
    then learns from all clips, whose last weights it keeps; at 0 a fifth of the groups is kept for the test, and a
    fifth of the others for validation.
    """

    __pydantic_config__ = STRICT

    freeze: bool = True
    epochs: Count = 20
    batch: Count = 32
    steps: Count | None = None
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    weight_decay: Annotated[float, Ge(0)] = 1.0
    schedule: Literal["one_cycle", "plateau", "cosine_restarts", "constant"] = "one_cycle"
    watch: Literal["validation", "training"] = "validation"
    label_smoothing: Share = 0.0
    class_weights: bool = False
    clip_norm: Annotated[float, Gt(0)] | None = None
    patience: Count | None = None
    keep: Literal["lowest_loss", "best_accuracy", "last"] = "lowest_loss"
    folds: Annotated[int, Interval(ge=0, le=20)] = 5
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
