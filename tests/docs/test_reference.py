"""The reference is what the code says, and leaves out nothing that a person can use."""

import json

import pytest
from make_reference import PAGES, all_commands, pages
from messages_of_code import all_messages
from settings_of_code import TABLES_OF_SETTINGS, texts_of_settings
from typer.main import get_command

from daemon.cli.app import app
from daemon.database.tables import metadata
from daemon.home.settings import Settings


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return {path.name: text for path, text in pages().items()}


def test_the_pages_are_what_the_code_gives(made: dict[str, str]) -> None:
    there = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    assert there == made, "run `make reference`"


def test_each_command_and_each_of_its_options_says_what_it_is() -> None:
    silent = [
        f"{words} {parameter.name}"
        for words, command in all_commands(get_command(app))
        for parameter in command.params
        if not (parameter.help or "").strip() and not parameter.hidden
    ]
    assert silent == []
    assert [words for words, command in all_commands(get_command(app)) if not command.help] == []


def test_each_setting_has_a_text_and_a_heading(made: dict[str, str]) -> None:
    texts = texts_of_settings()
    assert [key for key in Settings.model_fields if not texts.get(key, "").strip()] == []
    headings = [line for line in made["settings.md"].splitlines() if line.startswith("## ")]
    listed = {key for line in headings for key in line.removeprefix("## ").split(", ")}
    tables = {key for key in TABLES_OF_SETTINGS if {f"[{key}]", f"[[{key}]]"} & listed}
    assert (listed & Settings.model_fields.keys()) | tables == set(Settings.model_fields)


def test_each_default_of_a_setting_is_shown_as_toml(made: dict[str, str]) -> None:
    assert (
        f"`retrain` | text | `{json.dumps(Settings.model_fields['retrain'].default)}`"
        in (made["settings.md"])
    )


def test_each_column_of_each_table_is_there(made: dict[str, str]) -> None:
    for name, table in metadata.tables.items():
        section = made["columns.md"].split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert [one.name for one in table.columns if f"| `{one.name}` |" not in section] == []


def test_errors_have_their_exit_status_and_names_stand_for_their_texts() -> None:
    errors, notices = all_messages()
    assert ("`the database cannot be used: …`", "75") in errors["daemon/service"]
    least = "less than … are free on the disk of …: new clips wait until there is more"
    assert f"`{least}`" in {text for _, text in notices}
