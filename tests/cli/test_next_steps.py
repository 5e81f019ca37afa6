"""Each message that says what to do next is followed to its end: the command or the setting is
taken out of the message, given as it is, and the promised effect is seen.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import write_video
from fixed_camera import write_clips
from homes import MadeHome
from installed import Daemon
from installed import daemon as daemon
from reviewed import NOW, ReviewedHome
from tiny import cache as cache
from tiny import class_folders, trained_on
from typer.main import get_command

from daemon.cli import training
from daemon.cli.training import next_steps
from daemon.home import settings
from daemon.home.folder import Home
from daemon.home.models import adopt
from daemon.labels.lookup import import_csv
from daemon.training.decisions import Decision, Decisions
from daemon.training.records import KnownLabels
from learner.catalogue import Entry, describe
from learner.errors import VidwatchError

BIN = Path(sys.executable).parent


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Do what a message says, in a shell."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "VIDWATCH_DEVICE": "cpu"}
    environment |= variables
    return subprocess.run(line, shell=True, capture_output=True, text=True, env=environment)


def command_in(text: str) -> str:
    """The one command of vidwatch in a text: in quotes, or from the word on to the line's end."""
    quoted = re.search(r"'(vidwatch [^']*)'", text)
    commands = [quoted[1]] if quoted else re.findall(r"vidwatch (?:--home|init|run)[^;\n]*", text)
    assert len(commands) == 1, text
    return str(commands[0])


def status(home: Path) -> dict[str, Any]:
    shown = shell(f"vidwatch --home {shlex.quote(str(home))} status --json")
    return json.loads(shown.stdout)  # type: ignore[no-any-return]


def elsewhere(home: ReviewedHome, folder: Path) -> Path:
    """A model that lies outside of the home."""
    folder.mkdir()
    for suffix in (".json", ".safetensors"):
        source = home.home.models / f"other{suffix}"
        source.rename(folder / f"mine{suffix}")
    return folder / "mine.safetensors"


@pytest.fixture
def reviewed(tmp_path: Path) -> ReviewedHome:
    """A home with the champion `tiny` and another model."""
    home = ReviewedHome(tmp_path)
    home.save_model("other", tmp_path)
    return home


# `train`


@pytest.mark.slow
@pytest.mark.parametrize("where", ["models/", "elsewhere"])
def test_the_last_line_of_train_makes_the_model_the_champion(
    reviewed: ReviewedHome, tmp_path: Path, where: str
) -> None:
    name = "other"
    if where == "elsewhere":
        name = str(elsewhere(reviewed, tmp_path / "else where").with_suffix(""))
    model = describe(name, reviewed.home.model(name))
    (line,) = next_steps(reviewed.home, model, ["train", "clips"])
    done = shell(command_in(line))
    assert (done.returncode, done.stderr) == (0, "")
    expected = "mine" if where == "elsewhere" else "other"
    assert Decisions(reviewed.engine).champion() == expected
    assert (reviewed.home.models / f"{expected}.safetensors").is_file()
    assert status(reviewed.root)["model"] == expected


@pytest.mark.slow
def test_the_last_line_of_train_works_in_a_home_where_no_daemon_has_run(
    reviewed: ReviewedHome, tmp_path: Path
) -> None:
    with_model = MadeHome(tmp_path / "new home")
    with_model.put_model(reviewed.home.models / "other.json")
    model = describe("other", with_model.home.model("other"))
    (line,) = next_steps(with_model.home, model, [])
    assert shell(command_in(line)).returncode == 0
    # And the daemon's first start does not replace it by the setting.
    assert Decisions(with_model.engine).apply_setting("starter", NOW) == "other"


@pytest.mark.slow
def test_without_a_home_the_last_line_of_train_classifies(
    reviewed: ReviewedHome, tmp_path: Path
) -> None:
    path = elsewhere(reviewed, tmp_path / "models")
    clip = write_video(tmp_path / "a.avi", frames=6)
    (line,) = next_steps(Home.at(tmp_path / "none"), describe(str(path), path), [])
    done = shell(command_in(line).replace("FILES", str(clip)))
    assert (done.returncode, done.stderr) == (0, "model mine\n")
    assert done.stdout.startswith(f"{clip}: ")


def test_a_model_no_better_than_guessing_is_not_offered(tmp_path: Path) -> None:
    home = MadeHome(tmp_path).home
    guess = Entry("mine", accuracy=0.3, interval=(0.2, 0.4), chance=1 / 3, beats_chance=False)
    lines = next_steps(home, guess, ["train", "my clips"])
    assert lines[0] == (
        "it is no better than always guessing the commonest class (right on 33.3%), and recognises "
        "no class beyond chance: do not use it"
    )
    assert not any("promote" in line or "to use it" in line for line in lines)
    assert shlex.split(lines[-1])[-4:] == ["train", "my clips", "--out", "mine"]


