"""Video in, logits out, and learning from labels: a library that knows no daemon and no database.

Names are resolved on first use, so that `import learner.video` loads neither torch nor timm.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learner.classifier import Classifier as Classifier
    from learner.errors import VidwatchError as VidwatchError
    from learner.prediction import Classified as Classified
    from learner.prediction import Prediction as Prediction
    from learner.prediction import Unread as Unread

__all__ = ["Classified", "Classifier", "Prediction", "Unread", "VidwatchError"]

_HOME_OF = {
    "Classified": "learner.prediction",
    "Classifier": "learner.classifier",
    "Prediction": "learner.prediction",
    "Unread": "learner.prediction",
    "VidwatchError": "learner.errors",
}


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
