"""The commands `show`, `find` and `events`, on long videos."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from homes import CLASSES
from long_home import LongHome
from long_home import home as home

VIDWATCH = Path(sys.executable).with_name("vidwatch")
BIKING, SKIING = CLASSES


@pytest.fixture
def video(home: LongHome) -> int:
    """12 s: Biking for 8 s, then Skiing for 2 s, then what the model is not sure of."""
    windows = [(0, 4, BIKING, 0.9), (4, 8, BIKING, 0.7), (8, 10, SKIING, 0.8)]
    return home.long_video("a.mp4", [*windows, (10, 12, BIKING, 0.4, "probability")])


def run(home: LongHome, *arguments: str, code: int = 0, **environment: str) -> Any:
    variables = {**os.environ, "VIDWATCH_HOME": str(home.root), **environment}
    command = [VIDWATCH, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.slow
def test_show_says_when_each_class_was_found(home: LongHome, video: int) -> None:
    report = json.loads(run(home, "show", str(video), "--json").stdout)
    assert [(e["start"], e["end"], e["class"]) for e in report["events"]] == [
        (0, 8, BIKING),
        (8, 10, SKIING),
        (10, 12, "_unsure"),
    ]
    assert report["events"][0]["probability"] == pytest.approx(0.8)
    assert report["classes"] == {BIKING: 8, SKIING: 2, "_unsure": 2}
    assert report["predictions"][0]["logits"] == {BIKING: 2.0, SKIING: 0.0}
    text = run(home, "show", "a.mp4").stdout
    assert "█" in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert f"0:00:08 0:00:10 {SKIING} 80.0%" in lines
    assert any(line.startswith(BIKING) and line.endswith("0:00:08 67%") for line in lines)
    assert all(len(line) <= 150 for line in text.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("columns", [24, 40, 80, 200])
def test_show_fits_a_terminal_of_any_width(home: LongHome, video: int, columns: int) -> None:
    main, other = pty.openpty()
    variables = {**os.environ, "VIDWATCH_HOME": str(home.root), "COLUMNS": str(columns)}
    with subprocess.Popen([VIDWATCH, "show", str(video)], stdout=other, env=variables):
        os.close(other)
        data = b""
        while chunk := _read(main):
            data += chunk
    os.close(main)
    text = data.decode()
    assert "█" in text
    assert "0:00:12" in text


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the end of a terminal
        return b""


@pytest.mark.slow
def test_show_of_a_short_video_and_of_none(home: LongHome) -> None:
    home.arrive("b.mp4")
    (short,) = home.predict_and_file()
    report = json.loads(run(home, "show", str(short), "--json").stdout)
    assert report["events"] == []
    assert report["seconds"] is None
    text = run(home, "show", str(short)).stdout
    assert "What is in it" not in text
    assert "not there any more" not in text
    home.path(short).unlink()
    assert "b.mp4, not there any more" in run(home, "show", str(short)).stdout
    assert "no video '99'" in run(home, "show", "99", code=2).stderr


@pytest.mark.slow
def test_events_of_a_video_without_windows_are_an_empty_table_and_a_reason(home: LongHome) -> None:
    home.arrive("b.mp4")
    home.predict_and_file()
    home.arrive("c.mp4")
    done = run(home, "events", "b.mp4", "c.mp4", code=2)
    assert done.stdout == "id,path,class,start,end,probability,model\n"
    assert "b.mp4 was not cut into windows, and has no events" in done.stderr
    assert "c.mp4 is not predicted yet, and has no events" in done.stderr


@pytest.mark.slow
def test_how_far_a_long_video_is_predicted_is_shown(home: LongHome, video: int) -> None:
    later = home.begin_long_video("day.mp4", [(0, 600, BIKING, 0.9), (600, 1240, BIKING, 0.9)])
    assert "claimed: its first 0:20:40 are predicted" in run(home, "show", "day.mp4").stdout
    assert "day.mp4: its first 0:20:40 are predicted" in run(home, "status").stdout
    (in_hand,) = json.loads(run(home, "status", "--json").stdout)["long_in_hand"]
    assert (in_hand["id"], in_hand["predicted_until"]) == (later, 1240)
    assert "are predicted" not in run(home, "show", str(video)).stdout


@pytest.mark.slow
def test_a_video_is_found_by_any_class_in_it_and_for_how_long(home: LongHome, video: int) -> None:
    home.long_video("b.mp4", [(0, 2, BIKING, 0.9)], shade=50)
    found = json.loads(run(home, "find", SKIING, "--json").stdout)
    assert [(one["id"], one["class"], one["seconds"]) for one in found] == [(video, BIKING, 2)]
    assert len(json.loads(run(home, "find", BIKING, "--json").stdout)) == 2
    (unsure,) = json.loads(run(home, "find", "_unsure", "--json").stdout)
    assert unsure["id"] == video
    assert "0:00:02  0:00:08 to 0:00:10" in run(home, "find", SKIING).stdout
    assert f"did you mean '{SKIING}'" in run(home, "find", "Sking", code=2).stderr
    assert "no video with Rowing" in run(home, "find", "Rowing").stdout


@pytest.mark.slow
def test_a_class_that_windows_had_and_no_moment_has_is_not_found(home: LongHome) -> None:
    home.long_video("a.mp4", [(0, 4, BIKING, 0.9), (0, 4, SKIING, 0.3)])
    assert json.loads(run(home, "find", SKIING, "--json").stdout) == []


@pytest.mark.slow
def test_events_are_a_table_of_all_long_videos(home: LongHome, video: int) -> None:
    home.long_video("b.mp4", [(0, 2.5, SKIING, 0.75)], shade=50)
    rows = list(csv.DictReader(io.StringIO(run(home, "events").stdout)))
    assert [(row["id"], row["class"], row["start"], row["end"]) for row in rows] == [
        (str(video), BIKING, "0", "8"),
        (str(video), SKIING, "8", "10"),
        (str(video), "_unsure", "10", "12"),
        (str(video + 1), SKIING, "0", "2.5"),
    ]
    assert rows[0]["path"] == str(home.path(video))
    assert (rows[3]["probability"], rows[3]["model"]) == ("0.7500", "starter")
    assert len(run(home, "events", "b.mp4").stdout.splitlines()) == 2


@pytest.mark.slow
def test_subtitles_lie_beside_the_video_and_are_read_by_ffmpeg(home: LongHome, video: int) -> None:
    run(home, "events", str(video), "--webvtt")
    (path,) = home.subtitles()
    assert path == home.path(video).with_suffix(".vtt")
    packets = json.loads(
        subprocess.check_output(
            ["ffprobe", "-v", "error", "-show_packets", "-of", "json", str(path)]
        )
    )["packets"]
    times = [(float(packet["pts_time"]), float(packet["duration_time"])) for packet in packets]
    assert times == [(0, 8), (8, 2), (10, 2)]
    assert f"{BIKING} 80%" in path.read_text()
    before = path.read_text()
    run(home, "events", str(video), "--webvtt")
    assert home.subtitles() == [path]
    assert path.read_text() == before
    assert not [name for name in path.parent.iterdir() if name.name.startswith(".")]


@pytest.mark.slow
def test_subtitles_of_somebody_else_are_left_as_they_are(home: LongHome, video: int) -> None:
    clip = home.path(video)
    theirs = clip.with_suffix(".vtt")
    theirs.write_text("WEBVTT\n\ntheir own\n")
    run(home, "events", str(video), "--webvtt")
    assert theirs.read_text() == "WEBVTT\n\ntheir own\n"
    ours = clip.with_name("a.mp4.vtt")
    assert ours.read_text().startswith("WEBVTT - made by vidwatch")
    ours.unlink()
    ours.symlink_to(home.root / "vidwatch.toml")
    done = run(home, "events", str(video), "--webvtt", code=2)
    assert "is a file of somebody else" in done.stderr
    assert ours.is_symlink()


@pytest.mark.slow
def test_subtitles_go_where_their_video_goes_and_are_no_clip(home: LongHome, video: int) -> None:
    from daemon.home.sidecars import Sidecars

    run(home, "events", str(video), "--webvtt")
    before = home.path(video)
    target = home.root / "labelled" / SKIING / "new.mp4"
    target.parent.mkdir(parents=True)
    before.rename(target)
    Sidecars(os.fsencode(home.root)).follow(bytes(before), bytes(target))
    assert home.subtitles() == [target.with_suffix(".vtt")]
    done = run(home, "status", "--json")
    assert json.loads(done.stdout)["failures"] == []


@pytest.mark.slow
def test_a_duplicate_has_the_events_of_its_first_video(home: LongHome, video: int) -> None:
    copy = home.inbox / "copy.mp4"
    copy.write_bytes(home.path(video).read_bytes())
    home.enqueue(copy)
    home.predict_and_file()
    report = json.loads(run(home, "show", str(video + 1), "--json").stdout)
    assert report["duplicate_of"] == video
    assert report["classes"][SKIING] == 2
