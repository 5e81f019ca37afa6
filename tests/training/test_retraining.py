"""Training by itself, with real labels in a real database and a real process that trains."""

import json
import os
import signal
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lab import SETTINGS, SHADES, TINY, Lab
from lab import champion as champion
from lab import lab as lab
from sqlalchemy import select
from tiny import ARGS, SPEC, class_folders
from tiny import untouchable_gpu as untouchable_gpu

from daemon.database.tables import videos
from daemon.labels.labels import Label, Source
from daemon.report.next_training import in_words
from daemon.training.forecast import count_new_labels, forecast
from daemon.training.holdout import labelled_videos
from daemon.training.job import Job
from daemon.training.records import Decision, KnownLabels, Training
from daemon.training.retraining import Retraining, request
from daemon.training.trainer import answer, choose_clips, head_recipe, work
from learner.catalogue import manifest_path
from learner.checkpoint import TrainingClip
from learner.classifier import Classifier
from learner.dataset import LabelledClip, find_clips
from learner.errors import PassingError, VidwatchError

WHOLE = """
about = "a small network that learns as a whole"
start = "scratch"
[clip]
frames = 4
size = 32
[network]
backbone = "custom_2conv"
hidden = 8
[training]
freeze = false
folds = 0
epochs = 2
batch = 4
"""


def test_after_enough_new_labels_a_model_that_knows_a_new_class_takes_over_by_itself(
    lab: Lab,
) -> None:
    for label in SHADES:
        lab.label(label, range(10, 75))
    lab.tend(lab.decided)
    decision, first = lab.history.newest_first()
    assert (decision.verdict, decision.challenger, decision.champion) == (
        "promoted",
        "auto-1",
        "tiny",
    ), decision
    assert lab.history.champion() == "auto-1"
    assert first.verdict == "set"
    manifest = json.loads((lab.home.models / "auto-1.json").read_text())
    assert manifest["classes"] == ["bright", "dark", "grey"]
    trained_on = {label for _, label, _ in manifest["trained_on"]}
    assert trained_on == {"bright", "dark", "grey"}
    assert [row.state for row in lab.trainings()] == ["trained"]
    held_out = json.loads((lab.home.models / "auto-1.run/held_out.json").read_text())
    assert len(held_out["classes"]) == 3
    assert "XDG" not in (lab.home.models / "auto-1.run/log.txt").read_text()


@pytest.mark.slow
def test_a_champion_that_is_right_on_all_of_too_few_clips_stays_and_asks_for_no_more(
    lab: Lab,
) -> None:
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.tend(lab.decided)
    decision = lab.history.newest_first()[0]
    assert (decision.verdict, lab.history.champion()) == ("undecided", "tiny"), decision
    assert decision.figures["next"].startswith("The champion is right on 12 of 12 clips, and stays")
    assert lab.history.undecided().challenger == "auto-1"


@pytest.mark.slow
def test_a_challenger_learns_from_the_frames_that_the_daemon_reads(lab: Lab) -> None:
    lab.retraining = Retraining(
        lab.home, SETTINGS.model_copy(update={"exact_frames": True}), lab.history
    )
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.tend(lab.decided)
    settings = json.loads((lab.home.models / "auto-1.run/settings.json").read_text())
    assert settings["recipe"]["clip"]["exact"] is True


def test_no_training_begins_while_the_daemon_rests(lab: Lab) -> None:
    rests = True
    lab.retraining = Retraining(lab.home, SETTINGS, lab.history, may_begin=lambda: not rests)
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    for _ in range(5):
        lab.idle()
    assert lab.trainings() == []
    rests = False
    lab.tend(lambda: [row.state for row in lab.trainings()] == ["training"])


@pytest.mark.parametrize("file", ["tiny", "tiny.json", "tiny.safetensors"])
def test_the_setting_may_name_the_model_by_either_of_its_files(lab: Lab, file: str) -> None:
    lab.history.apply_setting(str(lab.home.models / file), lab.now)
    lab.label("bright", range(10, 12))
    assert forecast(lab.engine, lab.home, SETTINGS).new == 2
    learned, holdout, _ = lab.retraining._clips(lab.now)
    assert len(learned) + len(holdout) == 2


