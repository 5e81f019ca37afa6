"""The page of the messages, read from the source: errors, notices, lines of `doctor`."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from markdown_parts import cell, page, table

ROOT = Path(__file__).parents[1]
# The base of every error that a person meets, and of those that may pass by themselves.
ERROR, PASSING = "VidwatchError", "PassingError"
PLACEHOLDER = "…"


def messages() -> str:
    """The page of the messages: errors of commands, notices of the daemon, lines of `doctor`."""
    errors, notices = all_messages()
    parts = [
        "# All messages",
        "An error of a command is one line, `vidwatch: …`, with the exit status 2; 75 if it may "
        "pass by itself. A notice is shown by `vidwatch status` and on the page as long as it "
        f"holds. In the place of each {PLACEHOLDER} stands a file, a name, a number or the "
        "system's own reason. [Troubles and cures](../troubles.md) says more of those that people "
        "meet. Messages that are put together from several texts are not in this list.",
        "## Errors",
    ]
    for room, found in sorted(errors.items()):
        parts += [f"### {room}", table(("message", "exit status"), sorted(found))]
    parts += ["## Notices, and lines of `vidwatch doctor`"]
    parts.append(table(("about", "message"), sorted(notices)))
    return page(parts)


def all_messages() -> tuple[dict[str, set[tuple[str, str]]], set[tuple[str, str]]]:
    """Errors with their exit status, by the folder of the code; notices with their subject."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sources()}
    family = _family(trees.values())
    errors: dict[str, set[tuple[str, str]]] = defaultdict(set)
    notices: set[tuple[str, str]] = set()
    for path, tree in trees.items():
        folder = str(path.parent.relative_to(ROOT))
        for node, names in _calls(tree):
            name = called(node)
            first, last = (message_of(node.args[at], names) for at in (0, -1))
            if name in family and first:
                status = "75" if PASSING in family[name] else "2"
                errors[folder].add((cell(first), status))
            elif name in ("note", "_note") and last:
                subject = first if len(node.args) > 1 else ""
                notices.add((cell(subject or path.stem), cell(last)))
            elif name == "Line" and len(node.args) > 2:
                is_well = message_of(node.args[1]) == "ok"
                if not is_well and (text := message_of(node.args[2], names)):
                    notices.add((cell(first), cell(text)))
    return errors, notices


def message_of(node: ast.AST, names: Mapping[str, ast.AST] = MappingProxyType({})) -> str:
    """The text of a constant or an f-string, with `…` for what is put in; empty for anything else.

    Args:
        node: An expression.
        names: Expressions that names stand for.
    """
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.Name) and node.id in names:
        return message_of(names[node.id])
    if isinstance(node, ast.FormattedValue):
        return message_of(node.value, names)
    if isinstance(node, ast.JoinedStr):
        text = "".join(message_of(part, names) or PLACEHOLDER for part in node.values)
        text = text.replace(2 * PLACEHOLDER, PLACEHOLDER)
        return text if re.search(r"[a-z]{2}", text) else ""
    return ""


def _calls(tree: ast.Module) -> Iterator[tuple[ast.Call, Mapping[str, ast.AST]]]:
    """All calls in functions, if they are given something, and the texts that names stand for."""
    of_module = _texts(tree.body)
    functions = [
        node
        for top in tree.body
        for node in (top.body if isinstance(top, ast.ClassDef) else [top])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for function in functions:
        names = of_module | _texts(ast.walk(function))
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and node.args:
                yield node, names


def _texts(nodes: Iterable[ast.AST]) -> dict[str, ast.AST]:
    """The names that are given a value once, if that value is a text."""
    given = [
        (target.id, node.value)
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    often = Counter(name for name, _ in given)
    return {
        name: value
        for name, value in given
        if often[name] == 1 and isinstance(value, ast.Constant | ast.JoinedStr)
    }


def sources() -> list[Path]:
    """All files of the program."""
    return sorted(path for room in ("daemon", "learner") for path in (ROOT / room).rglob("*.py"))


def _family(trees: Iterable[ast.Module]) -> dict[str, set[str]]:
    """The errors that people meet: each class with itself and its bases."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    family = {ERROR: {ERROR}}
    while True:
        more = {
            name: {name}.union(*(family[base] for base in above if base in family))
            for name, above in bases.items()
            if name not in family and above & family.keys()
        }
        if not more:
            return family
        family |= more


def called(node: ast.AST) -> str:
    """The last name of what is called; empty if this is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "id", getattr(node.func, "attr", ""))
