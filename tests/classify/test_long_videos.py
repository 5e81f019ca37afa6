"""Long videos on their way: windows recorded one after the other, and what interrupts that."""

import io
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import write_video
from rich.console import Console
from test_pipeline import House

from daemon.classify.decoding import Decoders, DecoderSettings, Undecoded
from daemon.database.tables import windows
from daemon.database.windows import windows_of
from daemon.home.identity import Identity
from daemon.report.one_video import read_video
from daemon.report.one_video_tables import render
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip
from learner.window_plan import WindowPlan
from learner.windows import Piece

PLAN = WindowPlan(1, 1)
SECONDS = 40
# At 25 frames a second, each 8 brighter than the one before: a window of one second is as red as
# any other, so the shade of the video says its class.


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    settings = DecoderSettings(
        ClipSpec(frames=4, size=16), 2, 30, reading=ReadOptions(0.5), windows=PLAN, windows_from=3
    )
    decoders = Decoders(settings)
    yield decoders
    decoders.close()


class LongHouse(House):
    """A home whose long videos are cut into windows of a second."""

    def __init__(self, root: Path, decoders: Decoders) -> None:
        super().__init__(root, decoders)
        self.use(decoders)

    def use(self, reader: Any, model: int | None = None) -> None:
        """Go on with another reader, or as another model."""
        model_id = self.model if model is None else model
        self.predictor = replace(self.predictor, reader=reader, plan=PLAN, model_id=model_id)
        self.pipeline.use(self.predictor)

    def drop_long(self, name: str = "long.avi", seconds: float = SECONDS, shade: int = 0) -> Path:
        path = write_video(self.root / "made.avi", frames=round(25 * seconds), shade=shade)
        path = path.rename(self.inbox / name)
        self.enqueue(path)
        return path

    def windows(self, video: int = 1) -> list[int]:
        return [row.number for row in self.rows(windows) if row.video_id == video]

    def rounds_until(self, n: int) -> None:
        """Work until so many windows are recorded."""
        for _ in range(200):
            self.pipeline.step(self.now)
            if len(self.rows(windows)) >= n:
                return
        raise AssertionError(f"{len(self.rows(windows))} windows")


@pytest.fixture
def house(tmp_path: Path, decoders: Decoders) -> LongHouse:
    return LongHouse(tmp_path, decoders)


class Cautious:
    """The decoders, and which windows they were asked for."""

    def __init__(self, decoders: Decoders) -> None:
        self.decoders = decoders
        self.firsts: list[int] = []
        self.hash = decoders.hash
        self.read = decoders.read
        self.clip: Clip | None = None

    def windows(
        self, path: bytes, identity: Identity, sha256: str, first: int
    ) -> Future[Clip | Piece]:
        self.firsts.append(first)
        if self.clip and first:
            future: Future[Clip | Piece] = Future()
            future.set_result(self.clip)
            return future
        return self.decoders.windows(path, identity, sha256, first)

    def outcome(self, future: Future[Any]) -> Any:
        return self.decoders.outcome(future)


@pytest.mark.slow
def test_a_long_video_has_all_windows_and_a_prediction_that_is_their_mean(
    house: LongHouse,
) -> None:
    house.drop_long()
    house.work()
    rows = house.rows(windows)
    assert [(row.number, row.start_s, row.end_s) for row in rows] == [
        (number, number, number + 1) for number in range(SECONDS)
    ]
    assert max(house.classify.batches) <= 4
    (found,) = house.prediction_rows()
    means = [sum(row.logits[index] for row in rows) / len(rows) for index in range(2)]
    assert found.logits == pytest.approx(means)
    assert (found.frames_asked, found.frames_read, found.read_share) == (
        4 * SECONDS,
        4 * SECONDS,
        1,
    )
    assert house.row(1)["state"] == "filed"
    assert house.row(1)["movement"] == max(row.movement for row in rows)
    with house.engine.begin() as connection:
        assert [one.number for one in windows_of(connection, 1)] == list(range(SECONDS))


@pytest.mark.slow
def test_short_videos_have_no_windows_and_do_not_wait_for_long_ones(house: LongHouse) -> None:
    house.drop_long()
    house.drop_long("long-2.avi", shade=3)
    for number in range(6):
        house.drop(f"{number}.avi", shade=number)
    order = []
    for _ in range(200):
        house.pipeline.step(house.now)
        order = [row.video_id for row in house.rows(windows.metadata.tables["predictions"])]
        if len(order) == 8:
            break
    assert set(order[:6]) == set(range(3, 9))
    assert {row.video_id for row in house.rows(windows)} == {1, 2}


