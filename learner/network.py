"""The whole network: a backbone for each frame, and a head over the frames."""

import copy
from typing import Self

from torch import Tensor, nn

from learner.backbone import Backbone
from learner.head import build_baseline, build_head
from learner.motion import MOTION_FEATURES
from learner.spec import ClipSpec, NetworkArgs


class ClipNetwork(nn.Module):
    """The CNN-LSTM, and the baseline that is trained on the same features.

    Args:
        args: what builds it.
        spec: which frames it takes.
        classes: how many.
        backbone: one that is there already, to be shared; None to build it.
    """

    def __init__(
        self, args: NetworkArgs, spec: ClipSpec, classes: int, backbone: Backbone | None = None
    ) -> None:
        super().__init__()
        self.args = args
        self.spec = spec
        self.classes = classes
        self.backbone = backbone or Backbone(args, spec)
        self.appearance = self.backbone.features
        self.motion = MOTION_FEATURES if spec.motion else 0
        self.head = build_head(self.appearance, self.motion, classes, args)
        self.baseline = build_baseline(self.appearance, classes, args)

    def with_head(self, args: NetworkArgs) -> Self:
        """A network with the same backbone, which both share, and with a new head and baseline."""
        device = next(self.parameters()).device
        return type(self)(args, self.spec, self.classes, self.backbone).to(device).eval()

    def copied(self) -> Self:
        """A network of its own, with the same weights."""
        made = copy.deepcopy(self)
        for layer in made.modules():
            if isinstance(layer, nn.RNNBase):
                # A copy has each weight in a place of its own. On a GPU, cuDNN would gather them at
                # every step, and warn.
                layer.flatten_parameters()
        return made

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 logits `(B, C)` of the head and of the baseline.

        `clips` are `(B, T, H, W, 3)` uint8 RGB frames, or `(B, T, F)` features: those that the
        backbone gave for them, and after these their motion if the network takes that. The
        baseline gives the backbone no gradient.
        """
        features = clips if clips.dim() == 3 else self.backbone(clips)
        return self.head(features), self.baseline(features.detach())
