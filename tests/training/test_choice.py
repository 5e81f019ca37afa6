"""Which classes and clips a challenger learns, without a model being loaded."""

import sys
from typing import Any

import pytest

from daemon.training.choice import choose
from daemon.training.job import Job, LabelledFile
from learner.catalogue import STARTER, read_manifest
from learner.errors import VidwatchError

STARTER_MANIFEST = read_manifest(STARTER)
OWN = {
    "classes": ["a", "b"],
    "trained_on": [[f"{name}{n}", name, f"{name} {n}"] for name in "ab" for n in range(4)],
}


def file(sha256: str, label: str) -> LabelledFile:
    return LabelledFile("p", label, f"{label} of {sha256}", sha256, biased=False)


def files(label: str, count: int) -> list[LabelledFile]:
    return [file(f"{label} new {n}", label) for n in range(count)]


def job(
    training: list[LabelledFile],
    forgotten: list[str] | None = None,
    holdout: list[LabelledFile] | None = None,
) -> Job:
    return Job(
        challenger="x",
        champion="y",
        is_trained=False,
        recipe="head",
        device="auto",
        memory=1,
        cache=1,
        min_class_clips=3,
        training=tuple(training),
        holdout=tuple(holdout or ()),
        forgotten=tuple(forgotten or ()),
        comparison=1,
        rule={},
    )


def test_the_starters_classes_are_dropped_if_no_label_is_one_of_them() -> None:
    choice = choose(job([*files("a", 3), *files("b", 3)]), STARTER_MANIFEST)
    assert (choice.classes, choice.rehearsed) == ({"a", "b"}, frozenset())
    mixed = choose(job([*files("a", 3), *files("Biking", 1)]), STARTER_MANIFEST)
    assert mixed.classes == {"a", *STARTER_MANIFEST["classes"]}
    in_holdout = choose(job(files("a", 3), holdout=files("Biking", 1)), STARTER_MANIFEST)
    assert in_holdout.classes == mixed.classes


def test_the_starters_classes_are_dropped_by_a_later_training_too() -> None:
    """A champion has them from one wrong label, which was taken back."""
    trained_on = [*STARTER_MANIFEST["trained_on"], *OWN["trained_on"]]
    classes = [*STARTER_MANIFEST["classes"], *OWN["classes"]]
    mixed: dict[str, Any] = {"classes": classes, "trained_on": trained_on}
    assert choose(job([*files("a", 3), *files("b", 3)]), mixed).classes == {"a", "b"}


def test_a_class_whose_labels_were_all_taken_back_is_not_learned_again() -> None:
    gone = ["b0", "b1", "b2", "b3"]
    choice = choose(job(files("c", 3), forgotten=gone), OWN)
    assert choice.classes == {"a", "c"}
    assert choice.rehearsed == {"a0", "a1", "a2", "a3"}


def test_a_class_of_which_some_labels_were_taken_back_stays() -> None:
    assert choose(job(files("c", 3), forgotten=["b0", "b1"]), OWN).classes == {"a", "b", "c"}


def test_clips_that_are_stored_nowhere_are_an_error_that_says_how_to_go_on() -> None:
    with pytest.raises(VidwatchError) as error:
        choose(job(files("c", 3)), OWN, stored={"a0", "a1", "a2", "a3"})
    assert str(error.value) == (
        "the champion knows b, but of the clips that it learned these classes from, too few are "
        "stored for 'retrain' to learn from (head); label 3 clips of two recordings of each, or go "
        "on without them: 'vidwatch models promote starter', then 'vidwatch retrain'"
    )
    # Both ways out are ways out.
    labelled = choose(job([*files("c", 3), *files("b", 3)]), OWN, stored={"a0", "a1", "a2", "a3"})
    assert labelled.classes == {"a", "b", "c"}
    without = choose(job([*files("c", 3), *files("a", 3)]), STARTER_MANIFEST)
    assert without.classes == {"a", "c"}


def test_too_few_classes_are_an_error_that_says_what_each_lacks() -> None:
    with pytest.raises(VidwatchError) as error:
        choose(job([*files("a", 3), *files("b", 2)]), STARTER_MANIFEST)
    assert str(error.value) == (
        "fewer than two classes have 3 labelled clips of two recordings (min_class_clips); "
        "b: 2 of 3 clips to learn from"
    )
    with pytest.raises(VidwatchError, match="label clips of a second class"):
        choose(job(files("a", 3)), STARTER_MANIFEST)


def test_it_loads_nothing_heavy() -> None:
    import subprocess

    code = "import sys, daemon.training.choice; print('torch' in sys.modules, 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


@pytest.mark.parametrize(
    ("verdict", "figures", "is_offered"),
    [
        ("undecided", {"gains": 3, "losses": 1}, True),
        ("undecided", {"gains": 1, "losses": 1}, False),
        ("undecided", {"gains": 0, "losses": 0, "first": {"right": 8, "guessing": 5}}, True),
        ("refused", {"gains": 3, "losses": 1}, False),
    ],
)
def test_a_model_that_waits_and_is_ahead_can_be_taken_as_it_is(
    verdict: str, figures: dict[str, Any], *, is_offered: bool
) -> None:
    from daemon.training.trainer import offer

    assert ("'vidwatch models promote auto-2'" in offer(verdict, figures, "auto-2")) == is_offered
