import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Mount
from disks import mount as mount

from daemon.home.sidecars import Sidecars


class StoppedError(Exception):
    """Whoever waits is to stop waiting."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("inbox/cam", "classified/Biking"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def elsewhere(root: Path) -> Iterator[Path]:
    """The class folders are on another file system."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == root.stat().st_dev:
        pytest.skip("needs /dev/shm on another file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        (root / "classified/Biking").rmdir()
        (root / "classified").rmdir()
        (root / "classified").symlink_to(folder)
        (root / "classified/Biking").mkdir()
        yield root


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / "inbox/cam" / name).write_text(name)


def follow(root: Path, clip: str, new: str) -> None:
    target = bytes(root / "classified/Biking" / new)
    Sidecars(bytes(root)).follow(bytes(root / "inbox/cam" / clip), target)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("clip", "new", "sidecars", "renamed"),
    [
        ("MVI_1.MOV", "MVI_1.MOV", ["MVI_1.THM", "mvi_1.ctg"], ["MVI_1.THM", "MVI_1.ctg"]),
        (
            "D.MP4",
            "D-2.MP4",
            ["D.SRT", "D.lrv", "D.mp4.Gpx"],
            ["D-2.SRT", "D-2.lrv", "D-2.MP4.Gpx"],
        ),
        ("C0001.MP4", "C0001-3.MP4", ["C0001M01.XML"], ["C0001-3M01.XML"]),
        ("GX010001.MP4", "GX010001-2.MP4", ["GL010001.LRV"], ["GL010001-2.LRV"]),
        ("a.b.mp4", "a.b.mp4", ["a.b.JPG", "a.b.wav"], ["a.b.JPG", "a.b.wav"]),
        (
            "x.mp4",
            "n" * 251 + ".mp4",
            ["x.jpeg", "x.mp4.GPX", "xM01.XML"],
            ["n" * 250 + ".jpeg", "n" * 251 + ".GPX", "n" * 248 + "M01.XML"],
        ),
    ],
)
def test_sidecars_follow_their_clip_and_get_its_name(
    root: Path, clip: str, new: str, sidecars: list[str], renamed: list[str]
) -> None:
    others = ["other.THM", "MVI_12.THM", "D2.SRT", "a.JPG", "notes.txt", "D.MP4.part"]
    fill(root, *sidecars, *others)
    follow(root, clip, new)
    assert names(root / "inbox/cam") == set(others)
    contents = {path.name: path.read_text() for path in (root / "classified/Biking").iterdir()}
    assert contents == dict(zip(renamed, sidecars, strict=True))


def test_nothing_is_overwritten(root: Path) -> None:
    fill(root, "a.THM", "a.JPG", "a.XML")
    there = root / "classified/Biking"
    (there / "a.THM").write_text("somebody's")
    (there / "a.JPG").write_text("a.JPG")  # the same content, as after a crash
    (there / "a.XML").write_text("somebody's")
    (there / "a.mp4.XML").write_text("somebody's, too")
    follow(root, "a.mp4", "a.mp4")
    assert names(there) == {"a.THM", "a.JPG", "a.XML", "a.mp4.XML", "a.mp4.THM"}
    assert (there / "a.THM").read_text() == "somebody's"
    assert (there / "a.mp4.THM").read_text() == "a.THM"
    assert names(root / "inbox/cam") == {"a.XML"}


def test_links_are_not_followed(root: Path) -> None:
    secret = root / "secret"
    secret.write_text("secret")
    (root / "inbox/cam/a.THM").symlink_to(secret)
    (root / "classified/Biking/a.JPG").symlink_to(root / "made")
    fill(root, "a.JPG")
    follow(root, "a.mp4", "a.mp4")
    assert names(root / "classified/Biking") == {"a.JPG", "a.mp4.JPG"}
    assert not (root / "made").exists()
    assert secret.read_text() == "secret"


def test_to_another_file_system_they_are_copied_whole_and_then_removed(elsewhere: Path) -> None:
    fill(elsewhere, "a.THM", "a.WAV")
    os.utime(elsewhere / "inbox/cam/a.WAV", (1e9, 1e9))
    info = (elsewhere / "inbox/cam/a.WAV").stat()
    left = f".vidwatch-{info.st_ino}-{info.st_size}-0123456789abcdef.part"
    (elsewhere / "classified/Biking" / left).write_text("a.WAV")  # a copy that a crash has left
    follow(elsewhere, "a.mp4", "a-2.mp4")
    assert names(elsewhere / "inbox/cam") == set()
    assert names(elsewhere / "classified/Biking") == {"a-2.THM", "a-2.WAV"}
    assert (elsewhere / "classified/Biking/a-2.WAV").stat().st_mtime == 1e9


def test_one_that_cannot_be_moved_stays_and_holds_nothing_up(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(root, "a.THM")
    (root / "elsewhere").mkdir()
    (root / "classified/Biking").rmdir()
    (root / "classified/Biking").symlink_to(root / "elsewhere")
    follow(root, "a.mp4", "a.mp4")
    assert names(root / "inbox/cam") == {"a.THM"}
    assert names(root / "elsewhere") == set()
    assert "a.THM: a sidecar, left where it is" in caplog.text


def test_one_for_which_there_is_no_space_is_tried_again(root: Path, mount: Mount) -> None:
    mount(root / "classified/Biking")
    (root / "inbox/cam/a.WAV").write_bytes(bytes(9_000_000))
    with pytest.raises(OSError, match="No space"):
        follow(root, "a.mp4", "a.mp4")
    assert names(root / "inbox/cam") == {"a.WAV"}
    assert names(root / "classified/Biking") == set()


def test_comparing_two_can_be_stopped(root: Path) -> None:
    fill(root, "a.THM")
    (root / "classified/Biking/a.THM").write_text("a.THM")

    def stop() -> None:
        raise StoppedError

    target = bytes(root / "classified/Biking/a.mp4")
    with pytest.raises(StoppedError):
        Sidecars(bytes(root))._is_same(
            bytes(root / "inbox/cam/a.THM"), bytes(root / "classified/Biking/a.THM"), stop
        )
    Sidecars(bytes(root)).follow(bytes(root / "inbox/cam/a.mp4"), target)
    assert names(root / "inbox/cam") == set()
