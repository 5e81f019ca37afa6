"""What the docs show works: commands, settings, JSON and SQL are tried as they stand there."""

import json
import re
import shlex
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome
from pages_of_docs import PAGES, ROOT, blocks, examples
from typer.main import get_command

from daemon.cli.app import app
from daemon.home import settings
from daemon.home.settings import Settings
from learner import recipe

FIELDS = sorted((ROOT / "docs" / "fields").glob("*.md"))
# What may stand before a command: a prompt, another user, variables, the folder of the program.
BEFORE = re.compile(
    r"(\$ +)?(runuser -u \w+ -- +)?(env +)?(--\w+=\S+ +)*([A-Z_]+=\S* +)*([\w./~-]+/)?"
)


def commands_in(text: str) -> Iterator[str]:
    """The commands of vidwatch in a text for a shell, without their first word."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|;|\|", line.split(" #")[0]):
            words = BEFORE.sub("", part.strip(), count=1).split(" ", 1)
            if words[0] == "vidwatch":
                yield words[1].strip() if len(words) > 1 else ""


def inline_commands() -> Iterator[tuple[str, str]]:
    """What stands in code marks, on all pages."""
    for path in PAGES:
        if path.parent.name == "reference":
            continue
        text = re.sub(r"^ *```.*?^ *```", "", path.read_text("utf-8"), flags=re.M | re.S)
        for quoted in re.findall(r"`(vidwatch [^`]+)`", text):
            # Not what stands for something else: [DIR], FILE|ID, COMMAND…
            if not re.search(r"[\[\]|…]|\b(DIR|COMMAND|NAME|REGEX|FILE|CLASS|OLD|INTO)\b", quoted):
                yield str(path.relative_to(ROOT)), " ".join(quoted.split()[1:])


def shell_commands() -> Iterator[tuple[str, str]]:
    for page, block in examples("sh", "console"):
        for command in commands_in(block):
            yield page, command


COMMANDS = sorted(
    [(*each, True) for each in {*shell_commands()}]
    + [(*each, False) for each in {*inline_commands()}]
)
# What is built beside these pages: it may not be there yet.
LATER = {"demo", "version"}


# How the parser ends without a complaint: the help was asked for, or is shown of a group alone.
ENDS = {"", "Exit", "NoArgsIsHelpError"}
# A sentence may name a command, or an option of it, without all that has to be given.
UNFINISHED = {"MissingParameter", "BadOptionUsage"}


def complaint(words: list[str]) -> str:
    """Parse a command as the program does, without running it; gives the name of what is wrong."""
    command: Any = get_command(app)
    try:
        context = command.make_context("vidwatch", list(words))
        while hasattr(command, "commands"):
            rest = [*context._protected_args, *context.args]
            if not rest:
                return ""
            name, command, rest = command.resolve_command(context, rest)
            context = command.make_context(name, rest, parent=context)
    except Exception as error:
        return type(error).__name__
    return ""


@pytest.mark.parametrize(
    ("page", "command", "is_whole"), COMMANDS, ids=lambda value: str(value)[:60]
)
def test_each_command_is_one_that_the_program_takes(
    page: str, command: str, is_whole: bool
) -> None:
    words = shlex.split(command.replace("…", "").rstrip("."))
    known = get_command(app).commands  # type: ignore[attr-defined]
    if words and words[0] in LATER - known.keys():
        pytest.skip(f"there is no `vidwatch {words[0]}` yet")
    allowed = ENDS if is_whole else ENDS | UNFINISHED
    assert complaint(words) in allowed, f"{page}: vidwatch {command}"


TOML = [(page, block) for page, block in examples("toml") if "docs/" in page or page == "README.md"]


def kind_of(block: str) -> str:
    """Whether a block is settings, a recipe, or what says more of an export."""
    keys = set(tomllib.loads(block))
    if keys <= Settings.model_fields.keys():
        return "settings"
    return "recipe" if "extends" in keys else "metadata"


@pytest.mark.parametrize(("page", "block"), TOML, ids=lambda text: str(text)[:40])
def test_each_toml_is_read_by_what_it_is_for(page: str, block: str, tmp_path: Path) -> None:
    file = tmp_path / "home" / "vidwatch.toml"
    file.parent.mkdir()
    file.write_text(block)
    kind = kind_of(block)
    if kind == "settings":
        assert settings.load(file) != Settings()
    elif kind == "recipe":
        assert recipe.load(str(file))
    else:
        assert page == "docs/export.md"


@pytest.mark.parametrize("page", FIELDS, ids=lambda path: path.stem)
def test_each_page_of_a_field_has_settings_groups_numbers_and_limits(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert {"Settings", "How many clips", "What to expect"} <= set(headings)
    assert any("roups" in heading for heading in headings)
    assert "Limits:" in text
    assert any(kind_of(block) == "settings" for block in blocks(page, "toml"))


@pytest.mark.parametrize(("page", "block"), list(examples("json")), ids=lambda text: str(text)[:40])
def test_each_json_is_json(page: str, block: str) -> None:
    assert json.loads(block)


@pytest.mark.of_sqlite
def test_each_query_of_the_database_can_be_asked(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home")
    home.arrive("a.mp4")
    queries = [
        query
        for _, block in examples("sh")
        for query in re.findall(r'sqlite3 \S+ "([^"]+)"', block)
    ]
    assert len(queries) >= 2
    with closing(sqlite3.connect(home.root / "vidwatch.db")) as connection:
        for query in queries:
            connection.execute(query).fetchall()
    home.close()
