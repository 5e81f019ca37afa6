import ctypes
import errno
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from disks import Mount, numbers, pad
from disks import mount as mount
from hypothesis import given
from hypothesis import strategies as st

from daemon.home import doors, moving
from daemon.home.folders import Folders
from daemon.home.identity import Identity, identify
from daemon.home.moving import move_file
from daemon.home.reasons import REASON, write_reason


def dropped(path: Path, content: bytes = b"video") -> tuple[bytes, Identity]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    identity = identify(bytes(path))
    assert identity
    return bytes(path), identity


def test_each_outcome_has_its_folder_and_keeps_the_name() -> None:
    folders = Folders(Path("/home"))
    path = b"/home/inbox/cam1/\xff 1.mp4"
    predicted = folders.resting_place(path, predicted="Höhe", unsure=False)
    assert predicted == "/home/classified/Höhe/".encode() + b"\xff 1.mp4"
    duplicate = folders.resting_place(path, predicted="a", unsure=True, is_duplicate=True)
    assert duplicate == b"/home/duplicates/\xff 1.mp4"
    assert folders.failed(path) == b"/home/failed/\xff 1.mp4"


def test_a_file_is_moved_into_a_folder_that_is_made_for_it(tmp_path: Path) -> None:
    source, identity = dropped(tmp_path / "inbox/a.mp4")
    target = bytes(tmp_path / "classified/Biking/a.mp4")
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) == target
    assert identify(target) == identity
    assert identify(source) is None


def test_another_file_of_that_name_is_never_overwritten(tmp_path: Path) -> None:
    taken = tmp_path / "classified/001.mp4"
    for number in range(3):
        source, identity = dropped(tmp_path / f"cam{number}/001.mp4", b"video %d" % number)
        noted: list[bytes] = []
        placed = move_file(source, bytes(taken), identity, None, noted.append, root=bytes(tmp_path))
        assert noted == ([placed] if number else [])
    contents = {path.name: path.read_bytes() for path in taken.parent.iterdir()}
    assert contents == {"001.mp4": b"video 0", "001-2.mp4": b"video 1", "001-3.mp4": b"video 2"}


def test_a_move_that_was_done_before_a_crash_counts_as_done(tmp_path: Path) -> None:
    source, identity = dropped(tmp_path / "a.mp4")
    target = bytes(tmp_path / "filed/a.mp4")
    move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path))
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) == target


def test_a_move_done_before_a_crash_leaves_a_new_file_of_the_old_name_alone(tmp_path: Path) -> None:
    source, identity = dropped(tmp_path / "a.mp4")
    target = bytes(tmp_path / "filed/a.mp4")
    move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path))
    dropped(tmp_path / "a.mp4", b"another")
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) == target
    assert (tmp_path / "a.mp4").read_bytes() == b"another"


def test_a_file_that_was_taken_away_or_changed_is_not_moved(tmp_path: Path) -> None:
    source, identity = dropped(tmp_path / "a.mp4")
    target = bytes(tmp_path / "filed/a.mp4")
    Path(os.fsdecode(source)).write_bytes(b"something longer")
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) is None
    assert (tmp_path / "a.mp4").read_bytes() == b"something longer"
    (tmp_path / "a.mp4").unlink()
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) is None


def test_an_empty_file_takes_the_name_if_the_file_system_cannot_refuse_to_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OldFileSystem:
        def renameat2(self, *_: object) -> int:
            ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: OldFileSystem())
    taken = tmp_path / "classified/001.mp4"
    for number in range(2):
        source, identity = dropped(tmp_path / f"cam{number}/001.mp4", b"video %d" % number)
        move_file(source, bytes(taken), identity, None, lambda path: None, root=bytes(tmp_path))
    assert sorted(path.read_bytes() for path in taken.parent.iterdir()) == [b"video 0", b"video 1"]


@pytest.fixture
def other_file_system(tmp_path: Path) -> Path:
    folder = Path("/dev/shm", f"vidwatch-test-{os.getpid()}")
    if not folder.parent.is_dir() or folder.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    return folder


@pytest.fixture
def elsewhere(other_file_system: Path) -> Iterator[Path]:
    other_file_system.mkdir()
    yield other_file_system
    shutil.rmtree(other_file_system)


def test_a_file_is_copied_to_another_file_system_then_removed(
    tmp_path: Path, elsewhere: Path
) -> None:
    source, identity = dropped(elsewhere / "a.mp4")
    target = bytes(tmp_path / "filed/a.mp4")
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) == target
    assert Path(os.fsdecode(target)).read_bytes() == b"video"
    assert list(elsewhere.iterdir()) == []
    # Called again, as after a crash before the row was written.
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) == target


