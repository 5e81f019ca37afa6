"""What does not fit between files and rows: each such thing is made wrong, found and repaired."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from conftest import write_video
from installed import Daemon, drop
from reviewed import NOW, ReviewedHome
from sqlalchemy import update

from daemon.database.tables import videos
from daemon.home.reasons import write_reason
from daemon.maintenance.backup import back_up
from daemon.maintenance.check import Check
from daemon.maintenance.finding import Finding

VIDWATCH = Path(sys.executable).with_name("vidwatch")


@pytest.fixture
def room(tmp_path: Path) -> ReviewedHome:
    """Two clips predicted and filed, one of them with a copy, and a file that failed."""
    room = ReviewedHome(tmp_path)
    first = room.clip("a.avi")
    room.clip("b.avi")
    room.copy_of(first)
    room.fail("c.avi", "no video")
    write_reason(bytes(room.home.root / "failed" / "c.avi"), "no video", bytes(room.home.root))
    room.write_settings('model = "tiny"\n')
    room.engine.dispose()
    return room


def check(room: ReviewedHome, *, quick: bool = False, repair: bool = False) -> list[Finding]:
    found = []
    with room.home.lock() if repair else nullcontext():
        for finding in Check(
            room.home, quick=quick, may_repair=repair, progress=lambda done, of: None
        ).findings():
            found.append(finding)
            if repair and finding.apply_repair:
                finding.apply_repair()
    return found


def change(room: ReviewedHome, sql: str) -> None:
    """Change rows as another program may, which heeds no references between tables."""
    database = room.home.database
    if isinstance(database, Path):
        with closing(sqlite3.connect(database)) as file, file:
            file.execute(sql)
        return
    with room.writing() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(sql)
    room.engine.dispose()


def clips(room: ReviewedHome) -> list[bytes]:
    tops = ("inbox", "classified", "labelled", "duplicates", "failed")
    paths = (path for top in tops for path in (room.home.root / top).rglob("*"))
    return sorted(path.read_bytes() for path in paths if path.is_file() and path.suffix == ".avi")


def test_if_all_is_well_nothing_is_found(room: ReviewedHome) -> None:
    before = clips(room)
    assert check(room) == []
    assert check(room, repair=True) == []
    assert clips(room) == before


def moved_and_not_noted(room: ReviewedHome) -> list[int]:
    """Two clips, one of which failed: the daemon was killed after it moved them. One was labelled
    meanwhile.
    """
    good = room.arrive("d.avi", "one")
    bad = room.arrive("e.avi", "two")
    room.claim()
    room.record(room.prediction(good))
    room.queue.fail(bad, "no video", room.folders.failed(room.queue.paths([bad])[bad]), room.now)
    for move in room.queue.moves(NOW):
        room.path(move.id).rename(os.fsdecode(move.destination))
    room.give_label(good, "dark")
    room.engine.dispose()
    return [good, bad]


def test_files_that_a_killed_daemon_moved_and_did_not_note_are_explained(
    room: ReviewedHome,
) -> None:
    videos = moved_and_not_noted(room)
    before = clips(room)
    assert [finding for finding in check(room, repair=True) if finding.what != "text"] == []
    assert clips(room) == before
    for move in room.queue.moves(NOW):
        assert move.id in videos
        assert Path(os.fsdecode(move.destination)).exists()


def test_a_moved_clip_without_a_prediction_is_predicted_again(room: ReviewedHome) -> None:
    good, _ = moved_and_not_noted(room)
    change(room, f"DELETE FROM predictions WHERE video_id = {good}")
    assert "answer" in [finding.what for finding in check(room, repair=True)]
    row = room.row(good)
    assert (row["state"], row["moving_to"], row["destination"]) == ("queued", None, None)
    assert room.place(good) == "inbox/d.avi"
    assert room.path(good).read_text() == "one"


def stray(folder: str) -> Callable[[ReviewedHome], object]:
    def put(room: ReviewedHome) -> None:
        path = room.home.root / folder / "stray.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, frames=30)

    return put


def written_on(room: ReviewedHome) -> None:
    with (room.home.root / "classified" / "bright" / "a.avi").open("ab") as file:
        file.write(b"more")


def half_copy(room: ReviewedHome) -> None:
    (room.home.root / "classified" / "bright" / ".vidwatch-5-1000.part").write_bytes(b"half")


def half_copy_of_now(room: ReviewedHome) -> None:
    name = ".vidwatch-5-1000-0123456789abcdef.part"
    (room.home.root / "classified" / "bright" / name).write_bytes(b"half")


def half_text(room: ReviewedHome) -> None:
    (room.home.root / "failed" / ".vidwatch-0123456789abcdef.part").write_bytes(b"vidwatch: a")


def half_settings(room: ReviewedHome) -> None:
    (room.home.root / ".vidwatch-0123456789abcdef.part").write_bytes(b"model = ")


def only_copy(room: ReviewedHome) -> None:
    made = write_video(room.home.root / "made.avi", frames=30)
    info = made.stat()
    made.rename(room.home.root / "duplicates" / f".vidwatch-{info.st_ino}-{info.st_size}.part")


def unpredicted(room: ReviewedHome) -> None:
    change(room, "DELETE FROM predictions WHERE video_id = 2")


def second_prediction(room: ReviewedHome) -> None:
    other = room.save_model("other", room.home.root)
    room.engine.dispose()
    columns = 'video_id, "class", class_index, probability, logits, frames_asked, frames_read, decoder, created_at'
    copied = f"SELECT {columns}, {other} FROM predictions WHERE video_id = 2"
    change(room, f"INSERT INTO predictions ({columns}, model_id) {copied}")


def missing_original(room: ReviewedHome) -> None:
    change(room, "DELETE FROM predictions WHERE video_id = 1")
    change(room, "DELETE FROM videos WHERE id = 1")
    (room.home.root / "classified" / "bright" / "a.avi").unlink()


def claimed(room: ReviewedHome) -> None:
    room.enqueue(room.put_video("inbox/d.avi", frames=33))
    room.claim()
    room.engine.dispose()


def vanished(room: ReviewedHome) -> None:
    claimed(room)
    change(room, "UPDATE videos SET state = 'queued' WHERE state = 'claimed'")
    (room.home.inbox / "d.avi").unlink()


def half_model(room: ReviewedHome) -> None:
    (room.home.models / "new.safetensors.part").write_bytes(b"half")


def model_without_its_last_step(room: ReviewedHome) -> None:
    manifest = room.home.models / "tiny.json"
    manifest.rename(manifest.with_name("tiny.json.part"))


REPAIRED: dict[str, tuple[Callable[[ReviewedHome], object], set[str]]] = {
    "a file in no class folder": (stray("classified"), {"stranger"}),
    "a file in a folder that can be no class": (stray("classified/_other"), {"stranger"}),
    "a filed file that someone has written on": (written_on, {"stranger", "content"}),
    "a file among the duplicates that no row knows": (stray("duplicates"), {"stranger"}),
    "a file among the failed that no row knows": (stray("failed"), {"stranger"}),
    "a copy that a version before did not complete": (half_copy, {"leftover"}),
    "a copy that was not completed": (half_copy_of_now, {"leftover"}),
    "a text that was not completed": (half_text, {"leftover"}),
    "settings that were not completed": (half_settings, {"leftover"}),
    "a copy that is all there is": (only_copy, {"copy"}),
    "a video filed without a prediction": (unpredicted, {"answer"}),
    "a video with two predictions that count": (second_prediction, {"answer"}),
    "a copy without its original": (missing_original, {"original", "reference"}),
    "a claim of a daemon that has ended": (claimed, {"claim"}),
    "a queued video without a file": (vanished, {"missing"}),
    "a model that was not saved to the end": (half_model, {"leftover"}),
    "a model without the last step of saving": (model_without_its_last_step, {"model"}),
}


@pytest.mark.parametrize("what", REPAIRED)
def test_what_is_wrong_is_found_and_repaired_on_demand_and_no_clip_is_lost(
    room: ReviewedHome, what: str
) -> None:
    make_wrong, expected = REPAIRED[what]
    make_wrong(room)
    before = clips(room)
    assert {finding.what for finding in check(room)} == expected
    assert clips(room) == before
    check(room, repair=True)
    assert check(room) == []
    after = clips(room)
    assert [clip for clip in before if clip not in after] == []


def test_a_duplicate_that_was_dropped_is_not_missed(room: ReviewedHome) -> None:
    """Nor is another clip that came under its name since a wrong one."""
    (copy,) = (room.home.root / "duplicates").glob("*.avi")
    copy.unlink()
    path = room.home.inbox / "copy.avi"
    is_copy = videos.c.duplicate_of.is_not(None)
    with room.writing() as connection:
        dropped = update(videos).where(is_copy).values(dropped_at=NOW, path=bytes(path))
        connection.execute(dropped)
    for _ in range(2):
        look = Check(room.home, quick=False, may_repair=False, progress=lambda done, of: None)
        assert list(look.findings()) == []
        assert look.gone == []
        path.write_bytes(b"another one")


def content_changed(room: ReviewedHome) -> None:
    path = room.home.root / "classified" / "bright" / "a.avi"
    info = path.stat()
    content = bytearray(path.read_bytes())
    content[-10] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def model_damaged(room: ReviewedHome) -> None:
    path = room.home.models / "tiny.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def backup_damaged(room: ReviewedHome) -> None:
    made = back_up(room.home.database, room.home.backups, NOW)
    os.truncate(made, made.stat().st_size // 2)


FOR_PEOPLE: dict[str, tuple[Callable[[ReviewedHome], object], str]] = {
    "a clip whose content has changed": (content_changed, "content"),
    "a model that cannot be loaded": (model_damaged, "model"),
    "a damaged backup": (backup_damaged, "backup"),
    "wrong settings": (lambda room: room.write_settings("batch_size = 0"), "settings"),
    "an older schema": (
        lambda room: change(room, "UPDATE alembic_version SET version_num = '0001'"),
        "database",
    ),
}


@pytest.mark.parametrize("what", FOR_PEOPLE)
def test_what_only_a_person_can_repair_is_shown_and_left(room: ReviewedHome, what: str) -> None:
    make_wrong, expected = FOR_PEOPLE[what]
    make_wrong(room)
    before = clips(room)
    for repair in (False, True):
        assert {finding.what for finding in check(room, repair=repair)} == {expected}
    assert clips(room) == before


@pytest.mark.of_sqlite
@pytest.mark.parametrize("size", [0, 20000])
def test_a_damaged_or_empty_database_is_shown_and_left(room: ReviewedHome, size: int) -> None:
    assert isinstance(room.home.database, Path)
    os.truncate(room.home.database, size)
    before = clips(room)
    for repair in (False, True):
        assert {finding.what for finding in check(room, repair=repair)} == {"database"}
    assert clips(room) == before


def test_quick_reads_no_clip(room: ReviewedHome) -> None:
    content_changed(room)
    assert check(room, quick=True) == []


def test_what_people_do_is_no_error(room: ReviewedHome) -> None:
    root = room.home.root
    (root / "classified" / "bright" / "a.avi").unlink()
    (root / "labelled" / "dark").mkdir(parents=True)
    (root / "classified" / "bright" / "b.avi").rename(root / "labelled" / "dark" / "b.avi")
    write_video(root / "labelled" / "dark" / "new.avi", frames=31)
    write_video(root / "inbox" / "waits.avi", frames=32)
    (root / "failed" / "c.avi").rename(root / "inbox" / "c.avi")
    assert [(finding.what, finding.harmless) for finding in check(room)] == [("text", True)]
    check(room, repair=True)
    assert not (root / "failed" / "c.avi.txt").exists()


@pytest.mark.parametrize("folder", ["classified/dark", "classified/_unsure", "labelled/dark"])
def test_what_a_person_put_into_a_class_folder_while_no_daemon_ran_stays_a_label(
    room: ReviewedHome, folder: str
) -> None:
    stray(folder)(room)
    path = room.home.root / folder / "stray.avi"
    failed = path.with_name("c.avi")
    (room.home.root / "failed" / "c.avi").rename(failed)
    check(room, repair=True)
    assert path.exists()
    assert failed.exists()
    assert [finding.what for finding in check(room) if not finding.harmless] == []
    files = [room.found(path) for path in (path, failed)]
    assert room.class_folders.not_put_by_us(files) == files
    room.class_folders.notice(files, NOW)
    name = None if folder.endswith("_unsure") else "dark"
    assert [(row[2], row[3]) for row in room.given_labels()] == [(name, "folder")] * 2


def test_another_file_moved_over_a_filed_one_is_a_label(room: ReviewedHome) -> None:
    path = room.home.root / "classified" / "bright" / "a.avi"
    write_video(room.home.root / "other.avi", frames=30).rename(path)
    check(room, repair=True)
    assert path.exists()


def test_a_file_in_no_class_folder_is_not_called_a_label(room: ReviewedHome) -> None:
    stray("classified")(room)
    (found,) = check(room)
    assert found.problem == "is not in the database, and lies in no class folder"


def test_taken_away_clips_are_named(room: ReviewedHome) -> None:
    root = room.home.root
    for path in [
        *(root / "classified" / "bright").iterdir(),
        root / "duplicates" / "copy of 1.avi",
    ]:
        path.unlink()
    assert check(room) == []
    done = command(room, "--quick")
    assert done.returncode == 0
    assert (
        "took them away or removed them: video 1 (a.avi), video 2 (b.avi), video 3 (copy of 1.avi)\n"
        in done.stdout
    )
    gone = json.loads(command(room, "--quick", "--json").stdout)["files_taken_away"]
    assert gone == ["video 1 (a.avi)", "video 2 (b.avi)", "video 3 (copy of 1.avi)"]


def command(room: ReviewedHome, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VIDWATCH, "--home", room.home.root, "check", *arguments], capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_command_reports_in_lines_or_json_and_by_its_exit_status(room: ReviewedHome) -> None:
    done = command(room, "--quick")
    assert (done.returncode, done.stdout) == (0, "all is well\n")
    half_copy(room)
    assert command(room, "--quick").stdout.endswith("\n1 thing is wrong\n")
    done = command(room, "--quick", "--json")
    assert done.returncode == 1
    assert [(one["what"], one["mended"]) for one in json.loads(done.stdout)["findings"]] == [
        ("leftover", False)
    ]
    done = command(room, "--quick", "--repair")
    assert done.returncode == 0
    assert "done: remove it" in done.stdout
    with room.home.lock():
        done = command(room, "--quick", "--repair")
    assert done.returncode == os.EX_TEMPFAIL
    assert "stop that one first" in done.stderr


@pytest.mark.slow
def test_beside_a_daemon_at_work_nothing_is_called_wrong(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "home")
    daemon.start()
    try:
        for number in range(30):
            drop(daemon.inbox, f"{number}.avi", number)
        found = []
        while (status := daemon.status())["filed"] < 30:
            done = daemon.command("check", "--json", "--quick")
            found += json.loads(done.stdout)["findings"]
            assert daemon.process
            assert daemon.process.poll() is None, status
        assert found == []
    finally:
        assert daemon.process
        daemon.process.kill()
        daemon.process.communicate()


def test_a_copy_that_the_daemon_goes_on_with_is_no_leftover_whatever_rows_are_newer(
    room: ReviewedHome,
) -> None:
    """A newer row is that of a file of another disk, with the same inode and size."""
    only_copy(room)
    (copy,) = (room.home.root / "duplicates").glob(".vidwatch-*.part")
    _, inode, size = copy.stem.split("-")
    (finding,) = check(room)
    assert finding.what == "copy"
    missing = bytes(room.home.inbox / "moving.avi")
    numbers = {"inode": int(inode), "size": int(size)}
    with room.writing() as connection:
        target = bytes(room.home.root / "duplicates" / "moving.avi")
        room.add_video(connection, **numbers, path=missing, destination=target)
        room.add_video(connection, **numbers)
    assert str(copy) not in [finding.where for finding in check(room)]


def test_second_names_of_known_files_are_no_strangers(room: ReviewedHome) -> None:
    filed = room.home.root / "classified" / "bright" / "a.avi"
    (room.home.root / "duplicates" / "second.avi").hardlink_to(filed)
    assert check(room) == []


@pytest.mark.slow
def test_a_clip_that_another_one_has_replaced_was_not_taken_away(room: ReviewedHome) -> None:
    (gone,) = (room.home.root / "classified").rglob("a.avi")
    gone.unlink()
    other = "(SELECT path FROM videos WHERE id = 2)"
    change(room, f"UPDATE videos SET size = 7, path = {other} WHERE id = 1")
    found = json.loads(command(room, "--quick", "--json").stdout)
    assert found["files_replaced"] == ["video 1 (a.avi)"]
    assert found["files_taken_away"] == []
    text = "these filed videos were replaced: other videos' files have their paths: video 1 (a.avi)"
    assert text in command(room, "--quick").stdout


def test_a_clip_that_was_moved_beside_the_class_folders_is_not_gone(room: ReviewedHome) -> None:
    video = room.rows()[0].id
    room.path(video).rename(room.root / "labelled/here.avi")
    (finding,) = [found for found in check(room) if found.what in ("loose", "gone")]
    assert (finding.what, finding.harmless) == ("loose", True)
    assert finding.where.endswith("labelled/here.avi")
