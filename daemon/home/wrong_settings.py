"""What is wrong with settings, in words for people. No value that may be a secret is shown."""

import difflib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from daemon.home import receivers
from learner.classes import likely_meant

SIMILAR = 2  # keys that are offered in the place of an unknown one

Fields = Mapping[str, FieldInfo]


def explained(path: Path, problem: Any, settings: Fields) -> str:
    """One line about what is wrong, with the key, the value and the rule.

    Args:
        path: The settings file.
        problem: As pydantic describes it.
        settings: The fields of all settings.
    """
    place = problem["loc"]
    place_in_file = where(path, ".".join(map(str, place)))
    if problem["type"] == "extra_forbidden":
        # A text may be a secret whose key is misspelt.
        is_shown = isinstance(problem["input"], int | float)
        value = f" (value {problem['input']!r})" if is_shown else ""
        return f"{place_in_file}{value} is unknown{_instead(place, settings)}"
    if problem["type"] == "missing":
        *table, key = place
        return f"{where(path, str(place[0]))}: {_table(table, problem['input'])} needs {key!r}"
    rule = problem["msg"].removeprefix("Value error, ")
    rule = rule[:1].lower() + rule[1:]
    if receivers.may_be_secret(place) or place[0] == "database":  # it may hold a password
        return f"{place_in_file} is wrong: {rule}"
    return f"{place_in_file} is {problem['input']!r}: {rule}"


def where(path: Path, key: str) -> str:
    """Where a setting is given: in the file, or in the environment, which counts more."""
    variable = f"VIDWATCH_{key.partition('.')[0]}".upper()
    if variable in os.environ:
        return f"environment variable {variable}"
    return f"setting {key!r} in {path}"


def _instead(place: Sequence[Any], settings: Fields) -> str:
    """What to write in the place of an unknown key: similar ones, or all that there are."""
    key = str(place[-1])
    if len(place) > 1 and key in settings:
        return " in this table: write it above the first table of the file"
    known = receivers.keys_of(place) or _known_keys(place, settings)
    if meant := likely_meant(key, known):
        return f": did you mean {meant!r}?"
    if near := difflib.get_close_matches(key.lower(), known, SIMILAR):
        return f": did you mean {' or '.join(map(repr, near))}?"
    return f"; the settings are: {', '.join(known)}"


def _known_keys(place: Sequence[Any], settings: Fields) -> Collection[str]:
    """The keys beside an unknown one: of all settings, or of a table in them."""
    if len(place) == 1:
        return settings
    of_table = get_args(settings[place[0]].annotation)[0]
    return cast("type[BaseModel]", of_table).model_fields


def _table(place: Sequence[Any], values: Any) -> str:
    """A table of the settings, by its name, or else by its number."""
    head = str(place[0])
    if len(place) == 1:
        return f"the table [{head}]"
    name = values.get("name") if isinstance(values, dict) else None
    if isinstance(name, str) and name.isprintable() and name:
        return f"the [[{head}]] {name!r}"
    return f"the [[{head}]] number {place[1] + 1}"
