"""What makes a machine or a home unfit: each is brought about, and found in plain words."""

import json
import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
import torch
from conftest import write_video
from homes import MadeHome

from daemon.database.copying import ending_of
from daemon.home import mounts
from daemon.home.settings import Settings
from daemon.maintenance import machine
from daemon.maintenance.backup import back_up
from daemon.maintenance.doctor import examine
from daemon.maintenance.finding import Line

VIDWATCH = Path(sys.executable).with_name("vidwatch")


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    home = MadeHome(tmp_path / "home")
    back_up(home.home.database, home.home.backups, datetime.now(UTC))
    return home


def lines_about(home: MadeHome, subject: str) -> list[tuple[str, str]]:
    return [(line.state, line.text) for line in examine(home.home) if line.subject == subject]


def test_a_fit_home_has_no_problem(home: MadeHome) -> None:
    with home.home.lock():
        lines = list(examine(home.home))
    assert [line for line in lines if line.state == "problem"] == []
    fit = {"daemon", "settings", "folders", "clock", "database", "backup", "model", "versions"}
    assert {line.subject for line in lines if line.state == "ok"} >= fit


def test_a_setting_that_names_no_recipe_is_not_valid(home: MadeHome) -> None:
    home.write_settings('retrain = "scrach"\n')
    ((state, text),) = lines_about(home, "settings")
    assert state == "problem"
    assert "setting 'retrain' is 'scrach': no recipe 'scrach'" in text
    assert "vidwatch recipes" in text
    home.write_settings('retrain = "scratch"\n')
    assert [state for state, _ in lines_about(home, "settings")] == ["ok"]


def test_a_command_that_cannot_be_run_is_named_without_its_arguments(home: MadeHome) -> None:
    home.write_settings('on_classified = "/no/such/program S3CRET"\non_failed = "true"\n')
    (state, text) = lines_about(home, "settings")[-1]
    assert state == "problem"
    assert text.startswith("on_classified: /no/such/program is not there; ")
    assert "S3CRET" not in text
    assert "on_failed" not in text


@pytest.mark.slow
def test_the_command_has_exit_status_1_if_there_is_a_problem(home: MadeHome) -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [VIDWATCH, "--home", home.root, "doctor", *arguments], capture_output=True, text=True
        )

    done = command()
    assert done.returncode == 0
    assert "ok       database" in done.stdout
    home.write_settings('model = "none"\n')
    done = command("--json")
    assert done.returncode == 1
    (problem,) = [line for line in json.loads(done.stdout) if line["state"] == "problem"]
    assert problem["subject"] == "model"
    assert "'vidwatch models'" in problem["said"]


def test_a_wrong_setting_is_named(home: MadeHome) -> None:
    home.write_settings("batch_size = 0\n")
    assert [state for state, _ in lines_about(home, "settings")] == ["problem"]


def test_a_folder_that_is_not_there_is_named(home: MadeHome) -> None:
    (home.root / "duplicates").rmdir()
    ((state, text),) = lines_about(home, "folders")
    assert state == "problem"
    assert "duplicates: no file can be made" in text


def test_a_folder_that_this_user_may_not_write_is_named(home: MadeHome) -> None:
    if os.geteuid() == 0:
        pytest.skip("needs a user other than root")
    home.inbox.chmod(0o500)
    ((state, text),) = lines_about(home, "folders")
    home.inbox.chmod(0o700)
    assert state == "problem"
    assert "run this as that user" in text


def test_the_tries_to_write_leave_nothing_behind(home: MadeHome) -> None:
    list(examine(home.home))
    assert list(home.root.rglob(".*")) == []


def test_too_little_space_is_a_problem(home: MadeHome) -> None:
    home.write_settings("min_free_gigabytes = 1_000_000\n")
    lines = lines_about(home, "space")
    assert {state for state, _ in lines} == {"problem"}
    assert "set min_free_gigabytes lower in vidwatch.toml" in lines[0][1]


@pytest.mark.of_sqlite
def test_a_damaged_database_is_a_problem(home: MadeHome) -> None:
    assert isinstance(home.home.database, Path)
    os.truncate(home.home.database, 20000)
    ((state, text),) = lines_about(home, "database")
    assert state == "problem"
    assert "'vidwatch restore'" in text


@pytest.mark.slow
def test_failed_and_waiting_videos_are_counted(home: MadeHome) -> None:
    (home.inbox / "text.mp4").write_text("no video")
    environment = {**os.environ, "VIDWATCH_SETTLE_SECONDS": "0.2"}
    subprocess.run(
        [VIDWATCH, "--home", home.root, "run", "--once"],
        env=environment,
        check=True,
        capture_output=True,
    )
    assert [text.partition(":")[0] for _, text in lines_about(home, "videos")] == [
        "1 could not be classified"
    ]