@pytest.mark.slow
def test_shuffled_labels_make_a_challenger_that_is_refused(lab: Lab) -> None:
    """The training labels are swapped; those of the holdout are right."""
    lab.label("bright", range(10, 50))
    lab.label("dark", range(10, 50))
    learned = lab.retraining._clips(lab.now).training
    other = {"bright": "dark", "dark": "bright"}
    with lab.engine.begin() as read:
        ids = dict(read.execute(select(videos.c.sha256, videos.c.id)).all())  # type: ignore[arg-type]
    lab.labels.add(
        [Label(ids[c.sha256], "labelled", other[c.class_name]) for c in learned],
        "csv",
        "bob",
        lab.now,
    )
    lab.tend(lab.decided)
    decision = lab.history.newest_first()[0]
    assert (decision.verdict, lab.history.champion()) == ("refused", "tiny"), decision.reason


def kill_the_next_training(lab: Lab) -> None:
    lab.tend(lambda: lab.retraining._running)
    assert lab.retraining._running
    os.kill(lab.retraining._running.process.pid, signal.SIGKILL)
    lab.tend(lambda: not lab.retraining._running)


def test_a_trainer_that_is_killed_costs_the_run_and_nothing_else(lab: Lab) -> None:
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    kill_the_next_training(lab)
    (row,) = lab.trainings()
    assert (row.state, lab.history.champion()) == ("failed", "tiny")
    assert "signal 9" in row.error


def test_a_failed_training_is_tried_again_once_then_waits_for_a_label_or_a_person(
    lab: Lab,
) -> None:
    """Its labels count again, but the same ones are not tried for ever."""
    patient = SETTINGS.model_copy(update={"retrain_check_minutes": 600})
    lab.retraining = Retraining(lab.home, patient, lab.history)
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    kill_the_next_training(lab)
    failed_at = lab.now
    coming = forecast(lab.engine, lab.home, SETTINGS)
    assert (coming.new, coming.failed, coming.is_due) == (12, 1, True)
    assert in_words(coming) == "the training that failed is tried again 10 minutes after its end"
    kill_the_next_training(lab)
    assert [row.state for row in lab.trainings()] == ["failed", "failed"]
    waited = lab.trainings()[1].asked_at - failed_at
    assert timedelta(minutes=9) <= waited <= timedelta(minutes=11)
    coming = forecast(lab.engine, lab.home, SETTINGS)
    assert (coming.new, coming.failed, coming.is_due) == (12, 2, False)
    assert "waits for another label, or for 'vidwatch retrain'" in in_words(coming)
    lab.idle()
    assert len(lab.trainings()) == 2
    lab.label("bright", range(16, 17))
    assert forecast(lab.engine, lab.home, SETTINGS).is_due
    assert request(lab.engine, lab.home, SETTINGS, lab.now) == "asked for: auto-3"


def test_a_training_that_cannot_be_begun_is_shown_until_it_can(lab: Lab) -> None:
    notices: list[str | None] = []
    lab.retraining = Retraining(lab.home, SETTINGS, lab.history, notices.append)
    manifest = manifest_path(lab.home.model("tiny"))
    kept = manifest.rename(manifest.with_suffix(".kept"))
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.idle()
    assert notices
    assert "tiny.json" in (notices[-1] or "")
    assert "is tried again" in (notices[-1] or "")
    assert lab.trainings() == []
    kept.rename(manifest)
    lab.tend(lambda: lab.trainings())
    assert notices[-1] is None


def test_a_training_that_failed_while_the_clock_was_ahead_is_tried_again_in_minutes(
    lab: Lab,
) -> None:
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    ahead = lab.now + timedelta(days=3650)
    lab.history.request_training("a test", ahead)
    training = lab.history.requested_training()
    assert training
    lab.history.begin(training, KnownLabels(12), ahead)
    lab.history.end(training, "failed", "no memory", ahead)
    lab.retraining.tend(ahead)
    for _ in range(12):
        lab.now += timedelta(minutes=1)
        lab.retraining.tend(lab.now)
    assert [row.name for row in lab.trainings()] == ["auto-1", "auto-2"]


@pytest.mark.slow
def test_a_training_that_takes_too_long_is_ended(lab: Lab) -> None:
    lab.retraining._settings = SETTINGS.model_copy(update={"training_minutes": 0.01})
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.tend(lambda: lab.trainings() and lab.trainings()[0].state == "failed")
    assert "took longer than 0.01 minutes (training_minutes)" in lab.trainings()[0].error


