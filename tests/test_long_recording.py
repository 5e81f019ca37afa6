"""A recording of known clips in known order, through the installed command: events, and what is
done with them.
"""

import csv
import io
import json
import subprocess
from pathlib import Path

import pytest
from installed import Daemon
from installed import daemon as daemon

pytestmark = pytest.mark.slow

ORDER = ("Biking", "Drumming", "Skiing", "Biking")
SECONDS = 12  # of each part


def join(clips: Path, out: Path) -> Path:
    """One video of real clips, each played again and again for its part."""
    inputs: list[str] = []
    graph = ""
    for place, label in enumerate(ORDER):
        clip = sorted((clips / "ucf10" / label).glob("*_g2[2-5]_*.mp4"))[place]
        inputs += ["-stream_loop", "-1", "-t", str(SECONDS), "-i", str(clip)]
        graph += f"[{place}:v]scale=320:240,fps=25,setsar=1[v{place}];"
    graph += "".join(f"[v{place}]" for place in range(len(ORDER)))
    graph += f"concat=n={len(ORDER)}[v]"
    command = ["ffmpeg", "-v", "error", *inputs, "-filter_complex", graph, "-map", "[v]"]
    subprocess.run([*command, "-t", str(SECONDS * len(ORDER)), str(out)], check=True)
    return out


def right_share(rows: list[dict[str, str]]) -> float:
    """The share of the seconds that have their class."""
    right = 0.0
    for row in rows:
        for place, label in enumerate(ORDER):
            start = max(float(row["start"]), place * SECONDS)
            end = min(float(row["end"]), (place + 1) * SECONDS)
            right += max(0.0, end - start) if row["class"] == label else 0.0
    return right / (SECONDS * len(ORDER))


def test_events_of_a_recording_are_found_shown_exported_and_go_with_it(
    daemon: Daemon, real_clips: Path
) -> None:
    daemon.environment |= {"VIDWATCH_WINDOWS": "4", "VIDWATCH_WINDOWS_FROM_SECONDS": "20"}
    join(real_clips, daemon.inbox / "a.mp4")
    done = daemon.command("run", "--once")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(daemon.command("events").stdout)))
    print(*rows, sep="\n")
    assert right_share(rows) >= 0.9
    found = {
        name: json.loads(daemon.command("find", name, "--json").stdout)
        for name in ("Biking", "Drumming", "Skiing", "Haircut")
    }
    assert [len(videos) for videos in found.values()] == [1, 1, 1, 0]
    assert found["Biking"][0]["seconds"] == pytest.approx(2 * SECONDS, abs=4)
    report = json.loads(daemon.command("show", "1", "--json").stdout)
    assert report["predictions"][0]["class"] in ORDER
    assert len(report["windows"]) == 12
    assert "\u2588" in daemon.command("show", "1").stdout
    assert daemon.command("events", "1", "--webvtt").returncode == 0
    (subtitles,) = (daemon.root / "classified").rglob("*.vtt")
    assert subtitles.stem == "a"
    # It is no clip, and goes where its clip goes.
    assert (
        daemon.command("label", "1", "Drumming", "--from", "0:12", "--to", "0:24").returncode == 0
    )
    assert daemon.command("label", "1", "Skiing").returncode == 0
    done = daemon.command("run", "--once")
    assert done.returncode == 0, done.stderr
    assert daemon.names("labelled/Skiing") == ["a.mp4", "a.vtt"]
    assert daemon.query("SELECT count(*) FROM videos") == [(1,)]
    assert daemon.query("SELECT class FROM part_labels") == [("Drumming",)]
    assert daemon.status()["failures"] == []
