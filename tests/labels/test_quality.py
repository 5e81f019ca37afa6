import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome
from rich.console import Console
from sqlalchemy import insert, update

from daemon.database.tables import groups, labels, videos
from daemon.labels.label_errors import HeldOut, find_label_errors, newest_held_out
from daemon.labels.labels import Label
from daemon.labels.quality import LabelQuality, examine
from daemon.report.labels import render
from learner.catalogue import STARTER
from learner.errors import VidwatchError

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
VIDWATCH = Path(sys.executable).with_name("vidwatch")


class Labelling(MadeHome):
    """A home whose clips are rows without files, labelled in a few words."""

    def clip(self, *names: str, group: str | None = None, name: str = "a.mp4", **row: Any) -> int:
        """A video with these labels, one after the other; gives its id."""
        path = self.root / "labelled" / names[-1] / name if names else self.inbox / "a.mp4"
        columns = {"name": name, "path": bytes(path), "group": group, **row}
        with self.writing() as connection:
            video = self.add_video(connection, **columns)
            this = update(videos).where(videos.c.id == video, videos.c.sha256.is_(None))
            connection.execute(this.values(sha256=f"{video}"))
        for class_name in names:
            self.label(video, class_name)
        return video

    def label(self, video: int, name: str, who: str = "ann", source: Any = "command") -> None:
        self.tick()
        self.give_label(video, name, source, who)

    def quality(self, min_clips: int = 5) -> LabelQuality:
        with self.engine.begin() as read:
            return examine(read, self.folders, self.home.models, min_clips)

    def trained(self, name: str, classes: list[str], clips: Any, at: float = 0) -> Path:
        """What a training leaves."""
        shutil.copy(STARTER.with_suffix(".json"), self.home.models / f"{name}.json")
        (self.home.models / f"{name}.safetensors").touch()
        path = self.home.models / f"{name}.run" / "held_out.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"classes": classes, "clips": clips}))
        os.utime(path, (at, at))
        return path


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Labelling]:
    labelling = Labelling(tmp_path, now=NOW)
    yield labelling
    labelling.close()


def shown(found: LabelQuality) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    console.print(render(found, "put clips into labelled/"))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.slow
def test_the_newest_label_counts_with_its_source_group_and_side(it: Labelling) -> None:
    with it.writing() as write:
        write.execute(insert(groups).values(name="g1", side="holdout", dealt_at=NOW))
    for group in ("g1", "g1", "g2", None, None):
        it.clip("Biking", group=group)
    corrected = it.clip("Biking")
    it.label(corrected, "Skiing", source="page")
    biking, skiing = it.quality(min_clips=3).balance
    assert (
        biking.class_name,
        biking.clips,
        biking.groups,
        biking.holdout,
        biking.holdout_groups,
    ) == (
        "Biking",
        5,
        4,
        2,
        1,
    )
    assert (biking.sources, biking.short) == ({"command": 5}, None)
    assert (skiing.clips, skiing.sources, skiing.short) == (
        1,
        {"page": 1},
        "1 of 3 clips to learn from",
    )


def test_clips_of_one_group_are_too_few_to_learn_from(it: Labelling) -> None:
    for _ in range(5):
        it.clip("Biking", group="g1")
    (biking,) = it.quality().balance
    assert biking.short == "all of one group: one more recording is needed"


def test_labels_that_are_withdrawn_or_unsure_or_of_failed_videos_do_not_count(
    it: Labelling,
) -> None:
    it.labels.undo([it.clip("Biking", state="queued")], "command", "ann", NOW)
    it.labels.add([Label(it.clip("Biking"), "unsure")], "page", "ann", NOW)
    failed = it.clip("Biking")
    with it.writing() as write:
        write.execute(update(videos).where(videos.c.id == failed).values(state="failed"))
    assert it.quality().balance == []
    assert "no labels yet" in shown(it.quality())


