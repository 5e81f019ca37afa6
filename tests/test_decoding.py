import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest
from conftest import write_video

from daemon.decoding import Decoders, Undecoded
from learner.spec import ClipSpec
from learner.video import Clip

SPEC = ClipSpec(frames=4, size=16)


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(SPEC, workers=2, seconds=30)
    yield decoders
    decoders.close()


def test_a_clip_is_read_in_another_process(tmp_path: Path, decoders: Decoders) -> None:
    clip = decoders.outcome(decoders.decode(bytes(write_video(tmp_path / "a.mp4"))))
    assert isinstance(clip, Clip)
    assert clip.frames.shape == (4, 16, 16, 3)


def test_what_is_no_video_is_failed_with_its_reason(tmp_path: Path, decoders: Decoders) -> None:
    (tmp_path / "a.mp4").write_text("text")
    outcome = decoders.outcome(decoders.decode(bytes(tmp_path / "a.mp4")))
    assert isinstance(outcome, Undecoded)
    assert outcome.verdict == "failed"
    assert "not a video" in outcome.reason


def test_a_crash_and_a_hang_cost_their_own_file_alone(tmp_path: Path, decoders: Decoders) -> None:
    crash = decoders._pool.schedule(os.abort)
    hang = decoders._pool.schedule(time.sleep, args=(60,), timeout=0.5)
    paths = [write_video(tmp_path / f"{n}.mp4") for n in range(4)]
    clips = [decoders.decode(bytes(path)) for path in paths]
    outcomes = [decoders.outcome(future) for future in (crash, hang)]
    assert [outcome.verdict for outcome in outcomes if isinstance(outcome, Undecoded)] == ["crashed", "crashed"]
    assert "SIGABRT" in str(outcomes[0])
    assert all(isinstance(decoders.outcome(future), Clip) for future in clips)


def test_decoders_whose_idle_processes_were_killed_are_replaced(tmp_path: Path, decoders: Decoders) -> None:
    path = bytes(write_video(tmp_path / "a.mp4"))
    decoders.outcome(decoders.decode(path))
    for worker in decoders._pool._pool_manager.worker_manager.workers.values():
        worker.kill()
    time.sleep(0.5)
    deadline = time.monotonic() + 60
    while not isinstance(decoders.outcome(decoders.decode(path)), Clip):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_decoder_that_was_told_to_stop_is_no_fault_of_its_file(decoders: Decoders) -> None:
    busy = decoders._pool.schedule(time.sleep, args=(60,))
    while not busy.running():
        time.sleep(0.05)
    for worker in list(decoders._pool._pool_manager.worker_manager.workers.values()):
        worker.terminate()
    outcome = decoders.outcome(busy)
    assert isinstance(outcome, Undecoded)
    assert outcome.verdict == "again"


def test_a_share_that_timed_out_is_tried_later(decoders: Decoders) -> None:
    away: Future[Clip] = Future()
    away.set_exception(OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))
    outcome = decoders.outcome(away)
    assert outcome == Undecoded("later", "cannot be read (Connection timed out)")


def test_decoders_die_with_their_daemon(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    code = f"""
if __name__ == "__main__":
    import psutil, time
    from daemon.decoding import Decoders
    from learner.spec import ClipSpec
    decoders = Decoders(ClipSpec(frames=4, size=16), 2, 30)
    decoders.outcome(decoders.decode({bytes(path)!r}))
    print(*[child.pid for child in psutil.Process().children()], flush=True)
    time.sleep(60)
"""
    (tmp_path / "daemon_like.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen([sys.executable, tmp_path / "daemon_like.py"], stdout=subprocess.PIPE, env=environment)
    assert process.stdout
    children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert len(children) >= 2
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
