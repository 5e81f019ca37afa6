import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import write_video
from disks import Mount, numbers, pad
from disks import mount as mount
from homes import START, MadeHome
from sqlalchemy.exc import OperationalError

from daemon.classify.decoding import Decoders, DecoderSettings, Undecoded
from daemon.classify.filing import StoppedError
from daemon.classify.pipeline import Pipeline, PipelineSettings
from daemon.classify.predictor import BusyError, Outcome, Predictor, Result
from daemon.database.connection import connect
from daemon.database.predictions import Predictions
from daemon.database.records import Move, WindowPrediction
from daemon.database.tables import predictions
from daemon.home.folders import Folders
from daemon.home.identity import Identity, identify
from learner.errors import VidwatchError
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip
from learner.windows import Long, Piece


@dataclass(frozen=True)
class Predicted:
    class_name: str
    class_index: int
    probability: float
    logits: dict[str, float]
    familiarity: float | None = 0.25


class Brightness:
    """A classifier of two classes, by how red the frames are. It refuses the first `busy` calls."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.busy = 0

    def __call__(self, clips: Sequence[Clip]) -> list[Outcome]:
        if self.busy:
            self.busy -= 1
            raise BusyError("the device is out of memory")
        self.batches.append(len(clips))
        red = [float(clip.frames[..., 0].mean()) for clip in clips]
        return [
            Outcome(
                Predicted(
                    ("dark", "red")[value > 127],
                    value > 127,
                    0.9,
                    {"dark": 127 - value, "red": value},
                )
            )
            for value in red
        ]

    def join(self, windows: Mapping[int, Sequence[WindowPrediction]], model_id: int) -> Outcome:
        """By the mean of the windows' logits."""
        found = [window.prediction.logits for window in windows[model_id]]
        logits = [sum(column) / len(found) for column in zip(*found, strict=True)]
        index = logits.index(max(logits))
        names = ("dark", "red")
        return Outcome(Predicted(names[index], index, 0.8, dict(zip(names, logits, strict=True))))


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(
        DecoderSettings(ClipSpec(frames=4, size=16), workers=2, seconds=5, reading=ReadOptions(0.5))
    )
    yield decoders
    decoders.close()


class House(MadeHome):
    """A home with a pipeline.

    Each round is an hour later, so that no test waits for a pause.
    """

    def __init__(
        self, root: Path, decoders: Decoders, duplicates: str = "keep", *, tree: bool = False
    ) -> None:
        super().__init__(root, now=START, model="m", classes=["dark", "red"], tree=tree)
        self.predictions = Predictions(self.engine, leave_duplicates=duplicates == "leave")
        self.classify = Brightness()
        self.may_begin = True
        self.stopping = False
        self.predictor = Predictor(decoders, self.classify, self.model, self.classify.join)
        self.drops_duplicates = duplicates == "drop"
        self.pipeline = self.made_pipeline(self.folders)

    def pipeline_settings(self) -> PipelineSettings:
        return PipelineSettings(
            batch_size=4,
            grace=timedelta(minutes=1),
            patience=timedelta(minutes=1),
            inbox_is_there=self.inbox.exists,
            may_begin=lambda: self.may_begin,
            may_go_on=lambda: self.may_begin,
            progress=self.progress,
            drop_duplicates=self.drops_duplicates,
        )

    def made_pipeline(self, folders: Folders) -> Pipeline:
        settings = self.pipeline_settings()
        return Pipeline(self.queue, self.predictions, self.predictor, folders, settings)

    def progress(self) -> None:
        """Ends what takes long, if the daemon is to stop."""
        if self.stopping:
            raise StoppedError

    def drop(self, name: str | bytes, frames: int = 8, shade: int = 0) -> Path:
        """A video that comes into the inbox and is queued."""
        path = self.put_video(b"inbox/" + os.fsencode(name), frames, shade)
        self.enqueue(path)
        return path

    def work(self, rounds: int = 100) -> None:
        for _ in range(rounds):
            self.now += timedelta(hours=1)
            if not self.pipeline.step(self.now):
                self.pipeline.settle_missing(self.now + timedelta(hours=1))
                return
        raise AssertionError("it never ended")

    def prediction_rows(self) -> list[Any]:
        return self.rows(predictions, by="video_id")


