"""Which models there are, read from their manifests alone: no weights, no network, nothing heavy is loaded."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STARTER = Path(__file__).with_name("starter.safetensors")


@dataclass(frozen=True)
class Entry:
    """A model; `accuracy` with its 95 % interval comes from clips it had not seen, `method` says how.

    `problem` says why it cannot be used.
    """

    name: str
    classes: tuple[str, ...] = ()
    clips: int = 0
    accuracy: float | None = None
    interval: tuple[float, float] | None = None
    method: str = ""
    created: str = ""
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        return asdict(self)


def find_models(folder: Path) -> list[Entry]:
    """The starter, and the models in `folder` by name."""
    return [_entry("starter", STARTER.with_suffix(".json"))] + [
        _entry(path.stem, path)
        for path in sorted(folder.glob("*.json"), key=lambda path: path.stem)
    ]


def _entry(name: str, path: Path) -> Entry:
    try:
        manifest = json.loads(path.read_text())
        measured = manifest["measured"]
        low, high = measured["interval_95"] if measured else (0, 0)
        return Entry(
            name,
            tuple(manifest["classes"]),
            sum(label in manifest["classes"] for _, label, _ in manifest["trained_on"]),
            float(measured["accuracy"]) if measured else None,
            (float(low), float(high)) if measured else None,
            str(measured.get("method", "")),
            str(manifest["created"]),
            None if path.with_suffix(".safetensors").is_file() else "its weights are missing",
        )
    except OSError as error:
        return Entry(name, problem=f"{path.name} cannot be read ({error.strerror})")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Entry(name, problem=f"{path.name} is not a manifest that vidwatch wrote")
