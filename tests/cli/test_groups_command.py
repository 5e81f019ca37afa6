"""The command `groups`, and that what it advises works."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome

from daemon.home.folders import group_at
from daemon.home.settings import load
from learner.groups import GROUP_PATTERN, compile_pattern

VIDWATCH = Path(sys.executable).with_name("vidwatch")
LABELS = ("bench", "box")


def labelled_home(folder: Path, name_of: Callable[[str, int], str]) -> MadeHome:
    """Six labelled clips of each class, by the names that `name_of` gives; not predicted yet."""
    home = MadeHome(folder, classes=LABELS)
    for label in LABELS:
        for n in range(6):
            path = home.put(f"labelled/{label}/{name_of(label, n)}")
            home.class_folders.notice([home.found(path)], home.tick())
    return home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    """Clips of one camera on two days, by their names; they all look the same."""
    home = labelled_home(tmp_path / "home", lambda label, n: f"day{n % 3}_{label}_{n}.mp4")
    home.predict_and_file(fingerprint=bytes(64))
    yield home
    home.close()


def run(home: MadeHome, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "VIDWATCH_HOME": str(home.root), "COLUMNS": "120", **environment}
    command = [VIDWATCH, "groups", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables)


def shown(home: MadeHome, *arguments: str, code: int = 0) -> Any:
    done = run(home, "--json", *arguments)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_it_says_what_was_found_why_figures_flatter_and_how_to_name_groups(home: MadeHome) -> None:
    text = " ".join(run(home).stdout.split())
    assert "bench 6 6 each clip for itself" in text
    assert "12 groups of one clip" in text
    assert "figures by these groups are optimistic, since nothing tells which clips show" in text
    assert f"now it is '{GROUP_PATTERN}'" in text
    document = shown(home)
    assert (document["how"], len(document["groups"])) == ("clips", 12)
    assert document["classes"][0] == {"class": "bench", "clips": 6, "groups": 6, "how": "clips"}


@pytest.mark.slow
def test_the_command_that_it_advises_shows_groups_and_then_sets_them(home: MadeHome) -> None:
    """Its advice is followed to the end: a dry run, then for good, then there is nothing to say."""
    advised = re.search(r"vidwatch groups --pattern '(.*)' --dry-run", run(home).stdout)
    assert advised
    dry = run(home, "--pattern", advised[1], "--dry-run").stdout
    assert "day0: 2 bench, 2 box" in dry
    assert "12 clips would be regrouped; nothing was changed" in dry
    assert shown(home)["how"] == "clips"
    assert load(home.home.settings).group_pattern == GROUP_PATTERN
    done = run(home, "--pattern", advised[1])
    assert f"12 clips regrouped; group_pattern is set in {home.home.settings}" in done.stdout
    assert load(home.home.settings).group_pattern == advised[1]
    document = shown(home)
    assert (document["how"], document["optimistic"]) == ("stated", None)
    assert "optimistic" not in run(home).stdout
    again = shown(home, "--pattern", advised[1])
    assert (again["matched"], again["changed"], again["applied"]) == (12, 0, True)


@pytest.mark.slow
def test_the_sub_folders_that_it_advises_make_groups(home: MadeHome) -> None:
    advised = re.search(r"sub-folders: (\S+)/<class>/<recording>/", run(home).stdout)
    assert advised
    moved = []
    for path in sorted(Path(advised[1]).glob("*/*.mp4")):
        target = path.parent / path.name[:4] / path.name
        target.parent.mkdir(exist_ok=True)
        moved.append(path.rename(target))
    root, pattern = os.fsencode(home.root), compile_pattern(GROUP_PATTERN)
    files = [home.found(path, group_at(bytes(path), root, pattern)) for path in moved]
    home.class_folders.notice(files, home.tick())
    document = shown(home)
    assert [group["group"] for group in document["groups"]] == ["day0", "day1", "day2"]
    assert document["how"] == "stated"


@pytest.mark.slow
def test_a_pattern_that_fits_no_name_or_is_none_changes_nothing(home: MadeHome) -> None:
    settings = home.home.settings.read_bytes()
    for pattern, text in [
        ("^cam", r"'\^cam' matches none of 12 file names; nothing was changed"),
        ("(", "is not a regular expression"),
    ]:
        done = run(home, "--pattern", pattern)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert re.search(text, done.stderr)
    assert run(home, "--dry-run").returncode == 2
    assert home.home.settings.read_bytes() == settings
    assert shown(home)["how"] == "clips"


@pytest.mark.slow
def test_a_settings_file_that_cannot_be_edited_safely_is_left_to_the_person(
    home: MadeHome, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "vidwatch.toml"
    home.home.settings.rename(elsewhere)
    home.home.settings.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    done = run(home, "--pattern", "^([^_]+)_")
    line = re.search(r"or the next start undoes this: (group_pattern = .*)", done.stdout)
    assert line
    assert elsewhere.read_bytes() == before
    elsewhere.write_bytes(f"{line[1]}\n".encode() + before)
    assert load(home.home.settings).group_pattern == "^([^_]+)_"


@pytest.mark.slow
def test_a_variable_that_counts_more_is_named(home: MadeHome) -> None:
    done = run(home, "--pattern", "^([^_]+)_", VIDWATCH_GROUP_PATTERN="^other")
    assert "the variable VIDWATCH_GROUP_PATTERN counts more" in done.stdout


@pytest.mark.slow
def test_while_a_daemon_runs_it_has_to_be_restarted_and_then_applies_the_pattern_again(
    home: MadeHome,
) -> None:
    with home.home.lock():
        done = run(home, "--pattern", "^([^_]+)_")
    assert "restart the daemon, so that new clips follow it, too" in done.stdout
    assert not home.home.applied_pattern.exists()


@pytest.mark.slow
def test_without_labels_it_says_how_to_begin(tmp_path: Path) -> None:
    home = MadeHome(tmp_path)
    assert "put clips into labelled/<class>/" in run(home).stdout
    home.close()


@pytest.fixture
def numbered(tmp_path: Path) -> Iterator[MadeHome]:
    """Labelled clips with names like `clip3hammer.mp4`, and unlabelled ones like `fresh_4.mp4`."""
    home = labelled_home(tmp_path / "numbered", lambda label, n: f"clip0{label}{n}.mp4")
    home.enqueue(*(home.put(f"inbox/fresh_{n}.mp4") for n in range(4)))
    home.predict_and_file(fingerprint=bytes(64))
    yield home
    home.close()


@pytest.mark.slow
def test_without_a_pattern_that_suits_the_names_it_prints_no_example(numbered: MadeHome) -> None:
    text = run(numbered).stdout
    assert "vidwatch groups --pattern REGEX --dry-run shows what one gives" in text
    assert "^" not in text.replace(GROUP_PATTERN, "")


@pytest.mark.slow
def test_a_pattern_that_makes_one_group_of_all_names_is_refused_with_what_to_do(
    numbered: MadeHome,
) -> None:
    dry = run(numbered, "--pattern", "^([^_]+)_", "--dry-run")
    assert (dry.returncode, dry.stderr) == (2, "")  # as without --dry-run
    assert "warning: all 4 names that match give one group, 'fresh'; a class needs" in dry.stdout
    assert "warning: it matches the name of no labelled clip" in dry.stdout
    assert "nothing was changed, and without --dry-run it is refused" in dry.stdout
    done = run(numbered, "--pattern", "^([^_]+)_")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "was not applied: all 4 names that match give one group" in done.stderr
    assert "fresh" not in {row.group for row in numbered.rows()}
    line = re.search(r"restart the daemon: (group_pattern = .*)", done.stderr)
    assert line
    settings = numbered.home.settings
    settings.write_text(f"{line[1]}\n{settings.read_text()}")
    assert load(settings).group_pattern == "^([^_]+)_"


@pytest.mark.slow
def test_a_pattern_that_leaves_classes_one_group_is_refused(numbered: MadeHome) -> None:
    pattern = r"^(clip\d|fresh_\d)"
    text = "bench would have 1 group, box would have 1 group; a class needs at least 2"
    assert f"warning: {text}" in run(numbered, "--pattern", pattern, "--dry-run").stdout
    document = shown(numbered, "--pattern", pattern, "--dry-run", code=2)
    assert (document["applied"], len(document["warnings"])) == (False, 1)
    done = run(numbered, "--pattern", pattern)
    assert done.returncode == 2
    assert text in done.stderr
    assert shown(numbered)["how"] == "clips"
    assert load(numbered.home.settings).group_pattern == GROUP_PATTERN


@pytest.mark.slow
def test_it_says_how_to_go_back_which_is_never_refused(home: MadeHome) -> None:
    done = run(home, "--pattern", "^([^_]+)_")
    assert "bench would have 3 groups" in done.stdout
    back = re.search(r"to go back: vidwatch groups --pattern '(.*)'", done.stdout)
    assert back
    assert back[0] in run(home).stdout
    again = run(home, "--pattern", back[1])
    assert again.returncode == 0, again.stderr
    assert "to go back" not in again.stdout
    assert shown(home)["how"] == "clips"


@pytest.mark.slow
def test_it_says_how_many_groups_of_inbox_folders_a_pattern_replaces(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home", classes=LABELS)
    for n, camera in enumerate(("door", "yard")):
        home.enqueue(home.put(f"inbox/{camera}/clip{n}_{camera}.mp4"), group=camera)
    home.predict_and_file()
    done = run(home, "--pattern", r"^(clip\d)_")
    assert "2 clips had a group from a folder of the inbox, which no pattern" in done.stdout
    assert "folder of the inbox" not in run(home, "--pattern", GROUP_PATTERN).stdout
    home.close()