@pytest.fixture
def house(tmp_path: Path, decoders: Decoders) -> House:
    return House(tmp_path, decoders)


def test_clips_get_their_predictions_and_are_filed_by_class(house: House) -> None:
    house.drop("a.avi", shade=0)
    house.drop("b.avi", shade=180)
    house.work()
    assert [(row.state, row.sha256 is not None) for row in house.rows()] == [("filed", True)] * 2
    assert [
        (row.class_index, len(row.logits), row.frames_asked, row.frames_read)
        for row in house.prediction_rows()
    ] == [
        (0, 2, 4, 4),
        (1, 2, 4, 4),
    ]
    assert [row.familiarity for row in house.prediction_rows()] == [0.25, 0.25]
    assert house.files() == {"classified/dark/a.avi", "classified/red/b.avi"}


def test_a_clip_of_one_frame_is_predicted_and_its_row_says_so(house: House) -> None:
    house.drop("a.avi", frames=1)
    house.work()
    assert [(row.frames_asked, row.frames_read) for row in house.prediction_rows()] == [(4, 1)]


@pytest.mark.parametrize(
    "name", [b"with space.avi", b"new\nline.avi", b"\xff\xfe.avi", b"x" * 251 + b".avi", b"%03d"]
)
def test_any_name_is_classified_and_kept(house: House, name: bytes) -> None:
    house.drop(name)
    house.work()
    assert house.rows()[0].path == bytes(house.root) + b"/classified/dark/" + name
    assert identify(house.rows()[0].path) is not None


def test_two_files_of_one_name_are_both_kept(house: House) -> None:
    house.drop("cam1/001.avi", shade=0)
    house.drop("cam2/001.avi", shade=8)
    house.work()
    assert house.files() == {"classified/dark/001.avi", "classified/dark/001-2.avi"}
    assert {os.fsdecode(row.path) for row in house.rows()} == {
        str(house.root / name) for name in house.files()
    }


def test_bad_files_are_moved_with_their_reason_and_do_not_hold_up_the_next(house: House) -> None:
    (house.inbox / "text.mp4").write_text("no video")
    house.enqueue(house.inbox / "text.mp4")
    (house.inbox / "empty.mp4").touch()
    house.enqueue(house.inbox / "empty.mp4")
    house.drop("good.avi")
    house.work()
    assert [row.state for row in house.rows()] == ["failed", "failed", "filed"]
    assert all(row.error and row.finished_at for row in house.rows()[:2])
    assert {name for name in house.files() if name.startswith("failed")} == {
        f"failed/{name}" for name in ("text.mp4", "text.mp4.txt", "empty.mp4", "empty.mp4.txt")
    }
    assert "0 bytes" in (house.root / "failed/empty.mp4.txt").read_text()


def test_the_same_content_twice_goes_to_duplicates_and_is_not_predicted_again(house: House) -> None:
    original = house.drop("a.avi").read_bytes()
    house.work()
    (house.inbox / "again.avi").write_bytes(original)
    house.enqueue(house.inbox / "again.avi")
    house.work()
    assert house.files() == {"classified/dark/a.avi", "duplicates/again.avi"}
    assert [row.duplicate_of for row in house.rows()] == [None, 1]
    assert len(house.prediction_rows()) == 1


def test_a_file_that_vanishes_gets_a_row_that_says_so(house: House) -> None:
    house.drop("a.avi").unlink()
    house.drop("b.avi")
    house.work()
    assert [(row.state, row.error) for row in house.rows()] == [
        ("failed", "vanished before it could be read"),
        ("filed", None),
    ]


