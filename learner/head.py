"""The part of a network that turns the features of a clip's frames into logits."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from learner.linear import SMALLEST_STD
from learner.pooling import ORDER_FREE, Statistics
from learner.precision import fast_products
from learner.spec import NetworkArgs


class Standardise(nn.Module):
    """Each feature less its mean, over its standard deviation, both of the training clips."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def learn(self, batches: Iterable[Tensor]) -> None:
        """Take the statistics of batches of `(B, T, F)` features."""
        count = 0
        total = torch.zeros_like(self.mean).double()
        squares = torch.zeros_like(self.mean).double()
        for batch in batches:
            rows = batch.flatten(0, 1).double()
            count += len(rows)
            total += rows.sum(0)
            squares += rows.square().sum(0)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        self.mean.copy_(mean)
        # A feature that hardly ever differs would become huge in the first clip in which it does.
        self.std.copy_(variance.sqrt().clamp(min=SMALLEST_STD))

    def forward(self, features: Tensor) -> Tensor:
        """`(..., F)` in place: at this size, a new tensor costs as much as a matrix product."""
        return features.sub_(self.mean).div_(self.std)


class Head(nn.Module):
    """An LSTM over the features of a clip's frames, and a linear layer to the logits."""

    def __init__(self, features: int, classes: int, args: NetworkArgs) -> None:
        super().__init__()
        self.args = args
        width = features * (1 + args.deviation)
        norms = {"standard": Standardise, "layer": nn.LayerNorm, "none": nn.Identity}
        self.norm = norms[args.norm](width)
        self.projection = nn.Linear(width, args.projection) if args.projection else nn.Identity()
        self.lstm = nn.LSTM(
            args.projection or width,
            args.hidden,
            args.layers,
            batch_first=True,
            bidirectional=args.bidirectional,
            dropout=args.dropout if args.layers > 1 else 0.0,
        )
        self.linear = nn.Linear(args.hidden * (1 + args.bidirectional), classes)
        self.skip = nn.Linear(width, classes) if args.skip else None

    def inputs(self, features: Tensor) -> Tensor:
        """`(B, T, F)` features of any precision to what is standardised, in float32.

        That is the features, with their deviations beside them if the network has those. It is
        always a new tensor.
        """
        if not self.args.deviation:
            return features.to(torch.float32, copy=True)
        features = features.float()
        deviations = (features - features.mean(1, keepdim=True)).abs_()
        return torch.cat([features, deviations], -1)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        inputs = self.norm(self.inputs(features))
        # A feature is dropped from all frames of a clip at once (Gal and Ghahramani, 2016): if it
        # were dropped from single frames, the others would still show it.
        if self.training and self.args.dropout:
            inputs.mul_(self._dropout(torch.ones_like(inputs[:, :1])))
        states, (last, _) = self.lstm(self._project(inputs))
        if self.args.pooling == "mean":
            pooled = states.mean(1)
        else:
            directions = 1 + self.args.bidirectional
            pooled = last[-directions:].transpose(0, 1).flatten(1)
        logits = self.linear(self._dropout(pooled))
        if self.skip is not None:
            logits = logits + self.skip(inputs.mean(1))
        return logits  # type: ignore[no-any-return]

    def evidence(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, T, C)`: what each step of the clip adds to the logits of each class.

        It goes through the same layers as the logits. If states are averaged, the mean over T is
        the logits. If the last state counts, step t is what the logits would be if the clip ended
        there, and the last step is the logits; with two directions it is neither, since the
        backward state that counts is that of the first step.
        """
        inputs = self.norm(self.inputs(features))
        states, _ = self.lstm(self.projection(inputs))
        evidence = self.linear(states)
        if self.skip is None:
            return evidence  # type: ignore[no-any-return]
        if self.args.pooling == "last":
            steps = torch.arange(1, inputs.shape[1] + 1, device=inputs.device)
            inputs = inputs.cumsum(1) / steps[:, None]
        return evidence + self.skip(inputs)  # type: ignore[no-any-return]

    def _project(self, inputs: Tensor) -> Tensor:
        """In the precision that is fast in training: this product is half of a step's time."""
        if not self.training:
            return self.projection(inputs)  # type: ignore[no-any-return]
        with fast_products(inputs.device, training=True):
            return self.projection(inputs).float()  # type: ignore[no-any-return]

    def _dropout(self, values: Tensor) -> Tensor:
        return nn.functional.dropout(values, self.args.dropout, self.training)


class PooledHead(nn.Module):
    """Statistics of each feature over the clip, and a linear layer to the logits."""

    def __init__(self, statistics: Statistics, classes: int, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.statistics = statistics
        self.norm = norm or Standardise(statistics.width)
        self.linear = nn.Linear(statistics.width, classes)

    def inputs(self, features: Tensor) -> Tensor:
        """`(B, T, F)` features to the `(B, 1, S)` float32 that are standardised."""
        return self.statistics.of_clips(features)[:, None]

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        return self.linear(self.norm(self.inputs(features)[:, 0]))  # type: ignore[no-any-return]

    def evidence(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, T, C)`: what each step adds; the mean over T is the logits."""
        return self.linear(self.norm(self.statistics.of_steps(features)))  # type: ignore[no-any-return]


class BothHeads(nn.Module):
    """The mean of the logits of a pooled head and of an LSTM."""

    scale: Tensor

    def __init__(self, pooled: PooledHead, lstm: Head) -> None:
        super().__init__()
        self.pooled = pooled
        self.lstm = lstm
        # Brings the logits of the LSTM to the temperature of the others.
        self.register_buffer("scale", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        return (self.pooled(features) + self.scale * self.lstm(features)) / 2  # type: ignore[no-any-return]

    def evidence(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, T, C)`: the mean of what both say of each step."""
        both = self.pooled.evidence(features) + self.scale * self.lstm.evidence(features)
        return both / 2


def build_head(
    appearance: int, motion: int, classes: int, args: NetworkArgs
) -> Head | PooledHead | BothHeads:
    """The head that `args` name, for features of what is in a frame, and of how it moves."""
    if args.head == "lstm":
        return Head(appearance + motion, classes, args)
    pooled = PooledHead(Statistics(appearance, motion), classes)
    if args.head == "pooled":
        return pooled
    return BothHeads(pooled, Head(appearance + motion, classes, args))


def build_baseline(appearance: int, classes: int, args: NetworkArgs) -> "PooledHead | MeanBaseline":
    """What knows nothing of the order of the frames: a head that uses time has to beat it.

    It sees of each feature what the head sees: its mean over the clip and, but for models of
    before, its deviation. If the head standardises features by the training clips, so does this
    one: else it would be too easy to beat.
    """
    if args.baseline == "mean":
        return MeanBaseline(appearance, classes, args)
    statistics = Statistics(appearance, blocks=ORDER_FREE)
    norm = None if args.norm == "standard" else nn.LayerNorm(statistics.width)
    return PooledHead(statistics, classes, norm)


class MeanBaseline(nn.Module):
    """The mean of the frames' features and a linear layer: the baseline of models of before."""

    def __init__(self, features: int, classes: int, args: NetworkArgs) -> None:
        super().__init__()
        self.appearance = features
        self.norm = Standardise(features) if args.norm == "standard" else nn.LayerNorm(features)
        self.linear = nn.Linear(features, classes)

    def inputs(self, features: Tensor) -> Tensor:
        """`(B, T, F)` features to the `(B, 1, F)` float32 that are standardised."""
        return features[..., : self.appearance].float().mean(1, keepdim=True)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        return self.linear(self.norm(self.inputs(features)[:, 0]))  # type: ignore[no-any-return]
