from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.training.decisions import BY_ITSELF, Decision, Decisions
from daemon.training.records import KnownLabels
from learner.errors import VidwatchError

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BETTER = Decision("promoted", "it is better", {"n": 60})
WATCHED = Decision("promoted", "as counted", {"n": 20, "watch": {"former": "starter"}})
OPEN = Decision("undecided", "too few clips", {"n": 6})
WORSE = Decision("refused", "it is worse", {"n": 60})


@pytest.fixture
def decisions(tmp_path: Path) -> Iterator[Decisions]:
    home = MadeHome(tmp_path)
    yield Decisions(home.engine)
    home.close()


def test_the_setting_counts_at_first_and_again_after_it_was_changed(decisions: Decisions) -> None:
    assert decisions.champion() is None
    assert decisions.apply_setting("starter", NOW) == "starter"
    assert decisions.conclude("auto-1", "starter", BETTER, NOW)
    assert decisions.apply_setting("starter", NOW) == decisions.champion() == "auto-1"
    assert decisions.apply_setting("mine", NOW) == decisions.champion() == "mine"
    rows = decisions.newest_first()
    assert [row.verdict for row in rows] == ["set", "promoted", "set"]
    assert (rows[0].reason, rows[2].reason) == ("vidwatch.toml says so", "the model at the start")


def test_only_a_promotion_changes_the_champion(decisions: Decisions) -> None:
    decisions.apply_setting("starter", NOW)
    for decision in (OPEN, WORSE):
        decisions.conclude("auto-1", "starter", decision, NOW)
        assert decisions.champion() == "starter"
    decisions.conclude("auto-2", "starter", BETTER, NOW)
    assert decisions.champion() == "auto-2"


def test_a_comparison_with_a_former_champion_does_not_count(
    decisions: Decisions,
) -> None:
    decisions.apply_setting("starter", NOW)
    decisions.choose("mine", NOW)
    assert not decisions.conclude("auto-1", "starter", BETTER, NOW)
    assert decisions.champion() == "mine"


def test_a_training_ends_together_with_its_comparison(decisions: Decisions) -> None:
    decisions.apply_setting("starter", NOW)
    assert decisions.request_training("20 new labels", NOW) == "auto-1"
    training = decisions.requested_training()
    assert training
    decisions.begin(training, KnownLabels(20), NOW)
    assert (decisions.requested_training(), decisions.last_labels().label) == (None, 0)
    decisions.conclude("auto-1", "starter", WORSE, NOW, training)
    assert decisions.last_labels().label == 20


def test_one_training_is_requested_at_a_time(decisions: Decisions) -> None:
    assert (
        decisions.request_training("20 new labels", NOW)
        == decisions.request_training("vidwatch retrain", NOW)
        == "auto-1"
    )


def test_a_training_that_ended_with_the_daemon_is_done_again(decisions: Decisions) -> None:
    decisions.request_training("20 new labels", NOW)
    training = decisions.requested_training()
    assert training
    decisions.begin(training, KnownLabels(20), NOW)
    decisions.stop_all(NOW)
    assert decisions.last_labels().label == 0
    assert decisions.request_training("20 new labels", NOW, {"auto-2"}) == "auto-3"


def test_the_labels_of_a_failed_training_count_again(decisions: Decisions) -> None:
    decisions.request_training("20 new labels", NOW)
    training = decisions.requested_training()
    assert training
    decisions.begin(training, KnownLabels(20), NOW)
    assert decisions.last_failure() is None
    decisions.end(training, "failed", "signal 9", NOW)
    assert (decisions.last_labels().label, decisions.last_failure()) == (0, NOW)


def test_comparisons_are_counted_anew_with_each_champion(decisions: Decisions) -> None:
    decisions.apply_setting("starter", NOW)
    for decision in (OPEN, WORSE):
        decisions.conclude("auto-1", "starter", decision, NOW)
    assert decisions.count_comparisons() == 2
    decisions.conclude("auto-2", "starter", BETTER, NOW)
    assert decisions.count_comparisons() == 0


