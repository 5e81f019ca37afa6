"""Which clips are to be reviewed, and in what order."""

from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reviewed import NOW, ReviewedHome
from sqlalchemy import select
from sqlalchemy.dialects import sqlite

from daemon.database.tables import videos
from daemon.labels import next_clips
from daemon.labels.labels import Label
from daemon.page import queue
from daemon.page.queue import EVERY, Candidate, Wish, in_order, read_waiting


@pytest.fixture
def home(tmp_path: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def waiting(home: ReviewedHome, *skipped: int) -> tuple[list[int], list[int]]:
    """The ids of the clips by uncertainty, and of the random share."""
    with home.engine.begin() as connection:
        found = read_waiting(connection, frozenset(skipped))
    by_uncertainty = [candidate.id for candidate in found.by_uncertainty]
    random_share = [candidate.id for candidate in found.random_share]
    return by_uncertainty, random_share


def test_unsure_clips_come_first_then_the_least_probable_ones(home: ReviewedHome) -> None:
    sure = home.clip(logits=(9, 0, 0, 0))
    less_sure = home.clip(logits=(3, 0, 0, 0))
    unsure = home.clip(logits=(9, 0, 0, 0), unsure="unknown")
    assert waiting(home) == ([unsure, less_sure, sure], [])


def test_the_second_of_a_group_comes_after_the_first_of_all_others(home: ReviewedHome) -> None:
    long_scene = [
        home.clip(logits=(1, 0, 0, 0), group="long", unsure="probability") for _ in range(3)
    ]
    other = home.clip(logits=(2, 0, 0, 0), unsure="probability")
    sure = home.clip(logits=(3, 0, 0, 0))
    assert waiting(home)[0] == [long_scene[0], other, *long_scene[1:], sure]


def test_failed_labelled_and_duplicate_videos_are_not_reviewed(home: ReviewedHome) -> None:
    labelled, unsure, open_still = home.clip(), home.clip(), home.clip()
    home.fail("notes.mp4", "not a video")
    home.give_label(labelled, "dark")
    home.labels.add([Label(unsure, "unsure")], "page", "ann", NOW)
    home.copy_of(open_still)
    assert waiting(home)[0] == [open_still]


def test_a_label_that_was_taken_back_counts_no_more(home: ReviewedHome) -> None:
    clip = home.clip()
    home.give_label(clip, "dark")
    assert waiting(home) == ([], [])
    home.labels.undo([clip], "page", "ann", NOW)
    assert waiting(home) == ([clip], [])


def test_the_random_share_comes_by_chance_whatever_the_model_predicts(home: ReviewedHome) -> None:
    clips = [home.clip(logits=(number, 0, 0, 0), sampled=True) for number in range(12)]
    with home.engine.begin() as connection:
        order = select(videos.c.id).where(videos.c.id.in_(clips)).order_by(videos.c.sha256)
        by_hash = list(connection.execute(order).scalars())
    assert waiting(home) == ([], by_hash)


def test_a_clip_of_the_random_share_that_was_corrected_elsewhere_is_still_to_be_reviewed(
    home: ReviewedHome,
) -> None:
    clip = home.clip(sampled=True)
    home.give_label(clip, "dark")
    assert waiting(home) == ([], [clip])
    home.give_label(clip, "dark", sampled=True)
    assert waiting(home) == ([], [])


@pytest.mark.parametrize("corrected_before", [False, True])
def test_a_review_of_the_random_share_that_is_undone_is_to_be_done_again(
    home: ReviewedHome, corrected_before: bool
) -> None:
    clip = home.clip(sampled=True)
    if corrected_before:
        home.give_label(clip, "grey")
    home.give_label(clip, "dark", sampled=True)
    home.labels.undo([clip], "page", "ann", NOW)
    assert waiting(home) == ([], [clip])


@pytest.mark.slow
@pytest.mark.parametrize("reach", [1, 2, 3])
def test_what_is_looked_at_is_bounded_and_the_first_ones_are_the_same(
    home: ReviewedHome, monkeypatch: pytest.MonkeyPatch, reach: int
) -> None:
    unsure = [home.clip(logits=(n, 0, 0, 0), unsure="unknown") for n in (3, 2, 1)]
    sure = [home.clip(logits=(n, 0, 0, 0)) for n in (9, 8)]
    monkeypatch.setattr(next_clips, "REACH", reach)
    with home.engine.begin() as connection:
        found = [[one.id for one in next_clips.by_need(connection, [], n)] for n in range(1, 6)]
        clips = next_clips.next_clips(connection, [], 5)
    order = [*reversed(unsure), *reversed(sure)]
    assert found == [order[:n] for n in range(1, 6)]
    assert [clip.id for clip in clips] == order


def test_a_wish_for_doubtful_ones_or_a_class_tells_nothing_of_the_random_share(
    home: ReviewedHome,
) -> None:
    unsure = home.clip(logits=(1, 0, 0, 0), unsure="unknown")
    sure = home.clip(logits=(9, 0, 0, 0))
    other = home.clip(logits=(0, 9, 0, 0))
    drawn = [home.clip(logits=(9, 0, 0, 0), sampled=True)]
    drawn += [home.clip(sampled=True, unsure="unknown")]
    found = {}
    with home.engine.begin() as connection:
        for wish in (
            Wish("doubtful"),
            Wish("class", "bright"),
            Wish("class", "dark"),
            Wish("random"),
        ):
            waiting = read_waiting(connection, wish=wish)
            others = [one.id for one in waiting.by_uncertainty]
            found[wish.fields] = (others, {one.id for one in waiting.random_share})
    assert found == {
        "what=doubtful": ([unsure], set()),
        "class=bright": ([unsure, sure], set()),
        "class=dark": ([other], set()),
        "what=random": ([], set(drawn)),
    }


def test_skipped_clips_are_left_out(home: ReviewedHome) -> None:
    clips = [home.clip(), home.clip(sampled=True)]
    assert waiting(home, *clips) == ([], [])


@pytest.mark.of_sqlite
def test_no_table_is_read_from_end_to_end(home: ReviewedHome) -> None:
    """The queries read only videos in the states that are reviewed, and find them by an index."""
    with home.engine.begin() as connection:
        kinds = next_clips._kinds(connection, ["bright"], only_unsure=False, only_short=False)
        for query in (*chain.from_iterable(kinds), queue._drawn_of(1)):
            sql = str(
                query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
            )
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}")]
            # That index holds the random share alone.
            own = "SCAN videos USING INDEX ix_videos_sampled"
            assert [step for step in plan if step.startswith("SCAN") and step != own] == []
            assert [step for step in plan if "ORDER BY" in step] == []