def test_a_file_from_the_future_is_a_warning_and_one_of_ours_a_problem(home: MadeHome) -> None:
    video = write_video(home.inbox / "a.avi")
    os.utime(video, (4e9, 4e9))
    assert [state for state, _ in lines_about(home, "clock")] == ["warning"]
    database = home.home.database
    ours = database if isinstance(database, Path) else home.home.settings
    os.utime(ours, (4e9, 4e9))
    assert [state for state, _ in lines_about(home, "clock")] == ["problem"]


@pytest.mark.parametrize(
    ("watches", "instances", "named"),
    [("4", "128", "max_user_watches"), ("9999", "2", "max_user_instances")],
)
def test_too_few_watches_are_a_warning(
    home: MadeHome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    watches: str,
    instances: str,
    named: str,
) -> None:
    for number in range(5):
        (home.inbox / f"camera {number}").mkdir()
    (tmp_path / "max_user_watches").write_text(watches)
    (tmp_path / "max_user_instances").write_text(instances)
    monkeypatch.setattr(machine, "INOTIFY", tmp_path)
    ((state, text),) = lines_about(home, "events")
    assert state == "warning"
    assert named in text


def test_a_database_on_a_share_is_a_problem_and_an_inbox_is_searched(
    home: MadeHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "mountinfo"
    monkeypatch.setattr(mounts, "MOUNTS", made)
    disk = "27 1 254:0 / / rw - ext4 /dev/vda1 rw\n"
    made.write_text(f"{disk}28 27 0:9 / {home.inbox} rw - cifs //nas/in rw\n")
    assert lines_about(home, "file system") == [("ok", "the home is on ext4")]
    ((state, text),) = lines_about(home, "inbox")
    assert (state, "polling" in text) == ("ok", True)
    home.write_settings('watch = "events"\n')
    assert [state for state, _ in lines_about(home, "inbox")] == ["problem"]
    made.write_text(f"{disk}28 27 0:9 / {home.root} rw - nfs4 nas:/home rw\n")
    expected = "problem" if isinstance(home.home.database, Path) else "ok"
    assert [state for state, _ in lines_about(home, "file system")] == [expected]


def test_few_open_files_are_a_warning(home: MadeHome) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        assert [state for state, _ in lines_about(home, "open files")] == ["warning"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_missing_backup_is_a_warning(home: MadeHome) -> None:
    for path in home.home.backups.iterdir():
        path.unlink()
    ((state, text),) = lines_about(home, "backup")
    assert (state, "'vidwatch backup'" in text) == ("warning", True)
    ending = ending_of(home.home.database)
    other = ".db" if ending == ".dump" else ".dump"  # it cannot be restored here
    name = f"before-upgrade-20260102T030405Z{ending}"
    (home.home.backups / name).touch()
    (home.home.backups / f"before-upgrade-20270102T030405Z{other}").touch()
    ((state, text),) = lines_about(home, "backup")
    assert (state, f"none yet, but for {name}" in text) == (
        "warning",
        True,
    )


def test_a_threshold_of_an_unknown_class_is_a_warning(home: MadeHome) -> None:
    home.write_settings("thresholds = { Biking = 0.8, Skiingg = 0.3 }\n")
    problems = [text for state, text in lines_about(home, "settings") if state == "warning"]
    assert len(problems) == 1
    assert "knows a class Skiingg; is it misspelt?" in problems[0]


def test_a_line_is_one_flat_object() -> None:
    assert Line("a", "ok", "b").to_json() == {"subject": "a", "state": "ok", "said": "b"}


@pytest.mark.parametrize(
    ("device", "state", "text"),
    [
        ("auto", "warning", "PyTorch cannot compute on Old (no kernel image), so the processor is"),
        ("cuda", "problem", "PyTorch cannot compute on Old (no kernel image); install a PyTorch"),
        ("cpu", "ok", "Old is not used"),
    ],
)
def test_a_gpu_that_cannot_compute_is_told(
    monkeypatch: pytest.MonkeyPatch, device: Literal["auto", "cpu", "cuda"], state: str, text: str
) -> None:
    """PyTorch says of a GPU that is too old for it that it is available."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "Old")
    monkeypatch.setattr("learner.precision.gpu_problem", lambda device: "no kernel image")
    (line,) = machine.check_device(Settings(device=device))
    assert (line.subject, line.state) == ("device", state)
    assert line.text.startswith(text)