def test_modified_during_check_a_file_waits_until_it_is_whole_again(
    house: House, decoders: Decoders
) -> None:
    class WrittenMeanwhile:
        """Reads for real, while someone goes on writing the file."""

        read = staticmethod(decoders.read)
        windows = staticmethod(decoders.windows)
        hash = staticmethod(decoders.hash)

        def outcome(self, future: Future[Clip]) -> Clip | Undecoded:
            clip = decoders.outcome(future)
            write_video(path, frames=12, shade=180)
            return clip

    path = house.drop("a.avi", frames=8)
    house.pipeline.use(replace(house.predictor, reader=WrittenMeanwhile()))
    house.work()
    assert [(row.state, row.error) for row in house.rows()] == [("waiting", None)]
    assert house.prediction_rows() == []
    house.pipeline.use(replace(house.predictor, reader=decoders))
    house.enqueue(path)
    house.work()
    assert [(row.state, row.name) for row in house.rows()] == [("filed", "a.avi")]
    assert [row._mapping["class"] for row in house.prediction_rows()] == ["red"]


def test_a_file_renamed_while_in_hand_is_filed_from_its_new_name(house: House) -> None:
    path = house.drop("a.avi")
    house.queue.claim(1, house.now)
    path.rename(house.inbox / "b.avi")
    house.enqueue(house.inbox / "b.avi")
    house.queue.recover()
    house.work()
    assert [(row.state, row.name) for row in house.rows()] == [("filed", "b.avi")]
    assert house.files() == {"classified/dark/b.avi"}


def test_an_inbox_that_is_away_for_a_while_loses_no_file(house: House) -> None:
    for number in range(3):
        house.drop(f"{number}.avi", shade=8 * number)
    house.inbox.rename(house.root / "away")
    house.work()
    assert [row.state for row in house.rows()] == ["waiting"] * 3
    (house.root / "away").rename(house.inbox)
    for number in range(3):
        house.enqueue(house.inbox / f"{number}.avi")
    house.work()
    assert [row.state for row in house.rows()] == ["filed"] * 3


def test_an_inbox_that_is_away_between_prediction_and_move_delays_the_move(house: House) -> None:
    house.drop("a.avi")
    filing = house.pipeline._filing
    file = filing.file
    filing.file = lambda moves, now: None  # type: ignore[method-assign]
    for _ in range(10):
        house.pipeline.step(house.now)
    filing.file = file  # type: ignore[method-assign]
    house.inbox.rename(house.root / "away")
    house.pipeline.step(house.now)
    assert [(row.state, row.finished_at) for row in house.rows()] == [("classified", None)]
    (house.root / "away").rename(house.inbox)
    house.work()
    assert house.files() == {"classified/dark/a.avi"}


def test_a_database_locked_between_prediction_and_record_loses_nothing(house: House) -> None:
    with house.engine.connect() as impatient:
        is_file = house.engine.dialect.name == "sqlite"
        setting = "PRAGMA busy_timeout =" if is_file else "SET SESSION lock_timeout ="
        impatient.exec_driver_sql(f"{setting} 50")
        impatient.commit()
    locker, lock = connect(house.home.database).execution_options(writes=True), ExitStack()

    def classify_and_lock(clips: Sequence[Clip]) -> list[Outcome]:
        lock.enter_context(locker.begin())
        return house.classify(clips)

    house.drop("a.avi")
    house.pipeline.use(replace(house.predictor, predict=classify_and_lock))
    with pytest.raises(OperationalError, match=r"locked|lock timeout"):
        house.work()
    house.pipeline.start_over()
    with pytest.raises(OperationalError, match=r"locked|lock timeout"):
        house.work()
    assert [row.state for row in house.rows()] == ["claimed"]
    lock.close()
    house.pipeline.use(replace(house.predictor, predict=house.classify))
    house.work()
    assert [row.state for row in house.rows()] == ["filed"]
    assert len(house.prediction_rows()) == 1


