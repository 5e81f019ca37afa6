"""The state of a training in a file, from which it goes on after it was ended."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from learner import files
from learner.errors import VidwatchError


def save_state(path: Path, parts: Mapping[str, Any], history: list[dict[str, Any]]) -> None:
    """Write the state of each part (network, optimizer, schedule), and the history.

    Raises:
        VidwatchError: it cannot be written; the state before it is kept.
    """
    document: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()
    torch.save(document | {"history": history}, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, buffer.getvalue())
    except OSError as error:
        raise VidwatchError(
            f"{path}: cannot be written ({error.strerror}); the one before it is kept"
        ) from error


def restore_state(path: Path, parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Put each part into the state that was saved. Gives the history; it is empty if nothing was.

    Raises:
        VidwatchError: the file is damaged or is of another network.
    """
    if not path.exists():
        return []
    try:
        document = torch.load(path, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(document[name])
        return [dict(row) for row in document["history"]]
    except (
        *(OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError),
        pickle.UnpicklingError,
    ) as error:
        hint = f"remove {path.parent} to begin again"
        raise VidwatchError(
            f"{path}: the state of this run cannot be read ({error}); {hint}"
        ) from error
