import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from disks import Mount, numbers, pad
from disks import mount as mount
from homes import MadeHome
from sqlalchemy import select, update

from daemon.database.records import Claimed, Moved
from daemon.database.tables import predictions, videos
from daemon.home.folders import Found

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path, now=NOW)
    yield home
    home.close()


def arrive(home: MadeHome, name: str, content: str = "video") -> Found:
    return home.found(home.put(name, content))


def test_a_file_found_again_while_it_is_unfinished_is_the_same_arrival(
    home: MadeHome, tmp_path: Path
) -> None:
    arrival = arrive(home, "a.mp4")
    assert [home.queue.enqueue([arrival], NOW) for _ in range(3)] == [1, 0, 0]
    assert home.queue.unknown([arrival]) == []
    home.queue.claim(1, NOW)
    assert home.queue.enqueue([arrival], NOW) == 0
    assert [row.state for row in home.rows()] == ["claimed"]


def test_a_file_that_is_gone_by_now_is_no_arrival(home: MadeHome, tmp_path: Path) -> None:
    arrival = arrive(home, "a.mp4")
    (tmp_path / "a.mp4").unlink()
    assert home.queue.enqueue([arrival], NOW) == 0
    assert home.rows() == []


def test_a_queued_row_follows_its_file_to_another_name_and_to_other_content(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    (tmp_path / "a.mp4").rename(tmp_path / "b.mp4")
    home.queue.enqueue([home.found(tmp_path / "b.mp4")], NOW)
    assert [(row.path, row.name) for row in home.rows()] == [(bytes(tmp_path / "b.mp4"), "b.mp4")]
    changed = arrive(home, "b.mp4", "other content")
    home.queue.enqueue([changed], NOW)
    assert [row.size for row in home.rows()] == [changed.identity.size]


def test_the_exact_bytes_of_a_path_are_kept_and_its_name_can_be_read(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, os.fsdecode(b"\xff\n1.mp4"))], NOW)
    assert [(row.path, row.name) for row in home.rows()] == [
        (bytes(tmp_path) + b"/\xff\n1.mp4", "\\xff\n1.mp4")
    ]


def test_the_oldest_are_claimed_first_and_each_once(home: MadeHome, tmp_path: Path) -> None:
    home.queue.enqueue([arrive(home, f"{n}.mp4") for n in range(5)], NOW)
    claims = [[video.id for video in home.queue.claim(2, NOW)] for _ in range(4)]
    assert claims == [[1, 2], [3, 4], [5], []]


def test_claims_from_several_threads_never_share_a_video_and_never_fail(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, f"{n}.mp4") for n in range(40)], NOW)
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: home.queue.claim(1, NOW), range(60)))
    assert sorted(video.id for claim in claims for video in claim) == list(range(1, 41))


def test_a_new_daemon_takes_up_what_the_last_one_had_in_hand_and_no_attempt_counts(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, f"{n}.mp4") for n in range(2)], NOW)
    home.queue.claim(2, NOW)
    assert home.queue.recover() == 2
    assert [(row.state, row.attempts, row.claimed_by) for row in home.rows()] == [
        ("queued", 0, None)
    ] * 2


def test_prediction_logits_and_destination_are_recorded_together(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    home.predict(home.model_prediction(logits=[1.5, -0.5]))
    with home.engine.begin() as read:
        logits = read.exec_driver_sql('SELECT model, "class", logit FROM prediction_logits').all()
    assert logits == [("starter", "Biking", 1.5), ("starter", "Skiing", -0.5)]
    (move,) = home.queue.moves(NOW)
    assert move.destination == bytes(tmp_path / "classified/Biking/a.mp4")
    home.queue.moved({move.id: Moved(move.destination, move.destination)}, NOW)
    assert [(row.state, row.path, row.finished_at) for row in home.rows()] == [
        ("filed", move.destination, NOW)
    ]
    assert home.queue.moves(NOW) == []


def test_content_seen_before_gets_no_second_prediction_even_within_one_batch(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, f"{n}.mp4") for n in range(3)], NOW)
    first, second, third = home.queue.claim(3, NOW)
    recorded = home.record(home.prediction(first.id), home.prediction(second.id))
    recorded += home.record(home.prediction(third.id))
    assert [original for _, original in recorded] == [None, first.id, first.id]
    assert [row.duplicate_of for row in home.rows()] == [None, first.id, first.id]
    assert [move.destination for move in home.queue.moves(NOW)][1:] == [
        bytes(tmp_path / f"duplicates/{n}.mp4") for n in (1, 2)
    ]
    with home.engine.begin() as read:
        assert read.exec_driver_sql("SELECT count(*) FROM predictions").scalar() == 1


