"""The folder of one training run: what it was told, how far it is, and its checkpoints. Trains nothing."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from learner import checkpoint, files, report
from learner.errors import VidwatchError
from learner.fit import Epoch
from learner.models import ClipNetwork


@dataclass(frozen=True)
class Run:
    """`folder` lies beside the model that comes of it; `manifest` is what its checkpoints say of themselves."""

    folder: Path
    manifest: checkpoint.Manifest

    def open(self, settings: dict[str, Any]) -> None:
        """Begin, or find in the folder the beginning of the very same run.

        Raises:
            VidwatchError: it holds an unfinished run with other settings.
        """
        path, text = self.folder / "settings.json", json.dumps(settings, indent=1) + "\n"
        try:
            if any(self._states()) and path.read_text() != text:
                hint = "remove it, or give --out another name"
                raise VidwatchError(f"{self.folder} holds an unfinished run with other settings or clips; {hint}")
            self.folder.mkdir(parents=True, exist_ok=True)
            files.write(path, text.encode())
        except OSError as error:
            raise VidwatchError(f"{path}: cannot be read or written ({error.strerror})") from error

    def state(self, fold: int) -> Path:
        """Where the training of one fold is saved, to go on from there."""
        return self.folder / f"state-{fold}.pt"

    def finish(self) -> None:
        """Nothing is left to go on with."""
        for path in self._states():
            path.unlink()

    def keep(self, history: list[Epoch], network: ClipNetwork) -> None:
        """Write the history, and the checkpoints for which the last epoch is the best.

        They are the course report's three: lowest validation loss, both accuracies best, and last.
        """
        report.write_history(self.folder, history)
        manifest = replace(self.manifest, created=datetime.now(UTC).isoformat(timespec="seconds"))
        losses = [epoch.validation_loss or 0.0 for epoch in history]
        best = {
            "last": True,
            "lowest_loss": losses.index(min(losses)) == len(losses) - 1,
            "best_accuracy": _is_best_accuracy(history),
        }
        for name, is_best in best.items():
            if is_best:
                checkpoint.replace(self.folder / name, manifest, network.state_dict())

    def _states(self) -> list[Path]:
        return list(self.folder.glob("state-*.pt"))


def _is_best_accuracy(history: list[Epoch]) -> bool:
    """Whether the last epoch is as good as the best before it in training and in validation, and better in one."""
    best, is_best = (-1.0, -1.0), False
    for epoch in history:
        both = (epoch.accuracy, epoch.validation_accuracy or 0.0)
        is_best = both != best and both[0] >= best[0] and both[1] >= best[1]
        best = both if is_best else best
    return is_best