def test_the_command_that_is_advised_repeats_the_options_that_were_given() -> None:
    given = ["my clips", "--backbone", "a", "--split", "random", "--test", "/t", "--seed", "3"]
    given += ["--group-pattern", "^(x)", "--device", "cpu"]
    command = get_command(training.app).commands["train"]  # type: ignore[attr-defined]
    words = training.words_given(command.make_context("train", [*given, "--out", "mine"]))
    assert words[:2] == ["train", "my clips"]
    pairs = [words[i : i + 2] for i in range(2, len(words), 2)]
    assert sorted(pairs) == sorted(given[i : i + 2] for i in range(1, len(given), 2))


@pytest.mark.slow
@pytest.mark.parametrize("out", ["mine", "elsewhere/mine"])
def test_train_is_followed_from_its_last_line_to_a_prediction(
    daemon: Daemon, tmp_path: Path, cache: Path, out: str
) -> None:
    write_clips(tmp_path / "clips", 5, 0)
    daemon.environment["XDG_CACHE_HOME"] = str(cache)
    name = out if "/" not in out else str(tmp_path / out)
    done = daemon.command("train", str(tmp_path / "clips"), "--out", name)
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    assert line.startswith("to use it: ")
    assert shell(command_in(line)).returncode == 0
    (fresh, *_) = write_clips(tmp_path / "fresh", 1, 1)
    shutil.copy(fresh, daemon.inbox)
    assert daemon.command("run", "--once").returncode == 0
    (shown,) = daemon.status()["recent"]
    assert (shown["model"], shown["class"]) == ("mine", fresh.parent.name)


@pytest.mark.slow
def test_the_command_for_a_model_at_chance_trains_another_one(
    daemon: Daemon, tmp_path: Path, cache: Path
) -> None:
    write_clips(tmp_path / "clips", 5, 0)
    guess = Entry("mine", chance=1 / 3, beats_chance=False)
    (daemon.root / "models/mine.safetensors").write_text("")
    line = next_steps(Home.at(daemon.root), guess, ["train", str(tmp_path / "clips")])[-1]
    done = shell(line, XDG_CACHE_HOME=str(cache))
    assert done.returncode == 0, done.stderr
    assert (daemon.root / "models/mine-2.json").is_file()


# Models


@pytest.mark.slow
def test_a_setting_that_names_a_model_elsewhere_says_what_works(
    reviewed: ReviewedHome, tmp_path: Path
) -> None:
    path = elsewhere(reviewed, tmp_path / "elsewhere")
    reviewed.write_settings(f'model = "{path}"\n')
    with pytest.raises(VidwatchError, match="must lie in the home") as refused:
        settings.load(reviewed.home.settings)
    reviewed.write_settings("")
    command = command_in(str(refused.value))
    assert command == "vidwatch models promote"
    done = shell(f"{command} {shlex.quote(str(path))}", VIDWATCH_HOME=str(reviewed.root))
    assert done.returncode == 0, done.stderr
    assert Decisions(reviewed.engine).champion() == "mine"


def test_a_model_is_copied_with_what_later_models_are_compared_by(
    reviewed: ReviewedHome, tmp_path: Path
) -> None:
    path = elsewhere(reviewed, tmp_path / "elsewhere")
    path.with_suffix(".run").mkdir()
    (path.with_suffix(".run") / "held_out.json").write_text("{}")
    assert adopt(reviewed.home, str(path)) == "mine"
    assert (reviewed.home.models / "mine.run/held_out.json").read_text() == "{}"
    assert (reviewed.home.models / "mine.safetensors").read_bytes() == path.read_bytes()


def test_a_model_is_never_copied_over_another_one(reviewed: ReviewedHome, tmp_path: Path) -> None:
    path = elsewhere(reviewed, tmp_path / "elsewhere")
    assert adopt(reviewed.home, str(path)) == adopt(reviewed.home, str(path)) == "mine"
    weights = reviewed.home.models / "mine.safetensors"
    weights.write_bytes(b"of another model")
    with pytest.raises(VidwatchError, match="another model of that name"):
        adopt(reviewed.home, str(path))
    assert weights.read_bytes() == b"of another model"