@pytest.mark.parametrize(("source", "pause"), [("page", 5), ("folder", 5), ("csv", 1)])
def test_a_training_begins_when_no_label_has_come_for_a_while(
    lab: Lab, source: Source, pause: float
) -> None:
    """People label in bursts; a table comes as a whole."""
    lab.label("bright", range(10, 20), source=source)
    lab.retraining.tend(lab.now)
    lab.now += timedelta(seconds=pause - 0.5)
    lab.retraining.tend(lab.now)
    assert lab.trainings() == []
    lab.now += timedelta(seconds=1)
    lab.retraining.tend(lab.now)
    assert [(row.why, row.state) for row in lab.trainings()] == [("10 new labels", "training")]


@pytest.mark.slow
def test_a_class_with_too_few_clips_waits_and_its_labels_do_not_count(lab: Lab) -> None:
    lab.label("bright", range(10, 15))
    lab.label("grey", range(10, 12))
    lab.label("dark", range(10, 11), clips=4, as_class="black")
    with lab.engine.begin() as read:
        found = count_new_labels(read, SETTINGS, KnownLabels(0), TINY)
    assert (found.new, found.is_due) == (5, False)
    assert found.short == {
        "grey": "2 of 3 clips to learn from",
        "black": "all of one group: one more recording is needed",
    }


def test_without_labels_nothing_is_trained(lab: Lab) -> None:
    lab.idle()
    assert lab.trainings() == []
    with pytest.raises(VidwatchError, match=r"no labels to learn from: put clips into labelled/"):
        request(lab.engine, lab.home, SETTINGS, lab.now)
    lab.put_video("labelled/dark/unseen.avi")
    with pytest.raises(VidwatchError, match="reads the clips in labelled/: start it with"):
        request(lab.engine, lab.home, SETTINGS, lab.now)


def test_a_challenger_without_a_class_that_has_labels_again_does_not_take_over(lab: Lab) -> None:
    for label in ("bright", "dark"):
        lab.label(label, range(10, 16))
    manifest = json.loads((lab.home.models / "tiny.json").read_text())
    manifest["classes"] = ["bright", "dark", "grey"]
    (lab.home.models / "tiny.json").write_text(json.dumps(manifest))
    promoted = Decision("promoted", "It drops dark.", {"able": 0})
    assert lab.retraining.without_loss(promoted, "tiny", "tiny") == promoted
    del manifest["classes"][1]
    (lab.home.models / "auto-1.json").write_text(json.dumps(manifest))
    decision = lab.retraining.without_loss(promoted, "auto-1", "tiny")
    assert decision.verdict == "refused"
    assert decision.reason.startswith("It does not know dark, which has labels again")


@pytest.mark.slow
def test_a_challenger_whose_checkpoint_is_damaged_is_refused_when_it_is_compared_again(
    lab: Lab,
) -> None:
    lab.label("bright", range(10, 20))
    open_question = Decision("undecided", "too few", {"able": 0, "missing": {"clips": 1}})
    lab.history.conclude("auto-1", "tiny", open_question, lab.now)
    lab.history.request_training("10 new labels", lab.now)
    training = lab.history.requested_training()
    assert training
    lab.history.begin(training, KnownLabels(10**6), lab.now)
    lab.history.end(training, "failed", "for this test", lab.now)
    (lab.home.models / "auto-1.json").write_text((lab.home.models / "tiny.json").read_text())
    (lab.home.models / "auto-1.safetensors").write_bytes(b"damaged")
    lab.tend(lambda: lab.history.newest_first()[0].verdict == "refused")
    assert "auto-1" in lab.history.newest_first()[0].reason
    assert lab.history.champion() == "tiny"


@pytest.mark.slow
def test_if_folders_are_gone_while_it_trains_it_uses_what_is_stored(lab: Lab) -> None:
    lab.label("bright", range(10, 16))
    lab.label("dark", range(10, 16))
    lab.tend(lambda: lab.retraining._running)
    for name in ("classified", "labelled"):
        (lab.root / name).rename(lab.root / f"{name} elsewhere")
    lab.tend(lambda: not lab.retraining._running)
    (row,) = lab.trainings()
    assert row.state in ("trained", "failed")
    if row.state == "failed":
        assert "cannot be read" in row.error
    assert lab.history.champion() == "tiny"


