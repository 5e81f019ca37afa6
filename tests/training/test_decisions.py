from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.training.decisions import Decision, Decisions
from learner.errors import VidwatchError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BETTER = Decision("promoted", "it is better", {"n": 60})
OPEN = Decision("undecided", "too few clips", {"n": 6})
WORSE = Decision("refused", "it is worse", {"n": 60})


@pytest.fixture
def history(tmp_path: Path) -> Iterator[Decisions]:
    home = MadeHome(tmp_path)
    yield Decisions(home.engine)
    home.close()


def test_the_setting_counts_at_first_and_again_where_it_was_changed(history: Decisions) -> None:
    assert history.champion() is None
    assert history.follow_setting("starter", NOW) == "starter"
    assert history.conclude("auto-1", "starter", BETTER, NOW)
    assert history.follow_setting("starter", NOW) == history.champion() == "auto-1"
    assert history.follow_setting("mine", NOW) == history.champion() == "mine"
    assert [row.verdict for row in history.newest_first()] == ["set", "promoted", "set"]


def test_only_a_promotion_changes_who_answers(history: Decisions) -> None:
    history.follow_setting("starter", NOW)
    for decision in (OPEN, WORSE):
        history.conclude("auto-1", "starter", decision, NOW)
        assert history.champion() == "starter"
    history.conclude("auto-2", "starter", BETTER, NOW)
    assert history.champion() == "auto-2"


def test_a_comparison_with_a_model_that_answers_no_more_counts_for_nothing(
    history: Decisions,
) -> None:
    history.follow_setting("starter", NOW)
    history.choose("mine", NOW)
    assert not history.conclude("auto-1", "starter", BETTER, NOW)
    assert history.champion() == "mine"


def test_a_training_ends_in_the_same_moment_as_its_comparison(history: Decisions) -> None:
    history.follow_setting("starter", NOW)
    assert history.request_training("20 new labels", NOW) == "auto-1"
    training = history.requested_training()
    assert training
    history.begin(training, 20, NOW)
    assert (history.requested_training(), history.last_label()) == (None, 0)
    history.conclude("auto-1", "starter", WORSE, NOW, training)
    assert history.last_label() == 20


def test_one_training_is_asked_for_at_a_time(history: Decisions) -> None:
    assert (
        history.request_training("20 new labels", NOW)
        == history.request_training("vidwatch retrain", NOW)
        == "auto-1"
    )


def test_what_was_under_way_when_the_daemon_ended_is_trained_anew(history: Decisions) -> None:
    history.request_training("20 new labels", NOW)
    training = history.requested_training()
    assert training
    history.begin(training, 20, NOW)
    history.stop_all(NOW)
    assert history.last_label() == 0
    assert history.request_training("20 new labels", NOW, {"auto-2"}) == "auto-3"


def test_a_failed_training_is_not_repeated_for_the_same_labels(history: Decisions) -> None:
    history.request_training("20 new labels", NOW)
    training = history.requested_training()
    assert training
    history.begin(training, 20, NOW)
    history.end(training, "failed", "signal 9", NOW)
    assert history.last_label() == 20


def test_looks_are_counted_anew_with_each_champion(history: Decisions) -> None:
    history.follow_setting("starter", NOW)
    for decision in (OPEN, WORSE):
        history.conclude("auto-1", "starter", decision, NOW)
    assert history.count_comparisons() == 2
    history.conclude("auto-2", "starter", BETTER, NOW)
    assert history.count_comparisons() == 0


def test_going_back_leads_to_the_model_before_and_then_further_back(history: Decisions) -> None:
    history.follow_setting("starter", NOW)
    for before, name in (("starter", "auto-1"), ("auto-1", "auto-2")):
        history.conclude(name, before, BETTER, NOW)
    assert history.roll_back(NOW) == ("auto-1", "auto-2")
    assert history.roll_back(NOW) == ("starter", "auto-1")
    with pytest.raises(VidwatchError, match="no model before 'starter'"):
        history.roll_back(NOW)
    history.choose("auto-2", NOW)
    assert history.roll_back(NOW) == ("starter", "auto-2")


def test_a_challenger_is_in_the_shadow_until_something_else_is_decided(history: Decisions) -> None:
    history.follow_setting("starter", NOW)
    assert history.undecided() is None
    history.conclude("auto-1", "starter", OPEN, NOW)
    row = history.undecided()
    assert (row.challenger, row.figures) == ("auto-1", {"n": 6})
    history.conclude("auto-2", "starter", WORSE, NOW)
    assert history.undecided() is None


def test_choosing_the_model_that_answers_is_refused_and_so_is_any_choice_before_the_first_start(
    history: Decisions,
) -> None:
    with pytest.raises(VidwatchError, match="start the daemon first"):
        history.choose("mine", NOW)
    history.follow_setting("starter", NOW)
    with pytest.raises(VidwatchError, match="answers already"):
        history.choose("starter", NOW)
