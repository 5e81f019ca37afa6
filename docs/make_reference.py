"""Writes the pages of docs/reference/ from the code: commands, settings, columns, messages.

`make reference` runs it; a test compares the pages that are there with what it gives.
"""

import ast
import re
import tokenize
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from markdown_parts import code, page, table
from messages_of_code import called, messages
from settings_of_code import settings
from sqlalchemy import CheckConstraint, Column, Table
from typer.main import get_command

from daemon.cli.app import app
from daemon.database.tables import metadata

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference"
MADE = "<!-- Made from the code by `make reference`: change the code instead. -->\n"


def pages() -> dict[Path, str]:
    """All pages of the reference, by their files."""
    made = {"commands": commands(), "settings": settings(), "columns": columns()}
    made["messages"] = messages()
    return {PAGES / f"{name}.md": f"{MADE}\n{text}" for name, text in made.items()}


# Commands


def all_commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its words, also the commands of groups and the groups themselves."""
    for name, command in sorted(group.commands.items()):
        words = (*before, name)
        yield " ".join(words), command
        if hasattr(command, "commands"):
            yield from all_commands(command, words)


def commands() -> str:
    """The page of the commands: what `--help` of each says."""
    top = get_command(app)
    parts = [
        "# All commands",
        "What `vidwatch COMMAND --help` says, for all commands. [Commands](../commands.md) has "
        "them in one table, with their exit statuses and their JSON.",
        "Before the command stand the options of all:",
        _parameters(top),
    ]
    for words, command in all_commands(top):
        usage = " ".join(["vidwatch", words, *map(_in_usage, command.params)])
        parts += [f"## vidwatch {words}", f"```text\n{usage}\n```", command.help or ""]
        parts += [_parameters(command), *_examples(command.epilog or "")]
    return page(parts)


def _parameters(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if parameter.hidden:
            continue
        help_text = " ".join((parameter.help or "").split())
        rows.append((code(_named(parameter)), help_text, _default(parameter)))
    return table(("argument or option", "what it is", "if not given"), rows)


def _examples(epilog: str) -> Iterator[str]:
    """The end of a command's help; lines for a shell as such."""
    lines: list[str] = []
    for paragraph in epilog.replace(r"\[", "[").split("\n\n"):
        if paragraph.startswith("vidwatch"):
            lines.append(paragraph)
        else:
            yield paragraph
    if lines:
        code = "\n".join(lines)
        yield f"```sh\n{code}\n```"


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _is_flag(parameter: Any) -> bool:
    return bool(getattr(parameter, "is_flag", False))


def _value(parameter: Any) -> str:
    """What stands for the value of an argument or an option."""
    if parameter.metavar:
        return str(parameter.metavar)
    choices = list(_choices(parameter.type_descriptor.annotation))
    if choices:
        return "|".join(choices)
    return str(parameter.name).upper()


def _choices(annotation: Any) -> Iterator[str]:
    """The texts of a `Literal` or an enumeration, also of one that may be None."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(one.value) for one in annotation)
        return
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
        return
    for each in get_args(annotation):
        yield from _choices(each)


def _named(parameter: Any) -> str:
    if not _is_option(parameter):
        return _value(parameter)
    names = ", ".join((*parameter.opts, *parameter.secondary_opts))
    return names if _is_flag(parameter) else f"{names} {_value(parameter)}"


def _in_usage(parameter: Any) -> str:
    if _is_option(parameter):
        name = parameter.opts[0]
        shown = name if _is_flag(parameter) else f"{name} {_value(parameter)}"
        return shown if parameter.required else f"[{shown}]"
    return _value(parameter) if parameter.required else f"[{_value(parameter)}]"


def _default(parameter: Any) -> str:
    notes = [f"`{parameter.envvar}`"] if parameter.envvar else []
    if parameter.default not in (None, False, (), []):
        notes.append(code(str(parameter.default)))
    return ", else ".join(notes)


# Columns


def columns() -> str:
    """The page of the database's columns: their types, and the comments of the code."""
    texts = _texts_of_columns()
    parts = [
        "# All columns",
        "The tables of the database. A column that may be empty (NULL) has a `?` behind its "
        "type. Times are UTC. Paths are the exact bytes: `CAST(path AS TEXT)` shows one. The view "
        "`prediction_logits` has one row for each class of each prediction. What is meant for "
        "spreadsheets is in [Export](../export.md).",
    ]
    for name, described in sorted(metadata.tables.items()):
        rows = [
            (code(column.name), _type_of(column), _about(described, column, texts))
            for column in described.columns
        ]
        parts += [f"## {name}", texts.get((name, ""), "")]
        parts.append(table(("column", "type", "what it is"), rows))
    return page(parts)


def _type_of(column: "Column[Any]") -> str:
    name = type(column.type).__name__
    words = {"Utc": "time", "HomePath": "path", "Id": "integer", "FileSystem": "integer"}
    shown = words.get(name, name.lower().replace("largebinary", "bytes"))
    return f"{shown}{' ?' if column.nullable else ''}"


def _about(of: Table, column: "Column[Any]", texts: dict[tuple[str, str], str]) -> str:
    parts = [texts.get((of.name, column.name), "")]
    for key in column.foreign_keys:
        parts.append(f"A row of `{key.target_fullname.split('.')[0]}`.")
    for constraint in of.constraints:
        condition = str(getattr(constraint, "sqltext", ""))
        if isinstance(constraint, CheckConstraint) and condition.startswith(f"{column.name} IN"):
            values = re.findall(r"'(\w+)'", condition)
            parts.append(f"One of: {', '.join(map(code, values))}.")
    return " ".join(filter(None, parts))


def _texts_of_columns() -> dict[tuple[str, str], str]:
    """The comments above tables (with "" as their column) and above columns."""
    texts: dict[tuple[str, str], str] = {}
    for path in sorted((ROOT / "daemon" / "database").glob("*tables.py")):
        comments = _comments(path)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not (isinstance(node, ast.Assign) and called(node.value) == "Table"):
                continue
            assert isinstance(node.value, ast.Call)
            name = ast.literal_eval(node.value.args[0])
            texts[name, ""] = _above(node.lineno, comments)
            for given in node.value.args[2:]:
                if isinstance(given, ast.Call) and called(given) == "Column":
                    column = ast.literal_eval(given.args[0])
                    texts[name, column] = _above(given.lineno, comments)
    return texts


def _comments(path: Path) -> dict[int, str]:
    """The lines that are comments alone, by their numbers."""
    with tokenize.open(path) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    found = [token for token in tokens if token.type == tokenize.COMMENT]
    alone = [token for token in found if token.line.strip() == token.string]
    return {token.start[0]: token.string.lstrip("# ") for token in alone}


def _above(line: int, comments: dict[int, str]) -> str:
    texts: list[str] = []
    while (line := line - 1) in comments:
        texts.insert(0, comments[line])
    return " ".join(texts)


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