def test_the_same_content_that_failed_before_is_tried_again(home: MadeHome, tmp_path: Path) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    (video,) = home.queue.claim(1, NOW)
    home.queue.fail(video.id, "not a video", bytes(tmp_path / "failed/a.mp4"), NOW)
    home.queue.moves(NOW)
    home.queue.moved(
        {video.id: Moved(bytes(tmp_path / "failed/a.mp4"), bytes(tmp_path / "failed/a.mp4"))}, NOW
    )
    assert home.queue.enqueue([home.found(tmp_path / "a.mp4")], NOW) == 1
    assert [row.state for row in home.rows()] == ["failed", "queued"]


def test_temporary_trouble_is_tried_again_after_pauses_that_grow_to_a_limit(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    now, pauses = NOW, []
    for _ in range(12):
        (video,) = home.queue.claim(1, now)
        home.queue.postpone([video.id], "the share is gone", now)
        (row,) = home.rows()
        assert (row.state, row.trouble) == ("queued", "the share is gone")
        assert home.queue.claim(1, now) == []
        pauses.append((row.retry_at - now).total_seconds())
        now = row.retry_at
    assert pauses == [2.0, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]


def test_a_crash_of_its_decoder_counts_and_waits_while_others_go_on(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, f"{n}.mp4") for n in range(2)], NOW)
    (video,) = home.queue.claim(1, NOW)
    assert home.queue.count_crash(video.id, "signal SIGSEGV", NOW) == 1
    assert [claimed.id for claimed in home.queue.claim(2, NOW)] == [2]
    assert [claimed.id for claimed in home.queue.claim(2, LATER)] == [1]
    assert home.queue.count_crash(video.id, "signal SIGSEGV", LATER) == 2


def test_a_file_that_changed_while_in_hand_is_queued_anew_when_it_is_whole(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    (video,) = home.queue.claim(1, NOW)
    whole = arrive(home, "a.mp4", "now it is whole")
    assert home.queue.enqueue([whole], NOW) == 0  # while it is in hand
    home.queue.wait(video.id, LATER)
    assert home.queue.unknown([whole]) == [whole]
    assert home.queue.claim(1, NOW) == []
    assert home.queue.enqueue([whole], NOW) == 1
    assert home.queue.claim(1, NOW) == [Claimed(video.id, whole.path, whole.identity, NOW)]


def test_a_file_renamed_while_in_hand_keeps_its_row(home: MadeHome, tmp_path: Path) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    home.queue.claim(1, NOW)
    (tmp_path / "a.mp4").rename(tmp_path / "b.mp4")
    assert home.queue.enqueue([home.found(tmp_path / "b.mp4")], NOW) == 0
    assert home.queue.paths([1])[1] == bytes(tmp_path / "b.mp4")
    assert [row.state for row in home.rows()] == ["claimed"]


def test_a_missing_file_is_given_up_after_its_grace_and_not_when_it_came_back(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, f"{n}.mp4", str(n)) for n in range(2)], NOW)
    for video in home.queue.claim(2, NOW):
        home.queue.wait(video.id, LATER)
    assert home.queue.missing(NOW, LATER - NOW) == []
    assert [row["id"] for row in home.queue.missing(LATER, LATER - NOW)] == [1, 2]
    home.queue.enqueue([home.found(tmp_path / "1.mp4")], NOW)
    for video_id in (1, 2):
        home.queue.give_up(video_id, "vanished", LATER)
    assert [(row.state, row.error, row.finished_at) for row in home.rows()] == [
        ("failed", "vanished", LATER),
        ("queued", None, None),
    ]


