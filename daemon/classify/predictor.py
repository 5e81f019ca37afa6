"""What the pipeline needs of the decoders and of a model, and what a model predicts for a clip."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from daemon.classify.decoding import Result, Undecoded
from daemon.database.records import ModelPrediction, WindowPrediction
from daemon.home.identity import Identity
from learner.video import Clip
from learner.window_plan import WindowPlan
from learner.windows import Long, Piece


class Prediction(Protocol):
    """What a model predicts for a clip."""

    @property
    def class_name(self) -> str: ...  # noqa: D102
    @property
    def class_index(self) -> int: ...  # noqa: D102
    @property
    def probability(self) -> float: ...  # noqa: D102
    @property
    def logits(self) -> dict[str, float]: ...  # noqa: D102
    @property
    def familiarity(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True)
class Outcome:
    """What is known of a clip after the forward pass."""

    prediction: Prediction
    unsure: str | None = None
    """Why the prediction is unsure; None if it is not."""
    fingerprint: bytes | None = None
    shadow: tuple[int, Prediction] | None = None
    """The id of a challenger, and what it predicts."""


class Reader(Protocol):
    """Decodes and hashes in the background."""

    def read(  # noqa: D102
        self, path: bytes, identity: Identity, sha256: str | None
    ) -> Future[Clip | Long]: ...
    def windows(  # noqa: D102
        self, path: bytes, identity: Identity, sha256: str, first: int
    ) -> Future[Clip | Piece]: ...
    def hash(self, path: bytes, identity: Identity) -> Future[str]: ...  # noqa: D102
    def outcome(self, future: Future[Result]) -> Result | Undecoded: ...  # noqa: D102


class BusyError(Exception):
    """The device cannot do it now, and may later."""


@dataclass(frozen=True)
class Predictor:
    """What reads clips, and the model that predicts their classes."""

    reader: Reader
    predict: Callable[[Sequence[Clip]], Sequence[Outcome]]
    """One outcome a clip, from frames as `reader` gives them."""
    model_id: int
    """The model's id in the database."""
    join: Callable[[Mapping[int, Sequence[WindowPrediction]], int], Outcome]
    """The outcome of a long video: from its windows, by the ids of the models that predicted them,
    and the id of the one in use."""
    plan: WindowPlan | None = None
    """How long videos are cut into windows, as `reader` knows it; None if they are not."""
    min_read_share: float = 0.0
    """The share of a long video that has to be read."""
    workers: int = 1
    """How many files `reader` reads at a time."""


def model_prediction(model_id: int, prediction: Prediction) -> ModelPrediction:
    """A prediction as the database keeps it."""
    return ModelPrediction(
        model_id,
        prediction.class_name,
        prediction.class_index,
        prediction.probability,
        list(prediction.logits.values()),
        prediction.familiarity,
    )