def test_a_file_that_grows_while_it_is_copied_stays(tmp_path: Path, elsewhere: Path) -> None:
    source, identity = dropped(elsewhere / "a.mp4")

    def write_on() -> None:
        (elsewhere / "a.mp4").write_bytes(b"video, and more of it")

    assert (
        move_file(
            source,
            bytes(tmp_path / "filed/a.mp4"),
            identity,
            None,
            pytest.fail,
            write_on,
            root=bytes(tmp_path),
        )
        is None
    )
    assert (elsewhere / "a.mp4").read_bytes() == b"video, and more of it"
    assert list((tmp_path / "filed").iterdir()) == []


def test_an_interrupted_copy_leaves_the_file_where_it_was(tmp_path: Path, elsewhere: Path) -> None:
    source, identity = dropped(elsewhere / "a.mp4")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_file(
            source,
            bytes(tmp_path / "filed/a.mp4"),
            identity,
            None,
            pytest.fail,
            stop,
            root=bytes(tmp_path),
        )
    assert list((tmp_path / "filed").iterdir()) == []
    assert (elsewhere / "a.mp4").read_bytes() == b"video"


def test_a_crash_between_copy_and_rename_is_completed(tmp_path: Path, elsewhere: Path) -> None:
    source, identity = dropped(elsewhere / "a.mp4")
    target = bytes(tmp_path / "filed/a.mp4")
    (tmp_path / "filed").mkdir()
    moving.copy_beside(doors.Doors(bytes(tmp_path)), source, target, identity, lambda: None)
    (elsewhere / "a.mp4").unlink()
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) == target
    assert [path.name for path in (tmp_path / "filed").iterdir()] == ["a.mp4"]


def test_a_name_taken_on_another_file_system_leaves_no_copy_behind(
    tmp_path: Path, elsewhere: Path
) -> None:
    target = bytes(tmp_path / "filed/a.mp4")
    for _ in range(2):  # the same content and name twice: both are kept
        source, identity = dropped(elsewhere / "a.mp4")
        move_file(
            source,
            target,
            identity,
            hashlib.sha256(b"video").hexdigest(),
            lambda path: None,
            root=bytes(tmp_path),
        )
    assert sorted(path.name for path in (tmp_path / "filed").iterdir()) == ["a-2.mp4", "a.mp4"]
    assert list(elsewhere.iterdir()) == []