def test_it_is_noted_why_a_video_without_times_has_no_windows(house: LongHouse) -> None:
    path = house.root / "made.h264"
    source = "testsrc=duration=5:size=64x64:rate=25"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libx264", path]
    subprocess.run(command, check=True)
    house.enqueue(path.rename(house.inbox / "a.h264"))
    house.drop("short.avi")
    house.work()
    without_times, short = house.prediction_rows()
    assert house.rows(windows) == []
    assert without_times.uncut
    assert short.uncut is None
    with house.engine.begin() as connection:
        report = read_video(connection, 1)
    (shown,) = [line for line in text_of(render(report)) if line.startswith("windows")]
    assert without_times.uncut in shown


def text_of(renderable: Any) -> list[str]:
    console = Console(width=300, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text().splitlines()


def test_a_video_goes_on_at_the_first_window_that_is_not_recorded(
    house: LongHouse, decoders: Decoders
) -> None:
    house.drop_long()
    house.rounds_until(3)
    house.pipeline.start_over()  # as after a kill, what is in hand is forgotten
    recorded = house.windows()
    reader = Cautious(decoders)
    house.use(reader)
    house.work()
    assert reader.firsts[0] == len(recorded) > 0
    assert house.windows() == list(range(SECONDS))


def test_in_a_pause_a_long_video_stops_at_its_next_piece_and_goes_on_there_later(
    house: LongHouse, decoders: Decoders
) -> None:
    house.drop_long()
    house.rounds_until(3)
    house.may_begin = False
    house.work()
    assert (house.row(1)["state"], house.row(1)["claimed_by"]) == ("queued", None)
    recorded = house.windows()
    assert 3 <= len(recorded) < SECONDS
    reader = Cautious(decoders)
    house.use(reader)
    house.may_begin = True
    house.work()
    assert reader.firsts[0] == len(recorded)
    assert house.windows() == list(range(SECONDS))
    assert house.row(1)["state"] == "filed"


@pytest.mark.slow
def test_windows_of_another_content_or_another_plan_do_not_count(
    house: LongHouse, decoders: Decoders
) -> None:
    path = house.drop_long()
    house.rounds_until(3)
    house.pipeline.release()
    other = write_video(house.root / "other.avi", frames=25 * SECONDS, shade=100)
    shutil.copy(other, path)
    house.enqueue(path)
    reader = Cautious(decoders)
    house.use(reader)
    house.work()
    assert reader.firsts[0] == 0
    assert house.windows() == list(range(SECONDS))
    house.drop_long("again.avi", shade=7)
    house.rounds_until(SECONDS + 3)
    house.pipeline.release()
    plan = WindowPlan(1, 0.5)
    assert house.pipeline._windows.resume(2, house.row(2)["sha256"], house.model, plan, 12.0) == 0
    assert house.windows(2) == []


@pytest.mark.slow
def test_windows_of_a_model_that_never_finished_go_when_another_one_predicts(
    house: LongHouse, decoders: Decoders
) -> None:
    house.drop_long()
    house.rounds_until(3)
    second = house.register("second")
    house.use(decoders, second)
    house.work()
    assert {row.model_id for row in house.rows(windows)} == {second}
    assert house.windows() == list(range(SECONDS))


@pytest.mark.slow
def test_a_video_that_cannot_be_cut_after_all_is_one_clip_without_windows(
    house: LongHouse, decoders: Decoders
) -> None:
    path = house.drop_long()
    reader = Cautious(decoders)
    clip = decoders.outcome(decoders.decode(bytes(path)))
    assert isinstance(clip, Clip)
    reader.clip = clip
    house.use(reader)
    house.work()
    assert house.windows() == []
    (found,) = house.prediction_rows()
    assert (found.frames_asked, found.frames_read) == (4, 4)


def damage(path: Path, first: float, last: float) -> None:
    """Break each picture of an AVI of MJPEG between two shares of its pictures."""
    data = bytearray(path.read_bytes())
    begin, end = (round(share * data.rfind(b"idx1")) for share in (first, last))
    at = data.find(b"00dc", begin)
    while 0 <= at < end:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        data[at + 8 : at + 8 + size] = bytes(size)
        at = data.find(b"00dc", at + 8 + size)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("first", "last", "recorded"),
    [(0.3, 0.6, [*range(11), *range(25, 40)]), (0.7, 1, [*range(27)])],
    ids=["middle", "end"],
)
def test_damage_within_a_long_video_is_noted(
    house: LongHouse, first: float, last: float, recorded: list[int]
) -> None:
    path = house.drop_long()
    damage(path, first, last)
    house.enqueue(path)
    house.rounds_until(2)
    house.pipeline.start_over()  # what was recorded is not read again
    house.work()
    (found,) = house.prediction_rows()
    assert found.read_share == pytest.approx(1 - (last - first), abs=0.06)
    assert set(recorded) <= set(house.windows())
    assert len(house.windows()) <= len(recorded) + 3


