"""Text for people."""


def counted(n: int, noun: str) -> str:
    """A number and its noun: "1 label", "2 labels"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
