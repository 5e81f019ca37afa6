"""The pages of the docs, and the examples in them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "deploy" / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(path: Path, *languages: str) -> list[str]:
    """The code blocks of a page that are in one of these languages."""
    text = path.read_text(encoding="utf-8")
    return [found[3] for found in BLOCK.finditer(text) if found[2] in languages]


def examples(*languages: str) -> Iterator[tuple[str, str]]:
    """All such blocks, each with its page."""
    for path in PAGES:
        if path.parent.name != "reference":
            for block in blocks(path, *languages):
                yield str(path.relative_to(ROOT)), block
