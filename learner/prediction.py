"""What a model predicts of a clip, and of a file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:  # what only shows predictions loads no numpy
    import numpy as np

    Array = np.ndarray[Any, Any]

LEAST_FAMILIARITY = 0.05
"""A clip that is less familiar counts as of no known class."""


@dataclass(frozen=True)
class Prediction:
    """The likeliest class of a clip."""

    class_name: str
    class_index: int
    probability: float
    """The softmax of the calibrated logits."""
    logits: dict[str, float]
    """Of every class, in the model's order."""
    known: bool = True
    """False if the clip is like the clips of none of the classes."""
    familiarity: float | None = None
    """The share of clips of known classes that look stranger than this one.

    None if the model was made before that was measured.
    """
    probabilities: dict[str, float] = field(default_factory=dict)
    """Of every class, in the model's order; they sum to 1."""

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        logits: "Array",
        probabilities: "Array",
        *,
        known: bool,
        familiarity: float | None,
    ) -> Self:
        """From the `(C,)` logits and probabilities of the C classes."""
        index = int(probabilities.argmax())
        return cls(
            class_name=classes[index],
            class_index=index,
            probability=float(probabilities[index]),
            logits=dict(zip(classes, logits.tolist(), strict=True)),
            known=known,
            familiarity=familiarity,
            probabilities=dict(zip(classes, probabilities.tolist(), strict=True)),
        )


@dataclass(frozen=True)
class Classified:
    """A file's prediction, and what of the file was read for it."""

    file: str
    prediction: Prediction
    model: str
    frames_asked: int
    frames_read: int
    """How many of them are different frames."""
    read_share: float
    """1 if the clip is whole; else its end is missing."""

    def to_json(self) -> dict[str, Any]:
        """One flat object, in the order of the documentation."""
        fields = asdict(self.prediction)
        del fields["probabilities"]  # they follow from the logits, and would double each line
        known = {name: fields.pop(name) for name in ("known", "familiarity")}
        prediction = {"class": fields.pop("class_name"), **fields}
        read = {
            "frames_asked": self.frames_asked,
            "frames_read": self.frames_read,
            "read_share": self.read_share,
        }
        return {"file": self.file, **prediction, "model": self.model, **read, **known}


@dataclass(frozen=True)
class Unread:
    """A file that gave no prediction, with the reason."""

    file: str
    error: str
