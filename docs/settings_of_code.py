"""The page of the settings: their types, their defaults, and the text of `vidwatch.toml`."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from markdown_parts import code, page, table
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from daemon.home.receivers import Mqtt, Notify, Secret, Webhook
from daemon.home.remove_rules import RemoveRule
from daemon.home.settings import Settings
from daemon.home.source_tables import SourceTable

ROOT = Path(__file__).parents[1]
TABLES_OF_SETTINGS: dict[str, type[BaseModel]] = {
    "source": SourceTable,
    "remove": RemoveRule,
    "webhook": Webhook,
    "mqtt": Mqtt,
    "notify": Notify,
}
MOST_IN_A_CELL = 6  # values of a list; a longer one stands below the table


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
            rows = [(code(key), *_described(Settings.model_fields[key])) for key in plain]
            parts += [f"## {', '.join(plain)}", table(("key", "type", "default"), rows), text]
            parts += [_long_default(key) for key in plain]
    for key, model in TABLES_OF_SETTINGS.items():
        many = Settings.model_fields[key].annotation is not model
        fields = model.model_fields.items()
        rows = [(code(name), *_described(field)) for name, field in fields]
        header = f"[[{key}]]" if many else f"[{key}]"
        parts += [f"## {header}", table(("key", "type", "default"), rows), texts[key]]
    return page(parts)


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
    return kind, code(_toml(default))


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
        return " or ".join(code(_toml(value)) for value in get_args(annotation))
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
