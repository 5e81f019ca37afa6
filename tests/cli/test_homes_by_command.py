"""What commands do to a home that has videos, labels and models."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import homes
import pytest
from by_command import VIDWATCH, vidwatch
from conftest import write_video
from homes import MadeHome
from reviewed import NOW, ReviewedHome

from daemon.training.decisions import Decisions
from learner.catalogue import STARTER


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home made by `vidwatch init`, whose database is where those of other homes are."""
    if homes.new_database:
        for name, value in tomllib.loads(homes.new_database()).items():
            monkeypatch.setenv(f"VIDWATCH_{name.upper()}", value)
    assert vidwatch("init", tmp_path / "home").returncode == 0
    return tmp_path / "home"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["damaged", "missing"])
@pytest.mark.parametrize("command", ["rollback", "promote tiny"])
def test_a_model_that_cannot_be_loaded_does_not_become_the_champion(
    tmp_path: Path, command: str, how: str
) -> None:
    room = ReviewedHome(tmp_path)
    room.save_model("other", tmp_path)
    history, weights = Decisions(room.engine), room.home.models / "tiny.safetensors"
    history.choose("other", NOW)
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1]) if how == "damaged" else weights.unlink()
    done = vidwatch("models", *command.split(), home=room.home.root)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "tiny" in done.stderr
    assert history.champion() == "other"
    weights.write_bytes(whole)
    assert vidwatch("models", *command.split(), home=room.home.root).returncode == 0
    assert history.champion() == "tiny"


@pytest.mark.slow
def test_labels_are_given_accepted_and_taken_back_by_command(tmp_path: Path, home: Path) -> None:
    for number, name in enumerate(("a", "b")):
        write_video(home / f"inbox/{name}.avi", frames=5 + number, shade=40 * number)
    assert vidwatch("run", "--once", home=home).returncode == 0
    assert vidwatch("label", "a.avi", "b.avi", "Zebra", home=home).stdout.startswith(
        "2 labels noted"
    )
    assert vidwatch("label", "--undo", "b.avi", home=home).stdout.startswith("1 label taken back")
    wrong = vidwatch("label", "a.avi", "99", "x.avi", "Zebra", home=home)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "no video '99'" in wrong.stderr
    assert "no video 'x.avi'" in wrong.stderr
    (tmp_path / "labels.csv").write_text("file,label\nb.avi,Lion\n")
    assert vidwatch("label", "--csv", tmp_path / "labels.csv", home=home).stdout.startswith(
        "1 label noted"
    )
    assert vidwatch("run", "--once", home=home).returncode == 0
    found = {str(path.relative_to(home)) for path in home.rglob("*.avi")}
    assert found == {"labelled/Zebra/a.avi", "labelled/Lion/b.avi"}
    assert vidwatch("label", "--accept", "a.avi", home=home).returncode == 0
    assert vidwatch("retrain", home=home).stdout.startswith("asked for: auto-1")


