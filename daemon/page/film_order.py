"""What the program that makes a film is told. Loads nothing."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Order:
    """What is to be done with one file."""

    path: str
    """As `os.fsdecode` gives it."""
    anew: bool = False
    """Make a film of it even if browsers should play it: one did not."""
    seconds: float = 60.0
    """After so long, what is made by then is the film."""

    def to_line(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Order":
        """What `to_line` wrote."""
        return cls(**json.loads(line))
