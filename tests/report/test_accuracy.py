import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from homes import MadeHome
from scipy.stats import binomtest, chi2_contingency
from sqlalchemy import insert, update

from daemon.database.tables import class_names, labels, videos
from daemon.labels.labels import Label
from daemon.report.accuracy import calibration, drift, live_accuracy, live_total, quality, weeks
from daemon.report.drift import Recent, RecentPrediction, compare, read_recent
from daemon.report.statistics import Tally, p_value_of_classes, p_value_of_unsure, wilson

NOW = datetime(2026, 3, 18, 12, tzinfo=UTC)  # a Wednesday
DAY = timedelta(days=1)


class Home(MadeHome):
    """A home with models "old" and "new", filled row by row."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, now=NOW)
        self.models = {name: self.register(name) for name in ("old", "new")}

    def clips(
        self, number: int, name: str = "Biking", age: timedelta = DAY, **more: Any
    ) -> list[int]:
        """So many predicted videos; `more` are further arguments of `clip`."""
        with self.writing() as connection:
            return [self.clip(connection, name, NOW - age, **more) for _ in range(number)]

    def clip(
        self, connection: Any, name: str, at: datetime, model: str = "new", **more: Any
    ) -> int:
        """A predicted video; `more` may have path, group, sampled, doubt, kind and probability."""
        path = self.root / "classified" / name / "a.mp4"
        video = {"path": bytes(path), "arrived_at": at, "finished_at": at}
        video |= {key: more[key] for key in ("path", "group", "sampled") if key in more}
        prediction = {"class": name, "created_at": at}
        prediction |= {key: more[key] for key in ("doubt", "kind", "probability") if key in more}
        video_id = self.add_video(connection, **video)
        self.add_prediction(connection, video_id, self.models[model], **prediction)
        return video_id

    def review(self, video: int, name: str | None, sampled: bool = True) -> None:
        """What a person says on the page; None if they cannot tell."""
        label = Label(video, "labelled", name) if name else Label(video, "unsure")
        self.labels.add([replace(label, sampled=sampled)], "page", "ann", NOW)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.close()


def asked(home: Home, question: Any, *arguments: Any) -> Any:
    with home.engine.begin() as read:
        return question(read, *arguments)


def test_live_accuracy_counts_the_reviewed_clips_of_the_random_share_by_week_and_model(
    home: Home,
) -> None:
    for week, model in ((8, "old"), (1, "old"), (1, "new")):
        right, wrong = home.clips(2, age=week * DAY, model=model, sampled=True)
        home.review(right, "Biking")
        home.review(wrong, "Skiing")
    home.clips(1, sampled=True)
    found = asked(home, live_accuracy)
    assert [(live.week, live.model, live.n, live.right, live.undecidable) for live in found] == [
        (date(2026, 3, 9), "old", 2, 1, 0),
        (date(2026, 3, 16), "new", 2, 1, 0),
        (date(2026, 3, 16), "old", 2, 1, 0),
    ]
    assert found[0].interval == wilson(1, 2)


def test_corrections_and_reviews_of_other_clips_do_not_count(home: Home) -> None:
    """A label given elsewhere to a clip of the share does not count, nor a review of another clip."""
    drawn, other = home.clips(1, sampled=True)[0], home.clips(1)[0]
    home.review(drawn, "Skiing", sampled=False)
    home.review(other, "Skiing")
    assert asked(home, live_accuracy) == []
    assert asked(home, live_total, "new") is None


def test_a_later_correction_elsewhere_does_not_change_the_label_of_the_review(home: Home) -> None:
    (video,) = home.clips(1, sampled=True)
    home.review(video, "Skiing")
    home.review(video, "Biking")
    home.review(video, "Haircut", sampled=False)
    live = asked(home, live_total, "new")
    assert (live.n, live.right) == (1, 1)


def test_a_review_that_was_taken_back_does_not_count(home: Home) -> None:
    first, second, third = home.clips(3, sampled=True)
    home.review(second, "Skiing", sampled=False)
    home.review(third, "Biking")
    for video in (first, second, third):
        home.review(video, "Skiing")
    home.labels.undo([first, second, third], "page", "ann", NOW)
    live = asked(home, live_total, "new")
    assert (live.n, live.right) == (1, 1)  # of the third, the review before counts again


def test_clips_whose_class_the_reviewer_could_not_tell_are_counted_apart(home: Home) -> None:
    for video, name in zip(home.clips(3, sampled=True), ("Biking", None, None), strict=True):
        home.review(video, name)
    live = asked(home, live_total, "new")
    assert (live.n, live.right, live.undecidable) == (1, 1, 2)


def test_predictions_of_a_shadow_or_a_rescoring_do_not_count(home: Home) -> None:
    for kind in ("shadow", "rescored"):
        (video,) = home.clips(1, sampled=True, kind=kind)
        home.review(video, "Biking")
    assert asked(home, live_accuracy) == []
    assert asked(home, calibration) == []
    assert sum(week.n for week in asked(home, weeks, NOW)) == 0
    assert asked(home, read_recent, NOW) == Recent([], [])


def test_calibration_compares_probabilities_with_the_share_of_right_predictions(home: Home) -> None:
    for probability, name in ((0.55, "Biking"), (0.51, "Skiing"), (1.0, "Biking"), (0.93, None)):
        home.review(home.clips(1, sampled=True, probability=probability)[0], name)
    low, high = asked(home, calibration)
    assert (low.low, low.high, low.n, low.probability, low.right) == (
        0.5,
        0.6,
        2,
        pytest.approx(0.53),
        0.5,
    )
    assert (high.low, high.high, high.n, high.probability, high.right) == (0.9, 1.0, 1, 1.0, 1.0)
    assert asked(home, calibration, "old") == []


def test_weeks_count_predictions_by_class_and_name_empty_weeks_too(home: Home) -> None:
    home.clips(2, age=3 * DAY)  # Sunday
    home.clips(1, "Skiing", age=2 * DAY, doubt="unknown")  # Monday
    found = asked(home, weeks, NOW, 3)
    assert [(week.week, week.n, week.unsure, week.classes) for week in found] == [
        (date(2026, 3, 2), 0, 0, {}),
        (date(2026, 3, 9), 2, 0, {"Biking": 2}),
        (date(2026, 3, 16), 1, 1, {}),
    ]


@pytest.mark.slow
def test_weeks_count_labels_first_then_sure_predictions_and_unsure_ones_apart(home: Home) -> None:
    corrected, undecided, confirmed, taken_back = home.clips(4)
    rescued, _ = home.clips(2, "Skiing", doubt="probability")
    with home.writing() as connection:
        connection.execute(
            insert(class_names).values(old="Biking", new="Cycling", who="ann", changed_at=NOW)
        )
    home.review(corrected, "Haircut", sampled=False)
    home.review(undecided, None, sampled=False)
    home.review(confirmed, "Cycling")
    home.review(rescued, "Skiing", sampled=False)
    home.review(taken_back, "Haircut", sampled=False)
    home.labels.undo([taken_back], "command", "ann", NOW)
    found = asked(home, weeks, NOW)[-1]
    assert found.classes == {"Cycling": 2, "Haircut": 1, "Skiing": 1}
    assert (found.n, found.unsure) == (6, 2)


def test_weeks_begin_at_midnight_of_the_persons_own_zone_also_when_clocks_change(
    home: Home,
) -> None:
    """In Berlin, the week of the 30th of March began in summer time, that of the 23rd in winter."""
    berlin = ZoneInfo("Europe/Berlin")
    after = datetime(2026, 4, 1, tzinfo=UTC)
    drawn = []
    with home.writing() as connection:
        for text in (
            "2026-03-22T22:59:59",  # Sunday, 23:59:59 in Berlin
            "2026-03-22T23:00:00",  # Monday, midnight
            "2026-03-29T21:59:59",  # Sunday, 23:59:59 of summer time
            "2026-03-29T22:00:00",  # Monday, midnight of summer time
        ):
            at = datetime.fromisoformat(text).replace(tzinfo=UTC)
            drawn.append(home.clip(connection, "Biking", at, sampled=True))
    for video in drawn:
        home.review(video, "Biking")
    found = asked(home, weeks, after, 3, berlin)
    assert [(week.week.day, week.n) for week in found] == [(16, 1), (23, 2), (30, 1)]
    assert [week.n for week in asked(home, weeks, after, 3, UTC)] == [2, 2, 0]
    assert [(live.week.day, live.n) for live in asked(home, live_accuracy, berlin)] == [
        (16, 1),
        (23, 2),
        (30, 1),
    ]


def test_a_new_clip_that_a_person_put_into_a_class_folder_is_no_arrival(home: Home) -> None:
    (video,) = home.clips(1)
    label = {"video_id": video, "verdict": "labelled", "class": "Biking", "source": "folder"}
    with home.writing() as connection:
        connection.execute(insert(labels).values(**label, who="ann", created_at=NOW))
    assert asked(home, read_recent, NOW) == Recent([], [])
    assert sum(week.n for week in asked(home, weeks, NOW)) == 0


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (93, 100), (1, 1)])
def test_the_interval_is_wilsons(right: int, n: int) -> None:
    assert wilson(right, n) == pytest.approx(
        tuple(binomtest(right, n).proportion_ci(method="wilson")), abs=1e-12
    )


def test_the_p_values_are_those_of_the_textbook_tests() -> None:
    week, before = (
        Tally(60, 20, {"a": 30, "b": 20, "c": 10}),
        Tally(240, 40, {"a": 90, "b": 90, "c": 60}),
    )
    table = [[20, 40], [40, 200]]
    assert p_value_of_unsure(week, before) == pytest.approx(
        chi2_contingency(table, correction=False).pvalue, rel=1e-9
    )
    few = Tally(30, 4), Tally(300, 10)
    table = [[4, 26], [10, 290]]
    assert p_value_of_unsure(*few) == pytest.approx(
        chi2_contingency(table, correction=True).pvalue, rel=1e-9
    )
    table = [[30, 20, 10], [90, 90, 60]]
    assert p_value_of_classes(week, before) == pytest.approx(
        chi2_contingency(table).pvalue, rel=0.02
    )


def test_rare_classes_are_compared_as_one() -> None:
    week, before = {"a": 30, "b": 20}, {"a": 150, "b": 100}
    few = {f"rare{n}": 1 for n in range(8)}, {f"rare{n}": 1 for n in range(16)}
    apart = p_value_of_classes(Tally(58, 0, week | few[0]), Tally(266, 0, before | few[1]))
    assert apart == p_value_of_classes(
        Tally(58, 0, week | {"rare": 8}), Tally(266, 0, before | {"rare": 16})
    )
    assert 0.05 < apart < 0.3


def test_a_class_that_was_never_there_before_is_noticed_however_many_clips_there_were() -> None:
    assert p_value_of_classes(Tally(30, 0, {"new": 20, "a": 10}), Tally(500, 0, {"a": 500})) < 1e-6


@pytest.mark.parametrize(
    "tally",
    [Tally(40, 0, {"a": 40}), Tally(40, 40, {"a": 40})],
    ids=["never unsure", "always unsure"],
)
def test_without_a_difference_the_p_values_are_one(tally: Tally) -> None:
    assert (p_value_of_unsure(tally, tally), p_value_of_classes(tally, tally)) == (1.0, 1.0)


def stream(
    rng: Random, groups: int, unsure: float = 0.05, weights: tuple[float, ...] = (5, 4, 3, 2, 1, 1)
) -> list[RecentPrediction]:
    """Predictions for recordings of one to four clips, which are all alike."""
    found = []
    for group in range(groups):
        (name,) = rng.choices("abcdef", weights)
        prediction = RecentPrediction("new", f"g{group}", name, rng.random() < unsure, False)
        found += [prediction] * rng.randint(1, 4)
    return found


@pytest.mark.slow
def test_without_a_change_one_comparison_in_a_hundred_gives_a_false_warning() -> None:
    rng = Random(0)
    comparisons = [bool(compare(Recent(stream(rng, 70), stream(rng, 280)))) for _ in range(1500)]
    assert 0.004 < sum(comparisons) / len(comparisons) < 0.015


def test_more_unsure_predictions_are_noticed() -> None:
    rng = Random(1)
    comparisons = [
        compare(Recent(stream(rng, 100, unsure=0.2), stream(rng, 400))) for _ in range(100)
    ]
    noticed = [
        any(warning.startswith("unsure predictions: ") for warning in warnings)
        for warnings in comparisons
    ]
    assert sum(noticed) > 85


@pytest.mark.slow
def test_a_class_that_comes_twice_as_often_is_noticed_and_named() -> None:
    rng = Random(2)
    comparisons = [
        compare(Recent(stream(rng, 200, weights=(5, 4, 7.8, 2, 1, 1)), stream(rng, 800)))
        for _ in range(100)
    ]
    noticed = [any("above all c: " in warning for warning in warnings) for warnings in comparisons]
    assert sum(noticed) > 75


def test_many_clips_of_one_recording_are_one_observation() -> None:
    rng = Random(3)
    strange = [RecentPrediction("new", "long", "f", True, False)] * 500
    assert compare(Recent(stream(rng, 70) + strange, stream(rng, 280))) == []


def test_few_recordings_give_no_warning() -> None:
    week = [RecentPrediction("new", f"g{n}", "a", True, False) for n in range(29)]
    before = [RecentPrediction("new", f"g{n}", "b", False, False) for n in range(500)]
    assert compare(Recent(week, before)) == []
    week.append(RecentPrediction("new", "one more", "a", True, False))
    assert len(compare(Recent(week, before))) == 1  # unsure ones are of no class
    sure = [replace(prediction, unsure=False) for prediction in week]
    (warning,) = compare(Recent(sure, before))
    assert warning.startswith("other classes than before")
    assert compare(Recent(sure[:29], before)) == []


def test_another_model_that_predicts_otherwise_is_no_drift() -> None:
    week = [RecentPrediction("new", f"g{n}", "a", True, False) for n in range(100)]
    before = [RecentPrediction("old", f"g{n}", "b", False, False) for n in range(100)]
    assert compare(Recent(week, before)) == []
    earlier = [RecentPrediction("old", f"h{n}", "a", True, False) for n in range(50)]
    assert len(compare(Recent(week + earlier, before))) == 1  # the old one's own last days


def test_drift_is_read_from_the_predictions_of_five_weeks(home: Home) -> None:
    home.clips(100, age=40 * DAY, doubt="probability")
    home.clips(100, age=20 * DAY)
    home.clips(40, age=DAY, doubt="probability")
    (warning,) = asked(home, drift, NOW)
    assert (
        warning
        == "unsure predictions: 100% of the last 7 days, 0% of the 28 days before; that is more than chance"
    )


def test_of_many_clips_the_same_sample_is_read_each_time(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evenly, though four cameras take turns."""
    monkeypatch.setattr("daemon.report.drift.SAMPLE_SIZE", 500)
    with home.writing() as write:
        for n in range(1000):
            home.clip(write, "Biking", NOW - DAY, group=f"camera{n % 4}")
    found = asked(home, read_recent, NOW)
    assert 250 <= len(found.week) <= 500
    cameras = [
        sum(prediction.group == f"camera{n}" for prediction in found.week) / len(found.week)
        for n in range(4)
    ]
    assert all(math.isclose(share, 0.25, abs_tol=0.1) for share in cameras)
    assert asked(home, read_recent, NOW) == found


def test_unsure_clips_await_review_until_they_are_labelled(home: Home) -> None:
    there = home.folders.unsure() + b"/a.mp4"
    said, taken_back, _ = home.clips(3, doubt="unknown", path=there)
    home.clips(1)
    home.review(said, None, sampled=False)
    home.review(taken_back, "Skiing", sampled=False)
    home.labels.undo([taken_back], "page", "ann", NOW)
    with home.writing() as write:  # as the daemon does
        write.execute(
            update(videos).where(videos.c.id == taken_back).values(path=there, destination=None)
        )
    found = asked(home, quality, home.folders, "new", NOW)
    assert (found.awaiting, found.unsure, found.counted) == (2, 3, 4)


def test_it_is_shown_that_the_random_share_was_not_reviewed(home: Home) -> None:
    home.clips(1)
    assert not asked(home, quality, home.folders, "new", NOW).to_review
    home.clips(1, sampled=True)
    found = asked(home, quality, home.folders, "new", NOW)
    assert (found.to_review, found.live) == (True, None)
