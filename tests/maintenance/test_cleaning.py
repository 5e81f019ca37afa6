"""Which files go into the trash, which never do, and how they come back: real files and rows."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from homes import START, MadeHome
from sqlalchemy import insert, update

from daemon.classify.filing import Filing
from daemon.database.contents import Contents
from daemon.database.root import follow_home
from daemon.database.tables import part_labels, predictions, videos, windows
from daemon.home.settings import Settings, load
from daemon.labels.class_changes import ClassChanges
from daemon.labels.lookup import find_videos
from daemon.maintenance.backup import back_up
from daemon.maintenance.check import Check
from daemon.maintenance.cleaning import Cleaning
from daemon.maintenance.doctor import examine
from daemon.maintenance.restore import restore
from daemon.report.one_video import read_video
from daemon.report.status import read_status
from learner.errors import VidwatchError

VIDWATCH = Path(sys.executable).with_name("vidwatch")
DAY = timedelta(days=1)
LATER = START + 40 * DAY
AFTER_30_DAYS = {"classes": ["Biking"], "after_days": 30}


class Full(MadeHome):
    """A home whose disk fills with clips of Biking."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "home")
        follow_home(self.engine, self.root)
        self.notices: list[str | None] = []

    def clip(
        self, name: str, class_name: str = "Biking", *, content: str | None = None, **more: Any
    ) -> int:
        """A clip that came, and was predicted and filed."""
        video = self.arrive(name, content)
        (found,) = self.predict_and_file(self.model_prediction(class_name), **more)
        assert found == video
        return video

    def cleaning(self, *rules: dict[str, Any], **settings: Any) -> Cleaning:
        loaded = Settings(remove=rules, **settings)
        return Cleaning(self.home, self.engine, loaded, self.notices.append)

    def clean(self, *rules: dict[str, Any], **settings: Any) -> list[str]:
        """A visit, and the moves after it; gives what lies in the trash then."""
        self.cleaning(*rules, **settings).tend(self.now)
        self.move()
        return self.trash()

    def move(self) -> None:
        """The moves, as the pipeline makes them."""
        filing = Filing(self.queue, self.folders, lambda: True, lambda: None, drop_duplicates=False)
        while moves := self.queue.moves(self.now):
            filing.file(moves, self.now)

    def trash(self) -> list[str]:
        return sorted(name for name in self.files() if name.startswith("trash/"))

    def notice(self, name: str) -> None:
        """A person's file in a class folder is seen."""
        self.class_folders.notice([self.found(self.root / name)], self.now)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Full]:
    full = Full(tmp_path)
    yield full
    full.close()


def test_old_files_of_the_classes_go_with_their_sidecars_and_the_rows_stay(full: Full) -> None:
    full.clip("a.mp4")
    skiing = full.clip("s.mp4", "Skiing")
    full.put("classified/Biking/a.SRT", "subtitles")
    full.now = LATER
    young = full.clip("b.mp4")
    assert full.clean(AFTER_30_DAYS) == ["trash/Biking/a.SRT", "trash/Biking/a.mp4"]
    assert [full.place(video) for video in (skiing, young)] == [
        "classified/Skiing/s.mp4",
        "classified/Biking/b.mp4",
    ]
    row = full.row(1)
    assert (row["state"], row["trashed_at"], row["removed_at"]) == ("filed", LATER, None)
    assert len(full.rows(predictions)) == 3
    status = read_status(full.home, full.now).to_json()
    assert status["trash"] == {"files": 1, "bytes": 5}
    assert {one["id"]: one["removed"] for one in status["recent"]}[1] == "trash"
    with full.engine.begin() as connection:
        assert read_video(connection, 1).trashed_at == LATER


def test_without_a_rule_nothing_goes(full: Full) -> None:
    full.clip("a.mp4")
    full.now = START + 10_000 * DAY
    assert full.clean() == []


def test_what_lay_in_the_trash_for_long_is_deleted_and_its_row_says_when(full: Full) -> None:
    full.clip("a.mp4")
    full.put("classified/Biking/a.SRT", "subtitles")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    full.now += 7 * DAY - timedelta(seconds=1)
    assert len(full.clean(AFTER_30_DAYS, trash_days=7)) == 2
    full.now += timedelta(seconds=1)
    assert full.clean(trash_days=7) == []  # whatever the rules are by now
    assert full.row(1)["removed_at"] == full.now
    status = read_status(full.home, full.now).to_json()
    assert status["trash"] == {"files": 0, "bytes": 0}
    assert status["recent"][0]["removed"] == "deleted"
    check = Check(full.home, quick=False, may_repair=False, progress=lambda *_: None)
    assert [finding for finding in check.findings() if finding.what != "backup"] == []
    assert check.gone == []  # it was not taken away by somebody
    assert full.notices[-1] is None


