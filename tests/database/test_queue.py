import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from homes import Store, predicted
from sqlalchemy import select

from daemon.database.connection import connect
from daemon.database.records import Claimed, ModelPrediction, Moved, VideoPrediction
from daemon.database.tables import predictions, videos
from daemon.database.upgrade import upgrade
from daemon.home.folders import Folders, Found
from daemon.home.identity import identify

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    upgrade(tmp_path / "vidwatch.db")
    store = Store(connect(tmp_path / "vidwatch.db"), "me")
    yield store
    store.close()


def arrive(store: Store, path: Path, content: bytes = b"video") -> Found:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return seen(path)


def seen(path: Path) -> Found:
    identity = identify(bytes(path))
    assert identity
    return Found(bytes(path), identity, None)


def answer(video: Claimed, sha256: str = "0ff1ce00") -> VideoPrediction:
    return predicted(video.id, video.path, sha256, "Biking", 0, 0.75, [1.5, -0.5], 16, 16, "opencv")


def rows(store: Store) -> list[Any]:
    with store.engine.begin() as read:
        return list(read.execute(select(videos).order_by(videos.c.id)))


def model(store: Store) -> int:
    return store.register_model("starter", "digest", ["Biking", "Skiing"], {}, NOW)


def test_a_file_found_again_while_it_is_unfinished_is_the_same_arrival(
    store: Store, tmp_path: Path
) -> None:
    arrival = arrive(store, tmp_path / "a.mp4")
    assert [store.enqueue([arrival], NOW) for _ in range(3)] == [1, 0, 0]
    assert store.unknown([arrival]) == []
    store.claim(1, NOW)
    assert store.enqueue([arrival], NOW) == 0
    assert [row.state for row in rows(store)] == ["claimed"]


def test_a_file_that_is_gone_by_now_is_no_arrival(store: Store, tmp_path: Path) -> None:
    arrival = arrive(store, tmp_path / "a.mp4")
    (tmp_path / "a.mp4").unlink()
    assert store.enqueue([arrival], NOW) == 0
    assert rows(store) == []


def test_a_queued_row_follows_its_file_to_another_name_and_to_other_content(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    (tmp_path / "a.mp4").rename(tmp_path / "b.mp4")
    store.enqueue([seen(tmp_path / "b.mp4")], NOW)
    assert [(row.path, row.name) for row in rows(store)] == [(bytes(tmp_path / "b.mp4"), "b.mp4")]
    changed = arrive(store, tmp_path / "b.mp4", b"other content")
    store.enqueue([changed], NOW)
    assert [row.size for row in rows(store)] == [changed.identity.size]


def test_the_exact_bytes_of_a_path_are_kept_and_its_name_can_be_read(
    store: Store, tmp_path: Path
) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/\xff\n1.mp4"))
    store.enqueue([arrive(store, path)], NOW)
    assert [(row.path, row.name) for row in rows(store)] == [
        (bytes(tmp_path) + b"/\xff\n1.mp4", "\\xff\n1.mp4")
    ]


def test_the_oldest_are_claimed_first_and_each_once(store: Store, tmp_path: Path) -> None:
    store.enqueue([arrive(store, tmp_path / f"{n}.mp4") for n in range(5)], NOW)
    claims = [[video.id for video in store.claim(2, NOW)] for _ in range(4)]
    assert claims == [[1, 2], [3, 4], [5], []]


def test_claims_from_several_threads_never_share_a_video_and_never_fail(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / f"{n}.mp4") for n in range(40)], NOW)
    with ThreadPoolExecutor(4) as pool:
        claims = list(pool.map(lambda _: store.claim(1, NOW), range(60)))
    assert sorted(video.id for claim in claims for video in claim) == list(range(1, 41))


def test_a_new_daemon_takes_up_what_the_last_one_had_in_hand_and_no_attempt_counts(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / f"{n}.mp4") for n in range(2)], NOW)
    store.claim(2, NOW)
    assert store.recover() == 2
    assert [(row.state, row.attempts, row.claimed_by) for row in rows(store)] == [
        ("queued", 0, None)
    ] * 2