candidates = st.lists(st.sampled_from("abc"), max_size=30).map(
    lambda groups: [Candidate(i, group) for i, group in enumerate(groups)]
)


@given(candidates, candidates, st.integers(0, 10))
def test_each_clip_comes_once_and_the_random_share_keeps_its_order(
    by_uncertainty: list[Candidate], drawn: list[Candidate], start: int
) -> None:
    random_share = [Candidate(100 + candidate.id, candidate.group) for candidate in drawn]
    order = list(in_order(by_uncertainty, random_share, start))
    assert sorted(order, key=lambda one: one.id) == by_uncertainty + random_share
    assert [one for one in order if one.id >= 100] == random_share


@given(candidates, candidates, st.integers(0, 10))
def test_every_fourth_place_is_for_the_random_share_while_both_lists_last(
    by_uncertainty: list[Candidate], drawn: list[Candidate], start: int
) -> None:
    random_share = [Candidate(100 + candidate.id, candidate.group) for candidate in drawn]
    is_random = [one.id >= 100 for one in in_order(by_uncertainty, random_share, start)]
    for place, found in enumerate(is_random):
        both_last = not all(is_random[place:]) and any(is_random[place:])
        assert not both_last or found is ((start + place) % EVERY == EVERY - 1)


@given(candidates)
def test_neighbours_are_of_one_group_only_if_no_other_group_is_left(
    by_uncertainty: list[Candidate],
) -> None:
    order = list(in_order(by_uncertainty, []))
    for place in range(1, len(order)):
        if order[place].group == order[place - 1].group:
            assert {one.group for one in order[place:]} == {order[place].group}


@given(st.lists(st.integers(0, 5), max_size=30))
def test_clips_of_one_group_keep_their_order(groups: list[int]) -> None:
    order = list(in_order([Candidate(i, str(group)) for i, group in enumerate(groups)], []))
    for group in set(groups):
        ids = [one.id for one in order if one.group == str(group)]
        assert ids == sorted(ids)
