"""States that violate what the database allows, or soon would: `check --repair` mends them all."""

import os
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome
from sqlalchemy.exc import IntegrityError

from daemon.home.identity import identify
from daemon.maintenance.check import Check
from daemon.maintenance.finding import Finding

STATES = ("waiting", "queued", "claimed", "classified", "filed", "failed")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


def repair(home: MadeHome) -> list[Finding]:
    """All that is found and can be repaired, which is done."""
    repaired = []
    check = Check(home.home, quick=True, may_repair=True, progress=lambda done, of: None)
    for finding in check.findings():
        if finding.apply_repair:
            finding.apply_repair()
            repaired.append(finding)
    return repaired


def repair_all(home: MadeHome) -> None:
    for _ in range(4):  # what is put into the inbox may be found again, but not for ever
        if not repair(home):
            return
    raise AssertionError(repair(home))


def clips(home: MadeHome) -> set[int]:
    """The inodes of all clips: a file that is moved keeps its own."""
    return {path.stat().st_ino for path in home.root.rglob("*.avi")}


def predict_what_is_queued(home: MadeHome) -> None:
    home.queue.recover()
    claimed = home.claim()
    home.record(*(home.prediction(video.id, sha256=f"{video.id:064}") for video in claimed))


def add(home: MadeHome, path: Path, **columns: Any) -> int:
    """A row as no daemon writes it."""
    found = identify(bytes(path))
    row: dict[str, Any] = {"path": bytes(path), "name": path.name, **columns}
    if found:
        row |= found._asdict()
    with home.writing() as connection:
        return home.add_video(connection, **row)


def predict(home: MadeHome, video: int, **columns: Any) -> None:
    model = home.model
    with home.writing() as connection:
        home.add_prediction(connection, video, model, **columns)


def test_two_videos_that_were_filed_without_a_prediction_and_are_one_file(home: MadeHome) -> None:
    first = home.put("classified/Biking/a.avi")
    second = home.root / "classified/Skiing/a.avi"
    second.parent.mkdir()
    os.link(first, second)
    videos = [add(home, path, state="filed") for path in (first, second)]
    assert len(repair(home)) == 2
    assert [home.row(video)["state"] for video in videos] == ["queued", "failed"]
    assert f"is that of video {videos[0]}" in home.row(videos[1])["error"]
    assert home.place(videos[0]) == "inbox/a.avi"
    assert repair(home) == []


def test_a_video_whose_file_is_another_one_s_that_is_on_its_way(home: MadeHome) -> None:
    path = home.put("classified/Biking/a.avi")
    filed = add(home, path, state="filed")
    queued = add(home, path, state="queued", finished_at=None)
    before = clips(home)
    repair_all(home)
    assert [home.row(video)["state"] for video in (filed, queued)] == ["failed", "queued"]
    assert clips(home) == before
    predict_what_is_queued(home)
    assert home.row(queued)["state"] in ("classified", "filed")


@pytest.mark.parametrize("kind", ["answer", "rescored"])
def test_a_video_that_waits_for_a_prediction_it_has(home: MadeHome, kind: str) -> None:
    video = home.arrive("a.avi")
    predict(home, video, kind=kind)
    with pytest.raises(IntegrityError):
        predict_what_is_queued(home)
    home.queue.recover()
    assert [finding.problem for finding in repair(home)] == [
        "waits for a prediction, and was predicted or finished before"
    ]
    predict_what_is_queued(home)
    assert home.row(video)["state"] == "classified"


def test_a_video_with_only_a_later_model_s_prediction(home: MadeHome) -> None:
    video = add(home, home.put("classified/Biking/a.avi"), state="filed")
    predict(home, video, kind="rescored")
    repair_all(home)
    predict_what_is_queued(home)
    assert home.row(video)["state"] == "classified"


def test_a_video_that_was_never_finished_and_whose_file_is_gone(home: MadeHome) -> None:
    video = add(home, home.root / "classified/a.avi", state="classified", finished_at=None)
    repair_all(home)
    row = home.row(video)
    assert (row["state"], row["finished_at"] is None) == ("failed", False)


@pytest.mark.parametrize("seed", range(25))
def test_whatever_the_rows_say_a_repair_ends_and_a_daemon_can_go_on(
    home: MadeHome, seed: int
) -> None:
    chance = random.Random(seed)
    files = [home.put(f"inbox/a{n}.avi", chance.choice(["same", f"a{n}"])) for n in range(2)]
    files += [home.put(f"classified/Biking/b{n}.avi") for n in range(2)]
    (home.root / "classified/Skiing").mkdir()
    for n in range(2):
        link = home.root / f"classified/Skiing/c{n}.avi"
        os.link(chance.choice(files), link)
        files.append(link)
    places = [*files, home.root / "inbox/gone.avi", home.root / "classified/Biking/gone.avi"]
    other = home.register("other")
    ids: list[int | None] = []
    for _ in range(chance.randint(2, 5)):
        columns: dict[str, Any] = {
            "state": chance.choice(STATES),
            "finished_at": chance.choice([home.now, None]),
            "sha256": chance.choice([None, "x" * 64]),
            "destination": chance.choice([None, bytes(chance.choice(files)), b"/nowhere/x"]),
            "duplicate_of": chance.choice([None, None, *ids]),
        }
        if columns["destination"] and chance.random() < 0.5:
            columns["moving_to"] = columns["destination"]
        with suppress(IntegrityError):  # not even the database allows it
            ids.append(add(home, chance.choice(places), **columns))
            for model in chance.choice([[], [home.model], [home.model, other]]):
                with home.writing() as connection:
                    home.add_prediction(connection, ids[-1] or 0, model)
    before = clips(home)
    repair_all(home)
    predict_what_is_queued(home)
    assert clips(home) == before


def test_a_video_that_is_predicted_again_takes_its_sidecars_along(home: MadeHome) -> None:
    home.put("inbox/a.avi", "of another video")
    path = home.put("classified/Biking/a.avi")
    home.put("classified/Biking/a.THM")
    video = add(home, path, state="filed")
    repair(home)
    assert home.place(video) == "inbox/a-2.avi"
    assert home.files() == {"inbox/a.avi", "inbox/a-2.avi", "inbox/a-2.THM"}