def test_prediction_logits_and_destination_are_recorded_together(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    store.record(
        [answer(video) for video in store.claim(1, NOW)], model(store), Folders(tmp_path), NOW
    )
    with store.engine.begin() as read:
        logits = read.exec_driver_sql('SELECT model, "class", logit FROM prediction_logits').all()
    assert logits == [("starter", "Biking", 1.5), ("starter", "Skiing", -0.5)]
    (move,) = store.moves(NOW)
    assert move.destination == bytes(tmp_path / "classified/Biking/a.mp4")
    store.moved({move.id: Moved(move.destination, move.destination)}, NOW)
    assert [(row.state, row.path, row.finished_at) for row in rows(store)] == [
        ("filed", move.destination, NOW)
    ]
    assert store.moves(NOW) == []


def test_content_seen_before_gets_no_second_prediction_even_within_one_batch(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / f"{n}.mp4") for n in range(3)], NOW)
    first, second, third = store.claim(3, NOW)
    recorded = store.record([answer(first), answer(second)], model(store), Folders(tmp_path), NOW)
    recorded += store.record([answer(third)], model(store), Folders(tmp_path), NOW)
    assert [original for _, original in recorded] == [None, first.id, first.id]
    assert [row.duplicate_of for row in rows(store)] == [None, first.id, first.id]
    assert [move.destination for move in store.moves(NOW)][1:] == [
        bytes(tmp_path / f"duplicates/{n}.mp4") for n in (1, 2)
    ]
    with store.engine.begin() as read:
        assert read.exec_driver_sql("SELECT count(*) FROM predictions").scalar() == 1


def test_the_same_content_that_failed_before_is_tried_again(store: Store, tmp_path: Path) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    (video,) = store.claim(1, NOW)
    store.fail(video.id, "not a video", bytes(tmp_path / "failed/a.mp4"))
    store.moved(
        {video.id: Moved(bytes(tmp_path / "failed/a.mp4"), bytes(tmp_path / "failed/a.mp4"))}, NOW
    )
    assert store.enqueue([seen(tmp_path / "a.mp4")], NOW) == 1
    assert [row.state for row in rows(store)] == ["failed", "queued"]


def test_temporary_trouble_is_tried_again_after_pauses_that_grow_to_a_limit(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    now, pauses = NOW, []
    for _ in range(12):
        (video,) = store.claim(1, now)
        store.postpone([video.id], "the share is gone", now)
        (row,) = rows(store)
        assert (row.state, row.trouble) == ("queued", "the share is gone")
        assert store.claim(1, now) == []
        pauses.append((row.retry_at - now).total_seconds())
        now = row.retry_at
    assert pauses == [2.0, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]


def test_a_crash_of_its_decoder_counts_and_waits_while_others_go_on(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / f"{n}.mp4") for n in range(2)], NOW)
    (video,) = store.claim(1, NOW)
    assert store.count_crash(video.id, "signal SIGSEGV", NOW) == 1
    assert [claimed.id for claimed in store.claim(2, NOW)] == [2]
    assert [claimed.id for claimed in store.claim(2, LATER)] == [1]
    assert store.count_crash(video.id, "signal SIGSEGV", LATER) == 2


def test_a_file_that_changed_while_in_hand_is_queued_anew_when_it_is_whole(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    (video,) = store.claim(1, NOW)
    whole = arrive(store, tmp_path / "a.mp4", b"now it is whole")
    assert store.enqueue([whole], NOW) == 0  # while it is in hand
    store.wait(video.id, LATER)
    assert store.unknown([whole]) == [whole]
    assert store.claim(1, NOW) == []
    assert store.enqueue([whole], NOW) == 1
    assert store.claim(1, NOW) == [Claimed(video.id, whole.path, whole.identity)]


def test_a_file_renamed_while_in_hand_keeps_its_row(store: Store, tmp_path: Path) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    store.claim(1, NOW)
    (tmp_path / "a.mp4").rename(tmp_path / "b.mp4")
    assert store.enqueue([seen(tmp_path / "b.mp4")], NOW) == 0
    assert store.paths([1])[1] == bytes(tmp_path / "b.mp4")
    assert [row.state for row in rows(store)] == ["claimed"]


def test_a_missing_file_is_given_up_after_its_grace_and_not_when_it_came_back(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / f"{n}.mp4", b"%d" % n) for n in range(2)], NOW)
    for video in store.claim(2, NOW):
        store.wait(video.id, LATER)
    assert store.missing(NOW) == []
    assert [video_id for video_id, _ in store.missing(LATER)] == [1, 2]
    store.enqueue([seen(tmp_path / "1.mp4")], NOW)
    for video_id in (1, 2):
        store.give_up(video_id, "vanished", LATER)
    assert [(row.state, row.error, row.finished_at) for row in rows(store)] == [
        ("failed", "vanished", LATER),
        ("queued", None, None),
    ]


