"""What each command prints, and its exit status."""

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import timm
from by_command import vidwatch
from conftest import write_video
from safetensors.torch import save_file
from typer.main import get_command

from daemon.cli.app import app

ROOT = Path(__file__).parents[2]


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command by its words, also the commands of groups."""
    for name, command in group.commands.items():
        yield (*before, name)
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))


COMMANDS = sorted(commands(get_command(app)))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_and_is_in_the_docs(command: tuple[str, ...]) -> None:
    done = vidwatch(*command, "--help")
    assert done.returncode == 0
    text = described(command).help
    assert text
    assert text.split(".")[0][:40] in done.stdout
    assert f"vidwatch {' '.join(command)}" in (ROOT / "docs" / "commands.md").read_text()


def described(words: tuple[str, ...]) -> Any:
    """The command of these words."""
    found: Any = get_command(app)
    for word in words:
        found = found.commands[word]
    return found


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_examples_that_it_understands(command: tuple[str, ...]) -> None:
    _, *lines = described(command).epilog.replace("\\[", "[").split("\n\n")
    assert 1 <= len(lines) <= 3
    for line in lines:
        words = shlex.split(re.split(r" [|>] ", line)[0])
        assert words.pop(0) == "vidwatch"
        group: Any = get_command(app)
        if words[0] == "--home":
            words = words[2:]
        assert tuple(words[: len(command)]) == command
        while words and words[0] in getattr(group, "commands", {}):
            group = group.commands[words.pop(0)]
        group.make_context("example", words)


def test_the_help_ends_with_the_exit_statuses_and_offers_near_commands() -> None:
    shown = " ".join(vidwatch("--help").stdout.split())
    for status in ("0 all is well", "2 you have to", "75 the trouble may pass", "130 ended by"):
        assert status in shown
    wrong = vidwatch("stauts")
    assert wrong.returncode == 2
    assert "No such command 'stauts'. Did you mean 'status'?" in wrong.stderr


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


@pytest.mark.slow
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


@pytest.mark.slow
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
