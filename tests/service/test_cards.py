"""What lies on a camera's card beside the clips, with a real daemon."""

import json
import time
from pathlib import Path

import pytest
from installed import Daemon, drop
from installed import daemon as daemon


def beside(clip: Path, *endings: str) -> None:
    for ending in endings:
        clip.with_name(clip.stem + ending).write_text(f"{clip.stem}{ending} of {clip.parent.name}")


def notices(daemon: Daemon) -> dict[str, str]:
    return dict(daemon.status()["daemon"]["notices"])


@pytest.mark.slow
def test_sidecars_travel_with_their_clips_and_are_no_failures(daemon: Daemon) -> None:
    daemon.environment["VIDWATCH_UNSURE_BELOW"] = "1"  # all clips go to one folder
    for camera, shade in (("cam1", 1), ("cam2", 2)):
        clip = drop(daemon.inbox / camera, "MVI_1.MOV", shade)
        beside(clip, ".THM", ".jpg", ".XML")
    again = daemon.inbox / "later/again.avi"  # searched last, so it is the duplicate
    again.parent.mkdir()
    again.write_bytes((daemon.inbox / "cam1/MVI_1.MOV").read_bytes())
    beside(again, ".SRT")
    torn = daemon.inbox / "torn.mp4"
    torn.write_text("no video")
    beside(torn, ".GPX", ".wav")
    (daemon.inbox / "alone.LRV").write_text("small copy")
    (daemon.inbox / "picture.jpg").write_text("picture")
    assert daemon.command("run", "--once").returncode == 0
    assert daemon.names("inbox") == ["alone.LRV"]
    endings = (".MOV", ".THM", ".XML", ".jpg")
    filed = [f"MVI_1{number}{ending}" for number in ("", "-2") for ending in endings]
    assert sorted(daemon.names("classified") + daemon.names("duplicates")) == sorted(
        [*filed, "again.SRT", "again.avi"]
    )
    failed = ["picture.jpg", "picture.jpg.txt", "torn.GPX", "torn.mp4", "torn.mp4.txt", "torn.wav"]
    assert daemon.names("failed") == failed
    assert daemon.query("SELECT count(*) FROM videos") == [(5,)]
    checked = json.loads(daemon.command("check", "--json").stdout)
    assert checked["findings"] == []


@pytest.mark.slow
def test_sidecars_go_on_with_a_clip_that_is_labelled_and_those_left_are_named(
    daemon: Daemon,
) -> None:
    daemon.start()
    daemon.wait_for(lambda status: status["daemon"]["state"] == "running")
    for number in (1, 2):
        made = drop(daemon.root, f"{number}.avi", number)
        (daemon.inbox / f"{number}.THM").write_text(str(number))
        made.rename(daemon.inbox / made.name)
    daemon.wait_for(lambda status: status["filed"] == 2)
    (where,) = {path.parent for path in daemon.root.glob("classified/*/1.avi")}
    assert (where / "1.THM").read_text() == "1"
    assert daemon.command("label", "1.avi", "Skiing").returncode == 0
    (daemon.root / "labelled/Biking").mkdir(parents=True)
    second = next(daemon.root.glob("classified/*/2.avi"))
    second.rename(daemon.root / "labelled/Biking/2.avi")
    daemon.wait_for(lambda status: (daemon.root / "labelled/Biking/2.THM").exists())
    daemon.wait_for(lambda status: (daemon.root / "labelled/Skiing/1.THM").exists())
    (daemon.inbox / "late.THM").write_text("late")
    daemon.wait_for(lambda status: "late.THM" in str(status["daemon"]["notices"]))
    (daemon.inbox / "late.THM").unlink()
    daemon.wait_for(lambda status: "late.THM" not in str(status["daemon"]["notices"]))
    time.sleep(2)
    assert daemon.query("SELECT count(*) FROM videos") == [(2,)]
    assert daemon.query("SELECT count(*) FROM labels") == [(2,)]


@pytest.mark.slow
def test_a_picture_waits_for_the_clip_that_a_camera_sends_after_it(daemon: Daemon) -> None:
    daemon.start()
    daemon.wait_for(lambda status: status["daemon"]["state"] == "running")
    (daemon.inbox / "event.jpg").write_text("picture")
    time.sleep(3)  # longer than the settle time and a search
    assert daemon.query("SELECT count(*) FROM videos") == [(0,)]
    drop(daemon.root, "event.avi", 1).rename(daemon.inbox / "event.avi")
    daemon.wait_for(lambda status: status["filed"] == 1)
    assert daemon.names("inbox") == []
    assert daemon.names("failed") == []
