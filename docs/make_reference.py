"""Writes the pages of docs/reference/ from the code: commands, settings, columns, messages.

`make reference` runs it; a test compares the pages that are there with what it gives.
"""

import ast
import re
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sqlalchemy import CheckConstraint, Column, Table
from typer.main import get_command

from daemon.cli.app import app
from daemon.database.tables import metadata
from daemon.home.receivers import Mqtt, Notify, Secret, Webhook
from daemon.home.remove_rules import RemoveRule
from daemon.home.settings import Settings
from daemon.home.source_tables import SourceTable

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "reference"
MADE = "<!-- Made from the code by `make reference`: change the code instead. -->\n"
TABLES_OF_SETTINGS: dict[str, type[BaseModel]] = {
    "source": SourceTable,
    "remove": RemoveRule,
    "webhook": Webhook,
    "mqtt": Mqtt,
    "notify": Notify,
}
# The base of every error that a person meets, and of those that may pass by themselves.
ERROR, PASSING = "VidwatchError", "PassingError"
PLACEHOLDER = "…"
MOST_IN_A_CELL = 6  # values of a list; a longer one stands below the table


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
    return _page(parts)


def _parameters(command: Any) -> str:
    rows = []
    for parameter in command.params:
        if parameter.hidden:
            continue
        help_text = " ".join((parameter.help or "").split())
        rows.append((_code(_named(parameter)), help_text, _default(parameter)))
    return _table(("argument or option", "what it is", "if not given"), rows)


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
        notes.append(_code(str(parameter.default)))
    return ", else ".join(notes)


# Settings


def settings() -> str:
    """The page of the settings: each with its type, its default and the text of `vidwatch.toml`."""
    texts = texts_of_settings()
    parts = [
        "# All settings",
        "`vidwatch.toml` in the home folder explains each setting; all have defaults. An "
        "environment variable `VIDWATCH_<KEY>`, such as `VIDWATCH_BATCH_SIZE=4`, overrides the "
        "file. The daemon "
        "reads the settings when it starts. A new home has all of them as comments; a home of an "
        "older version keeps its file, and takes the defaults of what is new.",
    ]
    for text, keys in _grouped(texts):
        plain = [key for key in keys if key not in TABLES_OF_SETTINGS]
        if plain:
            rows = [(_code(key), *_described(Settings.model_fields[key])) for key in plain]
            parts += [f"## {', '.join(plain)}", _table(("key", "type", "default"), rows), text]
            parts += [_long_default(key) for key in plain]
    for key, model in TABLES_OF_SETTINGS.items():
        many = Settings.model_fields[key].annotation is not model
        fields = model.model_fields.items()
        rows = [(_code(name), *_described(field)) for name, field in fields]
        header = f"[[{key}]]" if many else f"[{key}]"
        parts += [f"## {header}", _table(("key", "type", "default"), rows), texts[key]]
    return _page(parts)


def texts_of_settings() -> dict[str, str]:
    """What `vidwatch.toml` says of each setting, as Markdown."""
    source = (ROOT / "daemon" / "home" / "vidwatch.toml").read_text(encoding="utf-8")
    texts: dict[str, str] = {}
    for block in source.split("\n\n"):
        lines = [line.removeprefix("#").removeprefix(" ") for line in block.splitlines()]
        # A default that goes on over several lines is one of a list.
        tops = [re.match(r"(\w+) = (?!\{ )", line) for line in lines]
        keys = [found[1] for found in tops if found and found[1] in Settings.model_fields]
        headers = [re.match(r" +\[\[?(\w+)\]\]?$", line) for line in lines]
        keys += [found[1] for found in headers if found]
        first = next((at for at, found in enumerate(tops) if found), len(lines))
        body = [line for line in lines[:first] if line.strip()]
        texts.update(dict.fromkeys(keys, _with_code(body)))
    return texts


def _with_code(lines: list[str]) -> str:
    """Lines of a comment as Markdown: what is indented is an example."""
    parts: list[str] = []
    is_code = False
    for line in lines:
        if line.startswith("  ") != is_code:
            parts.append("```" if is_code else "\n```toml")
            is_code = not is_code
        parts.append(line.removeprefix("  ") if is_code else line.replace("<", "&lt;"))
    if is_code:
        parts.append("```")
    return "\n".join(parts)


