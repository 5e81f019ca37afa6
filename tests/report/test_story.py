"""What `vidwatch show` says of a video's way: where it was, each attempt, each model, its copies."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome
from installed import VIDWATCH
from sqlalchemy import select

from daemon.database.records import Moved
from daemon.database.root import follow_home
from daemon.database.tables import happenings, models
from daemon.home.calibration import probabilities, read_calibration
from daemon.report.one_video import read_video
from learner.catalogue import starter_classes


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


def run(home: MadeHome, *arguments: str, **environment: str) -> str:
    variables = {**os.environ, "VIDWATCH_HOME": str(home.root), **environment}
    command = [VIDWATCH, "show", *arguments]
    return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout


def shown(home: MadeHome, video: int) -> Any:
    return json.loads(run(home, str(video), "--json"))


def befell(home: MadeHome, video: int) -> list[tuple[str, str | None, str | None]]:
    return [(one["what"], one["text"], one["path"]) for one in shown(home, video)["happenings"]]


@pytest.mark.slow
def test_the_way_of_a_file_is_told(home: MadeHome) -> None:
    video = home.arrive("a.avi")
    home.put("classified/Biking/a.avi", "another")
    home.predict()
    home.queue.moves(home.now)
    home.queue.redirect(
        video,
        bytes(home.root / "classified/Biking/a.avi"),
        bytes(home.root / "classified/Biking/a-2.avi"),
    )
    (move,) = home.queue.moves(home.now)
    target = Path(os.fsdecode(move.destination))
    home.path(video).rename(target)
    home.queue.moved({video: Moved(bytes(target), move.destination)}, home.now)
    home.give_label(video, "Skiing")
    report = shown(home, video)
    assert report["came_from"] == "inbox"
    assert report["destination"] == str(home.root / "labelled/Skiing/a-2.avi")
    home.file()
    places = [home.inbox / "a.avi", home.root / "classified/Biking/a-2.avi"]
    assert befell(home, video) == [("moved", None, str(place)) for place in places]
    led_to = [one["to"] for one in shown(home, video)["happenings"]]
    assert led_to == [str(places[1]), str(home.path(video))]
    text = run(home, str(video))
    assert "What befell it" in text
    assert f"from {places[0]} to {places[1]}" in " ".join(text.split())


@pytest.mark.slow
def test_an_ordinary_video_has_no_row_of_its_own(home: MadeHome) -> None:
    video = home.arrive("cam1/a.avi")
    home.predict_and_file()
    assert home.rows(happenings) == []
    assert shown(home, video)["seconds_taken"] == 0


@pytest.mark.slow
def test_each_trouble_crash_and_failure_is_told_once(home: MadeHome) -> None:
    video = home.arrive("a.avi")
    for _ in range(3):
        home.claim()
        home.queue.postpone([video], "the disk is full", home.now)
        for _ in range(20):
            home.tick()
    home.claim()
    home.queue.hold(video, home.tick(), "it may not be whole")
    home.tick()
    for _ in range(2):
        home.claim()
        home.queue.count_crash(video, "its decoder crashed", home.now)
        home.tick()
    report = shown(home, video)
    assert (report["attempts"], report["trouble"]) == (2, "its decoder crashed")
    assert "crashes" in run(home, str(video))
    home.claim()
    home.queue.fail(video, "no video", home.folders.failed(home.row(video)["path"]), home.now)
    place = str(home.inbox / "a.avi")
    assert befell(home, video) == [
        ("trouble", "the disk is full", None),
        ("held", "it may not be whole", None),
        ("trouble", "its decoder crashed", None),
        ("trouble", "its decoder crashed", None),
        ("failed", "no video", place),
    ]


@pytest.mark.of_sqlite
def test_a_home_that_is_moved_moves_no_video(home: MadeHome, tmp_path: Path) -> None:
    home.arrive("a.avi")
    home.predict_and_file()
    follow_home(home.engine, home.root)
    follow_home(home.engine, tmp_path / "elsewhere")
    assert home.row(1)["path"].startswith(bytes(tmp_path / "elsewhere"))
    assert home.rows(happenings) == []


@pytest.mark.slow
def test_labels_say_who_took_them_back_and_copies_are_named(home: MadeHome) -> None:
    first, second = home.arrive("a.avi", "same"), home.arrive("b.avi", "same")
    home.predict_and_file()
    home.give_label(first, "Skiing")
    home.labels.undo([first], "page", "bob", home.tick())
    report = shown(home, second)
    given = report["labels"][1]
    assert (given["class"], given["who"], given["taken_back_by"]) == ("Skiing", "ann", "bob")
    assert [(one["id"], one["name"]) for one in report["copies"]] == [(first, "a.avi")]
    text = run(home, str(first))
    assert "taken back by bob" in text
    assert "The same content" in text
    assert "b.avi" in text


@pytest.mark.slow
def test_each_model_has_bars_of_its_probabilities(home: MadeHome) -> None:
    classes = sorted(starter_classes())
    home.classes = classes
    video = home.arrive("a.avi")
    logits = [8.0 if name == "Skiing" else 7.0 if name == "Biking" else 0.0 for name in classes]
    calibration = read_calibration(home.home, "starter")
    assert calibration is not None
    found = probabilities(logits, calibration)
    best = found[classes.index("Skiing")]
    home.predict(home.model_prediction("Skiing", best, logits))
    with home.engine.begin() as connection:
        (one,) = read_video(connection, video, home.home).predictions
    assert one.probabilities is not None
    assert list(one.probabilities)[:2] == ["Skiing", "Biking"]
    assert sum(one.probabilities.values()) == pytest.approx(1)
    for columns in ("20", "80"):
        text = run(home, str(video), COLUMNS=columns)
        assert "Probabilities by starter" in text
        assert f"{best:.1%}" in text
        assert "█" in text
    with home.writing() as connection:
        connection.execute(models.update().values(name="gone"))
        assert connection.scalar(select(models.c.name)) == "gone"
    with home.engine.begin() as connection:
        assert read_video(connection, video, home.home).predictions[0].probabilities is None


@pytest.mark.slow
def test_a_home_of_one_machine_names_none(home: MadeHome) -> None:
    video = home.arrive("a.mp4")
    home.predict_and_file()
    (predicted,) = shown(home, video)["predictions"]
    assert "machine" not in predicted
