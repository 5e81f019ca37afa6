"""Groups of labelled videos: found as `vidwatch train` finds them, and changed by people."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fixed_camera import CLASSES, write_clips
from homes import MadeHome
from sqlalchemy import insert, select
from tiny import cache as cache
from tiny import untrained

from daemon.database.tables import groups
from daemon.home.folders import group_at
from daemon.home.settings import Settings
from daemon.labels.groups import (
    LabelledGroups,
    applied_pattern,
    apply_pattern,
    follow_setting,
    labelled_groups,
    note_applied,
)
from daemon.training.forecast import Known, count_new_labels
from daemon.training.holdout import assign_sides, count_training_clips, labelled_videos
from daemon.training.records import KnownLabels
from learner.dataset import extract, find_clips
from learner.fingerprint import fingerprint
from learner.groups import GROUP_PATTERN, compile_pattern
from learner.splits import Part, guess_groups

SAME = bytes(64)  # the fingerprint of all clips of one fixed camera


class Camera(MadeHome):
    """A home of one fixed camera, whose clips are put into class folders."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, classes=list(CLASSES))

    def put_labelled(self, place: str) -> Path:
        """A clip in `labelled/`, not noticed yet; `place` is its path below."""
        return self.put(f"labelled/{place}", place)

    def notice(self, paths: Iterable[Path], pattern: str = GROUP_PATTERN) -> None:
        """As the watcher of the class folders does."""
        root, compiled = os.fsencode(self.root), compile_pattern(pattern)
        files = [self.found(path, group_at(bytes(path), root, compiled)) for path in paths]
        self.class_folders.notice(files, self.tick())

    def take(self, *places: str, pattern: str = GROUP_PATTERN) -> dict[str, int]:
        """Clips that are labelled and predicted; gives their videos' ids by their places."""
        paths = {place: self.put_labelled(place) for place in places}
        self.notice(paths.values(), pattern)
        self.predict_and_file(fingerprint=SAME)
        return {place: int(self.row(path)["id"]) for place, path in paths.items()}

    def groups(self) -> LabelledGroups:
        with self.engine.begin() as connection:
            return labelled_groups(connection)

    def apply(self, pattern: str, before: str = GROUP_PATTERN) -> tuple[int, int, int]:
        with self.writing() as connection:
            done = apply_pattern(
                connection,
                os.fsencode(self.root),
                compile_pattern(pattern),
                compile_pattern(before),
            )
        return done.videos, done.matched, done.changed

    def sides(self) -> dict[str, str]:
        with self.engine.begin() as connection:
            return {row.name: row.side for row in connection.execute(select(groups))}

    def deal(self, trained_on: Iterable[str] = ()) -> dict[str, str]:
        """Sides for all groups; gives them by the videos' places below `labelled/`."""
        with self.engine.begin() as connection:
            clips = labelled_videos(connection)
        known = [(sha256, "known", "elsewhere") for sha256 in trained_on]
        sides = assign_sides(self.engine, clips, 0.3, known, set(), self.tick())
        return {
            str(self.path(video).relative_to(self.root / "labelled")): sides[name]
            for video, name in self.groups().names.items()
        }


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    camera = Camera(tmp_path / "home")
    yield camera
    camera.close()


def places(clips: int) -> list[str]:
    return [f"{label}/clip_{n}_{label}.mp4" for label in CLASSES for n in range(clips)]


@pytest.mark.parametrize("clips", [3, 5, 12])
def test_clips_of_one_fixed_camera_that_were_copied_in_one_go_are_learned(
    camera: Camera, clips: int
) -> None:
    camera.take(*places(clips))
    found = camera.groups().found
    assert found.ways == dict.fromkeys(CLASSES, "clips")
    assert "optimistic" in str(found.optimistic)
    with camera.engine.begin() as connection:
        assert sorted(count_training_clips(connection)) == [
            (name, clips, clips) for name in CLASSES
        ]
        assert count_new_labels(connection, Settings(), KnownLabels(0), Known()).short == {}


