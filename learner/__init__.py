"""Video in, logits out, and learning from labels: a library that knows no daemon and no database.

Names are resolved on first use, so that `import learner.video` loads neither torch nor timm.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learner.classifier import Classifier as Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> Any:
    if name == "Classifier":
        from learner.classifier import Classifier

        return Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
