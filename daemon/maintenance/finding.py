"""What a check has found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be; `repair` says what `mend` would do, None where only a person can.

    `what` is a word for programs, `where` the file or the row. `harmless` is what merely lies about.
    """

    what: str
    where: str
    problem: str
    repair: str | None = None
    mend: Callable[[], object] | None = field(default=None, compare=False, repr=False)
    harmless: bool = False

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        return {
            name: getattr(self, name) for name in ("what", "where", "problem", "repair", "harmless")
        }