def test_other_content_under_an_old_name_does_not_inherit_its_crashes(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    home.queue.count_crash(home.queue.claim(1, NOW)[0].id, "signal SIGSEGV", NOW)
    home.queue.enqueue([arrive(home, "a.mp4", "other content")], NOW)
    assert [(row.attempts, row.trouble, row.retry_at) for row in home.rows()] == [(0, None, None)]


def test_what_became_of_a_row_that_is_no_longer_in_hand_stands(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    (video,) = home.queue.claim(1, NOW)
    home.queue.fail(video.id, "not a video", bytes(tmp_path / "failed/a.mp4"), NOW)
    home.record(home.prediction(video.id))
    home.queue.release([video.id])
    home.queue.wait(video.id, NOW)
    assert [(row.state, row.error) for row in home.rows()] == [("failed", "not a video")]
    with home.engine.begin() as read:
        assert read.exec_driver_sql("SELECT count(*) FROM predictions").scalar() == 0


def test_a_clip_that_failed_is_not_postponed_with_its_batch(home: MadeHome, tmp_path: Path) -> None:
    home.queue.enqueue([arrive(home, f"{n}.mp4") for n in range(2)], NOW)
    first, second = home.queue.claim(2, NOW)
    home.queue.fail(first.id, "not a video", bytes(tmp_path / "failed/0.mp4"), NOW)
    home.queue.postpone([first.id, second.id], "the device is out of memory", NOW)
    assert [(row.state, row.trouble) for row in home.rows()] == [
        ("failed", None),
        ("queued", "the device is out of memory"),
    ]
    assert [move.id for move in home.queue.moves(NOW)] == [first.id]


def test_a_date_far_in_the_future_and_a_huge_inode_fit(home: MadeHome, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    os.utime(tmp_path / "a.mp4", ns=(0, 2**63 + 5))
    arrival = home.found(tmp_path / "a.mp4")
    assert home.queue.enqueue([arrival], NOW) == 1
    assert home.queue.unknown([arrival]) == []


def test_a_file_that_someone_took_away_before_it_was_filed_keeps_its_answer(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    home.predict()
    home.queue.moved({1: Moved(None, home.queue.moves(NOW)[0].destination)}, NOW)
    (row,) = home.rows()
    assert (row.state, row.finished_at, row.path) == ("classified", NOW, bytes(tmp_path / "a.mp4"))
    assert "taken away" in row.error


@pytest.mark.of_sqlite
def test_commits_last_through_a_power_cut_and_readers_do_not_wait(home: MadeHome) -> None:
    with home.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30000,
    }


def test_the_same_weights_are_one_model(home: MadeHome) -> None:
    starter = home.register("starter")
    assert home.register("starter") == starter
    register = home.predictions.register_model
    assert register("starter", "other digest", ["Biking"], {}, NOW) != starter


def test_where_nothing_else_tells_its_group_a_clip_joins_the_recent_one_that_looks_the_same(
    home: MadeHome, tmp_path: Path
) -> None:
    prints = {"a": bytes(64), "b": b"\xff" * 64, "c": b"\x01" + bytes(63)}
    for name, fingerprint in prints.items():
        home.queue.enqueue([arrive(home, f"{name}.mp4", name)], NOW)
        (video,) = home.queue.claim(1, NOW)
        home.record(home.prediction(video.id, fingerprint=fingerprint))
    assert [row.group for row in home.rows()] == ["#1", "#2", "#1"]


def test_what_a_challenger_says_stands_beside_the_answer(home: MadeHome, tmp_path: Path) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    (video,) = home.queue.claim(1, NOW)
    shadow = home.model_prediction("Skiing", 0.6, model=home.register("auto-1"))
    home.record(home.prediction(video.id, shadow=shadow, unsure="probability"))
    columns = (predictions.c.kind, predictions.c["class"], predictions.c.doubt)
    with home.engine.begin() as read:
        found = [tuple(row) for row in read.execute(select(*columns).order_by(predictions.c.id))]
    assert found == [("answer", "Biking", "probability"), ("shadow", "Skiing", None)]


def test_a_pause_that_a_clock_set_back_would_make_endless_is_over(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], LATER)
    (video,) = home.queue.claim(1, LATER)
    home.queue.postpone([video.id], "the share is gone", LATER)
    assert home.queue.claim(1, LATER) == []
    assert [video.id for video in home.queue.claim(1, NOW)] == [video.id]


def test_a_file_that_is_waited_for_under_a_clock_that_was_ahead_is_given_up(
    home: MadeHome, tmp_path: Path
) -> None:
    ahead = NOW + timedelta(days=3650)
    home.queue.enqueue([arrive(home, "a.mp4")], ahead)
    (video,) = home.queue.claim(1, ahead)
    grace = timedelta(seconds=14)
    home.queue.wait(video.id, ahead + grace)
    assert home.queue.missing(ahead, grace) == []
    assert [row["id"] for row in home.queue.missing(NOW, grace)] == [video.id]
    forever = datetime.max.replace(tzinfo=UTC)  # at the end of `run --once`
    assert [row["id"] for row in home.queue.missing(forever, grace)] == [video.id]


def test_a_file_that_is_held_is_claimed_again_in_time_and_is_in_no_trouble(
    home: MadeHome, tmp_path: Path
) -> None:
    home.queue.enqueue([arrive(home, "a.mp4")], NOW)
    (video,) = home.queue.claim(1, NOW)
    home.queue.hold(video.id, NOW + timedelta(seconds=30))
    assert home.queue.claim(1, NOW) == []
    assert home.queue.busy()
    assert [(row.state, row.tries, row.trouble) for row in home.rows()] == [("queued", 0, None)]
    assert len(home.queue.claim(1, NOW + timedelta(seconds=30))) == 1


@pytest.mark.parametrize("device", [12345, None], ids=["another", "not known"])
def test_a_file_in_its_place_is_the_same_whatever_the_number_of_its_file_system(
    home: MadeHome, device: int | None
) -> None:
    file = arrive(home, "inbox/a.mp4")
    home.queue.enqueue([file], NOW)
    with home.writing() as connection:
        connection.execute(update(videos).values(device=device))
    assert home.queue.unknown([file]) == [file]
    assert home.queue.enqueue([file], NOW) == 0
    assert home.queue.unknown([file]) == []
    assert [row.device for row in home.rows()] == [file.identity.device]


def test_files_of_equal_numbers_on_two_file_systems_are_two_arrivals(
    home: MadeHome, mount: Mount
) -> None:
    paths = []
    for name in ("card1", "card2"):
        (mount(home.inbox / name) / "a.mp4").write_text(name)
        paths.append(pad(home.inbox / name / "a.mp4"))
    assert numbers(paths[0]) == numbers(paths[1])
    assert home.enqueue(paths[0]) == 1
    (first,) = home.claim()
    assert home.enqueue(paths[1], paths[0]) == 1
    assert [row.path for row in home.rows()] == [bytes(path) for path in paths]
    # Their file systems have exchanged their numbers, and the second row is not found again yet.
    devices = [row.device for row in home.rows()]
    with home.writing() as connection:
        for row, device in zip(home.rows(), (-1, devices[0]), strict=True):
            connection.execute(update(videos).where(videos.c.id == row.id).values(device=device))
    assert home.enqueue(*paths) == 0
    assert [row.device for row in home.rows()] == devices
    assert home.queue.paths([first.id]) == {first.id: bytes(paths[0])}


def test_a_row_keeps_the_first_name_of_a_file_as_long_as_it_is_there(home: MadeHome) -> None:
    first = home.put("inbox/a.mp4")
    second = home.inbox / "b.mp4"
    second.hardlink_to(first)
    assert home.enqueue(first, second) == 1
    assert home.enqueue(second) == 0
    (row,) = home.rows()
    assert row.path == bytes(first)
    first.unlink()
    assert home.enqueue(second) == 0
    assert home.row(row.id)["path"] == bytes(second)


def test_a_second_name_of_a_filed_file_is_no_arrival(home: MadeHome) -> None:
    home.arrive("a.mp4")
    (video,) = home.predict_and_file()
    name = home.inbox / "a.mp4"
    name.hardlink_to(home.path(video))
    other = home.put("inbox/other.mp4")
    files = [home.found(name), home.found(other)]
    assert home.queue.enqueue(files, NOW) == 1
    assert home.queue.other_names(files) == files[:1]
    assert len(home.rows()) == 2
    home.path(video).unlink()  # what was a second name is the only one now
    assert home.queue.other_names(files) == []
    assert home.queue.enqueue(files, NOW) == 1