def test_a_label_is_doubted_if_the_model_is_sure_of_another_class() -> None:
    """It is sure if the probability is at least the average one of the class."""
    probabilities = {
        "a1": [0.9, 0.1, 0.0], "a2": [0.9, 0.0, 0.1], "wrong": [0.1, 0.85, 0.05], "not so sure": [0.2, 0.5, 0.3],
        "b1": [0.1, 0.9, 0.0], "b2": [0.2, 0.7, 0.1],
        "c1": [0.3, 0.3, 0.4], "c2": [0.3, 0.2, 0.5], "timid": [0.1, 0.43, 0.47],
    }  # fmt: skip
    given = {name: name[0] for name in probabilities} | {
        "wrong": "a",
        "not so sure": "a",
        "timid": "b",
    }
    found = find_label_errors(given, HeldOut("auto-1", ("a", "b", "c"), probabilities))
    assert [(doubt.sha256, doubt.other, doubt.margin) for doubt in found] == [
        ("wrong", "b", pytest.approx(-0.75)),
        ("timid", "c", pytest.approx(-0.04)),
    ]


def test_clips_and_classes_that_the_training_did_not_have_are_left_out() -> None:
    held_out = HeldOut("auto-1", ("a", "b"), {"known": [0.1, 0.9], "other": [0.2, 0.8]})
    assert find_label_errors({"new": "a", "other": "c"}, held_out) == []


def test_doubted_labels_are_shown_until_they_are_given_again(it: Labelling) -> None:
    for name in ("Biking", "Biking", "Skiing", "Skiing", "Skiing"):
        it.clip(name)
    sure = {"1": [0.9, 0.1], "2": [0.9, 0.1], "3": [0.1, 0.9], "4": [0.1, 0.9], "5": [0.95, 0.05]}
    it.trained("auto-1", ["Biking", "Skiing"], sure)
    (doubted,) = it.quality().doubted
    assert (doubted.id, doubted.class_name, doubted.other, doubted.probability) == (
        5,
        "Skiing",
        "Biking",
        0.05,
    )
    assert all(
        text in shown(it.quality())
        for text in ("auto-1", "Biking 95.0%, Skiing 5.0%", "vidwatch label ID CLASS")
    )
    it.label(5, "Skiing")
    assert it.quality().doubted == []


def test_the_newest_training_whose_model_still_exists_judges(it: Labelling) -> None:
    assert newest_held_out(it.home.models) is None
    it.trained("old", ["a"], {}, at=1)
    it.trained("newer", ["a"], {}, at=2)
    it.trained("removed", ["a"], {}, at=3)
    (it.home.models / "removed.safetensors").unlink()
    found = newest_held_out(it.home.models)
    assert found
    assert found.model == "newer"


def test_without_a_training_it_says_so(it: Labelling) -> None:
    it.clip("Biking")
    assert it.quality().judge is None
    assert "no training yet" in shown(it.quality())


@pytest.mark.parametrize("clips", [{"1": [0.5]}, {"1": "ab"}, [], {"1": [None, 1]}, None])
def test_a_damaged_file_is_named(it: Labelling, clips: Any) -> None:
    path = it.trained("auto-1", ["Biking", "Skiing"], clips)
    with pytest.raises(VidwatchError, match=str(path)):
        it.quality()


def test_two_people_who_disagree_are_shown_until_one_label_is_given_again(it: Labelling) -> None:
    video = it.clip("Biking")
    it.label(video, "Skiing", who="bob", source="page")
    (question,) = it.quality().two_ways
    assert (question.id, question.class_name, question.other) == (video, "Skiing", "Biking")
    assert question.why == "Biking: ann (command); Skiing: bob (page)"
    it.label(video, "Skiing")
    assert it.quality().two_ways == []


def test_a_person_who_corrects_a_label_does_not_disagree(it: Labelling) -> None:
    video = it.clip("Biking", "Skiing")
    it.label(video, "Mixing", source="page")
    assert it.quality().two_ways == []


def test_a_person_who_agrees_in_the_end_does_not_disagree(it: Labelling) -> None:
    video = it.clip("Biking")
    it.label(video, "Skiing", who="bob")
    it.label(video, "Biking", who="bob")
    assert it.quality().two_ways == []


def test_a_label_that_was_taken_back_does_not_disagree(it: Labelling) -> None:
    video = it.clip("Biking", state="queued")
    it.labels.undo([video], "command", "ann", it.tick())
    it.label(video, "Skiing", who="bob")
    assert it.quality().two_ways == []


