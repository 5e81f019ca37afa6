"""The folder of one training run: its settings, its state and its checkpoints. Trains nothing."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np

from learner import checkpoint, files, report
from learner.errors import VidwatchError
from learner.fit import Epoch
from learner.network import ClipNetwork


@dataclass(frozen=True)
class Run:
    """A run, which one process at a time may work on."""

    folder: Path
    """Beside the model that the run gives."""
    manifest: checkpoint.Manifest
    """Of its checkpoints."""
    writes: bool = True
    """Whether this process writes: of several that train together, the first one does."""

    @contextmanager
    def opened(self, settings: dict[str, Any]) -> Iterator[None]:
        """Begin a run, or go on with the one in the folder, if that has the same settings.

        Raises:
            VidwatchError: the folder holds a run with other settings, or another process is at work
                in it.
        """
        if not self.writes:
            yield
            return
        try:
            lock = self._begin(json.dumps(settings, indent=1) + "\n")
        except BlockingIOError as error:
            raise VidwatchError(
                f"another training is at work in {self.folder}; wait for it, or give --out"
            ) from error
        except OSError as error:
            raise VidwatchError(f"{self.folder}: cannot be used ({error.strerror})") from error
        with lock:
            yield

    def _begin(self, settings: str) -> IO[str]:
        """The lock, held until it is closed or the process ends."""
        path = self.folder / "settings.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(files.open_own(self.folder / "lock", os.O_WRONLY), "w")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if any(self._results()) and path.read_text() != settings:
            hint = "remove it, or give --out another name"
            raise VidwatchError(f"{self.folder} holds a run with other settings or clips; {hint}")
        files.write(path, settings.encode())
        return lock

    def require_groups(self, digest: str) -> None:
        """Check that the run goes on with the groups that it began with.

        They may depend on the dates of files, which its settings do not hold.

        Args:
            digest: Of the groups; "" if the settings hold them.

        Raises:
            VidwatchError: the run began with other groups.
        """
        if not self.writes:
            return
        path = self.folder / "groups"
        before = path.read_text() if path.is_file() else ""
        if digest == before:
            return
        if any(self._results()):
            hint = "remove it, or give --out another name"
            raise VidwatchError(f"{self.folder} holds a run with other groups of clips; {hint}")
        files.write(path, digest.encode())

    def state(self, fold: int) -> Path:
        """Where the training of one fold is saved, to go on from there."""
        return self.folder / f"state-{fold}.pt"

    def finish(self) -> None:
        """Remove the states: the run has ended, and there is nothing to go on with."""
        if not self.writes:
            return
        for path in self._states():
            path.unlink()

    def keep_held_out(self, clips: list[str], probabilities: np.ndarray[Any, Any]) -> None:
        """Write `(N, C)` probabilities of clips by models that had not seen them.

        `clips` are their SHA-256.
        """
        if not self.writes:
            return
        rows = [[round(float(value), 6) for value in row] for row in probabilities]
        document = {"classes": self.manifest.classes, "clips": dict(zip(clips, rows, strict=True))}
        files.write(self.folder / "held_out.json", json.dumps(document).encode())

    def keep(self, history: list[Epoch], network: ClipNetwork) -> None:
        """Write the history, and those checkpoints for which the last epoch is the best.

        They are the course report's three: lowest validation loss, both accuracies best, and last.
        """
        if not self.writes:
            return
        report.write_history(self.folder, history)
        manifest = replace(self.manifest, created=datetime.now(UTC).isoformat(timespec="seconds"))
        losses = [epoch.validation_loss or 0.0 for epoch in history]
        best = {
            "last": True,
            "lowest_loss": losses.index(min(losses)) == len(losses) - 1,
            "best_accuracy": _is_best_accuracy(history),
        }
        paths = [self.folder / name for name, is_best in best.items() if is_best]
        checkpoint.replace(paths, manifest, network.state_dict())

    def _states(self) -> list[Path]:
        return list(self.folder.glob("state-*.pt"))

    def _results(self) -> list[Path]:
        return [
            *self._states(),
            *self.folder.glob("*.safetensors"),
            *self.folder.glob("results.json"),
        ]


def _is_best_accuracy(history: list[Epoch]) -> bool:
    """Whether the last epoch has the best accuracy.

    It is as good as the best one before it in training and in validation, and better in one.
    """
    best = (-1.0, -1.0)
    is_best = False
    for epoch in history:
        both = (epoch.accuracy, epoch.validation_accuracy or 0.0)
        is_best = both != best and both[0] >= best[0] and both[1] >= best[1]
        best = both if is_best else best
    return is_best
