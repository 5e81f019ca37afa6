"""When a clip was recorded, and by which camera: real files of each container, and real names."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import av
import numpy as np
import pytest

from learner.recording import Recorded, by_name, recorded
from learner.spec import ClipSpec
from learner.video import Clip, read_clip

SPEC = ClipSpec(frames=4, size=32)
MOMENT = datetime(2024, 1, 31, 22, 59, 59, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())
OLD_NS = int(datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC).timestamp()) * 10**9


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield  # type: ignore[misc]
    monkeypatch.undo()
    time.tzset()


def write(path: Path, tags: dict[str, str], frames: int = 10, **options: str) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.metadata.update(tags)
        for n in range(frames):
            image = np.full((64, 64, 3), n * 5 % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def told(clip: Clip) -> tuple[int | None, str | None]:
    return clip.recorded, clip.camera


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_the_container_says_when_and_by_which_camera(tmp_path: Path, name: str) -> None:
    tags = {"creation_time": MOMENT.isoformat(), "make": "Acme", "model": "X1"}
    options = {"movflags": "use_metadata_tags"} if name == "a.mp4" else {}
    assert told(read_clip(write(tmp_path / name, tags, **options), SPEC)) == (SECONDS, "Acme X1")


def test_apples_keys_count_with_their_zone(tmp_path: Path) -> None:
    tags = {
        "creation_time": "2024-01-31T22:10:00Z",  # when it was exported
        "com.apple.quicktime.creationdate": "2024-01-31T23:59:59+0100",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "Apple  iPhone\n15",
    }
    path = write(tmp_path / "a.mov", tags, movflags="use_metadata_tags")
    assert told(read_clip(path, SPEC)) == (SECONDS, "Apple iPhone 15")


def test_a_long_clip_of_which_few_frames_are_read_says_it_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", {"creation_time": MOMENT.isoformat()}, frames=1600)
    assert read_clip(path, SPEC).recorded == SECONDS


def test_an_avi_says_it_in_the_cameras_own_zone(tmp_path: Path) -> None:
    """IDIT is what cameras write: a text without a zone, in a chunk of the header list."""
    path = write(tmp_path / "a.avi", {})
    content = bytearray(path.read_bytes())
    text = b"Wed Jan 31 23:59:59 2024\n\0"
    chunk = b"IDIT" + len(text).to_bytes(4, "little") + text
    at = content.index(b"hdrl") + 4
    for field in (4, at - 8):  # the sizes of the file and of the list
        size = int.from_bytes(content[field : field + 4], "little") + len(chunk)
        content[field : field + 4] = size.to_bytes(4, "little")
    content[at:at] = chunk
    path.write_bytes(content)
    assert read_clip(path, SPEC).recorded == SECONDS


@pytest.mark.parametrize("text", ["1904-01-01T00:00:00Z", "1970-01-01T00:00:10Z", "2090-01-01"])
def test_a_clock_that_was_never_set_says_nothing(tmp_path: Path, text: str) -> None:
    clip = read_clip(write(tmp_path / "a.mkv", {"creation_time": text}), SPEC)
    found = recorded(clip.recorded, clip.camera, b"/inbox/clip.mkv", OLD_NS)
    assert (found.by, found.at) == ("file", datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC))


def test_tags_that_nobody_can_use_are_no_trouble(tmp_path: Path) -> None:
    tags = {"creation_time": "yesterday", "make": "x" * 5000, "model": "\x1b[31m"}
    clip = read_clip(write(tmp_path / "a.mkv", tags), SPEC)
    assert clip.recorded is None
    assert clip.camera == "x" * 100


@pytest.mark.parametrize(
    "name",
    [
        "20240131_235959.mp4",
        "VID_20240131_235959.mp4",
        "2024-01-31T23-59-59.mkv",
        "2024-01-31T22:59:59Z.mkv",
        "2024-01-31 23.59.59.mov",
        "cam 2024-01-31 at 23.59.59.mov",
        "2024_0131_235959_012.MP4",
        "DJI_20240131235959_0001_D.MP4",
        "PXL_20240131_225959123.mp4",
        "front_2024-01-31T23:59:59+0100.mp4",
        "2024-01-31/23-59-59.mp4",
        "day 20240131/235959.mp4",
    ],
)
def test_names_say_when(name: str) -> None:
    assert by_name(b"/srv/inbox/" + name.encode()) == MOMENT


@pytest.mark.parametrize(
    "name",
    [
        "GX010123.MP4",
        "VID-20240131-WA0001.mp4",
        "20241331_235959.mp4",
        "20240131_256199.mp4",
        "1720240131235959.mp4",
        "202401312359591234.mp4",
        "19040101_000000.mp4",
        "20990101_000000.mp4",
        "Recording 2024-01-31 at 11.59.59 PM.mov",
        "2024-01-31/clip.mp4",
        "2024-01-31/cam/23-59-59.mp4",
    ],
)
def test_names_that_do_not_say_when(name: str) -> None:
    assert by_name(b"/srv/inbox/" + name.encode()) is None


def test_a_time_in_a_name_is_one_of_this_machines_zone_in_summer_and_in_winter() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    for name, moment in (
        (b"20240715_120000.mp4", datetime(2024, 7, 15, 12, tzinfo=berlin)),
        (b"20240115_120000.mp4", datetime(2024, 1, 15, 12, tzinfo=berlin)),
    ):
        assert by_name(name) == moment


def test_the_container_counts_more_than_the_name_and_the_name_more_than_the_file() -> None:
    path = b"/home/inbox/20240201_100000.mp4"
    assert recorded(SECONDS, "X", path, OLD_NS) == Recorded(MOMENT, "container", "X")
    assert recorded(None, None, path, OLD_NS).by == "name"
    assert recorded(None, None, b"/home/inbox/a.mp4", OLD_NS).by == "file"
    assert recorded(None, None, b"/home/inbox/a.mp4", 0) == Recorded()
    assert recorded(2**62, None, b"a.mp4", 2**62) == Recorded()