def _grouped(texts: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """The settings in their order, those of one text together."""
    by_text: dict[str, list[str]] = defaultdict(list)
    for key in Settings.model_fields:
        by_text[texts.get(key, "")].append(key)
    yield from by_text.items()


def _described(field: FieldInfo) -> tuple[str, str]:
    limits = [_limit(one) for one in field.metadata]
    kind = ", ".join([_kind(field.annotation), *filter(None, limits)])
    if field.is_required():
        return kind, "it has to be given"
    default = field.default
    if default is None or isinstance(default, BaseModel):
        return kind, "none"
    if isinstance(default, tuple) and len(default) > MOST_IN_A_CELL:
        return kind, "see below"
    return kind, _code(_toml(default))


def _long_default(key: str) -> str:
    default = Settings.model_fields[key].default
    if not (isinstance(default, tuple) and len(default) > MOST_IN_A_CELL):
        return ""
    lines = "".join(f"  {_toml(value)},\n" for value in default)
    return f"```toml\n{key} = [\n{lines}]\n```"


def _limit(constraint: Any) -> str:
    names = {"ge": "at least", "gt": "more than", "le": "at most"}
    for name, words in names.items():
        if hasattr(constraint, name):
            return f"{words} {getattr(constraint, name):,}"
    return ""


def _kind(annotation: Any) -> str:
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    if annotation in words:
        return words[annotation]
    if annotation is Secret:
        return "text, or a secret"
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(_code(_toml(value)) for value in get_args(annotation))
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    inner = [each for each in get_args(annotation) if each not in (NoneType, Ellipsis)]
    if origin is tuple:
        is_table = isinstance(inner[0], type) and issubclass(inner[0], BaseModel)
        return "tables" if is_table and inner[0] is not Secret else f"list of: {_kind(inner[0])}"
    if origin is dict:
        return f"table of: {_kind(inner[1])}"
    return _kind(inner[0])


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'" if "\\" in value else f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)


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
    for name, table in sorted(metadata.tables.items()):
        rows = [
            (_code(column.name), _type_of(column), _about(table, column, texts))
            for column in table.columns
        ]
        parts += [f"## {name}", texts.get((name, ""), "")]
        parts.append(_table(("column", "type", "what it is"), rows))
    return _page(parts)


def _type_of(column: "Column[Any]") -> str:
    name = type(column.type).__name__
    words = {"Utc": "time", "HomePath": "path", "Id": "integer", "FileSystem": "integer"}
    shown = words.get(name, name.lower().replace("largebinary", "bytes"))
    return f"{shown}{' ?' if column.nullable else ''}"


def _about(table: Table, column: "Column[Any]", texts: dict[tuple[str, str], str]) -> str:
    parts = [texts.get((table.name, column.name), "")]
    for key in column.foreign_keys:
        parts.append(f"A row of `{key.target_fullname.split('.')[0]}`.")
    for constraint in table.constraints:
        condition = str(getattr(constraint, "sqltext", ""))
        if isinstance(constraint, CheckConstraint) and condition.startswith(f"{column.name} IN"):
            values = re.findall(r"'(\w+)'", condition)
            parts.append(f"One of: {', '.join(map(_code, values))}.")
    return " ".join(filter(None, parts))


def _texts_of_columns() -> dict[tuple[str, str], str]:
    """The comments above tables (with "" as their column) and above columns."""
    texts: dict[tuple[str, str], str] = {}
    for path in sorted((ROOT / "daemon" / "database").glob("*tables.py")):
        comments = _comments(path)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not (isinstance(node, ast.Assign) and _called(node.value) == "Table"):
                continue
            assert isinstance(node.value, ast.Call)
            table = ast.literal_eval(node.value.args[0])
            texts[table, ""] = _above(node.lineno, comments)
            for given in node.value.args[2:]:
                if isinstance(given, ast.Call) and _called(given) == "Column":
                    column = ast.literal_eval(given.args[0])
                    texts[table, column] = _above(given.lineno, comments)
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


# Messages


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
        parts += [f"### {room}", _table(("message", "exit status"), sorted(found))]
    parts += ["## Notices, and lines of `vidwatch doctor`"]
    parts.append(_table(("about", "message"), sorted(notices)))
    return _page(parts)


def all_messages() -> tuple[dict[str, set[tuple[str, str]]], set[tuple[str, str]]]:
    """Errors with their exit status, by the folder of the code; notices with their subject."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in _sources()}
    family = _family(trees.values())
    errors: dict[str, set[tuple[str, str]]] = defaultdict(set)
    notices: set[tuple[str, str]] = set()
    for path, tree in trees.items():
        folder = str(path.parent.relative_to(ROOT))
        for node, names in _calls(tree):
            name = _called(node)
            first, last = (message_of(node.args[at], names) for at in (0, -1))
            if name in family and first:
                status = "75" if PASSING in family[name] else "2"
                errors[folder].add((_cell(first), status))
            elif name in ("note", "_note") and last:
                subject = first if len(node.args) > 1 else ""
                notices.add((_cell(subject or path.stem), _cell(last)))
            elif name == "Line" and len(node.args) > 2:
                is_well = message_of(node.args[1]) == "ok"
                if not is_well and (text := message_of(node.args[2], names)):
                    notices.add((_cell(first), _cell(text)))
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


def _sources() -> list[Path]:
    return sorted(path for room in ("daemon", "learner") for path in (ROOT / room).rglob("*.py"))


def _family(trees: Any) -> dict[str, set[str]]:
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


# Markdown


def _called(node: ast.AST) -> str:
    """The last name of what is called; empty if this is no call."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _cell(text: str) -> str:
    """A message as it is shown: in a table, without Markdown."""
    return _code(" ".join(text.split()))


def _table(head: tuple[str, ...], rows: Any) -> str:
    """A table; an empty text if it has no rows."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    if not lines:
        return ""
    rule = " | ".join("---" for _ in head)
    return "\n".join(f"| {line} |" for line in (" | ".join(head), rule, *lines))


def _page(parts: list[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