@pytest.mark.slow
def test_few_clips_all_train_and_of_twelve_some_judge(camera: Camera) -> None:
    camera.take(*places(5))
    assert set(camera.deal().values()) == {"training"}
    camera.take(*(place.replace("clip_", "more_") for place in places(12)))
    sides = camera.deal()
    for label in CLASSES:
        own = [side for place, side in sides.items() if place.startswith(label)]
        assert (len(own), own.count("holdout")) == (17, 5)


def test_sides_that_are_given_already_wait_for_no_other_that_writes(camera: Camera) -> None:
    camera.take(*places(12))
    sides = camera.deal()
    with camera.writing():
        assert camera.deal() == sides


def test_the_days_of_the_files_dates_make_groups(camera: Camera) -> None:
    for n, place in enumerate(places(4)):
        os.utime(camera.put_labelled(place), (1_750_000_000 + n % 4 * 86_400,) * 2)
    camera.notice(camera.root / "labelled" / place for place in places(4))
    camera.predict_and_file(fingerprint=SAME)
    found = camera.groups()
    assert found.found.how == "day"
    assert len(set(found.names.values())) == 4


@pytest.mark.slow
def test_the_daemon_and_train_find_the_same_groups_on_the_same_clips(
    camera: Camera, tmp_path: Path, cache: Path
) -> None:
    """Also where nothing but likeness parts them, and whatever the order of arrival was."""
    folder = camera.root / "labelled"
    paths = write_clips(folder, 4, seed=0)
    for n, path in enumerate(paths):
        os.utime(path, (1_750_000_000 + n,) * 2)
    (folder / "red_box/cam1").mkdir()
    stated = paths[2].rename(folder / "red_box/cam1" / paths[2].name)
    clips = find_clips(folder)
    samples = extract(clips, untrained(tmp_path))
    prints = {
        clip.sha256: fingerprint(values)
        for clip, values in zip(samples.clips, samples.values, strict=True)
    }
    for kind in ("as they are", "three scenes a class"):
        if kind == "three scenes a class":
            prints = {sha256: bytes([n % 3 * 85]) * 64 for n, sha256 in enumerate(sorted(prints))}
        home = Camera(tmp_path / kind)
        for clip in reversed(clips):
            place = home.root / "labelled" / clip.path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(clip.path, place)
            home.notice([place])
            home.predict_and_file(fingerprint=prints[clip.sha256], sha256=clip.sha256)
        all_train: dict[str, Part] = dict.fromkeys(prints, "training")
        in_training, way = guess_groups(clips, all_train, prints)
        by_train = parts_of({clip.sha256: clip.group for clip in in_training})
        found = home.groups()
        by_daemon = parts_of(
            {str(home.row(video)["sha256"]): name for video, name in found.names.items()}
        )
        assert by_daemon == by_train
        assert found.found.ways == way.ways
        assert [clip.group for clip in in_training if clip.path == stated] == ["cam1"]
        home.close()


def parts_of(names: dict[str, str]) -> set[frozenset[str]]:
    members = defaultdict(set)
    for clip, name in names.items():
        members[name].add(clip)
    return {frozenset(own) for own in members.values()}


def test_two_classes_of_one_stated_group_each_are_short_of_recordings(camera: Camera) -> None:
    camera.take(*(f"{label}/cam_{label}/{n}.mp4" for label in CLASSES[:2] for n in range(5)))
    assert camera.groups().found.how == "stated"
    with camera.engine.begin() as connection:
        short = count_new_labels(connection, Settings(), KnownLabels(0), Known()).short
    text = "all of one group: one more recording is needed"
    assert short == dict.fromkeys(CLASSES[:2], text)


@pytest.mark.slow
def test_one_clip_of_a_class_is_too_few_whatever_another_class_has(camera: Camera) -> None:
    camera.take("red_box/one.mp4", *(f"blue_disc/{n}.mp4" for n in range(200)))
    with camera.engine.begin() as connection:
        short = count_new_labels(connection, Settings(), KnownLabels(0), Known()).short
    assert short == {"red_box": "1 of 3 clips to learn from"}


# Groups are changed.