def test_other_content_under_an_old_name_does_not_inherit_its_crashes(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    store.count_crash(store.claim(1, NOW)[0].id, "signal SIGSEGV", NOW)
    store.enqueue([arrive(store, tmp_path / "a.mp4", b"other content")], NOW)
    assert [(row.attempts, row.trouble, row.retry_at) for row in rows(store)] == [(0, None, None)]


def test_what_became_of_a_row_that_is_no_longer_in_hand_stands(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    (video,) = store.claim(1, NOW)
    store.fail(video.id, "not a video", bytes(tmp_path / "failed/a.mp4"))
    store.record([answer(video)], model(store), Folders(tmp_path), NOW)
    store.release([video.id])
    store.wait(video.id, NOW)
    assert [(row.state, row.error) for row in rows(store)] == [("failed", "not a video")]
    with store.engine.begin() as read:
        assert read.exec_driver_sql("SELECT count(*) FROM predictions").scalar() == 0


def test_a_clip_that_failed_is_not_postponed_with_its_batch(store: Store, tmp_path: Path) -> None:
    store.enqueue([arrive(store, tmp_path / f"{n}.mp4") for n in range(2)], NOW)
    first, second = store.claim(2, NOW)
    store.fail(first.id, "not a video", bytes(tmp_path / "failed/0.mp4"))
    store.postpone([first.id, second.id], "the device is out of memory", NOW)
    assert [(row.state, row.trouble) for row in rows(store)] == [
        ("failed", None),
        ("queued", "the device is out of memory"),
    ]
    assert [move.id for move in store.moves(NOW)] == [first.id]


def test_a_date_far_in_the_future_and_a_huge_inode_fit(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    os.utime(tmp_path / "a.mp4", ns=(0, 2**63 + 5))
    arrival = seen(tmp_path / "a.mp4")
    assert store.enqueue([arrival], NOW) == 1
    assert store.unknown([arrival]) == []


def test_a_file_that_someone_took_away_before_it_was_filed_keeps_its_answer(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    store.record(
        [answer(video) for video in store.claim(1, NOW)], model(store), Folders(tmp_path), NOW
    )
    store.moved({1: Moved(None, store.moves(NOW)[0].destination)}, NOW)
    (row,) = rows(store)
    assert (row.state, row.finished_at, row.path) == ("classified", NOW, bytes(tmp_path / "a.mp4"))
    assert "taken away" in row.error


def test_commits_last_through_a_power_cut_and_readers_do_not_wait(store: Store) -> None:
    with store.engine.connect() as connection:
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


def test_the_same_weights_are_one_model(store: Store) -> None:
    assert model(store) == model(store)
    assert store.register_model("starter", "other digest", ["Biking"], {}, NOW) != model(store)


def test_where_nothing_else_tells_its_group_a_clip_joins_the_recent_one_that_looks_the_same(
    store: Store, tmp_path: Path
) -> None:
    prints = {"a": bytes(64), "b": b"\xff" * 64, "c": b"\x01" + bytes(63)}
    for name, fingerprint in prints.items():
        store.enqueue([arrive(store, tmp_path / f"{name}.mp4", name.encode())], NOW)
        (video,) = store.claim(1, NOW)
        found = replace(answer(video, f"{name}0000000"), fingerprint=fingerprint)
        store.record([found], model(store), Folders(tmp_path), NOW)
    assert [row.group for row in rows(store)] == ["#1", "#2", "#1"]


def test_what_a_challenger_says_stands_beside_the_answer(store: Store, tmp_path: Path) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    (video,) = store.claim(1, NOW)
    other = store.register_model("auto-1", "another digest", ["Biking", "Skiing"], {}, NOW)
    said = ModelPrediction(other, "Skiing", 1, 0.6, [0.0, 1.0])
    store.record(
        [replace(answer(video), shadow=said, unsure="probability")],
        model(store),
        Folders(tmp_path),
        NOW,
    )
    columns = (predictions.c.kind, predictions.c["class"], predictions.c.doubt)
    with store.engine.begin() as read:
        found = [tuple(row) for row in read.execute(select(*columns).order_by(predictions.c.id))]
    assert found == [("answer", "Biking", "probability"), ("shadow", "Skiing", None)]


def test_a_pause_that_a_clock_set_back_would_make_endless_is_over(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], LATER)
    (video,) = store.claim(1, LATER)
    store.postpone([video.id], "the share is gone", LATER)
    assert store.claim(1, LATER) == []
    assert [video.id for video in store.claim(1, NOW)] == [video.id]


def test_a_file_that_is_held_is_claimed_again_in_time_and_is_in_no_trouble(
    store: Store, tmp_path: Path
) -> None:
    store.enqueue([arrive(store, tmp_path / "a.mp4")], NOW)
    (video,) = store.claim(1, NOW)
    store.hold(video.id, NOW + timedelta(seconds=30))
    assert store.claim(1, NOW) == []
    assert store.busy()
    assert [(row.state, row.tries, row.trouble) for row in rows(store)] == [("queued", 0, None)]
    assert len(store.claim(1, NOW + timedelta(seconds=30))) == 1