def test_a_clip_that_the_model_refuses_fails_and_the_others_go_on(house: House) -> None:
    def refuses_red(clips: Sequence[Clip]) -> list[Outcome]:
        outcomes = classify(clips)
        if any(outcome.prediction.class_name == "red" for outcome in outcomes):
            raise VidwatchError(
                "model 'm' gave logits that are not finite: its weights are damaged"
            )
        return outcomes

    classify = house.predictor.predict
    house.pipeline.use(replace(house.predictor, predict=refuses_red))
    for number, shade in enumerate((0, 180, 8)):
        house.drop(f"{number}.avi", shade=shade)
    house.work()
    assert [row.state for row in house.rows()] == ["filed", "failed", "filed"]
    assert "not finite" in house.rows()[1].error


class Crashing:
    """A reader whose decoder crashes on every file."""

    def read(
        self, path: bytes, identity: Identity, sha256: str | None = None
    ) -> Future[Clip | Long]:
        return self._crashed()

    def windows(
        self, path: bytes, identity: Identity, sha256: str, first: int
    ) -> Future[Clip | Piece]:
        return self._crashed()

    def hash(self, path: bytes, identity: Identity) -> Future[str]:
        return self._crashed()

    def _crashed(self) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(RuntimeError())
        return future

    def outcome(self, future: Future[Any]) -> Undecoded:
        return Undecoded("crashed", "its decoder crashed (signal SIGSEGV)")


def test_a_file_that_crashes_its_decoder_fails_after_three_attempts(house: House) -> None:
    house.pipeline.use(replace(house.predictor, reader=Crashing()))
    house.drop("a.avi")
    house.work()
    (row,) = house.rows()
    assert (row.state, row.attempts) == ("failed", 3)
    assert "SIGSEGV" in row.error
    assert "3 attempts" in row.error


def test_a_device_out_of_memory_leaves_the_clips_for_later(house: House) -> None:
    house.classify.busy = 2
    house.drop("a.avi")
    house.work()
    assert [(row.state, row.attempts, row.trouble) for row in house.rows()] == [("filed", 0, None)]
    assert len(house.prediction_rows()) == 1


def test_a_move_that_is_impossible_for_now_is_tried_again(house: House) -> None:
    house.drop("a.avi")
    (house.root / "classified").rmdir()
    (house.root / "classified").write_text("in the way")
    with pytest.raises(AssertionError, match="never ended"):
        house.work(20)
    (row,) = house.rows()
    assert row.state == "classified"
    assert "cannot be moved" in row.trouble
    (house.root / "classified").unlink()
    house.work()
    assert [(row.state, row.trouble) for row in house.rows()] == [("filed", None)]
    assert house.files() == {"classified/dark/a.avi"}


def test_a_label_takes_a_clip_elsewhere_whose_move_is_impossible_for_now(house: House) -> None:
    house.drop("a.avi")
    (house.root / "classified").rmdir()
    (house.root / "classified").write_text("in the way")
    house.predict(house.model_prediction("dark"))
    house.pipeline.file(house.now)
    assert "cannot be moved" in house.rows()[0].trouble
    house.give_label(1, "red")
    house.work()
    assert house.files() == {"classified", "labelled/red/a.avi"}
    assert [(row.state, row.moving_to) for row in house.rows()] == [("filed", None)]


def test_a_stop_forgets_no_move_that_was_begun_and_a_label_moves_the_file_on(house: House) -> None:
    path = house.drop("a.avi")
    house.predict(house.model_prediction("dark"))
    (move,) = house.queue.moves(house.now)
    copy = house.root / "classified/dark/a.avi"  # as on another file system; then a kill
    copy.parent.mkdir()
    shutil.copy2(path, copy)
    path.unlink()
    house.stopping = True
    house.pipeline.file(house.now)
    assert house.row(1)["moving_to"] == move.destination
    house.give_label(1, "red")
    assert house.class_folders.not_put_by_us([house.found(copy)]) == []
    house.stopping = False
    house.work()
    assert house.files() == {"labelled/red/a.avi"}
    assert len(house.given_labels()) == len(house.rows()) == 1