@pytest.mark.slow
def test_a_long_video_fails_if_too_little_of_it_can_be_read(house: LongHouse) -> None:
    house.predictor = replace(house.predictor, min_read_share=0.5)
    house.pipeline.use(replace(house.predictor, reader=house.predictor.reader, plan=PLAN))
    path = house.drop_long()
    damage(path, 0.2, 0.8)
    house.enqueue(path)
    house.work()
    row = house.row(1)
    assert row["state"] == "failed"
    assert row["error"].startswith("damaged: 3")
    assert row["error"].endswith("of it can be read, and 50% is the least")
    assert house.windows() == []


@pytest.mark.slow
def test_a_video_that_is_not_cut_any_more_keeps_no_windows_of_before(house: LongHouse) -> None:
    house.drop_long()
    house.rounds_until(3)
    settings = DecoderSettings(ClipSpec(frames=4, size=16), 1, 30, reading=ReadOptions(0.5))
    without = Decoders(settings)
    house.use(without)  # windows = "off", and the daemon is started again
    house.work()
    without.close()
    assert len(house.prediction_rows()) == 1
    assert house.windows() == []


@pytest.mark.slow
def test_a_duplicate_of_a_long_video_is_a_copy_also_while_that_is_read(house: LongHouse) -> None:
    house.drop_long("first.avi")
    house.drop_long("second.avi")
    house.work()
    first, copy = sorted(house.rows(), key=lambda row: row.duplicate_of or 0)
    # Two decoders read them: either may be done first.
    assert (first.duplicate_of, copy.duplicate_of) == (None, first.id)
    assert {row.video_id for row in house.rows(windows)} == {first.id}
    house.drop_long("third.avi")
    house.work()
    assert house.row(3)["duplicate_of"] == first.id
    assert house.windows(first.id) == list(range(SECONDS))


@pytest.mark.slow
def test_a_label_that_is_given_meanwhile_decides_where_the_video_is_filed(
    house: LongHouse,
) -> None:
    house.drop_long()
    house.rounds_until(2)
    house.give_label(1, "red")
    house.work()
    assert house.place(1) == "labelled/red/long.avi"
    assert house.windows() == list(range(SECONDS))


@pytest.mark.slow
def test_a_video_that_fails_keeps_no_windows(house: LongHouse, decoders: Decoders) -> None:
    class Crashing(Cautious):
        def outcome(self, future: Future[Any]) -> Any:
            found = decoders.outcome(future)
            is_later = isinstance(found, Piece) and any(one.number for one in found.windows[:1])
            return Undecoded("crashed", "it is bad") if is_later else found

    house.drop_long()
    house.use(Crashing(decoders))
    house.work()
    assert house.row(1)["state"] == "failed"
    assert house.row(1)["attempts"] == 3
    assert house.windows() == []


@pytest.mark.slow
def test_the_device_being_busy_costs_no_window(house: LongHouse) -> None:
    house.drop_long()
    house.rounds_until(2)
    house.classify.busy = 1
    house.work()
    assert house.windows() == list(range(SECONDS))
    assert house.row(1)["state"] == "filed"


@pytest.mark.slow
def test_a_long_video_that_is_cut_short_waits_like_any_other(house: LongHouse) -> None:
    path = write_video(house.root / "made.avi", frames=25 * SECONDS)
    data = path.read_bytes()
    path.write_bytes(data[: int(0.8 * len(data))])
    path = path.rename(house.inbox / "short.avi")
    house.enqueue(path)
    for _ in range(20):
        house.pipeline.step(house.now)
    assert house.row(1)["held"]
    assert house.windows() == []
    house.work()
    (found,) = house.prediction_rows()
    assert 0.7 < found.read_share < 0.9
    assert 30 <= len(house.windows()) <= 34


@pytest.mark.slow
def test_few_windows_are_in_memory_however_many_videos_are_long(house: LongHouse) -> None:
    for number in range(6):
        house.drop_long(f"{number}.avi", shade=number)
    most = 0
    for _ in range(400):
        house.pipeline.step(house.now)
        long = house.pipeline._in_hand._long
        most = max(most, sum(one.n_in_memory for one in long._videos.values()))
        if len(house.prediction_rows()) == 6:
            break
    assert len(house.rows(windows)) == 6 * SECONDS
    assert 0 < most <= 2 * PLAN.at_once