def test_labelled_ones_and_the_random_share_never_go(full: Full) -> None:
    labelled = full.clip("labelled.mp4")
    full.give_label(labelled, "Biking")
    taken_back = full.clip("taken-back.mp4")
    full.give_label(taken_back, "Biking")
    full.labels.undo([taken_back], "command", "ann", full.now)
    of_part = full.clip("part.mp4")
    part = {"start_s": 0, "end_s": 1, "class": "Skiing", "source": "command", "who": "ann"}
    drawn = full.clip("drawn.mp4")
    with full.writing() as connection:
        connection.execute(
            insert(part_labels).values(video_id=of_part, created_at=full.now, **part)
        )
        connection.execute(update(videos).where(videos.c.id == drawn).values(sampled=True))
    full.move()
    full.now = LATER
    before = full.files()
    assert full.clean(AFTER_30_DAYS, {"classes": ["Biking"], "at_most_gigabytes": 1e-9}) == []
    assert full.files() == before


def test_a_label_that_comes_between_the_decision_and_the_move_keeps_the_file(full: Full) -> None:
    video = full.clip("a.mp4")
    full.now = LATER
    cleaning = full.cleaning(AFTER_30_DAYS)
    going = list(cleaning.plan(full.now))
    full.give_label(video, "Skiing")
    assert cleaning.put_in(going, full.now) == 0
    full.move()
    assert full.place(video) == "labelled/Skiing/a.mp4"


def test_a_label_that_comes_before_the_move_takes_the_file_to_its_class(full: Full) -> None:
    video = full.clip("a.mp4")
    full.now = LATER
    full.cleaning(AFTER_30_DAYS).tend(full.now)
    full.give_label(video, "Skiing")
    full.move()
    assert full.place(video) == "labelled/Skiing/a.mp4"
    full.now += 100 * DAY
    full.clean(AFTER_30_DAYS, trash_days=1)
    assert full.place(video) == "labelled/Skiing/a.mp4"
    assert full.path(video).is_file()


def test_unsure_ones_go_only_if_they_are_named(full: Full) -> None:
    unsure = full.clip("a.mp4", unsure="unknown")
    assert full.place(unsure) == "classified/_unsure/a.mp4"
    full.now = LATER
    assert full.clean(AFTER_30_DAYS) == []
    assert full.clean({"classes": ["_unsure"], "after_days": 30}) == ["trash/_unsure/a.mp4"]


def test_a_long_video_in_which_another_class_was_seen_stays(full: Full) -> None:
    seen = full.clip("a.mp4")
    alone = full.clip("b.mp4")
    row = {"model_id": full.model, "number": 0, "start_s": 0, "end_s": 4, "class_index": 0}
    row |= {"probability": 0.9, "logits": [], "frames_read": 16, "created_at": full.now}
    with full.writing() as connection:
        for video, name in ((seen, "Skiing"), (alone, "Biking")):
            connection.execute(insert(windows).values(video_id=video, **row, **{"class": name}))
    full.now = LATER
    assert full.clean(AFTER_30_DAYS) == ["trash/Biking/b.mp4"]


def test_a_file_that_is_not_the_one_of_its_row_stays(full: Full) -> None:
    full.clip("a.mp4")
    full.put("classified/Biking/a.mp4", "another one")
    full.clip("b.mp4")
    inside = full.root / "classified/Biking/b.mp4"
    elsewhere = full.root.parent / "b.mp4"
    inside.rename(elsewhere)
    inside.symlink_to(elsewhere)
    full.now = LATER
    assert full.clean(AFTER_30_DAYS) == []
    assert (inside.is_symlink(), elsewhere.read_text()) == (True, "b.mp4")