@pytest.fixture
def from_memory(house: House) -> Iterator[House]:
    """The inbox is on another file system, so that files are copied."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == house.root.stat().st_dev:
        pytest.skip("needs /dev/shm on another file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        house.inbox.rmdir()
        house.inbox.symlink_to(folder)
        yield house


def test_a_stop_before_a_file_has_left_its_place_leaves_it_to_its_next_label(
    from_memory: House,
) -> None:
    house = from_memory
    for number in range(2):
        made = house.put_video(f"{number}.avi", shade=number)
        house.enqueue(Path(shutil.move(made, house.inbox)))
    house.predict(house.model_prediction("dark"))
    house.stopping = True
    house.pipeline.file(house.now)
    assert [(row.moving_to, bool(row.destination)) for row in house.rows()] == [(None, True)] * 2
    assert sorted(path.name for path in house.inbox.iterdir()) == ["0.avi", "1.avi"]
    assert house.files() == set()


def test_videos_in_hand_at_the_end_go_back_into_the_queue(house: House) -> None:
    for number in range(10):
        house.drop(f"{number}.avi", shade=8 * number)
    house.pipeline.step(house.now)
    house.pipeline.file(house.now)  # as the daemon does at its end
    house.pipeline.release()
    assert {row.state for row in house.rows()} <= {"queued", "filed"}
    assert all(row.claimed_by is None for row in house.rows())
    house.work()
    assert [row.state for row in house.rows()] == ["filed"] * 10
    assert len(house.prediction_rows()) == 10


def test_the_device_has_its_next_batch_before_the_one_before_is_recorded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_recorded = threading.Event()
    waited: list[bool] = []

    def predict(clips: Sequence[Clip]) -> list[Outcome]:
        if house.classify.batches:
            waited.append(is_recorded.wait(30))
        return house.classify(clips)

    def record(*given: Any) -> Any:
        is_recorded.set()
        return recorded(*given)

    recorded = house.predictions.record
    monkeypatch.setattr(house.predictions, "record", record)
    house.pipeline.use(replace(house.predictor, predict=predict))
    for number in range(8):
        house.drop(f"{number}.avi", shade=8 * number)
    house.work()
    assert waited
    assert all(waited)
    assert [row.state for row in house.rows()] == ["filed"] * 8


def test_what_the_device_has_at_the_end_is_recorded(house: House) -> None:
    house.drop("a.avi")
    while not house.classify.batches:
        house.pipeline.step(house.now)
    house.pipeline.release()
    assert [row.state for row in house.rows()] == ["classified"]
    house.work()
    assert house.files() == {"classified/dark/a.avi"}
    assert house.classify.batches == [1]


class Never(Crashing):
    """It is never done with a file."""

    def _crashed(self) -> Future[Any]:
        return Future()


@pytest.mark.parametrize(("workers", "in_hand"), [(1, 5), (2, 6), (7, 14)])
def test_each_decoder_has_work_beside_the_next_batch_and_no_batch_is_larger_than_asked(
    house: House, workers: int, in_hand: int
) -> None:
    for number in range(20):
        house.drop(f"{number}.avi", shade=8 * number)
    house.pipeline.use(replace(house.predictor, reader=Never(), workers=workers))
    for _ in range(2):
        house.pipeline.step(house.now)
        assert sum(row.state == "claimed" for row in house.rows()) == in_hand
    house.pipeline.use(replace(house.predictor, workers=workers))
    house.work()
    assert max(house.classify.batches) <= 4
    assert sum(house.classify.batches) == 20


def test_a_file_taken_away_after_its_prediction_is_left_where_it_is(house: House) -> None:
    path = house.drop("a.avi")
    moved = house.root / "labelled/a.avi"
    filing = house.pipeline._filing
    move = filing.file

    def taken_away(moves: Sequence[Move], now: datetime) -> None:
        if moves and path.exists():
            path.rename(moved)
        move(moves, now)

    filing.file = taken_away  # type: ignore[method-assign]
    house.work()
    assert house.files() == {"labelled/a.avi"}
    assert [(row.state, row.finished_at is not None) for row in house.rows()] == [
        ("classified", True)
    ]
    assert len(house.prediction_rows()) == 1


def cut(house: House, name: str, share: float, date: datetime) -> Path:
    """A clip of which only the first part is there, and whose file has that date."""
    path = house.drop(name, frames=40)
    os.truncate(path, int(path.stat().st_size * share))
    os.utime(path, (date.timestamp(), date.timestamp()))
    house.enqueue(path)
    return path


def read_once(house: House) -> Any:
    """Have the one video read, without a prediction; gives its row."""
    house.pipeline.step(house.now)
    while house.rows()[0].state == "claimed":
        house.pipeline.step(house.now)
    return house.rows()[0]


# As after an interrupted rsync, a copy that keeps its date, and of a server whose clock is ahead.
DATES = (
    datetime(1970, 1, 1, tzinfo=UTC),
    START - timedelta(days=400),
    START,
    START + timedelta(seconds=6),
    START + timedelta(days=1),
)


@pytest.mark.parametrize("date", DATES, ids=str)
def test_a_clip_cut_short_a_moment_ago_is_read_again_before_it_counts(
    house: House, date: datetime
) -> None:
    whole = house.drop("a.avi", frames=40).read_bytes()
    path = cut(house, "a.avi", 0.7, date)
    row = read_once(house)
    assert (row.state, row.tries, row.retry_at) == ("queued", 0, house.now + timedelta(minutes=1))
    assert "may still be arriving" in row.held
    assert not house.pipeline.step(house.now + timedelta(seconds=59))
    path.write_bytes(whole)  # the rest has come
    house.enqueue(path)
    house.work()
    assert [(row.frames_read, row.read_share) for row in house.prediction_rows()] == [(4, 1)]


def test_the_wait_of_a_clip_cut_short_is_neither_lost_nor_begun_anew_by_a_restart(
    house: House,
) -> None:
    cut(house, "a.avi", 0.7, START)
    until = read_once(house).retry_at
    house.queue.recover()
    assert [(row.retry_at, row.held) for row in house.rows()] == [(None, None)]
    house.now += timedelta(seconds=40)
    assert read_once(house).retry_at == until
    house.now = until
    house.work()
    assert [row.state for row in house.rows()] == ["filed"]


def test_a_clip_cut_short_waits_from_its_last_change(house: House) -> None:
    path = cut(house, "a.avi", 0.5, START)
    read_once(house)
    house.now += timedelta(seconds=50)
    with path.open("ab") as file:
        file.write(b"more")
    os.utime(path, (0, 0))
    house.enqueue(path)
    assert read_once(house).retry_at == house.now + timedelta(minutes=1)


def test_a_clock_that_is_set_back_begins_the_wait_of_a_clip_cut_short_anew_and_once(
    house: House,
) -> None:
    cut(house, "a.avi", 0.7, START)
    read_once(house)
    house.now -= timedelta(days=1)
    assert read_once(house).retry_at == house.now + timedelta(minutes=1)
    house.now += timedelta(minutes=1)
    house.pipeline.step(house.now)
    house.work()
    assert [row.state for row in house.rows()] == ["filed"]


@pytest.mark.parametrize("date", DATES, ids=str)
def test_a_clip_cut_short_is_predicted_on_what_is_there_and_the_row_says_how_much(
    house: House, date: datetime
) -> None:
    cut(house, "a.avi", 0.7, date)
    cut(house, "b.avi", 0.3, date)
    house.work()
    (prediction,) = house.prediction_rows()
    assert 0.5 < prediction.read_share < 0.75
    assert [row.state for row in house.rows()] == ["filed", "failed"]
    assert "cut short" in house.rows()[1].error


def test_nothing_is_claimed_while_there_is_no_space(house: House) -> None:
    house.drop("a.avi")
    house.may_begin = False
    house.work()
    assert [row.state for row in house.rows()] == ["queued"]
    house.may_begin = True
    house.work()
    assert [row.state for row in house.rows()] == ["filed"]


class Touching:
    """The decoders, and what happens to a file after it was read, and before that is known."""

    def __init__(self, decoders: Decoders, touch: Callable[[Path, int], object]) -> None:
        self.decoders = decoders
        self.touch = touch
        self.times = 0

    def read(
        self, path: bytes, identity: Identity, sha256: str | None = None
    ) -> Future[Clip | Long]:
        return self._touched(self.decoders.read(path, identity, sha256), path)

    def windows(
        self, path: bytes, identity: Identity, sha256: str, first: int
    ) -> Future[Clip | Piece]:
        return self._touched(self.decoders.windows(path, identity, sha256, first), path)

    def hash(self, path: bytes, identity: Identity) -> Future[str]:
        return self._touched(self.decoders.hash(path, identity), path)

    def _touched(self, future: Future[Result], path: bytes) -> Future[Result]:
        wait([future])
        self.times += 1
        self.touch(Path(os.fsdecode(path)), self.times)
        return future

    def outcome(self, future: Future[Result]) -> Result | Undecoded:
        return self.decoders.outcome(future)


def test_a_clip_rewritten_in_its_size_and_date_while_it_is_read_is_read_again(
    house: House, decoders: Decoders
) -> None:
    red = pad(house.put_video("red.avi", shade=200)).read_bytes()

    def rewrite(path: Path, times: int) -> None:
        if times == 1:
            path.write_bytes(red)
            pad(path)

    touching = Touching(decoders, rewrite)
    house.pipeline.use(replace(house.predictor, reader=touching))
    path = pad(house.put_video("inbox/a.avi"))
    house.enqueue(path)
    before = numbers(path)
    house.work()
    (row,) = house.rows()
    assert numbers(house.path(row.id)) == before
    assert row.sha256 == hashlib.sha256(red).hexdigest()
    assert [row._mapping["class"] for row in house.prediction_rows()] == ["red"]
    assert touching.times == 2


@pytest.mark.parametrize(
    ("touch", "place"),
    [
        (lambda path, times: path.chmod(0o640 + times), "classified/dark/a.avi"),
        (lambda path, times: path.with_name(f"{times}").hardlink_to(path), "classified/dark/a.avi"),
    ],
    ids=["its mode", "its number of names"],
)
def test_a_clip_of_which_other_things_change_at_each_reading_is_read_twice_at_most(
    house: House, decoders: Decoders, touch: Callable[[Path, int], object], place: str
) -> None:
    touching = Touching(decoders, touch)
    house.pipeline.use(replace(house.predictor, reader=touching))
    house.drop("a.avi")
    house.work()
    assert [row.state for row in house.rows()] == ["filed"]
    assert place in house.files()
    assert touching.times == 2


def test_a_clip_that_comes_while_one_of_its_numbers_is_in_hand_has_its_own_prediction(
    house: House, decoders: Decoders, mount: Mount
) -> None:
    dark, red = (mount(house.inbox / name) / "a.avi" for name in ("card1", "card2"))

    def second_card(path: Path, times: int) -> None:
        if times == 1:
            pad(house.put_video("made.avi", shade=200).replace(house.root / "red.avi"))
            shutil.copy2(house.root / "red.avi", red)
            assert numbers(red) == numbers(dark)
            house.enqueue(red)

    shutil.copy2(pad(house.put_video("dark.avi")), dark)
    house.enqueue(dark)
    house.pipeline.use(replace(house.predictor, reader=Touching(decoders, second_card)))
    house.work()
    assert [row.state for row in house.rows()] == ["filed", "filed"]
    assert [row._mapping["class"] for row in house.prediction_rows()] == ["dark", "red"]
    assert {"classified/dark/a.avi", "classified/red/a.avi"} <= house.files()