@pytest.mark.slow
def test_a_recipe_trains_the_whole_network(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "whole.toml").write_text(WHOLE)
    lab.retraining = Retraining(
        lab.home, SETTINGS.model_copy(update={"retrain": f"{tmp_path}/whole.toml"}), lab.history
    )
    lab.label("bright", range(10, 18))
    lab.label("dark", range(10, 18))
    lab.tend(
        lambda: lab.decided() or (lab.trainings()[:1] and lab.trainings()[0].state == "failed")
    )
    assert [(row.state, row.error) for row in lab.trainings()] == [("trained", None)]
    manifest = json.loads((lab.home.models / "auto-1.json").read_text())
    assert manifest["network"]["backbone"] == "custom_2conv"


@pytest.mark.parametrize("motion", [False, True])
def test_a_challenger_takes_the_motion_of_clips_if_the_champion_does(motion: bool) -> None:
    spec = replace(SPEC, motion=motion)
    champion = Classifier.untrained(ARGS, spec, ("bright", "dark"), 0, lambda network: None, "cpu")
    assert head_recipe(champion).clip.motion == motion


def test_an_unknown_recipe_is_an_error_at_the_start(lab: Lab) -> None:
    with pytest.raises(VidwatchError, match="no recipe 'defualt'; did you mean 'default'"):
        Retraining(lab.home, SETTINGS.model_copy(update={"retrain": "defualt"}), lab.history)


def biased_by_video(lab: Lab) -> dict[int, bool]:
    with lab.engine.begin() as read:
        return {clip.video_id: clip.biased for clip in labelled_videos(read)}


def test_corrections_are_biased_but_labels_of_all_clips_are_not(lab: Lab) -> None:
    came = [lab.clip("bright", number) for number in range(1, 41)]
    corrected = came[5:40:7]
    lab.labels.add(
        [Label(video, "labelled", "dark") for video in corrected], "command", "ann", lab.now
    )
    assert set(biased_by_video(lab).values()) == {True}
    lab.labels.add([Label(video, "labelled", "bright") for video in came], "csv", "ann", lab.now)
    assert set(biased_by_video(lab).values()) == {False}


def test_a_correction_is_biased_also_if_it_is_the_only_label(lab: Lab) -> None:
    first, *_ = [lab.clip("bright", number) for number in range(1, 12)]
    lab.labels.add([Label(first, "labelled", "dark")], "moved", "ann", lab.now)
    assert biased_by_video(lab) == {first: True}


def test_labels_that_are_given_again_are_not_new(lab: Lab) -> None:
    lab.label("bright", range(10, 22))
    lab.idle()
    (row,) = lab.trainings()
    training = lab.history.requested_training() or Training(row.id, row.name)
    lab.retraining.stop()
    lab.history.begin(training, KnownLabels(12), lab.now)
    lab.history.end(training, "trained", None, lab.now)
    with lab.engine.begin() as read:
        before = labelled_videos(read)
    lab.labels.add(
        [Label(clip.video_id, "labelled", clip.class_name) for clip in before],
        "csv",
        "ann",
        lab.now,
    )
    with lab.engine.begin() as read:
        assert count_new_labels(read, SETTINGS, KnownLabels(12), TINY).new == 0


def test_clips_without_a_label_now_are_not_rehearsed_and_a_class_can_be_renamed(lab: Lab) -> None:
    job = Job.from_json(
        json.dumps(
            {
                **JOB,
                "forgotten": ["a"],
                "training": [described("b", "night"), described("x", "day")],
            }
        )
    )
    tiny = Classifier.load(lab.home.model("tiny"))
    labels_of = {"a": "dark", "b": "dark", "c": "bright", "d": "bright"}
    trained_on = tuple(TrainingClip(name, label, f"g{name}") for name, label in labels_of.items())
    tiny.manifest = replace(tiny.manifest, trained_on=trained_on)
    learned = [LabelledClip(Path("x"), clip.label, clip.group, clip.sha256) for clip in trained_on]
    with pytest.raises(VidwatchError, match="fewer than two classes"):
        choose_clips(job, learned, tiny)  # of "night" and "day" there is one clip each
    more = [described(name, "night", name) for name in ("n1", "n2")]
    job = Job.from_json(
        json.dumps({**JOB, "forgotten": ["a"], "training": [described("b", "night"), *more]})
    )
    assert {(clip.sha256, clip.label) for clip in choose_clips(job, learned, tiny)} == {
        ("b", "night"),
        ("n1", "night"),
        ("n2", "night"),
        ("c", "bright"),
        ("d", "bright"),
    }


