"""Models of different classes side by side: the champion's, and those of sources."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_in_place import Lab
from test_pipeline import Brightness
from test_pipeline import decoders as decoders

from daemon.classify.decoding import Decoders
from daemon.classify.pipelines import Pipelines
from daemon.database.due import Which
from daemon.database.sources import follow_sources
from daemon.database.tables import predictions
from daemon.home.folders import Folders
from daemon.home.sources import Source
from daemon.labels.groups import labelled_groups
from daemon.labels.queries import new_since
from daemon.training.holdout import labelled_videos


class Zoo(Lab):
    """A home with a source whose videos a model of its own predicts."""

    def __init__(self, root: Path, decoders: Decoders, outside: Path) -> None:
        super().__init__(root, decoders, outside)
        source = Source(bytes(outside / "barn"), "barn", model="owls")
        self.folders = Folders(self.root, sources=[source])
        self.owls = self.register("owls")
        champion = self.made_pipeline(self.folders)
        settings = replace(self.pipeline_settings(), model="owls")
        predictor = replace(self.predictor, predict=Brightness(), model_id=self.owls)
        of_source = type(champion)(self.queue, self.predictions, predictor, self.folders, settings)
        self.pipelines = Pipelines(champion, [of_source])

    def run(self) -> None:
        while self.pipelines.step(self.tick()):
            pass

    def models(self) -> dict[str, int]:
        names = {row.id: row.name for row in self.rows()}
        return {names[row.video_id]: row.model_id for row in self.rows(predictions)}


@pytest.fixture
def zoo(tmp_path: Path, decoders: Decoders) -> Iterator[Zoo]:
    (tmp_path / "outside").mkdir()
    zoo = Zoo(tmp_path / "home", decoders, tmp_path / "outside")
    yield zoo
    zoo.close()


def test_each_video_is_predicted_by_the_model_of_its_source(zoo: Zoo) -> None:
    for number in range(6):
        zoo.drop(f"in{number}.avi", shade=number)
        zoo.arrive_from(zoo.folders, zoo.film(f"barn/owl{number}.avi", shade=180 + number))
    zoo.run()
    assert zoo.models() == {
        **{f"in{number}.avi": zoo.model for number in range(6)},
        **{f"owl{number}.avi": zoo.owls for number in range(6)},
    }
    assert {row.state for row in zoo.rows()} == {"filed"}


def test_work_that_could_not_be_written_is_done_again_once(zoo: Zoo) -> None:
    for number in range(3):
        zoo.drop(f"in{number}.avi", shade=number)
        zoo.arrive_from(zoo.folders, zoo.film(f"barn/owl{number}.avi", shade=180 + number))
    zoo.pipelines.step(zoo.tick())
    zoo.pipelines.start_over()
    zoo.run()
    assert len(zoo.models()) == 6
    assert len(zoo.rows(predictions)) == 6


def test_labels_of_a_source_with_a_model_of_its_own_train_no_champion(zoo: Zoo) -> None:
    zoo.drop("in.avi")
    zoo.arrive_from(zoo.folders, zoo.film("barn/owl.avi", shade=180))
    zoo.run()
    for video in (1, 2):
        zoo.give_label(video, "dark" if video == 1 else "owl")
    with zoo.engine.begin() as connection:
        assert [video.class_name for video in labelled_videos(connection)] == ["dark"]
        assert set(labelled_groups(connection).classes.values()) == {"dark"}
        assert [tuple(row) for row in connection.execute(new_since(0))] == [("dark", 1)]


@pytest.mark.slow
def test_queued_videos_follow_the_model_that_their_source_has_now(zoo: Zoo) -> None:
    def follow(model: str | None) -> None:
        source = Source(bytes(zoo.outside / "barn"), "barn", model=model)
        follow_sources(zoo.engine, Folders(zoo.root, sources=[source]), zoo.now)

    zoo.arrive_from(zoo.folders, zoo.film("barn/owl.avi", shade=180))
    assert zoo.queue.claim(9, zoo.now) == []
    follow("mice")
    assert zoo.queue.claim(9, zoo.now) == zoo.queue.claim(9, zoo.now, Which("owls")) == []
    assert [video.id for video in zoo.queue.claim(9, zoo.now, Which("mice"))] == [1]
    zoo.queue.recover()
    follow(None)
    assert [video.id for video in zoo.queue.claim(9, zoo.now)] == [1]
    zoo.queue.recover()
    follow("owls")
    assert [video.id for video in zoo.queue.claim(9, zoo.now, Which("owls"))] == [1]