def test_of_files_that_stay_where_they_are_only_the_copies_go(full: Full) -> None:
    archive = full.root.parent / "archive"
    archive.mkdir()
    for name, on_filed in (("left", "leave"), ("copied", "copy"), ("linked", "hardlink")):
        path = archive / f"{name}.mp4"
        path.write_text(name)
        file = full.found(path)._replace(on_filed=on_filed, origin=bytes(archive))
        assert full.queue.enqueue([file], full.now) == 1
    full.predict(full.model_prediction("Biking"))
    full.move()
    before = {path.name: path.read_text() for path in archive.iterdir()}
    assert len(before) == 3
    full.now = LATER
    assert full.clean(AFTER_30_DAYS) == ["trash/Biking/copied.mp4", "trash/Biking/linked.mp4"]
    full.now += 100 * DAY
    assert full.clean(trash_days=1) == []
    assert {path.name: path.read_text() for path in archive.iterdir()} == before
    assert [bool(full.row(video)["removed_at"]) for video in (1, 2, 3)] == [False, True, True]


def test_the_oldest_go_if_the_files_take_too_much_space(full: Full) -> None:
    for number in range(5):
        full.clip(f"{number}.mp4", content=f"{number}" * 100)
        full.tick()
    (full.root / "classified/Biking/0.mp4").unlink()  # a person took it away: it takes no space
    assert full.clean({"classes": ["Biking"], "at_most_gigabytes": 250e-9}) == [
        "trash/Biking/1.mp4",
        "trash/Biking/2.mp4",
    ]
    assert len(full.clean({"classes": ["Biking"], "at_most_gigabytes": 250e-9})) == 2


