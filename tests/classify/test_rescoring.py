from pathlib import Path

import pytest
from lab import Lab
from lab import champion as champion
from lab import lab as lab
from sqlalchemy import select, update
from tiny import untouchable_gpu as untouchable_gpu

from daemon.classify.rescoring import Rescored, rescore
from daemon.database.records import ModelPrediction, WindowPrediction
from daemon.database.tables import models, predictions, videos
from daemon.database.windows import add_windows, windows_of
from daemon.page.cards import read_cards
from daemon.report.status import read_status
from learner.cache import Cache
from learner.checkpoint import load, save
from learner.errors import VidwatchError


def again(lab: Lab, name: str | None = "auto-1") -> Rescored:
    return rescore(lab.home, lab.engine, name, Cache(), lab.now, lambda done, of: None)


def later_model(lab: Lab) -> None:
    """Save a model that predicts bright for dark clips, and dark for bright ones."""
    tiny = load(lab.home.model("tiny"))
    tensors = {
        name: -value if name.split(".")[:2] in (["head", "linear"], ["head", "skip"]) else value
        for name, value in tiny.tensors.items()
    }
    save(lab.home.model("auto-1"), tiny.manifest, tensors)


@pytest.mark.slow
def test_a_later_models_predictions_stand_beside_the_first_ones_and_no_file_moves(lab: Lab) -> None:
    ids = [lab.clip("bright", 1), lab.clip("dark", 1)]
    later_model(lab)
    before = sorted(path for path in lab.home.root.rglob("*.avi"))
    assert again(lab) == Rescored("auto-1", 2, 2, 0)
    query = select(predictions.c.video_id, predictions.c.kind, predictions.c["class"]).order_by(
        predictions.c.id
    )
    with lab.engine.begin() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    assert rows == [
        (ids[0], "answer", "bright"),
        (ids[1], "answer", "dark"),
        (ids[0], "rescored", "dark"),
        (ids[1], "rescored", "bright"),
    ]
    assert sorted(path for path in lab.home.root.rglob("*.avi")) == before
    assert again(lab) == Rescored("auto-1", 0, 0, 0)  # each video once


def test_what_the_champion_says_later_is_shown_but_of_no_clip_that_is_blind(lab: Lab) -> None:
    ids = [lab.clip("bright", 1), lab.clip("dark", 1)]
    later_model(lab)
    again(lab)
    assert [video.later for video in read_status(lab.home, lab.now).recent] == [None, None]
    lab.history.choose("auto-1", lab.now)
    recent = read_status(lab.home, lab.now).recent
    later = {video.id: video.later.class_name for video in recent if video.later}
    assert later == {ids[0]: "dark", ids[1]: "bright"}
    with lab.engine.execution_options(writes=True).begin() as connection:
        connection.execute(update(videos).where(videos.c.id == ids[0]).values(sampled=True))
        cards = read_cards(connection, lab.home, ids)
    assert [(card.is_blind, card.later is None) for card in cards] == [(True, True), (False, False)]


@pytest.mark.slow
def test_stored_features_are_used_if_the_file_is_gone(lab: Lab) -> None:
    first, second = lab.clip("bright", 1), lab.clip("dark", 2)
    later_model(lab)
    assert again(lab).predicted == 2  # which stores them
    other = load(lab.home.model("auto-1"))
    save(
        lab.home.model("auto-2"),
        other.manifest,
        {**other.tensors, "head.linear.bias": other.tensors["head.linear.bias"] + 1},
    )
    third = lab.clip("dark", 3, number=9)
    with lab.engine.begin() as connection:
        for video in (first, second, third):
            Path(
                connection.execute(select(videos.c.path).where(videos.c.id == video))
                .scalar_one()
                .decode()
            ).unlink()
    assert again(lab, "auto-2") == Rescored("auto-2", 2, 2, 1)


def test_a_missing_model_is_named_in_the_error(lab: Lab) -> None:
    with pytest.raises(VidwatchError, match="none"):
        again(lab, "none")


def test_it_runs_on_the_device_of_the_settings_or_on_the_one_that_is_asked_for(
    lab: Lab, untouchable_gpu: None
) -> None:
    lab.clip("bright", 1)
    later_model(lab)
    with pytest.raises(AssertionError, match="the GPU is used"):
        again(lab)
    lab.write_settings('device = "cpu"\n')
    assert again(lab) == Rescored("auto-1", 1, 1, 0)


def test_a_video_that_has_windows_gets_windows_of_the_later_model(lab: Lab) -> None:
    long, short = lab.clip("bright", 1), lab.clip("dark", 1)
    lab.write_settings('windows = "0.5"\n')
    first = WindowPrediction(long, 0, 0.0, 0.5, ModelPrediction(lab.model, "bright", 0, 0.9, []), 4)
    with lab.writing() as connection:
        add_windows(connection, [first], lab.now)
    later_model(lab)
    assert again(lab) == Rescored("auto-1", 2, 2, 0)
    with lab.engine.begin() as connection:
        query = select(models.c.id).where(models.c.name == "auto-1")
        later = windows_of(connection, long, connection.execute(query).scalar_one())
        assert windows_of(connection, short, 2) == []
        assert [(one.number, one.start) for one in later] == [
            (number, number / 2) for number in range(len(later))
        ]
        kind = predictions.c.kind == "rescored"
        of_video = select(predictions).where(kind, predictions.c.video_id == long)
        row = connection.execute(of_video).mappings().one()
    means = [
        sum(column) / len(later)
        for column in zip(*(one.prediction.logits for one in later), strict=True)
    ]
    assert row["logits"] == pytest.approx(means, abs=1e-4)


def test_a_stop_costs_no_long_video_whose_windows_are_all_predicted(lab: Lab) -> None:
    ids = [lab.clip("bright", number) for number in range(3)]
    lab.write_settings('windows = "0.5"\n')
    prediction = ModelPrediction(lab.model, "bright", 0, 0.9, [])
    with lab.writing() as connection:
        own = [WindowPrediction(video, 0, 0.0, 0.5, prediction, 4) for video in ids]
        add_windows(connection, own, lab.now)
    later_model(lab)

    def stop(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rescore(lab.home, lab.engine, "auto-1", Cache(), lab.now, stop)
    rescored = [row.video_id for row in lab.rows(predictions) if row.kind == "rescored"]
    assert rescored == ids[:2]
    assert again(lab) == Rescored("auto-1", 1, 1, 0)
