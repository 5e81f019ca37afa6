"""Videos in which little moves are listed, the stillest first, until they are labelled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.database.records import ModelPrediction
from daemon.labels.still import still_videos
from learner.classes import EMPTY


def predicted(home: MadeHome, name: str, movement: float | None, content: str = "") -> int:
    video = home.arrive(name, content or name)
    home.predict_and_file(movement=movement)
    return video


def listed(home: MadeHome, most: int = 20) -> list[str]:
    with home.engine.begin() as connection:
        return [video.name for video in still_videos(connection, most)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


@pytest.mark.slow
def test_the_stillest_come_first_and_those_with_a_label_do_not_come(home: MadeHome) -> None:
    predicted(home, "busy.avi", 0.5)
    still = predicted(home, "still.avi", 0.001)
    predicted(home, "calm.avi", 0.02)
    predicted(home, "old.avi", None)
    predicted(home, "copy.avi", 0.001, "still.avi")
    assert listed(home) == ["still.avi", "calm.avi", "busy.avi"]
    assert listed(home, 1) == ["still.avi"]
    home.give_label(still, EMPTY)
    home.file()
    assert listed(home) == ["calm.avi", "busy.avi"]
    assert home.place(still) == f"labelled/{EMPTY}/still.avi"


def test_a_file_that_is_gone_is_not_listed(home: MadeHome) -> None:
    video = predicted(home, "a.avi", 0.1)
    home.path(video).unlink()
    assert listed(home) == []


def test_a_video_that_is_predicted_to_be_empty_is_filed_as_such(home: MadeHome) -> None:
    video = home.arrive("a.avi")
    model = home.register("with-empty", [EMPTY, "Skiing"])
    home.predict_and_file(ModelPrediction(model, EMPTY, 0, 0.9, [2.0, 0.0]))
    assert home.place(video) == f"classified/{EMPTY}/a.avi"