def reasons(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.txt")}


def test_the_reason_is_written_beside_the_file_and_a_later_one_replaces_it(tmp_path: Path) -> None:
    path, _ = dropped(tmp_path / "a.mp4")
    write_reason(path, "cut short", bytes(tmp_path))
    assert b"Copy it again from where it came from" in reasons(tmp_path)["a.mp4.txt"]
    write_reason(path, "the file is empty (0 bytes)", bytes(tmp_path))
    assert b"See whether the original has any, and copy that" in reasons(tmp_path)["a.mp4.txt"]
    write_reason(path, "decoding took longer than 300 s", bytes(tmp_path))
    assert b"To try it again, move the video back" in reasons(tmp_path)["a.mp4.txt"]
    write_reason(path, "not a video: a picture (png)", bytes(tmp_path))
    assert list(reasons(tmp_path)) == ["a.mp4.txt"]
    assert b"not a video: a picture" in reasons(tmp_path)["a.mp4.txt"]
    assert b"To try it again does not help" in reasons(tmp_path)["a.mp4.txt"]


def test_two_long_names_that_are_shortened_to_one_keep_a_reason_each(tmp_path: Path) -> None:
    for ending in ("mp4", "avi"):
        path, _ = dropped(tmp_path / ("x" * 251 + "." + ending))
        write_reason(path, f"no {ending}", bytes(tmp_path))
    assert len(reasons(tmp_path)) == 2


def test_a_reason_that_came_back_with_its_video_gets_no_reason_of_its_own(tmp_path: Path) -> None:
    path, _ = dropped(tmp_path / "a.mp4")
    write_reason(path, "cut short", bytes(tmp_path))
    write_reason(bytes(tmp_path / "a.mp4.txt"), "not a video", bytes(tmp_path))
    assert list(reasons(tmp_path)) == ["a.mp4.txt"]
    assert b"cut short" in reasons(tmp_path)["a.mp4.txt"]


def test_a_reason_never_replaces_a_failed_file_of_that_name(tmp_path: Path) -> None:
    dropped(tmp_path / "a.mp4.txt", b"a text that someone dropped")
    path, _ = dropped(tmp_path / "a.mp4")
    write_reason(path, "cut short", bytes(tmp_path))
    assert (tmp_path / "a.mp4.txt").read_bytes() == b"a text that someone dropped"
    assert b"cut short" in reasons(tmp_path)["a.mp4-2.txt"]


def test_texts_that_a_crash_left_are_removed_and_nothing_else(tmp_path: Path) -> None:
    path, _ = dropped(tmp_path / "a.mp4")
    left = {"0123456789abcdef": b"", "1123456789abcdef": REASON + b"a.mp4 was no"}
    others = {"2123456789abcdef": b"somebody's", "short": b""}
    for token, text in (left | others).items():
        (tmp_path / f".vidwatch-{token}.part").write_bytes(text)
    write_reason(path, "cut short", bytes(tmp_path))
    parts = {part.name for part in tmp_path.glob(".vidwatch-*")}
    assert parts == {f".vidwatch-{token}.part" for token in others}


@given(st.binary(min_size=1, max_size=300), st.sampled_from([b".txt", b"-12.mp4"]))
def test_a_name_is_shortened_to_what_a_file_system_takes(name: bytes, ending: bytes) -> None:
    fitted = moving.fit(name, ending)
    assert len(fitted) <= 255
    assert fitted.endswith(ending)
    if len(name) + len(ending) <= 255:
        assert fitted == name + ending


def test_the_longest_name_gets_a_number_and_a_reason(tmp_path: Path) -> None:
    name = "ü" * 125 + "a.mp4"
    for number in range(2):
        source, identity = dropped(tmp_path / f"in{number}" / name, b"%d" % number)
        placed = move_file(
            source,
            bytes(tmp_path / "failed" / name),
            identity,
            None,
            lambda path: None,
            root=bytes(tmp_path),
        )
        assert placed
        write_reason(placed, "not a video", bytes(tmp_path))
    names = {path.name for path in (tmp_path / "failed").iterdir()}
    assert len(names) == 4
    assert all(name.isprintable() for name in names)


def test_a_second_name_at_the_target_is_not_taken_for_the_move(tmp_path: Path) -> None:
    source, identity = dropped(tmp_path / "cam/a.mp4")
    target = tmp_path / "filed/a.mp4"
    target.parent.mkdir()
    target.hardlink_to(os.fsdecode(source))
    noted: list[bytes] = []
    placed = move_file(source, bytes(target), identity, None, noted.append, root=bytes(tmp_path))
    assert placed == bytes(tmp_path / "filed/a-2.mp4")
    assert noted == [placed]
    assert not (tmp_path / "cam/a.mp4").exists()
    assert target.samefile(os.fsdecode(placed))


def test_a_folder_reached_by_two_paths_is_one_place(tmp_path: Path) -> None:
    source, identity = dropped(tmp_path / "filed/a.mp4")
    (tmp_path / "kept.mp4").hardlink_to(os.fsdecode(source))
    (tmp_path / "link").symlink_to(tmp_path / "filed")
    target = bytes(tmp_path / "link/a.mp4")
    assert move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path)) == target
    assert [path.name for path in (tmp_path / "filed").iterdir()] == ["a.mp4"]


def test_a_file_whose_file_system_got_another_number_is_moved(tmp_path: Path) -> None:
    source, identity = dropped(tmp_path / "a.mp4")
    target = bytes(tmp_path / "filed/a.mp4")
    other = identity._replace(device=12345)
    assert move_file(source, target, other, None, pytest.fail, root=bytes(tmp_path)) == target
    assert identify(target) == identity


def test_a_clip_of_the_same_numbers_at_the_target_is_not_taken_for_the_file(
    tmp_path: Path, mount: Mount
) -> None:
    paths = [mount(tmp_path / name) / "a.mp4" for name in ("card", "filed")]
    for path in paths:
        path.write_text(path.parent.name)
        pad(path)
    assert numbers(paths[0]) == numbers(paths[1])
    identity = identify(bytes(paths[1]))  # as of a row from before the cards changed numbers
    assert identity
    placed = move_file(
        bytes(paths[0]), bytes(paths[1]), identity, None, lambda path: None, root=bytes(tmp_path)
    )
    assert placed == bytes(tmp_path / "filed/a-2.mp4")
    assert Path(os.fsdecode(placed)).read_text().startswith("card")
    assert paths[1].read_text().startswith("filed")


def test_a_file_that_cannot_be_removed_is_not_copied(tmp_path: Path, mount: Mount) -> None:
    card = mount(tmp_path / "card")
    source, identity = dropped(card / "a.mp4")
    subprocess.run(["mount", "-o", "remount,ro", str(card)], check=True)
    target = bytes(tmp_path / "filed/a.mp4")
    with pytest.raises(OSError, match="read-only file system, and stays there"):
        move_file(
            source,
            target,
            identity,
            None,
            pytest.fail,
            lambda: pytest.fail("it is copied"),
            root=bytes(tmp_path),
        )
    assert list((tmp_path / "filed").iterdir()) == []
    assert (card / "a.mp4").exists()