@pytest.mark.slow
def test_in_a_home_classify_takes_the_champion_and_says_so(
    reviewed: ReviewedHome, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "a.avi", frames=6)
    home = shlex.quote(str(reviewed.root))
    done = shell(f"vidwatch --home {home} classify --logits {clip}")
    assert done.stderr == "model tiny\n"
    assert re.fullmatch(
        rf"{clip}: class (\d) (\w+); logits: bright \S+, dark \S+, grey \S+, red \S+\n", done.stdout
    )
    other = shell(f"vidwatch --home {home} classify --json --model other {clip}")
    assert json.loads(other.stdout)["model"] == "other"
    reviewed.write_settings('model = "other"\n')  # the next start will use it
    assert shell(f"vidwatch --home {home} classify {clip}").stderr == "model other\n"


@pytest.mark.slow
def test_undecided_and_refused_carry_their_reason_and_next_step(reviewed: ReviewedHome) -> None:
    history = Decisions(reviewed.engine)
    history.request_training("20 new labels", NOW)
    training = history.requested_training()
    assert training
    history.begin(training, KnownLabels(0), NOW)
    figures = {"next": "Label 7 more of dark.", "missing": {"clips": 7}}
    decision = Decision("undecided", "Too few clips judge.", figures)
    history.conclude("auto-1", "tiny", decision, NOW, training)
    told = status(reviewed.root)["training"]
    assert (told["reason"], told["next"]) == ("Too few clips judge.", "Label 7 more of dark.")
    for command in ("status", "models"):
        shown = shell(f"vidwatch --home {shlex.quote(str(reviewed.root))} {command}", COLUMNS="200")
        assert "Too few clips judge." in shown.stdout
        assert "Label 7 more of dark." in shown.stdout


# Labels


def outlook(home: MadeHome) -> dict[str, Any]:
    shown = shell(f"vidwatch --home {shlex.quote(str(home.root))} labels --json")
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)["next_training"]  # type: ignore[no-any-return]


def put_labelled(home: MadeHome, label: str, count: int, first: int = 0) -> None:
    """Clips of groups of their own in a class folder, as `labels` says to put them there."""
    for number in range(first, first + count):
        path = home.put(f"labelled/{label}/cam{number}/{label}{number}.avi")
        home.class_folders.notice([home.found(path, group=f"{label}{number}")], home.tick())
    home.predict_and_file()


@pytest.mark.slow
def test_labels_and_status_say_the_same_and_what_they_say_helps(tmp_path: Path) -> None:
    home = MadeHome(tmp_path)
    Decisions(home.engine).apply_setting("starter", NOW)
    least = settings.Settings().min_class_clips
    put_labelled(home, "disc", 20)
    one = outlook(home)
    assert "20 of the 20" not in one["text"]
    assert one["text"].startswith("no training yet: 2 classes are needed")
    assert status(home.root)["training"]["outlook"] == one["text"]

    put_labelled(home, "bar", 1)
    short = outlook(home)
    assert f"bar has 1 of {least} clips" in short["text"]
    assert short["next_labels"][0]["class"] == "bar"
    assert status(home.root)["training"]["outlook"] == short["text"]
    table = shell(f"vidwatch --home {shlex.quote(str(home.root))} labels").stdout
    assert short["text"] in " ".join(table.split())
    assert "put clips of these classes into labelled/<class>/" in table

    put_labelled(home, "bar", least - 1, first=1)  # what it said
    enough = outlook(home)
    assert enough["short"] == {}
    assert enough["is_due"]
    assert enough["text"] == status(home.root)["training"]["outlook"]
    assert enough["text"].startswith("the next training begins")


@pytest.mark.slow
def test_a_clip_that_labels_suggests_is_labelled_as_it_says(tmp_path: Path) -> None:
    home = MadeHome(tmp_path)
    video = home.arrive("a.avi")
    home.predict_and_file(home.model_prediction("Biking", 0.3), unsure="probability")
    (suggested,) = outlook(home)["next_labels"]
    assert (suggested["video"], suggested["class"]) == (video, None)
    table = shell(f"vidwatch --home {shlex.quote(str(tmp_path))} labels").stdout
    found = re.search(r"vidwatch label ID CLASS", table)
    assert found
    command = found[0].replace("ID", str(video)).replace("CLASS", "disc")
    assert shell(command, VIDWATCH_HOME=str(tmp_path)).returncode == 0
    assert [row[2] for row in home.given_labels()] == ["disc"]
    assert outlook(home)["next_labels"] != [suggested]


