import re
from pathlib import Path

import pytest

from daemon.home.folder import Home
from daemon.home.settings import Settings, load, write_setting
from learner.errors import VidwatchError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "vidwatch.toml"
    path.write_text(text)
    return path


def test_every_key_has_a_default_and_the_file_shows_just_these(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.create()
    assert load(home.settings) == Settings() == load(tmp_path / "missing.toml")
    shown = written(
        tmp_path,
        re.sub(r"^# (\w+ = |  '|\])", r"\1", home.settings.read_text(), flags=re.MULTILINE),
    )
    assert load(shown) == Settings()
    keys = re.findall(r"^(\w+) = ", shown.read_text(), flags=re.MULTILINE)
    tables = re.findall(r"^#   \[+(\w+)\]+$", shown.read_text(), flags=re.MULTILINE)
    assert {*keys, *tables} == set(Settings.model_fields)


def test_the_environment_counts_more_than_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "batch_size = 4\nsettle_seconds = 5")
    monkeypatch.setenv("VIDWATCH_BATCH_SIZE", "2")
    assert (load(path).batch_size, load(path).settle_seconds) == (2, 5.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch_sise = 4", ["batch_sise", "4", "unknown", "batch_size"]),
        ("unsure_bellow = 0.4", ["unsure_bellow", "unknown: did you mean 'unsure_below'?"]),
        ("cam = 4", ["'cam'", "unknown; the settings are: model, device"]),
        ("[[source]]\nname = 'a'", ["'source' in", "the [[source]] 'a' needs 'folder'"]),
        ("[[source]]\nfolder = '/srv'", ["the [[source]] number 1 needs 'name'"]),
        ("[[remove]]\nafter_days = 1", ["the [[remove]] number 1 needs 'classes'"]),
        ("batch_size = 0", ["batch_size", "0", "greater than or equal to 1"]),
        ("device = 'gpu'", ["device", "gpu", "'cuda'"]),
        ("settle_seconds = 'long'", ["settle_seconds", "long", "number"]),
        ("group_pattern = '('", ["group_pattern", "not a regular expression"]),
        ("ignore = 'x'", ["ignore", "'x'", "tuple"]),
        ("ignore = ['!']", ["ignore", "'!'", "is no pattern as in .gitignore"]),
        ("ignore = ['[z-a]']", ["ignore", "'[z-a]'", "is no pattern"]),
        ("ignore = ['a', '']", ["ignore", "the pattern '' can match nothing"]),
        ("ignore = ['#recycle']", ["ignore", "'#recycle' can match nothing", r"'\#recycle'"]),
        ("windows = '10/20'", ["windows", "'10/20'", "SECONDS/STEP", "'off'"]),
        ("windows_from_seconds = 0", ["windows_from_seconds", "0", "greater than or equal to 1"]),
        (
            "working_hours = ['Mon-Fri']",
            ["working_hours", "'Mon-Fri' names no times", "20:00-07:00"],
        ),
        ("cores = -1", ["cores", "-1", "greater than or equal to 0"]),
        ("batch_size = ]", ["not valid TOML", "line 1"]),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_key_the_value_and_the_rule(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    with pytest.raises(VidwatchError) as caught:
        load(written(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    assert "vidwatch.toml" in message
    assert [word for word in words if word not in message] == []


def test_a_wrong_variable_is_named_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDWATCH_DECODERS", "many")
    with pytest.raises(VidwatchError, match="VIDWATCH_DECODERS is 'many'"):
        load(tmp_path / "missing.toml")


@pytest.mark.parametrize("value", ["/elsewhere/net", "../net", "~/net"])
@pytest.mark.parametrize("key", ["model", "retrain"])
def test_models_and_recipes_outside_the_home_are_refused(
    tmp_path: Path, key: str, value: str
) -> None:
    with pytest.raises(VidwatchError, match=f"'{key}' in .* it must lie in the home"):
        load(written(tmp_path, f'{key} = "{value}"'))
    inside = str(tmp_path / "models/net")
    assert getattr(load(written(tmp_path, f'{key} = "{inside}"')), key) == inside


@pytest.mark.parametrize(
    "before",
    [
        "",
        "batch_size = 4\n",
        "# group_pattern = 'shown'\nbatch_size = 4\n",
        "group_pattern = 'old'  # why\n[thresholds]\nBiking = 0.8\n",
        "[thresholds]\nBiking = 0.8\n",
        "[thresholds]\n# group_pattern = 'a'\n",
    ],
)
@pytest.mark.parametrize("pattern", [r"^(\w+)_\d", r"^(it's \"so\")", "é+"])
def test_a_setting_is_written_and_the_others_stay(
    tmp_path: Path, before: str, pattern: str
) -> None:
    path = written(tmp_path, before)
    path.chmod(0o640)
    old = load(path)
    assert write_setting(path, "group_pattern", pattern)
    assert load(path) == old.model_copy(update={"group_pattern": pattern})
    assert path.stat().st_mode & 0o777 == 0o640 or not before


@pytest.mark.parametrize(
    "before",
    [
        "# group_pattern = 'a'\n# group_pattern = 'b'\n",
        'model = """\n# group_pattern = x\n"""\n',
        "no TOML\n",
    ],
)
def test_a_file_that_cannot_be_edited_safely_stays_as_it_is(tmp_path: Path, before: str) -> None:
    path = written(tmp_path, before)
    assert not write_setting(path, "group_pattern", "^x")
    assert path.read_text() == before


SOURCES = """
on_filed = "copy"
filed_as = "tree"
[[source]]
name = "barn"
folder = "/srv/barn"
group = "all"
[[source]]
name = "old"
folder = "/mnt/old/"
in_place = true
filed_as = "flat"
ignore = ["x/"]
"""


def test_sources_are_folders_beside_the_inbox(tmp_path: Path) -> None:
    settings = load(written(tmp_path, SOURCES))
    barn, old = settings.sources
    assert (barn.name, barn.folder, barn.on_filed) == ("barn", b"/srv/barn", "copy")
    assert (barn.tree, barn.group, barn.ignore) == (True, "all", None)
    assert (old.folder, old.on_filed, old.stays) == (b"/mnt/old", "leave", True)
    assert (old.tree, old.group, old.ignore) == (False, None, ("x/",))
    pattern = re.compile(r"^(cam\d+)_")
    assert old.source_of(b"/mnt/old/a/b/c.mp4") == "old/a/b"
    assert old.group_of(b"/mnt/old/c.mp4", pattern) is None
    assert old.group_of(b"/mnt/old/a/c.mp4", pattern) == "old/a"
    assert old.group_of(b"/mnt/old/a/cam1_c.mp4", pattern) == "cam1"


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([("a", "/x"), ("a", "/y")], ["two of them are named 'a'"]),
        ([("a", "/x"), ("b", "/x/y")], ["/x/y", "'b'", "/x", "'a'", "overlap"]),
        ([("a", "HOME/inbox/a")], ["'a'", "this home", "overlap"]),
        ([("a", "/")], ["this home", "overlap"]),
        ([("a", "x")], ["source.0.folder", "'x'", "whole path"]),
        ([("a/b", "/x")], ["source.0.name", "'a/b'"]),
    ],
)
def test_sources_that_cannot_be_are_refused(
    tmp_path: Path, tables: list[tuple[str, str]], words: list[str]
) -> None:
    lines = [
        f'[[source]]\nname = "{name}"\nfolder = "{folder.replace("HOME", str(tmp_path))}"'
        for name, folder in tables
    ]
    with pytest.raises(VidwatchError) as caught:
        load(written(tmp_path, "\n".join(lines)))
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_misspelt_key_of_a_source_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    text = '[[source]]\nname = "a"\nfolder = "/x"\nin_palce = true'
    with pytest.raises(VidwatchError, match=r"source\.0\.in_palce.*in_place"):
        load(written(tmp_path, text))


def test_a_key_of_a_table_is_not_taken_for_a_setting(tmp_path: Path) -> None:
    path = written(tmp_path, '[[source]]\nname = "a"\nfolder = "/x"\ngroup = "g"\n')
    assert write_setting(path, "model", "mine")
    assert load(path).model == "mine"
    assert load(path).source[0].group == "g"
