import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import timm
from conftest import write_video
from homes import MadeHome
from reviewed import NOW, ReviewedHome
from safetensors.torch import save_file
from typer.main import get_command

from daemon.cli.app import app
from daemon.training.decisions import Decisions
from learner.catalogue import STARTER

ROOT = Path(__file__).parents[2]
VIDWATCH = Path(sys.executable).with_name("vidwatch")


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command by its words, also the commands of groups."""
    for name, command in group.commands.items():
        yield (*before, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))


COMMANDS = sorted(commands(get_command(app)))


def vidwatch(
    *arguments: str | Path, home: Path | str = "/nonexistent/home"
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "VIDWATCH_HOME": str(home),
        "VIDWATCH_DEVICE": "cpu",
        "COLUMNS": "120",
    }
    return subprocess.run([VIDWATCH, *arguments], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_and_is_in_the_docs(command: tuple[str, ...]) -> None:
    done = vidwatch(*command, "--help")
    assert done.returncode == 0
    described: Any = get_command(app)
    for word in command:
        described = described.commands[word]
    assert described.help
    assert described.help.split(".")[0][:40] in done.stdout
    assert f"vidwatch {' '.join(command)}" in (ROOT / "docs" / "commands.md").read_text()


def test_the_version_is_the_packages_own() -> None:
    assert vidwatch("--version").stdout == f"vidwatch {version('vidwatch')}\n"


def test_init_makes_a_home_and_may_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        done = vidwatch("init", tmp_path / "home")
        assert (done.returncode, done.stderr) == (0, "")
    names = {path.name for path in (tmp_path / "home").iterdir()}
    assert names == {
        "inbox", "classified", "labelled", "failed", "duplicates", "models", "vidwatch.db", "vidwatch.toml",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["status"], "vidwatch init"),
        (["status", "--json", "--watch"], "--watch"),
        (["train", "/nonexistent", "--out", "starter"], "'starter' cannot be the name"),
        (["train", "/nonexistent", "--out", ""], "'' cannot be the name"),
        (["train", "/nonexistent", "--out", "/"], "'/' cannot be the name"),
        (["train", "/nonexistent", "--out", "x" * 300], "cannot be the name"),
        (["evaluate", "/nonexistent"], "/nonexistent is not a folder"),
        (["classify", "--model", "none", "a.mp4"], "none"),
        (
            ["train", "/nonexistent", "--out", "x", "--group-pattern", "("],
            "not a regular expression",
        ),
        (
            ["train", "/nonexistent", "--recipe", "nonsense"],
            "no recipe 'nonsense'; `vidwatch recipes` lists them",
        ),
        (["train", "/nonexistent", "--weights", "a", "--init-from", "b"], "give one of them"),
        (["label", "1", "Biking"], "vidwatch init"),
        (["label", "Biking"], "give videos, and then the class"),
        (["label", "--accept", "--undo", "1"], "give one of --accept, --undo and --csv"),
        (["label", "--csv", "a.csv", "1"], "with --csv, nothing else"),
        (["retrain"], "vidwatch init"),
        (["rescore"], "vidwatch init"),
        (["models", "rollback"], "vidwatch init"),
        (["models", "promote", "none"], "none"),
    ],
)
def test_an_error_that_a_person_can_fix_is_one_line_and_exit_status_2(
    arguments: list[str], text: str
) -> None:
    done = vidwatch(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("vidwatch: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr


def test_a_wrong_setting_stops_the_daemon_at_once_with_one_line(tmp_path: Path) -> None:
    vidwatch("init", tmp_path)
    (tmp_path / "vidwatch.toml").write_text("batch_sise = 3\n")
    done = vidwatch("run", "--once", home=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "batch_sise" in done.stderr


@pytest.mark.slow
def test_classify_needs_no_home_and_goes_on_after_a_bad_file(tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.avi", frames=5)
    strange = tmp_path / os.fsdecode(b"new\nline\xff.avi")
    shutil.copy(good, strange)
    (tmp_path / "bad.mp4").write_text("text")
    done = vidwatch("classify", "--json", good, tmp_path / "bad.mp4", strange)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert "bad.mp4: not a video" in done.stderr
    assert [result["file"] for result in results] == [str(good), str(strange)]
    read = ["frames_asked", "frames_read", "read_share"]
    assert list(results[0]) == [
        "file",
        "class",
        "class_index",
        "probability",
        "logits",
        "model",
        *read,
        "known",
        "familiarity",
    ]
    assert (len(results[0]["logits"]), results[0]["frames_read"], results[0]["model"]) == (
        10,
        5,
        "starter",
    )
    assert max(results[0]["logits"], key=results[0]["logits"].get) == results[0]["class"]
    plain = vidwatch("classify", strange)
    note = "" if results[1]["known"] else " (perhaps of no class that the model knows)"
    expected = r".*new\\nline\\xff\.avi: \w+ \d+\.\d%" + re.escape(note)
    assert re.fullmatch(expected + "\n", plain.stdout)


@pytest.mark.slow
def test_classify_prints_each_window_before_the_prediction_of_the_file(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", frames=90)
    done = vidwatch("classify", "--json", "--windows", "1", video)
    *windows, whole = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["number"], row["start"], row["end"]) for row in windows] == [
        (0, 0, 1),
        (1, 1, 2),
        (2, 2, 3),
        (3, 3, 3.6),
    ]
    for name, logit in whole["logits"].items():
        assert logit == pytest.approx(sum(row["logits"][name] for row in windows) / 4, abs=1e-4)
    assert set(windows[0]) - set(whole) == {"number", "start", "end"}
    assert (whole["frames_asked"], whole["frames_read"]) == (64, 63)
    (tmp_path / "bad.mp4").write_text("text")
    plain = vidwatch("classify", "--windows", "2/1", video, tmp_path / "bad.mp4")
    assert plain.returncode == 1
    assert "bad.mp4: not a video" in plain.stderr
    spans = [line.split(": ")[0] for line in plain.stdout.splitlines()]
    assert spans[0] == f"{video} 0:00:00-0:00:02"
    assert spans[-2:] == [f"{video} 0:00:02-0:00:03.6", f"{video}"]
    wrong = vidwatch("classify", "--windows", "ten", video)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "SECONDS/STEP" in wrong.stderr


@pytest.mark.slow
def test_a_device_that_is_asked_for_counts_more_than_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # the setting is "cpu" here
    good = write_video(tmp_path / "good.avi", frames=5)
    assert vidwatch("classify", good).returncode == 0
    done = vidwatch("classify", "--device", "cuda", good)
    assert done.returncode == 2
    assert "device is 'cuda', but this machine has no usable GPU" in done.stderr


@pytest.mark.slow
def test_a_model_is_trained_listed_evaluated_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    home, clips = tmp_path / "home", tmp_path / "clips"
    for shade, label in ((0, "dark"), (120, "red")):
        for number in range(4):
            (clips / label / f"scene{number}").mkdir(parents=True)
            write_video(clips / label / f"scene{number}/a.avi", frames=4 + number, shade=shade)
    vidwatch("init", home)
    trained = vidwatch("train", clips, "--out", "mine", "--epochs", "20", home=home)
    assert trained.returncode == 0, trained.stderr
    assert "its baseline, which does not know the order" in trained.stdout
    assert "cross-validation over groups" in trained.stdout
    names = [model["name"] for model in json.loads(vidwatch("models", "--json", home=home).stdout)]
    assert names == ["starter", "mine"]
    measured = json.loads(
        vidwatch("evaluate", clips, "--model", "mine", "--json", home=home).stdout
    )
    assert (measured["n"], measured["seen"], sorted(measured["per_class"])) == (
        8,
        8,
        ["dark", "red"],
    )
    assert measured["accuracy"] == 1.0
    classified = vidwatch(
        "classify", "--json", "--model", "mine", clips / "red/scene1/a.avi", home=home
    )
    assert json.loads(classified.stdout)["class"] == "red"


def scenes(root: Path, count: int = 5) -> Path:
    """Two classes of different shade; each scene is a folder with one clip."""
    for shade, label in ((0, "dark"), (120, "red")):
        for number in range(count):
            (root / label / f"scene{number}").mkdir(parents=True)
            write_video(root / label / f"scene{number}/a.avi", frames=4 + number, shade=shade)
    return root


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
def test_a_recipe_of_the_report_is_run_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model has the recipe's name, and a number the second time. A training can begin with it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    home, clips = tmp_path / "home", scenes(tmp_path / "clips")
    small = 'extends = "custom-64"\n[clip]\nframes = 3\nsize = 16\n[training]\nepochs = 1\n'
    (tmp_path / "small.toml").write_text(small)
    vidwatch("init", home)
    command = ["train", clips, "--recipe", tmp_path / "small.toml"]
    first = vidwatch(*command, home=home)
    assert first.returncode == 0, first.stderr
    assert "measured on groups kept back for the test" in first.stdout
    assert "baseline: " in first.stdout
    assert "10 clips of 5 groups" in first.stdout
    assert "the course report" not in first.stdout  # the line is another one now
    assert "epoch 1: loss " in first.stderr
    again = vidwatch(*command, "--split", "random", "--init-from", "small", home=home)
    assert "optimistic" in again.stdout
    assert "the model that it began with was trained on" in again.stdout
    assert {path.stem for path in (home / "models").glob("*.safetensors")} == {"small", "small-2"}
    shown = vidwatch("models", home=home).stdout.splitlines()
    assert "\n".join(shown).count("optimistic)") == 1
    other = vidwatch("train", clips, "--recipe", "default", "--init-from", "small", home=home)
    assert other.returncode == 2
    assert "another architecture" in other.stderr


def test_recipes_are_listed_with_the_reports_figures() -> None:
    listed = {recipe["name"]: recipe for recipe in json.loads(vidwatch("recipes", "--json").stdout)}
    assert listed["custom-cosine"]["report"] == {
        "accuracy": 0.81,
        "loss": 0.679,
        "train": 7.6,
        "evaluate": 13.2,
    }
    assert listed["default"]["report"] is None
    shown = vidwatch("recipes").stdout
    assert all(name in shown for name in listed)


def test_what_is_known_of_the_reports_figures_stands_below_them() -> None:
    shown = " ".join(vidwatch("recipes").stdout.split())
    assert "They do not repeat its BGR frames normalised as RGB" in shown
    assert "That is a slip: its code never took more than 40" in shown
    assert "custom-100-epochs: the report's run may have had three LSTM layers" in shown


@pytest.mark.slow
def test_a_model_is_trained_on_another_image_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights come from a file, or lie in the hub's cache, which `backbones` shows."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    home, clips = tmp_path / "home", scenes(tmp_path / "clips")
    vidwatch("init", home)
    command = ["train", clips, "--backbone", "test_efficientnet", "--epochs", "2"]
    absent = vidwatch(*command, home=home)
    assert (absent.returncode, absent.stdout) == (2, "")
    assert absent.stderr.splitlines()[-1].endswith("or give a file of them with --weights")
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_efficientnet").state_dict(), weights)
    trained = vidwatch(*command, "--weights", weights, home=home)
    assert trained.returncode == 0, trained.stderr
    manifest = json.loads((home / "models/test_efficientnet.json").read_text())
    assert (manifest["clip"]["size"], manifest["clip"]["frames"]) == (160, 16)
    assert manifest["network"]["backbone"] == "test_efficientnet"
    clip = clips / "red/scene1/a.avi"
    classified = vidwatch("classify", "--json", "--model", "test_efficientnet", clip, home=home)
    assert json.loads(classified.stdout)["frames_asked"] == 16
    folder = tmp_path / "hub/hub/models--timm--test_efficientnet.r160_in1k"
    (folder / "snapshots/0123").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("0123")
    shutil.copy(weights, folder / "snapshots/0123/model.safetensors")
    cached = json.loads(vidwatch("backbones", "--json").stdout)[-1]
    assert (cached["name"], cached["weights"]) == ("test_efficientnet.r160_in1k", "cached")
    assert "test_efficientnet.r160_in1k" in vidwatch("backbones").stdout
    again = vidwatch(*command, home=home)
    assert again.returncode == 0, again.stderr
    first, second = (
        hashlib.sha256((home / f"models/{name}.safetensors").read_bytes()).hexdigest()
        for name in ("test_efficientnet", "test_efficientnet-2")
    )
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backbone", "resnt18"], "did you mean 'resnet18'"),
        (["--backbone", "compact"], "is ours, and trained from scratch"),
        (
            ["--backbone", "resnet18", "--init-from", "starter"],
            "another architecture (backbone tf_efficientnet_lite0",
        ),
    ],
)
def test_a_backbone_that_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    clips = scenes(tmp_path / "clips")
    done = vidwatch("train", clips, "--out", str(tmp_path / "m"), *arguments)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_cache_is_shown_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VIDWATCH_CACHE_GIGABYTES", "1.5")
    vidwatch("evaluate", scenes_of_the_starters_classes(tmp_path / "clips"))
    kept = json.loads(vidwatch("cache", "--json").stdout)
    assert (kept["limit"], kept["kinds"]["features"]["entries"]) == (1_500_000_000, 2)
    assert "features" in vidwatch("cache").stdout
    assert json.loads(vidwatch("cache", "--clear", "--json").stdout)["kinds"] == {}


def scenes_of_the_starters_classes(root: Path) -> Path:
    scenes(root, 1)
    (root / "dark").rename(root / "Biking")
    (root / "red").rename(root / "Skiing")
    return root


@pytest.mark.slow
def test_the_starter_is_evaluated_without_a_home(real_clips: Path) -> None:
    done = vidwatch("evaluate", real_clips / "ucf10-original", "--json")
    measured = json.loads(done.stdout)
    assert (done.returncode, measured["n"]) == (0, 50)
    assert measured["accuracy"] > 0.9
    assert set(measured) >= {"n", "accuracy", "interval", "loss", "per_class", "baseline"}


@pytest.mark.slow
def test_labels_are_given_accepted_and_taken_back_by_command(tmp_path: Path) -> None:
    home = tmp_path / "home"
    vidwatch("init", home)
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
def test_a_model_is_promoted_and_rolled_back_by_command(tmp_path: Path) -> None:
    home = tmp_path / "home"
    vidwatch("init", home)
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
def test_a_later_model_predicts_earlier_videos_by_command(tmp_path: Path) -> None:
    home = tmp_path / "home"
    vidwatch("init", home)
    write_video(home / "inbox/a.avi", frames=6)
    vidwatch("run", "--once", home=home)
    done = vidwatch("rescore", home=home)
    assert done.stdout == "starter predicted 0 videos; 0 get another class than before\n"


NAMELESS = 54321  # a user id that no user has
# If Python or vidwatch lies in a folder of root's alone, only the real user id can change: it is
# the one that names the user.
BECOME_NAMELESS = (f"os.setuid({NAMELESS})", f"os.setresuid({NAMELESS}, 0, 0)")


@pytest.fixture
def home_of_nameless() -> Iterator[Path]:
    """A home with one filed video, of the user without a name."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to run as another user")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folder is root's alone
        room = ReviewedHome(Path(folder))
        room.clip("a.avi")
        room.engine.dispose()
        for path in (Path(folder), *Path(folder).rglob("*")):
            os.chown(path, NAMELESS, NAMELESS)
        yield room.home.root


def as_nameless(home: Path, become: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import os, sys; {become}; from daemon.cli.app import main; main()"
    environment = {**os.environ, "HOME": str(home.parent), "VIDWATCH_HOME": str(home)}
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        environment.pop(name, None)
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/")


def test_a_label_by_a_user_id_without_a_name_is_noted_as_unknown(home_of_nameless: Path) -> None:
    """As in a container that runs with a user id of its own."""
    home = home_of_nameless
    works = [how for how in BECOME_NAMELESS if not as_nameless(home, how, "--version").returncode]
    done = as_nameless(home, works[0], "label", "a.avi", "Zebra")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 label noted")
    with closing(sqlite3.connect(home / "vidwatch.db")) as connection:
        rows = connection.execute('SELECT "class", source, who FROM labels').fetchall()
    assert rows == [("Zebra", "command", "unknown")]


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