def test_a_pattern_is_applied_to_the_clips_that_are_there_and_can_be_taken_back(
    camera: Camera,
) -> None:
    ids = camera.take(*(f"red_box/{cam}_{n}.mp4" for cam in ("north", "south") for n in range(3)))
    before = camera.groups().names
    assert camera.apply("^([a-z]+)_") == (6, 6, 6)
    names = camera.groups().names
    assert {names[video] for place, video in ids.items() if "north" in place} == {"north"}
    assert camera.groups().found.how == "stated"
    assert camera.apply("^([a-z]+)_", before="^([a-z]+)_") == (6, 6, 0)
    assert camera.apply(GROUP_PATTERN, before="^([a-z]+)_") == (6, 0, 6)
    assert camera.groups().names == before


def test_a_group_that_a_folder_of_the_inbox_stated_stays_when_a_pattern_finds_none(
    camera: Camera,
) -> None:
    path = camera.put("inbox/garden/a.mp4")
    camera.enqueue(path, group="garden")
    (video,) = camera.predict_and_file()
    assert camera.apply("^(cam[0-9])", before=GROUP_PATTERN) == (1, 0, 0)
    assert camera.row(video)["group"] == "garden"


def test_a_clip_moved_into_a_sub_folder_gets_its_group_and_loses_it_again(camera: Camera) -> None:
    ids = camera.take(*(f"red_box/{n}.mp4" for n in range(4)))
    old = camera.root / "labelled/red_box/0.mp4"
    new = camera.root / "labelled/red_box/monday/0.mp4"
    new.parent.mkdir()
    old.rename(new)
    camera.notice([new])
    assert camera.groups().names[ids["red_box/0.mp4"]] == "monday"
    assert len(camera.given_labels()) == 4  # it is no new label
    new.rename(old)
    camera.notice([old])
    assert camera.row(old)["group"] is None


@pytest.mark.slow
def test_a_clip_that_a_model_was_trained_on_never_judges_after_it_is_regrouped(
    camera: Camera,
) -> None:
    """The side of a group that gets another clip is chosen anew; other sides stay."""
    camera.take(*(f"red_box/{n:02}/{n}.mp4" for n in range(20)))
    sides = camera.deal()
    judging = next(place for place, side in sides.items() if side == "holdout")
    training = next(place for place, side in sides.items() if side == "training")
    old = camera.root / "labelled" / training
    new = (camera.root / "labelled" / judging).with_name("moved.mp4")
    learned = str(camera.row(old)["sha256"])
    old.rename(new)
    camera.notice([new])
    again = camera.deal([learned])
    assert again[judging] == "training"
    assert again[str(new.relative_to(camera.root / "labelled"))] == "training"
    others = sides.keys() - {judging, training}
    assert [again[place] for place in others] == [sides[place] for place in others]


def test_a_changed_setting_is_applied_at_the_next_start_and_once(camera: Camera) -> None:
    camera.take(*(f"red_box/{cam}_{n}.mp4" for cam in ("north", "south") for n in range(3)))
    follow_setting(camera.engine, camera.home, GROUP_PATTERN)
    assert not camera.home.applied_pattern.exists()
    follow_setting(camera.engine, camera.home, "^([a-z]+)_")
    assert applied_pattern(camera.home) == "^([a-z]+)_"
    assert set(camera.groups().names.values()) == {"north", "south"}
    # What a person changed since then is kept: it is not applied again.
    with camera.writing() as connection:
        connection.execute(
            insert(groups).values(name="north", side="training", dealt_at=camera.now)
        )
    follow_setting(camera.engine, camera.home, "^([a-z]+)_")
    assert camera.sides() == {"north": "training"}
    note_applied(camera.home, GROUP_PATTERN)
    follow_setting(camera.engine, camera.home, "^([a-z]+)_")
    assert camera.sides() == {"north": "training"}  # no clip changed, so no side did


def test_a_clip_whose_group_was_stated_later_is_no_example_of_it_for_new_clips(
    camera: Camera,
) -> None:
    """A clip that only looks like it does not get a group that a person stated."""
    camera.take(*(f"red_box/north_{n}.mp4" for n in range(3)))
    camera.apply("^(north)_")
    camera.predictions = type(camera.predictions)(camera.engine)  # as after a restart
    ids = camera.take("red_box/other.mp4")
    assert camera.row(ids["red_box/other.mp4"])["group"] != "north"
