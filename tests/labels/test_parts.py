"""Labels of parts of long videos: what counts, and what they leave as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from homes import CLASSES
from long_home import LongHome
from long_home import home as home
from sqlalchemy import select

from daemon.database import copying
from daemon.database.contents import take_place
from daemon.database.tables import labels, part_labels, videos
from daemon.home.settings import Settings
from daemon.home.texts import exact_clock
from daemon.labels.class_changes import ClassChanges, known_classes
from daemon.labels.classes import DidYouMeanError, offered_classes
from daemon.labels.groups import labelled_groups
from daemon.labels.labels import Origin
from daemon.labels.parts import Part, PartLabels, labels_of_parts, parse_time
from daemon.labels.quality import examine
from daemon.maintenance.reconcile import count_lost_labels
from daemon.maintenance.retention import _may_go
from daemon.report.timeline import read_timeline
from daemon.training.forecast import Known, count_new_labels
from daemon.training.holdout import count_training_clips, labelled_videos
from daemon.training.job import labelled_files
from daemon.training.records import KnownLabels
from learner.errors import VidwatchError

BIKING, SKIING = CLASSES


@pytest.fixture
def video(home: LongHome) -> int:
    windows = [(start, start + 2, BIKING, 0.9) for start in (0, 2, 4)]
    return home.long_video("a.mp4", windows)


def give(home: LongHome, video: int, start: float, end: float, name: str, **more: bool) -> None:
    origin = Origin("command", "ann", home.tick())
    PartLabels(home.engine).add(video, Part(start, end), name, origin, **more)


def take_back(home: LongHome, video: int, start: float, end: float) -> None:
    PartLabels(home.engine).undo(video, Part(start, end), Origin("page", "bob", home.tick()))


def counting(home: LongHome) -> list[tuple[float, float, str]]:
    with home.engine.begin() as connection:
        found = labels_of_parts(connection)
    return [(one.part.start, one.part.end, one.class_name) for one in found]


def test_a_label_of_a_part_moves_no_file_and_is_none_of_its_video(
    home: LongHome, video: int
) -> None:
    place = home.place(video)
    give(home, video, 2, 4, SKIING)
    home.file()
    assert home.place(video) == place
    assert home.row(video)["destination"] is None
    assert home.rows(labels) == []
    with home.engine.begin() as connection:
        events = read_timeline(connection, video).events
    assert [(one.class_name, one.is_labelled) for one in events] == [
        (BIKING, False),
        (SKIING, True),
        (BIKING, False),
    ]


def test_the_newest_label_of_a_part_counts_and_one_of_more_replaces_those_within(
    home: LongHome, video: int
) -> None:
    give(home, video, 0, 2, SKIING)
    give(home, video, 0, 2, BIKING)
    give(home, video, 3, 5, SKIING)
    assert counting(home) == [(0, 2, BIKING), (3, 5, SKIING)]
    give(home, video, 0, 4, SKIING)
    assert counting(home) == [(3, 5, SKIING), (0, 4, SKIING)]
    take_back(home, video, 0, 4)
    assert counting(home) == [(0, 2, BIKING), (3, 5, SKIING)]
    take_back(home, video, 0, 2)
    assert counting(home) == [(0, 2, SKIING), (3, 5, SKIING)]
    with pytest.raises(VidwatchError, match="has no label of 0:00:04 to 0:00:06; it has labels of"):
        take_back(home, video, 4, 6)
    assert len(home.rows(part_labels)) == 6


def test_a_part_that_is_given_as_it_is_shown_ends_where_its_window_does(home: LongHome) -> None:
    third = 10 / 3
    length = 10.0104167
    windows = [(0, third, BIKING, 0.9), (third, 2 * third, BIKING, 0.9)]
    video = home.long_video("thirds.mp4", [*windows, (2 * third, length, BIKING, 0.9)])
    for start, end, _, _ in (windows[1], (2 * third, length, BIKING, 0.9)):
        shown = (exact_clock(start), exact_clock(end))
        give(home, video, *map(parse_time, shown), SKIING)
    with home.engine.begin() as connection:
        events = read_timeline(connection, video).events
    assert [(one.start, one.end, one.class_name) for one in events] == [
        (0, pytest.approx(third), BIKING),
        (pytest.approx(third), pytest.approx(length), SKIING),
    ]


def test_a_part_to_the_last_second_that_is_shown_ends_with_the_video(home: LongHome) -> None:
    video = home.long_video("a.mp4", [(0, 10, BIKING, 0.9), (10, 21.48, BIKING, 0.9)])
    give(home, video, 10, 21, SKIING)
    give(home, video, 3, 9.9995, SKIING)
    assert counting(home) == [(10, 21.48, SKIING), (3, 10, SKIING)]


def test_only_parts_of_videos_with_windows_have_labels(home: LongHome, video: int) -> None:
    home.arrive("short.mp4")
    (short,) = home.predict_and_file()
    for wrong, match in (
        ((short, 0, 1), "was not cut into windows"),
        ((video, 6, 9), "it runs from 0:00:00 to 0:00:06"),
        ((video, 4, 2), "has no part from 0:00:04 to 0:00:02"),
        ((99, 0, 1), "there is no video 99"),
    ):
        with pytest.raises(VidwatchError, match=match):
            give(home, *wrong, SKIING)
    give(home, video, 4, 60, SKIING)
    assert counting(home) == [(4, 6, SKIING)]


def test_a_class_of_a_part_is_a_class_like_any_other(home: LongHome, video: int) -> None:
    with pytest.raises(DidYouMeanError):
        give(home, video, 0, 2, "Sking")
    give(home, video, 0, 2, "Rowing")
    give(home, video, 2, 4, SKIING)
    with home.engine.begin() as connection:
        assert "Rowing" in offered_classes(connection)
        known = {one.name: one.labels for one in known_classes(connection)}
    assert known == {BIKING: 0, SKIING: 1, "Rowing": 1}
    changes = ClassChanges(home.engine, home.folders, "ann")
    assert changes.rename("Rowing", "Sculling", home.tick()) == ("Sculling", 1)
    assert counting(home) == [(0, 2, "Sculling"), (2, 4, SKIING)]
    assert changes.retire("Sculling", home.tick()) == 1
    assert counting(home) == [(2, 4, SKIING)]


def test_a_part_teaches_in_the_group_of_its_video(home: LongHome, video: int) -> None:
    home.give_label(video, BIKING)
    give(home, video, 2, 4, SKIING)
    with home.engine.begin() as connection:
        whole, part = labelled_videos(connection)
        counts = {
            one.class_name: (one.clips, one.groups) for one in count_training_clips(connection)
        }
        balance = examine(connection, home.folders, home.home.models, 3).balance
    assert part.group == whole.group
    assert (whole.part, part.part) == (None, (2, 4))
    assert part.sha256 == f"{whole.sha256}@2.000-4.000"
    assert part.biased
    assert counts == {BIKING: (1, 1), SKIING: (1, 1)}
    assert [(one.class_name, one.clips, one.parts) for one in balance] == [
        (BIKING, 1, 0),
        (SKIING, 0, 1),
    ]


def test_a_part_whose_video_is_gone_is_not_read_for_training(home: LongHome, video: int) -> None:
    home.give_label(video, BIKING)
    give(home, video, 2, 4, SKIING)
    with home.engine.begin() as connection:
        clips = labelled_videos(connection)
    assert [file.part for file in labelled_files(clips)] == [None, (2, 4)]
    home.path(video).unlink()
    assert [file.part for file in labelled_files(clips)] == [None]


@pytest.mark.of_sqlite
def test_a_restore_says_that_labels_of_parts_are_lost(home: LongHome, video: int) -> None:
    give(home, video, 0, 2, SKIING)
    copying.copy(home.home.database, home.root / "before.db")
    assert count_lost_labels(home.root / "before.db", home.engine) == 0
    take_back(home, video, 0, 2)
    assert count_lost_labels(home.root / "before.db", home.engine) == 1


def test_labels_of_parts_alone_give_a_video_a_group(home: LongHome, video: int) -> None:
    give(home, video, 2, 4, SKIING)
    give(home, video, 4, 6, BIKING)
    with home.engine.begin() as connection:
        found = labelled_groups(connection)
        assert len({one.group for one in labelled_videos(connection)}) == 1
    assert list(found.names) == [video]
    assert found.classes == {}


def test_new_labels_of_parts_count_for_the_next_training(home: LongHome, video: int) -> None:
    known = Known({"classes": [BIKING, SKIING]})
    give(home, video, 0, 2, SKIING)
    give(home, video, 2, 4, SKIING)
    with home.engine.begin() as connection:
        first = count_new_labels(connection, Settings(), KnownLabels(), known)
        later = count_new_labels(connection, Settings(), KnownLabels(part=1), known)
    assert (first.new, later.new) == (2, 1)
    take_back(home, video, 0, 2)
    with home.engine.begin() as connection:
        removed = count_new_labels(connection, Settings(), KnownLabels(part=2), known)
    assert (removed.new, removed.removed) == (0, 1)


@pytest.mark.slow
def test_a_class_that_gets_another_name_makes_no_other_label_new(
    home: LongHome, video: int
) -> None:
    for start, name in ((0, SKIING), (2, BIKING), (4, BIKING)):
        give(home, video, start, start + 2, name)
    ClassChanges(home.engine, home.folders, "ann").rename(SKIING, "Snow", home.tick())
    known = Known(champion={"classes": [*CLASSES, "Snow"]})
    with home.engine.begin() as connection:
        found = count_new_labels(connection, Settings(), KnownLabels(part=3), known)
    assert (found.new, found.removed) == (1, 0)
    take_back(home, video, 2, 4)
    give(home, video, 4, 6, BIKING)
    with home.engine.begin() as connection:
        found = count_new_labels(connection, Settings(), KnownLabels(part=3), known)
    assert (found.new, found.removed) == (1, 1)


def test_a_content_that_comes_again_keeps_the_labels_of_its_parts(
    home: LongHome, video: int
) -> None:
    give(home, video, 0, 2, SKIING)
    home.arrive("b.mp4")
    (new,) = home.predict_and_file()
    with home.writing() as connection:
        take_place(connection, video, new)
    assert [row.video_id for row in home.rows(part_labels)] == [new]


def test_a_video_of_which_a_part_is_labelled_is_kept(home: LongHome, video: int) -> None:
    with home.engine.begin() as connection:
        assert connection.scalar(select(videos.c.id).where(_may_go())) == video
    give(home, video, 0, 2, SKIING)
    with home.engine.begin() as connection:
        assert connection.scalar(select(videos.c.id).where(_may_go())) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("75", 75), ("1:15", 75), ("0:01:15", 75), ("1:00:00", 3600), ("2.5", 2.5), ("90:00", 5400)],
)
def test_times_are_given_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "1:", "a", "-5", "1:2:3:4", "1:100:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(VidwatchError, match="is no time; give it as 75, 1:15 or 0:01:15"):
        parse_time(text)


def command(home: LongHome, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "VIDWATCH_HOME": str(home.root)}
    program = Path(sys.executable).with_name("vidwatch")
    return subprocess.run([program, "label", *words], capture_output=True, text=True, env=variables)


def test_the_command_labels_a_part_and_takes_that_back(home: LongHome, video: int) -> None:
    times = ("--from", "0:02", "--to", "0:00:04")
    done = command(home, "a.mp4", SKIING, *times)
    assert done.stdout == f"video {video}, 0:00:02 to 0:00:04: labelled {SKIING}\n"
    assert counting(home) == [(2, 4, SKIING)]
    done = command(home, str(video), "--undo", *times)
    assert done.stdout == f"video {video}, 0:00:02 to 0:00:04: label {SKIING} taken back\n"
    assert counting(home) == []
    for wrong, reason in (
        ((str(video), SKIING, "--from", "1"), "give both --from and --to"),
        ((str(video), "--accept", *times), "leave --accept and --csv out"),
        ((str(video), str(video), SKIING, *times), "give one video, and its class"),
    ):
        done = command(home, *wrong)
        assert done.returncode == 2
        assert reason in done.stderr
