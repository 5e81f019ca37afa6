"""The whole network: a backbone for each frame, and a head over the frames."""

from torch import Tensor, nn

from learner.backbone import Backbone
from learner.head import Head, MeanBaseline
from learner.spec import ClipSpec, NetworkArgs


class ClipNetwork(nn.Module):
    """The CNN-LSTM, and the mean-pooling baseline that is trained on the same features."""

    def __init__(self, args: NetworkArgs, spec: ClipSpec, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(args, spec)
        self.head = Head(self.backbone.features, classes, args)
        self.baseline = MeanBaseline(self.backbone.features, classes, args)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 logits `(B, C)` of the head and of the baseline.

        `clips` are `(B, T, H, W, 3)` uint8 RGB frames, or `(B, T, F)` features that the backbone
        gave for them. The baseline gives the backbone no gradient.
        """
        features = clips if clips.dim() == 3 else self.backbone(clips)
        return self.head(features), self.baseline(features.detach())