def test_an_import_that_names_a_clip_twice_disagrees_with_itself(it: Labelling) -> None:
    video = it.clip()
    it.labels.add(
        [Label(video, "labelled", "Biking"), Label(video, "labelled", "Skiing")], "csv", "ann", NOW
    )
    assert [question.id for question in it.quality().two_ways] == [video]


def test_copies_in_two_class_folders_are_one_clip_labelled_two_ways(it: Labelling) -> None:
    """Also if one person put both there: the label of a copy is kept with the first video."""
    first = it.clip("Biking")
    it.clip(duplicate_of=first, path=it.folders.labelled() + b"/Skiing/copy.mp4")
    with it.writing() as write:
        label = {
            "video_id": first,
            "verdict": "labelled",
            "class": "Skiing",
            "source": "moved",
            "who": "ann",
        }
        write.execute(insert(labels).values(**label, created_at=it.tick()))
    (question,) = it.quality().two_ways
    assert question.why == f"Biking: video {first} is in its folder; Skiing: ann (moved)"


def test_one_clip_of_a_recording_that_is_labelled_otherwise_should_be_checked(
    it: Labelling,
) -> None:
    odd = it.clip("Skiing", group="g1")
    for name, group in [("Biking", "g1")] * 3 + [("Skiing", "g2")] * 3:
        it.clip(name, group=group)
    (question,) = it.quality().odd
    assert (question.id, question.other) == (odd, "Biking")
    assert question.why == "3 of the 4 labelled clips of g1 are Biking"
    it.label(odd, "Skiing")
    assert it.quality().odd == []


def test_two_clips_that_look_the_same_should_both_be_checked(it: Labelling) -> None:
    """Their group comes from their fingerprints. Two clips of a group from names may differ."""
    for name, group in (("Biking", "#1"), ("Skiing", "#1"), ("Biking", "g1"), ("Skiing", "g1")):
        it.clip(name, group=group)
    for group in range(10):
        it.clip("Biking", group=f"same{group}")
        it.clip("Biking", group=f"same{group}")
    assert [(question.id, question.other) for question in it.quality().odd] == [
        (1, "Skiing"),
        (2, "Biking"),
    ]


def test_groups_that_regularly_hold_several_classes_are_left_alone(it: Labelling) -> None:
    for camera in ("north", "south"):
        for name in ("Biking", "Biking", "Biking", "Skiing"):
            it.clip(name, group=camera)
    assert it.quality().odd == []


def test_names_are_shown_as_they_are_and_without_control_characters(it: Labelling) -> None:
    video = it.clip("[red]Biking", name="\x1b[31mtext [bold]x.mp4")
    it.label(video, "Skiing", who="b[ob]\x07")
    text = shown(it.quality())
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\\x1b[31mtext [bold]x.mp4" in text
    assert "[red]Biking: ann (command); Skiing: b[ob]\\x07 (command)" in text


@pytest.mark.slow
def test_the_command_prints_json_and_a_table(it: Labelling) -> None:
    it.clip("Biking")
    command = [VIDWATCH, "--home", it.home.root, "labels"]
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)
    outlook = found["next_training"]
    assert outlook.pop("text").startswith("no training yet: 2 classes are needed")
    assert found == {
        "classes": [
            {
                "class": "Biking",
                "clips": 1,
                "parts": 0,
                "groups": 1,
                "holdout": 0,
                "holdout_groups": 0,
                "sources": {"command": 1},
                "short": "1 of 3 clips to learn from",
            }
        ],
        "doubted": {"model": None, "labels": []},
        "two_ways": [],
        "worth_a_look": [],
        "odd_names": [],
        "next_training": {
            "new": 0,
            "needed": 20,
            "short": {},
            "enough": [],
            "removed": 0,
            "why": "",
            "failed": 0,
            "unread": 0,
            "in_training": None,
            "is_due": False,
            "next_labels": [],
        },
    }
    assert "Biking" in subprocess.run(command, capture_output=True, check=True, text=True).stdout