def test_the_oldest_go_until_enough_is_free_and_what_is_in_the_trash_counts_as_free(
    full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        full.clip(f"{number}.mp4", content=f"{number}" * 100)
        full.tick()
    cleaning = full.cleaning({"classes": ["Biking"], "keep_free_gigabytes": 1150e-9})
    monkeypatch.setattr(cleaning, "_free", lambda: 1000)
    assert [one.video.id for one in cleaning.plan(full.now)] == [1, 2]
    monkeypatch.undo()
    free = cleaning._free()
    cleaning.put_in(
        list(full.cleaning({"classes": ["Biking"], "at_most_gigabytes": 1e-9}).plan(full.now)),
        full.now,
    )
    assert abs(cleaning._free() - free) < 1e8


def test_what_is_still_to_be_moved_into_the_trash_counts_as_free(
    full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a second `vidwatch clean` would let more go, while the daemon moves the first ones."""
    disk = os.statvfs_result((1, 1, 10_000, 10_000, 1000, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: disk)
    for number in range(4):
        full.clip(f"{number}.mp4", content=f"{number}" * 100)
        full.tick()
    cleaning = full.cleaning({"classes": ["Biking"], "keep_free_gigabytes": 1150e-9})
    going = list(cleaning.plan(full.now))
    assert cleaning.put_in(going, full.now) == 2
    assert list(cleaning.plan(full.now)) == []
    full.move()
    assert (len(full.trash()), list(cleaning.plan(full.now))) == (2, [])


def test_it_goes_on_soon_while_more_is_to_go_and_else_every_hour(
    full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.maintenance.cleaning.MOVED", 2)
    for number in range(3):
        full.clip(f"{number}.mp4")
    full.now = LATER
    cleaning = full.cleaning(AFTER_30_DAYS)
    for expected in (2, 3, 3):
        cleaning.tend(full.now)
        full.move()
        assert len(full.trash()) == expected
        full.now += timedelta(minutes=5)
    full.clip("new.mp4")
    with full.writing() as connection:
        connection.execute(update(videos).where(videos.c.id == 4).values(finished_at=START))
    cleaning.tend(full.now)
    full.move()
    assert len(full.trash()) == 3
    full.now += timedelta(hours=1)
    cleaning.tend(full.now)
    full.move()
    assert len(full.trash()) == 4


def test_hard_links_do_not_go_to_make_space(full: Full, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        full.clip(f"{number}.mp4")
    with full.writing() as connection:
        connection.execute(update(videos).where(videos.c.id < 3).values(on_filed="hardlink"))
    rule = {"classes": ["Biking"], "keep_free_gigabytes": 1150e-9}
    cleaning = full.cleaning(rule)
    monkeypatch.setattr(cleaning, "_free", lambda: 1000)
    assert [one.video.id for one in cleaning.plan(full.now)] == [3]


@pytest.mark.slow
def test_copies_go_as_the_clip_that_they_are_copies_of(full: Full) -> None:
    full.clip("a.mp4", content="same")
    (copy,) = [full.arrive("copy.mp4", "same")]
    full.predict_and_file(full.model_prediction("Biking"))
    assert full.place(copy) == "duplicates/copy.mp4"
    full.now = LATER
    assert full.clean(AFTER_30_DAYS) == ["trash/Biking/a.mp4", "trash/duplicates/copy.mp4"]


def test_a_renamed_class_counts_by_its_new_name(full: Full) -> None:
    full.clip("a.mp4")
    ClassChanges(full.engine, full.folders, "ann").rename("Biking", "Cycling", full.now)
    full.move()
    full.now = LATER
    assert full.clean(AFTER_30_DAYS) == []
    assert full.clean({"classes": ["Cycling"], "after_days": 30}) == ["trash/Cycling/a.mp4"]


def test_content_that_comes_again_is_classified_anew_as_that_of_a_removed_file(full: Full) -> None:
    full.clip("a.mp4", content="same")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    (first,) = Contents(full.engine).firsts([full.row(1)["sha256"]]).values()
    assert not first.is_there(full.folders, (), lambda: None)
    again = full.arrive("again.mp4", "same")
    (claimed,) = full.claim()
    assert claimed.id == again
    found = full.prediction(again, full.model_prediction("Skiing"))
    full.predictions.record([found], full.folders, full.now, [first])
    full.move()
    assert full.place(again) == "classified/Skiing/again.mp4"
    assert full.row(1)["duplicate_of"] == again
    full.now += 100 * DAY
    assert full.clean(trash_days=1) == []  # the former first file is deleted in its time
    assert full.path(again).is_file()


def test_a_file_that_a_person_puts_back_into_a_class_folder_is_labelled_by_that(full: Full) -> None:
    full.clip("a.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    target = full.root / "classified/Biking/a.mp4"
    (full.root / "trash/Biking/a.mp4").rename(target)
    full.notice("classified/Biking/a.mp4")
    full.move()
    assert full.given_labels() == [(1, "labelled", "Biking", "moved")]
    assert full.place(1) == "labelled/Biking/a.mp4"
    assert (full.row(1)["trashed_at"], full.row(1)["removed_at"]) == (None, None)


def test_a_file_that_a_person_puts_back_into_the_inbox_is_new(full: Full) -> None:
    full.clip("a.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    (full.root / "trash/Biking/a.mp4").rename(full.inbox / "a.mp4")
    assert full.queue.unknown([full.found(full.inbox / "a.mp4")])
    assert full.enqueue(full.inbox / "a.mp4") == 1
    full.now += 100 * DAY
    assert full.clean(AFTER_30_DAYS, trash_days=1) == []
    assert (full.inbox / "a.mp4").is_file()


def test_a_file_that_comes_into_the_trash_again_stays_there_for_as_long_again(full: Full) -> None:
    full.clip("a.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS, trash_days=60)
    (full.root / "trash/Biking/a.mp4").rename(full.inbox / "a.mp4")
    full.enqueue(full.inbox / "a.mp4")
    (first,) = Contents(full.engine).firsts([full.row(1)["sha256"]]).values()
    (again,) = full.claim()
    found = full.prediction(again.id, full.model_prediction("Biking"))
    full.predictions.record([found], full.folders, full.now, [first])
    full.move()
    full.now += 40 * DAY
    assert full.clean(AFTER_30_DAYS, trash_days=60) == ["trash/Biking/a.mp4"]
    assert full.row(1)["path"] == full.row(2)["path"]
    full.now += 30 * DAY
    assert full.clean(trash_days=60) == ["trash/Biking/a.mp4"]
    full.now += 30 * DAY
    assert full.clean(trash_days=60) == []
    full.clean(trash_days=60)
    assert full.row(1)["removed_at"] == full.row(2)["removed_at"] == full.now


def test_a_label_by_command_takes_a_file_out_of_the_trash(full: Full) -> None:
    full.clip("a.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    assert find_videos([str(full.root / "trash/Biking/a.mp4")], Path(), full.engine) == [1]
    full.give_label(1, "Skiing")
    full.move()
    assert (full.place(1), full.trash()) == ("labelled/Skiing/a.mp4", [])
    full.now += 100 * DAY
    full.clean(trash_days=1)
    assert full.path(1).is_file()


@pytest.mark.slow
def test_the_label_of_a_deleted_file_counts_and_nothing_is_moved(
    full: Full, tmp_path: Path
) -> None:
    for name in ("a.mp4", "b.mp4"):
        full.clip(name)
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    full.now += 40 * DAY
    full.clean(AFTER_30_DAYS)
    assert full.trash() == []
    table = tmp_path / "table.csv"
    table.write_text("file,label\na.mp4,Skiing\n")
    for words, name in ((("label", "2", "Skiing"), "b.mp4"), (("import", table), "a.mp4")):
        command = [VIDWATCH, "--home", full.root, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        why = "deleted from the trash before, so no file is moved; the labels count"
        assert f"{why}: {name}\n" in done.stdout
    assert [full.row(video)["destination"] for video in (1, 2)] == [None, None]
    assert list(full.queue.moves(full.now)) == []
    assert {label[2] for label in full.given_labels()} == {"Skiing"}


def test_only_the_file_that_was_put_into_the_trash_is_deleted(full: Full) -> None:
    for name in ("a", "b", "c"):
        full.clip(f"{name}.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    trash = full.root / "trash/Biking"
    (trash / "a.mp4").write_text("something else")
    outside = full.root.parent / "precious"
    (trash / "b.mp4").rename(outside)
    (trash / "b.mp4").symlink_to(outside)
    full.put("trash/Biking/own.mp4", "a person's")
    full.now += 100 * DAY
    assert full.clean(trash_days=1) == [
        "trash/Biking/a.mp4",
        "trash/Biking/b.mp4",
        "trash/Biking/own.mp4",
    ]
    assert outside.read_text() == "b.mp4"


def test_a_trash_that_is_a_link_to_a_disk_that_is_away_is_not_emptied(
    full: Full, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (full.root / "trash").symlink_to(disk)
    full.clip("a.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    assert (disk / "Biking/a.mp4").is_file()
    away = disk.rename(tmp_path / "away")
    full.now += 100 * DAY
    full.clean(trash_days=1)
    assert full.row(1)["removed_at"] is None
    away.rename(disk)
    full.clean(trash_days=1)
    assert (full.row(1)["removed_at"], (disk / "Biking/a.mp4").exists()) == (full.now, False)


def test_a_deletion_that_was_ended_half_way_is_completed(full: Full) -> None:
    full.clip("a.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    identity = full.found(full.root / "trash/Biking/a.mp4").identity
    hidden = (
        full.root / f"trash/Biking/.vidwatch-{identity.inode}-{identity.size}-0123456789abcdef.part"
    )
    (full.root / "trash/Biking/a.mp4").rename(hidden)
    full.now += 100 * DAY
    assert full.clean(trash_days=1) == []
    assert not hidden.exists()
    assert full.row(1)["removed_at"] == full.now


def test_what_cannot_be_deleted_is_shown_and_tried_again(
    full: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    full.clip("a.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    full.now += 100 * DAY
    shutil.move(full.root / "trash/Biking", full.root / "elsewhere")
    (full.root / "trash/Biking").symlink_to(full.root / "elsewhere")
    full.clean(trash_days=1)
    assert full.row(1)["removed_at"] is None
    assert full.notices[-1] is not None
    assert full.notices[-1].startswith("a.mp4 cannot be deleted (")
    assert (full.root / "elsewhere/a.mp4").is_file()


def test_after_an_older_backup_the_rows_find_their_files_in_the_trash(full: Full) -> None:
    full.clip("a.mp4")
    backup = back_up(full.home.database, full.home.backups, full.now)
    stranger = full.clip("b.mp4")
    full.now = LATER
    full.clean(AFTER_30_DAYS)
    full.engine.dispose()
    done = restore(full.home, backup, full.now)
    assert (done.put_back, done.returned) == (1, 1)
    full.move()
    assert full.place(1) == "classified/Biking/a.mp4"
    assert (full.inbox / "b.mp4").is_file()
    assert stranger == 2


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("after_days = 3", "[[remove]] number 1 needs 'classes'"),
        ("classes = []\nafter_days = 3", "remove.0.classes"),
        ("classes = ['a/b']\nafter_days = 3", "'a/b': a class must be a folder's name"),
        ("classes = ['a']", "give after_days, at_most_gigabytes or keep_free_gigabytes"),
        ("classes = ['a']\nafter_day = 3", "remove.0.after_day"),
        ("classes = ['a']\nafter_days = -3", "remove.0.after_days"),
    ],
)
def test_a_wrong_rule_is_one_line_that_names_its_key(tmp_path: Path, rule: str, words: str) -> None:
    path = tmp_path / "vidwatch.toml"
    path.write_text(f"[[remove]]\n{rule}\n")
    with pytest.raises(VidwatchError) as caught:
        load(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.of_sqlite
def test_the_query_reads_only_the_rows_of_the_classes(full: Full) -> None:
    full.clip("a.mp4")
    plans = full.plans(lambda: list(full.cleaning(AFTER_30_DAYS).plan(full.now + 60 * DAY)))
    of_videos = [step for step in plans if step.startswith(("SCAN videos", "SEARCH videos"))]
    assert of_videos
    assert [
        step for step in of_videos if "ix_videos_path" not in step and "PRIMARY" not in step
    ] == []


def clean_with(
    full: Full, rule: str, settings: str = ""
) -> "Callable[..., subprocess.CompletedProcess[str]]":
    """The command with a rule in the settings."""
    full.write_settings(f"{settings}\n[[remove]]\n{rule}\n")

    def clean(*words: str) -> subprocess.CompletedProcess[str]:
        command = [VIDWATCH, "--home", str(full.root), "clean", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return clean


@pytest.mark.slow
def test_the_command_names_files_and_says_why_others_stay(full: Full) -> None:
    for number in range(7):
        full.clip(f"{number}.mp4")
    drawn = full.clip("drawn.mp4")
    labelled = full.clip("labelled.mp4")
    full.give_label(labelled, "Biking")
    full.labels.undo([labelled], "command", "ann", full.now)
    full.move()
    with full.writing() as connection:
        connection.execute(update(videos).where(videos.c.id == drawn).values(sampled=True))
    clean = clean_with(full, 'classes = ["Biking"]\nafter_days = 1')
    shown = clean("--dry-run").stdout
    assert "Biking: 0.mp4, 1.mp4, 2.mp4, 3.mp4, 4.mp4 and 2 more" in shown
    stay = "stay in any case: 1 of the random share, 1 that a person has labelled"
    assert stay in shown
    kept = json.loads(clean("--dry-run", "--json").stdout)["kept"]
    assert kept == {"random_share": 1, "labelled": 1}


@pytest.mark.slow
def test_a_misspelt_class_of_a_rule_is_named(full: Full) -> None:
    full.clip("a.mp4")
    clean = clean_with(full, 'classes = ["Bikng", "_unsure", "_empty"]\nafter_days = 1')
    question = "setting 'remove': there is no class 'Bikng': did you mean 'Biking'?"
    assert question in clean("--dry-run").stdout
    warnings = [line.text for line in examine(full.home) if line.state == "warning"]
    assert question in warnings
    ClassChanges(full.engine, full.folders, "ann").rename("Biking", "Cycling", full.now)
    renamed = full.cleaning(AFTER_30_DAYS).unknown_classes()
    assert renamed == "setting 'remove': the class 'Biking' is named 'Cycling' now"
    assert full.cleaning({"classes": ["Cycling"], "after_days": 1}).unknown_classes() is None


@pytest.mark.slow
def test_a_trash_that_keeps_nothing_is_announced(full: Full) -> None:
    full.clip("a.mp4")
    clean = clean_with(full, 'classes = ["Biking"]\nafter_days = 1', "trash_days = 0")
    at_once = "deleted from the trash at once, for good: trash_days is 0"
    assert f"would be {at_once}" in clean("--dry-run").stdout
    done = clean()
    assert at_once in done.stdout
    assert "would" not in done.stdout
    assert (full.trash(), bool(full.row(1)["removed_at"])) == ([], True)


@pytest.mark.slow
def test_the_command_says_what_would_go_and_why_and_then_does_it(full: Full) -> None:
    full.clip("a.mp4")
    clean = clean_with(full, 'classes = ["Biking"]\nafter_days = 1')
    planned = json.loads(clean("--dry-run", "--json").stdout)
    assert planned["done"] is False
    (going,) = planned["to_trash"]
    assert (going["id"], going["class"], going["bytes"]) == (1, "Biking", 5)
    assert going["why"] == "filed more than 1 days ago"
    assert "filed more than 1 days ago" in clean("--dry-run").stdout
    assert full.trash() == []
    done = clean()
    assert (done.returncode, done.stderr) == (0, "")
    assert full.trash() == ["trash/Biking/a.mp4"]
    assert "no file is to go into the trash" in clean().stdout