def test_a_champion_that_comes_back_keeps_its_count(decisions: Decisions) -> None:
    """By rollback, by promote, and by its path: the holdout was looked at all the same."""
    decisions.apply_setting("starter", NOW)
    decisions.conclude("auto-1", "starter", WORSE, NOW)
    decisions.conclude("auto-2", "starter", BETTER, NOW)
    decisions.roll_back(NOW)
    assert decisions.count_comparisons() == 2
    decisions.conclude("auto-3", "starter", OPEN, NOW)
    decisions.choose("auto-2", NOW)
    assert decisions.count_comparisons() == 0
    decisions.choose("/home/models/starter", NOW)
    assert decisions.count_comparisons() == 3


def test_the_former_champion_is_in_the_shadow_while_the_new_one_is_watched(
    decisions: Decisions,
) -> None:
    decisions.apply_setting("starter", NOW)
    decisions.conclude("auto-1", "starter", BETTER, NOW)
    assert (decisions.watched(), decisions.shadow()) == (None, None)
    decisions.conclude("auto-2", "auto-1", WATCHED, NOW)
    assert (decisions.watched().challenger, decisions.shadow()) == ("auto-2", "auto-1")
    decisions.conclude("auto-3", "auto-2", OPEN, NOW)
    assert decisions.shadow() == "auto-1"
    decisions.conclude("auto-1", "auto-2", Decision("refused", "it stays", {"watch": {}}), NOW)
    assert (decisions.watched(), decisions.shadow()) == (None, "auto-3")
    assert decisions.count_comparisons() == 1  # the end of a watch is no comparison
    assert decisions.champion() == "auto-2"


def test_what_was_worse_is_taken_back_unless_another_champion_has_come(
    decisions: Decisions,
) -> None:
    decisions.apply_setting("starter", NOW)
    decisions.conclude("auto-1", "starter", WATCHED, NOW)
    watched = decisions.watched()
    assert decisions.take_back(watched, "auto-1 was worse", {"n": 9}, NOW)
    assert (decisions.champion(), decisions.shadow()) == ("starter", None)
    row = decisions.newest_first()[0]
    assert (row.verdict, row.reason) == ("rolled back", "auto-1 was worse" + BY_ITSELF)
    decisions.choose("mine", NOW)
    assert not decisions.take_back(watched, "auto-1 was worse", {}, NOW)
    assert decisions.champion() == "mine"


def test_a_second_rollback_goes_further_back(decisions: Decisions) -> None:
    decisions.apply_setting("starter", NOW)
    for before, name in (("starter", "auto-1"), ("auto-1", "auto-2")):
        decisions.conclude(name, before, BETTER, NOW)
    assert decisions.roll_back(NOW) == ("auto-1", "auto-2")
    assert decisions.roll_back(NOW) == ("starter", "auto-1")
    with pytest.raises(VidwatchError, match="no model before 'starter'"):
        decisions.roll_back(NOW)
    decisions.choose("auto-2", NOW)
    assert decisions.roll_back(NOW) == ("starter", "auto-2")


def test_a_challenger_is_in_the_shadow_until_something_else_is_decided(
    decisions: Decisions,
) -> None:
    decisions.apply_setting("starter", NOW)
    assert decisions.undecided() is None
    decisions.conclude("auto-1", "starter", OPEN, NOW)
    row = decisions.undecided()
    assert (row.challenger, row.figures) == ("auto-1", {"n": 6})
    decisions.conclude("auto-2", "starter", WORSE, NOW)
    assert decisions.undecided() is None


def test_the_champion_cannot_be_chosen_again_and_no_model_before_the_first_start(
    decisions: Decisions,
) -> None:
    with pytest.raises(VidwatchError, match="start the daemon first"):
        decisions.choose("mine", NOW)
    decisions.apply_setting("starter", NOW)
    with pytest.raises(VidwatchError, match="is the champion already"):
        decisions.choose("starter", NOW)
