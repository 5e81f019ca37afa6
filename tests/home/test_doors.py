"""What somebody who may write in our folders can make us do: another user, where that can be."""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.home.doors import Doors
from daemon.home.identity import identify
from daemon.home.moving import move_file, put_back
from daemon.home.reasons import reason_texts, write_reason
from learner import files
from learner.errors import VidwatchError
from learner.folders import LinkError, opened_folder, walk

SERVICE = 61001  # the user that the daemon runs as
STRANGER = 61002  # a member of its group
GROUP = 61000


def as_user(user: int, action: Callable[[], object]) -> str:
    """Do something as another user of the group; gives what it has raised, as a text."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.umask(0o002)
        os.setgroups([GROUP])
        os.setgid(GROUP)
        os.setuid(user)
        raised = ""
        try:
            action()
        except BaseException as error:
            raised = f"{type(error).__name__}: {error}"
        os.write(writing, raised.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        raised = said.read().decode()
    os.waitpid(child, 0)
    return raised


@pytest.fixture
def home() -> Iterator[Path]:
    """A home as `deploy/tmpfiles.conf` makes it for the service, where other users get to it."""
    if os.geteuid() != 0:
        pytest.skip("only root can become two other users")
    top = Path(tempfile.mkdtemp(prefix="vidwatch-doors-"))
    top.chmod(0o755)
    root = top / "home"
    for name in ("", "inbox", "classified", "labelled", "failed", "duplicates", "models"):
        folder = root / name
        folder.mkdir()
        os.chown(folder, SERVICE, GROUP)
        folder.chmod({"": 0o750, "models": 0o700}.get(name, 0o2770))
    for name, mode in (("vidwatch.db", 0o640), ("vidwatch.toml", 0o640), ("models/m", 0o600)):
        (root / name).write_text(f"the content of {name}")
        os.chown(root / name, SERVICE, GROUP)
        (root / name).chmod(mode)
    yield root
    shutil.rmtree(top)


def ours_are_unharmed(root: Path) -> bool:
    names = ("vidwatch.db", "vidwatch.toml", "models/m")
    return all((root / name).read_text() == f"the content of {name}" for name in names)


def drop(root: Path, name: str, content: bytes = b"video") -> bytes:
    """A file that a member of the group puts into the inbox."""
    path = root / "inbox" / name
    assert as_user(STRANGER, lambda: path.write_bytes(content)) == ""
    return bytes(path)


@pytest.mark.parametrize("victim", ["vidwatch.db", "vidwatch.toml", "models/m"])
def test_links_under_the_names_of_before_harm_nothing_when_a_reason_is_written(
    home: Path, victim: str
) -> None:
    source = drop(home, "a.mp4")
    identity = identify(source)
    assert identity
    names = [
        ".a.mp4.txt.part",
        "a.mp4.txt",
        f".vidwatch-{identity.inode}-{identity.size}.part",
    ]

    def attack() -> None:
        for name in names:
            (home / "failed" / name).symlink_to(home / victim)

    def fail_it() -> None:
        target = bytes(home / "failed/a.mp4")
        move_file(source, target, identity, None, lambda _: None, root=bytes(home))
        write_reason(target, "cut short", bytes(home))

    assert as_user(STRANGER, attack) == ""
    assert as_user(SERVICE, fail_it) == ""
    assert ours_are_unharmed(home)
    assert (home / "failed/a.mp4").read_bytes() == b"video"
    assert b"cut short" in (home / "failed/a.mp4-2.txt").read_bytes()
    (texts,) = reason_texts(home / "failed").values()
    assert texts == [bytes(home / "failed/a.mp4-2.txt")]


@pytest.fixture
def other_disk(home: Path) -> Iterator[Path]:
    """An inbox on another file system, behind a link that the owner made."""
    folder = Path("/dev/shm", f"vidwatch-doors-{os.getpid()}")
    if not folder.parent.is_dir() or folder.parent.stat().st_dev == home.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    folder.mkdir()
    os.chown(folder, SERVICE, GROUP)
    folder.chmod(0o2770)
    (home / "inbox").rmdir()
    (home / "inbox").symlink_to(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("victim", ["vidwatch.db", "vidwatch.toml", "models/m"])
def test_links_under_the_names_of_before_harm_nothing_when_a_clip_is_copied(
    home: Path, other_disk: Path, victim: str
) -> None:
    source = drop(home, "a.mp4")
    identity = identify(source)
    assert identity
    target = bytes(home / "classified/Biking/a.mp4")

    def attack() -> None:
        (home / "classified/Biking").mkdir()
        (home / "classified/Biking").chmod(0o2777)
        part = f".vidwatch-{identity.inode}-{identity.size}.part"
        (home / "classified/Biking" / part).symlink_to(home / victim)

    def file_it() -> None:
        assert move_file(source, target, identity, None, lambda _: None, root=bytes(home)) == target

    assert as_user(STRANGER, attack) == ""
    assert as_user(SERVICE, file_it) == ""
    assert ours_are_unharmed(home)
    assert (home / "classified/Biking/a.mp4").read_bytes() == b"video"
    assert [path.name for path in (home / "classified/Biking").iterdir()] == ["a.mp4"]
    assert list(other_disk.iterdir()) == []


def test_a_copy_is_nobody_elses_until_it_has_its_name_and_gives_no_rights_of_ours(
    home: Path, other_disk: Path
) -> None:
    source = drop(home, "a.mp4")
    # Whoever drops a program that runs as its owner must not get one that runs as the daemon.
    assert as_user(STRANGER, lambda: Path(os.fsdecode(source)).chmod(0o6755)) == ""
    identity = identify(source)
    assert identity
    folder = home / "classified/Biking"

    modes = []

    def file_it() -> None:
        target = bytes(folder / "a.mp4")
        move_file(source, target, identity, None, lambda _: None, look, root=bytes(home))

    def look() -> None:
        (part,) = folder.iterdir()
        assert part.name.startswith(f".vidwatch-{identity.inode}-{identity.size}-")
        modes.append(stat.S_IMODE(part.stat().st_mode))
        assert modes == [0o600]

    assert as_user(SERVICE, file_it) == ""
    assert stat.S_IMODE((folder / "a.mp4").stat().st_mode) == 0o755


def test_a_class_folder_that_was_replaced_by_a_link_gets_no_clip(home: Path) -> None:
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    target = bytes(home / "classified/Biking/a.mp4")

    def file_it(name: str) -> Callable[[], object]:
        source = drop(home, name)
        identity = identify(source)
        assert identity
        return lambda: move_file(source, target, identity, None, lambda _: None, root=bytes(home))

    def attack() -> None:
        (home / "classified/Biking").rename(home / "classified/Old")
        (home / "classified/Biking").symlink_to(elsewhere)

    assert as_user(SERVICE, file_it("a.mp4")) == ""
    assert as_user(STRANGER, attack) == ""
    again = file_it("b.mp4")
    assert "'Biking' is a link, and links are not followed" in as_user(SERVICE, again)
    assert list(elsewhere.iterdir()) == []
    assert (home / "inbox/b.mp4").read_bytes() == b"video"
    assert as_user(STRANGER, lambda: (home / "classified/Biking").unlink()) == ""
    assert as_user(SERVICE, again) == ""
    assert (home / "classified/Biking/a.mp4").read_bytes() == b"video"


def test_a_folder_in_the_inbox_that_became_a_link_gives_no_file_of_elsewhere(home: Path) -> None:
    """The file that the link leads to is the very one that was looked for."""
    secret = home / "models/m"
    identity = identify(bytes(secret))
    assert identity
    assert as_user(STRANGER, lambda: (home / "inbox/cam").symlink_to(home / "models")) == ""

    def file_it() -> None:
        source = bytes(home / "inbox/cam/m")
        target = bytes(home / "failed/m")
        move_file(source, target, identity, None, lambda _: None, root=bytes(home))

    assert "'cam' is a link" in as_user(SERVICE, file_it)
    assert ours_are_unharmed(home)


# What does not need a second user.


def test_a_top_folder_that_the_owner_made_a_link_is_followed(tmp_path: Path) -> None:
    for name in ("home", "disk/inbox", "disk/classified"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("inbox", "classified"):
        (tmp_path / "home" / name).symlink_to(tmp_path / "disk" / name)
    (tmp_path / "home/inbox/a.mp4").write_bytes(b"video")
    source = bytes(tmp_path / "home/inbox/a.mp4")
    identity = identify(source)
    assert identity
    target = bytes(tmp_path / "home/classified/Biking/a.mp4")
    root = bytes(tmp_path / "home")
    assert move_file(source, target, identity, None, pytest.fail, root=root) == target
    assert (tmp_path / "disk/classified/Biking/a.mp4").read_bytes() == b"video"


def test_a_copy_left_by_a_crash_is_completed_whatever_lies_beside_it(tmp_path: Path) -> None:
    room = MadeHome(tmp_path / "home")
    content = b"all there is of a clip"
    folder = tmp_path / "home/classified/Biking"
    folder.mkdir()
    part = folder / f".vidwatch-77-{len(content)}-0123456789abcdef.part"
    part.write_bytes(content)
    settings = room.home.settings.read_bytes()
    (folder / f".vidwatch-77-{len(content)}-fedcba9876543210.part").symlink_to(room.home.settings)
    (folder / f".vidwatch-77-{len(content)}.part").mkdir()
    found = identify(bytes(part))
    assert found
    of_original = found._replace(inode=77)
    target = bytes(folder / "a.mp4")
    sha256 = hashlib.sha256(content).hexdigest()
    source = bytes(room.inbox / "a.mp4")
    placed = move_file(source, target, of_original, sha256, pytest.fail, root=bytes(room.root))
    assert placed == target
    assert (folder / "a.mp4").read_bytes() == content
    assert room.home.settings.read_bytes() == settings
    room.close()


def test_copies_left_by_crashes_do_not_pile_up(tmp_path: Path) -> None:
    shm = Path("/dev/shm", f"vidwatch-pile-{os.getpid()}")
    if not shm.parent.is_dir() or shm.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    shm.mkdir()
    try:
        (shm / "a.mp4").write_bytes(b"video")
        identity = identify(bytes(shm / "a.mp4"))
        assert identity
        folder = tmp_path / "classified/Biking"
        folder.mkdir(parents=True)
        for number in range(3):
            name = f".vidwatch-{identity.inode}-{identity.size}-{number:016x}.part"
            (folder / name).write_bytes(b"vi")
        others = folder / ".vidwatch-5-5-0123456789abcdef.part"
        others.write_bytes(b"of another clip")
        target = bytes(folder / "a.mp4")
        source = bytes(shm / "a.mp4")
        move_file(source, target, identity, None, pytest.fail, root=bytes(tmp_path))
        assert {path.name for path in folder.iterdir()} == {"a.mp4", others.name}
    finally:
        shutil.rmtree(shm)


@pytest.mark.parametrize("kind", ["link", "file", "pipe"])
def test_a_file_is_never_made_or_opened_behind_something_that_is_there(
    tmp_path: Path, kind: str
) -> None:
    (tmp_path / "victim").write_text("unharmed")
    path = tmp_path / "failed/part"
    path.parent.mkdir()
    if kind == "link":
        path.symlink_to(tmp_path / "victim")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("somebody's")
    doors = Doors(bytes(tmp_path))
    with pytest.raises(FileExistsError):
        doors.create(bytes(path))
    if kind != "file":
        with pytest.raises(OSError, match=r"regular|symbolic"):
            doors.open(bytes(path))
    assert (tmp_path / "victim").read_text() == "unharmed"


def test_settings_and_models_are_written_in_the_place_of_a_link_not_behind_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "victim").write_text("unharmed")
    for name in ("m.json", "m.json.part"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    files.write(tmp_path / "m.json", b"new")
    files.prepare(tmp_path / "m.json", b"newer")
    files.commit(tmp_path / "m.json")
    assert (tmp_path / "victim").read_text() == "unharmed"
    assert (tmp_path / "m.json").read_bytes() == b"newer"
    assert {path.name for path in tmp_path.iterdir()} == {"m.json", "victim"}


def test_a_home_with_a_link_for_its_lock_is_not_run(tmp_path: Path) -> None:
    room = MadeHome(tmp_path / "home")
    room.close()
    before = room.home.settings.read_bytes()
    with room.home.lock():
        (lock,) = room.root.glob("daemon*.lock")  # on a server, it also names the machine
    lock.unlink()
    lock.symlink_to(room.home.settings)
    with pytest.raises(VidwatchError, match=re.escape(lock.name)), room.home.lock():
        pass
    assert room.home.settings.read_bytes() == before


def test_a_folder_is_opened_and_walked_without_links(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "real/deep/a").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top/link").symlink_to(tmp_path / "real")
    (tmp_path / "top/b").touch()
    with (
        pytest.raises(LinkError, match="'link' is a link"),
        opened_folder(tmp_path, b"top/link/deep"),
    ):
        pass
    found = [(path, names) for _, path, names in walk(tmp_path / "top")]
    assert found == [(bytes(tmp_path / "top"), [b"b", b"link"])]
    (tmp_path / "as link").symlink_to(tmp_path / "top")
    assert [names for _, _, names in walk(tmp_path / "as link")] == [[b"b", b"link"]]


def test_a_file_is_put_back_into_an_inbox_that_is_a_link(tmp_path: Path) -> None:
    room = MadeHome(tmp_path / "home")
    (tmp_path / "disk").mkdir()
    room.inbox.rmdir()
    room.inbox.symlink_to(tmp_path / "disk")
    path = room.put("failed/a.mp4")
    assert put_back(room.found(path), room.inbox) == bytes(room.inbox / "a.mp4")
    assert (tmp_path / "disk/a.mp4").is_file()
    room.close()