@pytest.mark.slow
def test_a_refused_name_is_offered_as_it_has_to_be(tmp_path: Path) -> None:
    home = MadeHome(tmp_path)
    first, second = home.arrive("a.avi"), home.arrive("b.avi")
    home.predict_and_file()
    home.give_label(first, "Disc")
    line = f"vidwatch --home {shlex.quote(str(tmp_path))} label {second} "
    asked = shell(line + "disc")
    assert (asked.returncode, asked.stderr.count("\n")) == (2, 1)
    right = re.search(r"did you mean ('[^']*')", asked.stderr)
    assert right
    assert shell(line + right[1]).returncode == 0
    assert shell(line + "'Disc '").returncode == 0  # a space around a name does not count
    assert {row[2] for row in home.given_labels()} == {"Disc"}
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.avi,DISC\n")
    with pytest.raises(VidwatchError, match="did you mean 'Disc'"):
        import_csv(table, home.engine)
    assert "--new-class" in asked.stderr
    assert shell(line + "disc --new-class").returncode == 0
    assert home.given_labels()[-1][2] == "disc"


# `doctor`


@pytest.mark.slow
def test_what_doctor_says_of_folders_and_backups_is_followed(tmp_path: Path) -> None:
    home = MadeHome(tmp_path)
    put_labelled(home, "Disc", 2)
    home.put("labelled/disc/x.avi")
    doctor = f"vidwatch --home {shlex.quote(str(tmp_path))} doctor --json"

    def lines(subject: str) -> list[dict[str, str]]:
        return [one for one in json.loads(shell(doctor).stdout) if one["subject"] == subject]

    (names,) = lines("labels")
    folder = re.search(r"the clips in (\S+)/ get no label", names["said"])
    name = re.search(r"rename the folder to '(\w+)', or move its clips", names["said"])
    assert folder
    assert name
    (Path(folder[1]) / "x.avi").rename(home.root / "labelled" / name[1] / "x.avi")
    assert lines("labels") == []
    (backup,) = lines("backup")
    assert backup["state"] == "warning"
    assert shell(command_in(backup["said"]), VIDWATCH_HOME=str(tmp_path)).returncode == 0
    assert [line["state"] for line in lines("backup")] == ["ok"]


@pytest.mark.slow
def test_a_folder_that_is_no_home_is_made_one_by_the_command_it_names(tmp_path: Path) -> None:
    where = shlex.quote(str(tmp_path / "home"))
    for command in ("status", "labels", "doctor", "retrain"):
        refused = shell(f"vidwatch --home {where} {command}")
        assert refused.returncode == 2
    assert shell(command_in(refused.stderr)).returncode == 0
    for command in ("status", "labels"):
        assert shell(f"vidwatch --home {where} {command}").returncode == 0


@pytest.mark.slow
def test_a_model_at_chance_doubts_no_labels_and_is_marked(tmp_path: Path, cache: Path) -> None:
    from daemon.labels.label_errors import newest_held_out

    home = MadeHome(tmp_path / "home")
    made = trained_on(class_folders(tmp_path / "clips"), home.home.model("mine"))
    assert newest_held_out(home.home.models)
    manifest = made.path.with_suffix(".json")
    document = json.loads(manifest.read_text())
    document["measured"] |= {"chance": 0.5, "beats_chance": False}
    manifest.write_text(json.dumps(document))
    assert newest_held_out(home.home.models) is None
    Decisions(home.engine).apply_setting("mine", NOW)
    line = f"vidwatch --home {shlex.quote(str(home.root))} "
    for command in ("models", "status"):
        shown = shell(line + command, COLUMNS="200").stdout
        assert "no better than always guessing the commonest class (right on 50.0%)" in shown


@pytest.mark.slow
def test_an_optimistic_accuracy_is_called_so_wherever_it_stands(
    tmp_path: Path, cache: Path
) -> None:
    home = MadeHome(tmp_path / "home")
    made = trained_on(class_folders(tmp_path / "clips"), home.home.model("mine"))
    manifest = made.path.with_suffix(".json")
    document = json.loads(manifest.read_text())
    why = "optimistic, since nothing tells which clips show the same recording"
    document["measured"]["optimistic"] = why
    manifest.write_text(json.dumps(document))
    Decisions(home.engine).apply_setting("mine", NOW)
    line = f"vidwatch --home {shlex.quote(str(home.root))} "
    models = shell(line + "models", COLUMNS="200").stdout
    assert ", optimistic)" in models
    assert f"mine: its accuracy is {why}" in models
    assert f"its accuracy is {why}" in shell(line + "status", COLUMNS="200").stdout
    assert status(home.root)["optimistic"] == why
