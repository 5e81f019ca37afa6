"""The tree and the lists of CONTRIBUTING.md name what is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
CHANGES = ["command", "setting", "column", "container format", "recipe", "source of labels"]
PATH = re.compile(r"`((?:[\w-]+/)+[\w.-]*|[A-Z]+\.md)`")
# A file, and what is said of it: up to the next file, item or paragraph.
SYMBOLS_AFTER_PATH = re.compile(
    r"`((?:[\w-]+/)+\w+\.py)`: (.*?)(?=`[\w-]+/|\n\d\. |\n\n|\Z)", re.DOTALL
)


def tree() -> dict[str, str]:
    """The folders of the tree, with the phrase beside each."""
    block = re.search(r"^## The source\n.*?^```\n(.*?)^```", CONTRIBUTING, re.DOTALL | re.MULTILINE)
    assert block
    folders = {}
    above: list[str] = []
    for line in block[1].splitlines():
        indent, name, phrase = re.fullmatch(r"( *)([\w.-]+/) +(\S.*)", line).groups()  # type: ignore[union-attr]
        above = [*above[: len(indent) // 2], name]
        folders["".join(above)] = phrase
    return folders


def section(change: str) -> str:
    found = re.search(rf"^### Add a {change}\n(.*?)(?=^##)", CONTRIBUTING, re.DOTALL | re.MULTILINE)
    assert found, change
    return found[1]


def test_the_tree_names_every_folder_of_the_source_once() -> None:
    code = [
        path.parent
        for top in ("daemon", "learner", "migrations")
        for path in (ROOT / top).rglob("*.py")
    ]
    own = {f"{folder.relative_to(ROOT)}/" for folder in code if folder.name != "versions"}
    assert own | {"tests/", "docs/", "deploy/"} <= set(tree())
    assert [folder for folder in tree() if not (ROOT / folder).is_dir()] == []


def test_each_phrase_of_the_tree_says_something_of_its_own() -> None:
    assert len(set(tree().values())) == len(tree())


@pytest.mark.parametrize("change", CHANGES)
def test_each_file_of_a_list_is_there_and_holds_the_names_beside_it(change: str) -> None:
    text = section(change)
    named = PATH.findall(text)
    assert len(named) >= 4
    assert [path for path in named if not (ROOT / path).exists()] == []
    for path, rest in SYMBOLS_AFTER_PATH.findall(text):
        names = re.findall(r"`([A-Za-z_]\w*)(?:\.\w+)?`", rest)
        assert [name for name in names if name not in (ROOT / path).read_text()] == [], path


def test_all_other_paths_in_contributing_are_there() -> None:
    assert [path for path in PATH.findall(CONTRIBUTING) if not (ROOT / path).exists()] == []
