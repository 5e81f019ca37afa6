"""What `vidwatch check` and `vidwatch doctor` have found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """One thing in a home that is not as it should be."""

    what: str
    """What kind of thing it is, for programs: a fixed word such as "content"."""
    where: str
    """The file or the row."""
    problem: str
    repair: str | None = None
    """What `apply_repair` does, for people; None if only a person can repair it."""
    apply_repair: Callable[[], object] | None = field(default=None, compare=False, repr=False)
    harmless: bool = False
    """Whether it merely lies there and is no error."""

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        return {
            "what": self.what,
            "where": self.where,
            "problem": self.problem,
            "repair": self.repair,
            "harmless": self.harmless,
        }


@dataclass(frozen=True)
class Line:
    """One line of `vidwatch doctor`: what was examined, how it is, and what to do about it."""

    subject: str
    state: Literal["ok", "warning", "problem"]
    text: str

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        return {"subject": self.subject, "state": self.state, "said": self.text}
