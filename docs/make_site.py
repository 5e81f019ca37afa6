"""Builds the site of the docs into build/site, strictly: a link that leads nowhere ends it.

The pages are docs/, and some texts that lie elsewhere in the project. Links to other files of the
project become plain text, since the site does not have them.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
STAGE = ROOT / "build" / "docs"
# Texts that lie elsewhere, and the pages that they become.
ELSEWHERE = {
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "deploy/README.md": "service.md",
    "learner/RESULTS.md": "results.md",
    "learner/learning_curve.svg": "pictures/learning_curve.svg",
}
SHOWN = {".md", ".png", ".svg"}
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def pages() -> dict[Path, Path]:
    """The files of the site, by their paths in it."""
    own = {path.relative_to(DOCS): path for path in sorted(DOCS.rglob("*")) if path.suffix in SHOWN}
    return own | {Path(page): ROOT / name for name, page in ELSEWHERE.items()}


def staged(page: Path, source: Path) -> str:
    """The text of a page, with links as the site has them.

    Args:
        page: Where the site has it.
        source: The file.
    """
    there = {path.resolve(): where for where, path in pages().items()}

    def linked(found: re.Match[str]) -> str:
        mark, text, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        name, hash_, anchor = target.partition("#")
        path = (source.parent / name).resolve()
        if path in there:
            return f"{mark}[{text}]({os.path.relpath(there[path], page.parent)}{hash_}{anchor})"
        # What is not there at all stays, so that the build ends by it.
        return text if path.exists() else found[0]

    text = source.read_text(encoding="utf-8")
    parts: list[str] = []
    end = 0
    for code in CODE.finditer(text):
        # A name in code marks may be the text of a link: only blocks are kept out.
        if code[0].startswith("```"):
            parts += [LINK.sub(linked, text[end : code.start()]), code[0]]
            end = code.end()
    return "".join([*parts, LINK.sub(linked, text[end:])])


def stage() -> None:
    """Copy all pages into build/docs."""
    shutil.rmtree(STAGE, ignore_errors=True)
    for page, source in pages().items():
        target = STAGE / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if page.suffix == ".md":
            target.write_text(staged(page, source), encoding="utf-8")
        else:
            shutil.copyfile(source, target)


def main() -> int:
    """Build the site; gives the exit status."""
    stage()
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