JOB = {
    **{
        "challenger": "x",
        "champion": "y",
        "is_trained": False,
        "recipe": "head",
        "device": "auto",
        "memory": 1,
    },
    **{
        "cache": 1,
        "min_class_clips": 3,
        "training": [],
        "holdout": [],
        "forgotten": [],
        "comparison": 1,
        "rule": {},
    },
}


def described(sha256: str, label: str, group: str = "") -> dict[str, object]:
    return {
        "path": "p",
        "label": label,
        "group": group or f"g{sha256}",
        "sha256": sha256,
        "biased": False,
    }


def test_classes_that_only_an_earlier_model_knew_stay_forgotten(lab: Lab) -> None:
    tiny = Classifier.load(lab.home.model("tiny"))
    trained_on = tuple(
        TrainingClip(name, name[0], f"g{name}") for name in ("s1", "s2", "s3", "bright1", "bright2")
    )
    trained_on = tuple(
        clip._replace(label="sports" if clip.label == "s" else "bright") for clip in trained_on
    )
    tiny.manifest = replace(tiny.manifest, trained_on=trained_on)
    learned = [LabelledClip(Path("x"), clip.label, clip.group, clip.sha256) for clip in trained_on]
    job = Job.from_json(
        json.dumps({**JOB, "training": [described(f"d{n}", "dark") for n in range(3)]})
    )
    assert {clip.label for clip in choose_clips(job, learned, tiny)} == {"bright", "dark"}


@pytest.mark.slow
@pytest.mark.parametrize("retrain", ["head", "whole"])
def test_with_device_cpu_a_training_leaves_the_gpu_alone(
    lab: Lab,
    tmp_path: Path,
    untouchable_gpu: None,
    capsys: pytest.CaptureFixture[str],
    retrain: str,
) -> None:
    folders = class_folders(tmp_path / "data", groups=12)
    clips = [
        {
            "path": str(clip.path),
            "label": clip.label,
            "group": clip.group,
            "sha256": clip.sha256,
            "biased": False,
        }
        for clip in find_clips(folders)
    ]
    if retrain == "whole":
        retrain = str(tmp_path / "whole.toml")
        Path(retrain).write_text(WHOLE)
    job = {
        **JOB,
        "challenger": str(tmp_path / "auto-1"),
        "champion": str(lab.home.model("tiny")),
        "recipe": retrain,
        "cache": 10**9,
        "training": clips[::2],
        "holdout": clips[1::2],
    }
    with pytest.raises(AssertionError, match="the GPU is used"):
        work(Job.from_json(json.dumps({**job, "device": "auto"})))
    work(Job.from_json(json.dumps({**job, "device": "cpu"})))
    news = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert news[-1]["verdict"] in ("promoted", "refused", "undecided")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (torch.OutOfMemoryError("tried to allocate 2 GiB"), True),
        (PassingError("the GPU has no memory to train 1 clip at a time"), True),
        (VidwatchError("too few clips"), False),
    ],
)
def test_a_gpu_without_memory_is_a_reason_in_plain_words(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    passes: bool,
) -> None:
    def fail(job: Job) -> None:
        raise error

    monkeypatch.setattr("daemon.training.trainer.work", fail)
    answer(Job.from_json(json.dumps({**JOB, "training": [], "device": "cpu"})))
    message = json.loads(capsys.readouterr().out)
    assert str(error) in message["error"]
    assert message.get("passing", False) == passes


def test_a_comparison_that_had_no_memory_is_made_again(lab: Lab) -> None:
    """A challenger is refused if it is damaged, not if the GPU was full."""
    retraining = lab.retraining
    lab.history.apply_setting("tiny", lab.now)
    decided = len(lab.history.newest_first())
    running: Any = SimpleNamespace(training=None, challenger="auto-1", champion="tiny")
    retraining._conclude_failed(running, "no memory", lab.now, True)
    assert len(lab.history.newest_first()) == decided
    retraining._conclude_failed(running, "damaged", lab.now, False)
    assert lab.history.newest_first()[0].verdict == "refused"