@pytest.mark.slow
def test_a_class_that_is_nearly_another_one_is_asked_about_in_one_line(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home")
    for name in "abc":
        home.arrive(f"{name}.avi")
    home.predict_and_file()
    home.close()
    assert vidwatch("label", "a.avi", "Zebra ", home=home.root).returncode == 0
    (tmp_path / "labels.csv").write_text("file,label\nb.avi,Zebar\nc.avi,ZEBRA\na.avi,Lion\n")
    for words in (["b.avi", "Zebar"], ["--csv", str(tmp_path / "labels.csv")]):
        done = vidwatch("label", *words, home=home.root)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "there is no class 'Zebar': did you mean 'Zebra'?" in done.stderr
        assert "Give --new-class for a class of its own" in done.stderr
    assert "'ZEBRA': did you mean 'Zebra'?" in done.stderr
    assert [row[2] for row in home.given_labels()] == ["Zebra"]
    assert vidwatch("label", *words, "--new-class", home=home.root).returncode == 0
    assert [row[2] for row in home.given_labels()] == ["Zebra", "Zebar", "ZEBRA", "Lion"]


@pytest.mark.slow
def test_classes_are_listed_renamed_merged_and_retired_by_command(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home")
    for name in "abc":
        home.arrive(f"{name}.avi")
    home.predict_and_file()
    for video, name in enumerate(("Zebra", "Lion", "Cat"), start=1):
        home.give_label(video, name)
    home.close()
    done = vidwatch("classes", "rename", "Zebra", "Old Zebra ", home=home.root)
    assert done.stdout.startswith("Zebra is Old Zebra from now on: 1 label changed")
    assert vidwatch("classes", "merge", "Cat", "Lion", home=home.root).returncode == 0
    listed = json.loads(vidwatch("classes", "--json", home=home.root).stdout)["classes"]
    assert [(one["name"], one["labels"], one["former"]) for one in listed] == [
        ("Lion", 2, ["Cat"]),
        ("Old Zebra", 1, ["Zebra"]),
    ]
    assert vidwatch("classes", "retire", "Lion", home=home.root).returncode == 0
    assert re.search("Lion +0 .*retired", vidwatch("classes", home=home.root).stdout)
    wrong = vidwatch("classes", "rename", "Tiger", "Lion", home=home.root)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "there is no class 'Tiger'" in wrong.stderr


@pytest.mark.slow
def test_a_model_is_promoted_and_rolled_back_by_command(home: Path) -> None:
    early = vidwatch("models", "rollback", home=home)
    assert (early.returncode, "start the daemon first" in early.stderr) == (2, True)
    vidwatch("run", "--once", home=home)
    for suffix in (".json", ".safetensors"):
        shutil.copy(STARTER.with_suffix(suffix), home / f"models/mine{suffix}")
    assert (
        vidwatch("models", "promote", "mine", home=home).stdout
        == "mine is the champion from now on\n"
    )
    assert json.loads(vidwatch("status", "--json", home=home).stdout)["model"] == "mine"
    listed = {
        row["name"]: row for row in json.loads(vidwatch("models", "--json", home=home).stdout)
    }
    assert (listed["mine"]["answers"], listed["starter"]["answers"]) == (True, False)
    assert "chosen" in vidwatch("models", home=home).stdout
    back = vidwatch("models", "rollback", home=home)
    assert back.stdout == "starter is the champion from now on, instead of mine\n"


@pytest.mark.slow
def test_a_later_model_predicts_earlier_videos_by_command(home: Path) -> None:
    write_video(home / "inbox/a.avi", frames=6)
    vidwatch("run", "--once", home=home)
    done = vidwatch("rescore", home=home)
    first, hint = done.stdout.splitlines()
    assert first == "starter predicted 0 videos; 0 get another class than before"
    assert hint.startswith("that is the starter")


NAMELESS = 54321  # a user id that no user has
# If Python or vidwatch lies in a folder of root's alone, only the real user id can change: it is
# the one that names the user.
BECOME_NAMELESS = (f"os.setuid({NAMELESS})", f"os.setresuid({NAMELESS}, 0, 0)")


@pytest.fixture
def home_of_nameless() -> Iterator[ReviewedHome]:
    """A home with one filed video, of the user without a name."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to run as another user")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folder is root's alone
        room = ReviewedHome(Path(folder))
        room.clip("a.avi")
        room.engine.dispose()
        for path in (Path(folder), *Path(folder).rglob("*")):
            os.chown(path, NAMELESS, NAMELESS)
        yield room
        room.close()


def as_nameless(home: Path, become: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import os, sys; {become}; from daemon.cli.app import main; main()"
    environment = {**os.environ, "HOME": str(home.parent), "VIDWATCH_HOME": str(home)}
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        environment.pop(name, None)
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/")


@pytest.mark.slow
def test_a_label_by_a_user_id_without_a_name_is_noted_as_unknown(
    home_of_nameless: ReviewedHome,
) -> None:
    """As in a container that runs with a user id of its own."""
    home = home_of_nameless.root
    works = [how for how in BECOME_NAMELESS if not as_nameless(home, how, "--version").returncode]
    done = as_nameless(home, works[0], "label", "a.avi", "Zebra")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 label noted")
    assert home_of_nameless.given_labels("who") == [(1, "labelled", "Zebra", "command", "unknown")]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["", ".json", ".safetensors"])
def test_models_marks_a_champion_that_the_settings_name_by_a_path(
    tmp_path: Path, suffix: str
) -> None:
    reviewed = ReviewedHome(tmp_path)
    setting = f"{reviewed.home.model('tiny')}{suffix}"
    Decisions(reviewed.engine).apply_setting(setting, NOW)
    done = subprocess.run(
        [VIDWATCH, "--home", reviewed.home.root, "models", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    champions = [model for model in json.loads(done.stdout) if model["answers"]]
    assert [model["name"] for model in champions] == ["tiny"]
    assert {decision["challenger"] for decision in champions[0]["decisions"]} == {"tiny", setting}


@pytest.mark.of_sqlite
@pytest.mark.slow
@pytest.mark.parametrize("command", ["init", "labels", "check", "status"])
def test_a_database_that_another_program_has_locked_may_pass(tmp_path: Path, command: str) -> None:
    """SQLite waits half a minute for it; then a service may start the command again."""
    home = MadeHome(tmp_path)
    home.close()
    environment = {**os.environ, "VIDWATCH_HOME": str(tmp_path)}
    with closing(sqlite3.connect(home.home.database)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("CREATE TABLE mine (a)")
        done = subprocess.run([VIDWATCH, command], env=environment, capture_output=True, text=True)
    assert done.returncode == os.EX_TEMPFAIL
    assert re.fullmatch(r"vidwatch: database .*vidwatch\.db: .*locked; try again\n", done.stderr)
