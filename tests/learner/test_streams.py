"""Of several streams of pictures, the film is taken: not a cover, and the one of ffmpeg."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from learner.safe_open import VideoError
from learner.spec import ClipSpec, ReadOptions
from learner.video import read_clip

SPEC = ClipSpec(frames=4, size=32)
pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")

RED = ("-f", "lavfi", "-i", "color=red:s=320x240:r=25:d=2")
GREEN = ("-f", "lavfi", "-i", "color=lime:s=160x120:r=25:d=2")
BLUE = ("-f", "lavfi", "-i", "color=blue:s=320x240:r=25:d=2")
SOUND = ("-f", "lavfi", "-i", "sine=d=2")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
MPEG2 = ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p")


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True)


def picture(path: Path, name: str = "red", size: str = "640x480") -> Path:
    ffmpeg("-f", "lavfi", "-i", f"color={name}:s={size}", "-frames:v", 1, path)
    return path


def colour(path: Path) -> str:
    """Of the clip's first frame."""
    mean = read_clip(path, SPEC).frames[0].reshape(-1, 3).mean(0)
    return ("red", "green", "blue")[int(np.argmax(mean))]


def of_ffmpeg(path: Path) -> str:
    """Of the first frame of the stream that the ffmpeg command takes."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", "-pix_fmt", "rgb24"]
    done = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, capture_output=True)
    mean = np.frombuffer(done.stdout, np.uint8).reshape(-1, 3).mean(0)
    return ("red", "green", "blue")[int(np.argmax(mean))]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_a_cover_picture_before_the_film_is_not_taken(tmp_path: Path, ending: str) -> None:
    cover = picture(tmp_path / "cover.png")
    path = tmp_path / f"a.{ending}"
    streams = ("-map", "0:v", "-map", "1:v", "-c:v:0", "png", "-c:v:1", "libx264")
    marks = ("-disposition:v:0", "attached_pic", "-disposition:v:1", "default")
    ffmpeg("-i", cover, *GREEN, *streams, *marks, path)
    clip = read_clip(path, SPEC)
    assert colour(path) == of_ffmpeg(path) == "green"
    assert clip.stream is None  # there is one film
    assert clip.frames_read == 4


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_a_stream_of_one_picture_is_no_film_though_it_is_larger_and_the_default(
    tmp_path: Path, ending: str
) -> None:
    still = picture(tmp_path / "still.png")
    path = tmp_path / f"a.{ending}"
    codec = MPEG2 if ending == "ts" else X264
    ffmpeg("-i", still, *GREEN, "-map", 0, "-map", 1, *codec, "-g", 5, path)
    assert colour(path) == "green"
    assert read_clip(path, SPEC).frames_read == 4


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize("first", ["large", "small"])
@pytest.mark.parametrize("default", [0, 1])
def test_of_several_films_the_one_of_the_ffmpeg_command_is_taken_and_its_number_is_kept(
    tmp_path: Path, ending: str, first: str, default: int
) -> None:
    path = tmp_path / f"a.{ending}"
    inputs = (RED, GREEN) if first == "large" else (GREEN, RED)
    maps = ("-map", 2, "-map", "0:v", "-map", "1:v")
    marks = [f"-disposition:v:{n}" for n in (0, 1)]
    kept = (marks[default], "default", marks[1 - default], 0)
    ffmpeg(*inputs[0], *inputs[1], *SOUND, *maps, *MPEG2, *kept, path)
    chosen = of_ffmpeg(path)
    assert colour(path) == chosen
    is_first = (chosen == "red") == (first == "large")
    assert read_clip(path, SPEC).stream == (1 if is_first else 2)


def test_of_equal_films_the_first_is_taken(tmp_path: Path) -> None:
    ffmpeg(*BLUE, *RED, "-map", 0, "-map", 1, *MPEG2, tmp_path / "a.ts")
    assert colour(tmp_path / "a.ts") == of_ffmpeg(tmp_path / "a.ts") == "blue"
    assert read_clip(tmp_path / "a.ts", SPEC).stream == 0


@pytest.mark.slow
def test_a_long_film_behind_a_cover_is_sought_and_one_that_is_cut_is_noticed(
    tmp_path: Path,
) -> None:
    film = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=25:d=70")
    cover = picture(tmp_path / "cover.png")
    marks = ("-disposition:v:0", "attached_pic", "-g", 25)
    path = tmp_path / "a.mkv"
    ffmpeg("-i", cover, *film, "-map", 0, "-map", 1, "-c:v:0", "png", *marks, path)
    assert read_clip(path, SPEC).read_share == 1
    data = path.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 7 // 10])
    cut = read_clip(tmp_path / "cut.mkv", SPEC, ReadOptions(min_read_share=0.5))
    assert cut.read_share == pytest.approx(0.7, abs=0.1)


def test_sound_with_a_cover_is_still_no_video(tmp_path: Path) -> None:
    cover = picture(tmp_path / "cover.png")
    ffmpeg(
        *("-i", cover, *SOUND, "-map", 0, "-map", 1, "-c:v", "png"),
        *("-disposition:v:0", "attached_pic", tmp_path / "a.mp4"),
    )
    with pytest.raises(VideoError, match="cover picture"):
        read_clip(tmp_path / "a.mp4", SPEC)
