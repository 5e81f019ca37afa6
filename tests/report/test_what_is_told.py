"""What a person is told of the model, of strange clips, and of what to label next."""

import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from homes import START, MadeHome
from rich.console import Console
from tiny import cache as cache
from tiny import class_folders, trained_on

from daemon.labels.enough import ONE_GROUP
from daemon.labels.next_clips import next_clips
from daemon.report.next_training import in_brief, in_words, suggestions, to_json
from daemon.report.status import read_status
from daemon.report.tables import render
from daemon.training.decisions import Decisions
from daemon.training.forecast import Forecast


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    with closing(MadeHome(tmp_path / "home")) as home:
        yield home


def shown(home: MadeHome) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    console.print(render(read_status(home.home, START), START))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def recent(home: MadeHome) -> list[dict[str, Any]]:
    status = json.loads(json.dumps(read_status(home.home, START).to_json()))
    return status["recent"]  # type: ignore[no-any-return]


def test_predictions_of_the_starter_are_marked_once_own_classes_are_labelled(
    home: MadeHome,
) -> None:
    home.arrive("a.avi")
    video = home.arrive("labelled.avi")
    home.predict_and_file()
    assert [(row["model"], row["starter"]) for row in recent(home)] == [("starter", False)] * 2
    assert "starter, " not in shown(home)
    home.give_label(video, "disc")
    home.classes = ["bar", "disc"]
    home.arrive("b.avi")
    home.predict_and_file(home.model_prediction("disc", model=home.register("auto-1")))
    by_starter = {row["name"] for row in recent(home) if row["starter"]}
    assert by_starter == {"a.avi", "labelled.avi"}
    marked = [line.split()[1] for line in shown(home).splitlines() if "starter, " in line]
    assert marked == ["a.avi"]  # of the other, what the person said is shown
    home.give_label(video, "Skiing")  # one of the starter's
    assert "starter, " not in shown(home)


@pytest.mark.parametrize(
    ("familiarity", "words"),
    [
        (None, ""),
        (0.6, ""),
        (0.03, "looks stranger than 97 of 100 known clips"),
        (0.0, "looks stranger than every known clip"),
    ],
)
def test_a_clip_that_looks_strange_is_told_in_words(
    home: MadeHome, familiarity: float | None, words: str
) -> None:
    home.arrive("a.avi")
    prediction = home.model_prediction()
    with_it = type(prediction)(**{**vars(prediction), "familiarity": familiarity})
    home.predict_and_file(with_it)
    assert [row["familiarity"] for row in recent(home)] == [familiarity]
    assert ("stranger" in shown(home)) == bool(words)
    assert words in shown(home)


@pytest.mark.slow
@pytest.mark.of_sqlite
def test_status_shows_the_threshold_of_the_target_and_what_stays_automatic(
    home: MadeHome, tmp_path: Path, cache: Path
) -> None:
    made = trained_on(class_folders(tmp_path / "clips"), home.home.model("mine"))
    Decisions(home.engine).apply_setting("mine", START)
    assert read_status(home.home, START).unsure_rule is None
    home.write_settings("unsure_target = 0.02\n")
    manifest = made.path.with_suffix(".json")
    document = json.loads(manifest.read_text())
    document["measured"].pop("automatic", None)
    manifest.write_text(json.dumps(document))
    assert "unsure_below (0.5) counts until a newer model is the champion" in shown(home)
    document["measured"] |= {"automatic": [[0.0, 1.0, 0.1], [0.8, 0.75, 0.01]], "n": 400}
    manifest.write_text(json.dumps(document))
    assert "unsure below 80.0%: 75.0% of the clips stay automatic" in shown(home)
    rule = read_status(home.home, START).to_json()["unsure_rule"]
    assert (rule["below"], rule["share"], rule["wrong"]) == (0.8, 0.75, 0.01)
    home.write_settings("unsure_target = 0.001\n")
    assert "all are unsure" in shown(home)


# What to label next


def forecast(**short: str) -> Forecast:
    return Forecast(new=3, needed=20, short=short, enough=("bar", "box"))


def test_the_next_labels_are_of_short_classes_then_of_uncertain_clips(home: MadeHome) -> None:
    home.classes = ["bar", "disc"]
    sure = home.arrive("sure.avi")
    home.predict_and_file(home.model_prediction("bar", 0.9))
    unsure = home.arrive("unsure.avi")
    home.predict_and_file(home.model_prediction("bar", 0.4), unsure="probability")
    of_short = home.arrive("disc.avi")
    home.predict_and_file(home.model_prediction("disc", 0.95))
    with home.engine.begin() as connection:
        found = suggestions(connection, forecast(disc="1 of 3 clips to learn from"))
        clips = next_clips(connection, ["disc"], 2)
        assert len(suggestions(connection, forecast(disc="x"), most=2)) == 2
    assert [(one.class_name, one.video) for one in found] == [
        ("disc", None),
        (None, of_short),
        (None, unsure),
        (None, sure),
    ]
    assert [clip.id for clip in clips] == [of_short, unsure]


def test_a_clip_whose_file_is_gone_is_not_suggested(home: MadeHome) -> None:
    home.arrive("gone.avi")
    home.predict_and_file(home.model_prediction(probability=0.3))
    there = home.arrive("there.avi")
    home.predict_and_file(home.model_prediction(probability=0.4))
    (home.root / "classified/Biking/gone.avi").unlink()
    with home.engine.begin() as connection:
        assert [clip.id for clip in next_clips(connection, [], 1)] == [there]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            Forecast(20, 20, {}, ("disc",)),
            "no training yet: 2 classes are needed to tell apart, and there is 1 labelled class",
        ),
        (
            Forecast(20, 20, {"bar": "1 of 3 clips to learn from"}, ("disc",)),
            "no training yet: bar has 1 of 3 clips to learn from",
        ),
        (
            Forecast(3, 3, {"bar": ONE_GROUP}, ("disc",)),
            f"no training yet: bar has {ONE_GROUP}; "
            "'vidwatch groups' shows how to tell the recordings of a camera apart",
        ),
        (
            Forecast(0, 1, {}, ("bar", "disc")),
            "0 of the 1 new label that starts the next training",
        ),
        (
            Forecast(3, 20, {}, ("bar", "disc")),
            "3 of the 20 new labels that start the next training",
        ),
        (
            Forecast(20, 20, {}, ("bar", "disc"), why="20 new labels"),
            "the next training begins when no label has come for a few seconds: 20 new labels",
        ),
        (
            Forecast(3, 20, {}, ("bar", "disc"), removed=1),
            "3 of the 20 new labels that start the next training, and 1 label taken back",
        ),
        (
            Forecast(0, 20, {"bar": "1 of 3 clips to learn from"}, ("disc",), unread=11),
            "11 labelled clips to be read before the next training",
        ),
        (
            Forecast(20, 20, {}, ("bar", "disc"), unread=1, in_training="auto-1"),
            "auto-1 is being trained: 'vidwatch status' shows how far it is",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_wording(found: Forecast, text: str) -> None:
    assert in_words(found) == text
    assert text.startswith(in_brief(found))
    assert to_json(found, [])["text"] == text
    assert found.is_due == text.startswith("the next training begins")
