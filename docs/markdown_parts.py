"""Parts of pages in Markdown: code, tables, paragraphs."""

from collections.abc import Iterable


def code(text: str) -> str:
    """The text in code marks, also if it has such marks itself."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def cell(text: str) -> str:
    """A message as it is shown: in a table, without Markdown."""
    return code(" ".join(text.split()))


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table; an empty text if it has no rows."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    if not lines:
        return ""
    rule = " | ".join("---" for _ in head)
    return "\n".join(f"| {line} |" for line in (" | ".join(head), rule, *lines))


def page(parts: list[str]) -> str:
    """The parts as paragraphs; empty ones are left out."""
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"
