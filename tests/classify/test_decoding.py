import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from conftest import write_video

from daemon.classify.decoding import SLACK, Decoders, DecoderSettings, Undecoded
from daemon.home.identity import identify
from learner.motion import MOTION_FEATURES
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip, read_clip

SPEC = ClipSpec(frames=4, size=16)


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(DecoderSettings(SPEC, workers=2, seconds=30))
    yield decoders
    decoders.close()


def test_a_clip_is_read_in_another_process(tmp_path: Path, decoders: Decoders) -> None:
    clip = decoders.outcome(decoders.decode(bytes(write_video(tmp_path / "a.mp4"))))
    assert isinstance(clip, Clip)
    assert clip.frames.shape == (4, 16, 16, 3)


def test_the_motion_of_a_clip_comes_with_it_from_the_other_process(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    spec = replace(SPEC, motion=True)
    decoders = Decoders(DecoderSettings(spec, workers=1, seconds=30))
    clip = decoders.outcome(decoders.decode(bytes(path)))
    decoders.close()
    assert isinstance(clip, Clip)
    expected = read_clip(path, spec)
    assert clip.motion is not None
    assert expected.motion is not None
    assert clip.motion.shape == (4, MOTION_FEATURES)
    assert np.array_equal(clip.motion, expected.motion)
    assert np.array_equal(clip.frames, expected.frames)


def test_a_file_that_is_no_video_fails_with_its_reason(tmp_path: Path, decoders: Decoders) -> None:
    (tmp_path / "a.mp4").write_text("text")
    outcome = decoders.outcome(decoders.decode(bytes(tmp_path / "a.mp4")))
    assert isinstance(outcome, Undecoded)
    assert outcome.kind == "failed"
    assert "not a video" in outcome.reason


def test_a_file_cut_short_is_read_if_enough_is_there_else_its_failure_says_so(
    tmp_path: Path,
) -> None:
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=30, reading=ReadOptions(0.5)))
    whole = write_video(tmp_path / "a.avi", frames=60).read_bytes()
    for name, share in (("most", 0.8), ("little", 0.3), ("none", 0)):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    (tmp_path / "text").write_text("text")
    names = ("most", "little", "none", "text")
    most, little, none, text = [
        decoders.outcome(decoders.decode(bytes(tmp_path / name))) for name in names
    ]
    assert isinstance(most, Clip)
    assert most.read_share == pytest.approx(0.75, abs=0.1)
    assert [(o.kind, o.cut_short) for o in (little, none, text) if isinstance(o, Undecoded)] == [
        ("failed", True),
        ("failed", True),
        ("failed", False),
    ]
    decoders.close()


def test_another_file_in_the_place_of_the_claimed_one_is_not_read(
    tmp_path: Path, decoders: Decoders
) -> None:
    """Swapped in for a moment, or reached through a folder that was swapped for a link."""
    (tmp_path / "inbox").mkdir()
    path = write_video(tmp_path / "inbox/a.avi")
    came = identify(bytes(path))
    assert isinstance(decoders.outcome(decoders.decode(bytes(path), came)), Clip)
    (tmp_path / "secret").mkdir()
    write_video(tmp_path / "secret/a.avi", shade=3)
    (tmp_path / "inbox").rename(tmp_path / "away")
    (tmp_path / "inbox").symlink_to("secret")
    outcome = decoders.outcome(decoders.decode(bytes(path), came))
    assert outcome == Undecoded("later", "cannot be read (it is not the file that came)")


def test_a_link_is_not_followed(tmp_path: Path, decoders: Decoders) -> None:
    write_video(tmp_path / "a.avi")
    (tmp_path / "link.avi").symlink_to("a.avi")
    outcome = decoders.outcome(decoders.decode(bytes(tmp_path / "link.avi")))
    assert isinstance(outcome, Undecoded)
    assert (outcome.kind, "not a regular file" in outcome.reason) == ("failed", True)


def test_decoders_cannot_use_the_network_or_start_programs(decoders: Decoders) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        tries: list[tuple[Callable[..., Any], Any]] = [
            (socket.create_connection, server.getsockname()),
            (socket.socket, socket.AF_UNIX),
            (subprocess.run, ["true"]),
        ]
        for attempt, argument in tries:
            outcome = decoders.outcome(decoders._pool.schedule(attempt, args=(argument,)))
            assert isinstance(outcome, Undecoded)
            assert "Operation not permitted" in outcome.reason


def test_decoders_have_a_memory_limit_and_dump_no_core(tmp_path: Path) -> None:
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=60, gigabytes=0.25))
    reason = "decoding takes more than 0.25 GB of memory (decode_gigabytes)"
    assert decoders.outcome(decoders._pool.schedule(bytearray, args=(300_000_000,))) == Undecoded(
        "crashed", reason
    )
    assert decoders._pool.schedule(resource.getrlimit, args=(resource.RLIMIT_CORE,)).result() == (
        0,
        0,
    )
    # Pictures of 96 MB, and nearly nothing in the file.
    path = tmp_path / "large.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "refs": "4"}
        )
        stream.width, stream.height, stream.pix_fmt = 8000, 8000, "yuv420p"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame(8000, 8000, "yuv420p")))
        container.mux(stream.encode(None))
    assert decoders.outcome(decoders.decode(bytes(path))) == Undecoded("crashed", reason)
    assert isinstance(
        decoders.outcome(decoders.decode(bytes(write_video(tmp_path / "a.avi")))), Clip
    )
    decoders.close()


def test_a_crash_and_a_hang_cost_only_their_own_file(tmp_path: Path, decoders: Decoders) -> None:
    paths = [write_video(tmp_path / f"{n}.mp4") for n in range(4)]
    for _ in range(3):
        crash = decoders._pool.schedule(os.abort)
        hang = decoders._pool.schedule(time.sleep, args=(60,), timeout=0.5)
        clips = [decoders.decode(bytes(path)) for path in paths]
        outcomes = [decoders.outcome(future) for future in (crash, hang)]
        if {outcome.kind for outcome in outcomes if isinstance(outcome, Undecoded)} != {"again"}:
            break  # else pebble took the dead process for an idle one, and gave up the whole pool
    assert [outcome.kind for outcome in outcomes if isinstance(outcome, Undecoded)] == [
        "crashed",
        "crashed",
    ]
    assert "SIGABRT" in str(outcomes[0])
    assert all(isinstance(decoders.outcome(future), Clip) for future in clips)


def test_decoders_whose_idle_processes_were_killed_are_replaced(
    tmp_path: Path, decoders: Decoders
) -> None:
    path = bytes(write_video(tmp_path / "a.mp4"))
    decoders.outcome(decoders.decode(path))
    for worker in decoders._pool._pool_manager.worker_manager.workers.values():
        worker.kill()
    time.sleep(0.5)
    deadline = time.monotonic() + 120
    while not isinstance(decoders.outcome(decoders.decode(path)), Clip):
        assert time.monotonic() < deadline
        time.sleep(0.1)


AGAIN = Undecoded("again", "the decoders had to be started again")


def begin_without_end(path: bytes, decoders: Decoders) -> Future[Clip]:
    decoders.outcome(decoders.decode(path))
    for worker in decoders._pool._pool_manager.worker_manager.workers.values():
        os.kill(worker.pid, signal.SIGSTOP)
    future = decoders.decode(path)
    decoders.tend()
    assert not future.done()
    return future


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_files_in_hand_are_decoded_again_if_a_thread_of_the_pool_has_ended(
    tmp_path: Path, decoders: Decoders
) -> None:
    path = bytes(write_video(tmp_path / "a.mp4"))
    future = begin_without_end(path, decoders)
    decoders._pool._pool_manager.worker_manager.pool_channel.reader.close()
    decoders._pool._message_manager_loop.join(30)
    decoders.tend()
    assert decoders.outcome(future) == AGAIN
    assert isinstance(decoders.outcome(decoders.decode(path)), Clip)


def test_decoders_that_never_time_out_are_started_again(tmp_path: Path, decoders: Decoders) -> None:
    path = bytes(write_video(tmp_path / "a.mp4"))
    future = begin_without_end(path, decoders)
    decoders._last_progress -= decoders.settings.seconds + SLACK
    decoders.tend()
    assert decoders.outcome(future) == AGAIN
    assert isinstance(decoders.outcome(decoders.decode(path)), Clip)


def test_a_decoder_that_was_asked_to_stop_does_not_cost_its_file_an_attempt(
    decoders: Decoders,
) -> None:
    busy = decoders._pool.schedule(time.sleep, args=(60,))
    while not busy.running():
        time.sleep(0.05)
    for worker in list(decoders._pool._pool_manager.worker_manager.workers.values()):
        worker.terminate()
    outcome = decoders.outcome(busy)
    assert isinstance(outcome, Undecoded)
    assert outcome.kind == "again"


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
    from daemon.classify.decoding import Decoders, DecoderSettings
    from learner.spec import ClipSpec
    decoders = Decoders(DecoderSettings(ClipSpec(frames=4, size=16), 2, 30))
    decoders.outcome(decoders.decode({bytes(path)!r}))
    print(*[child.pid for child in psutil.Process().children()], flush=True)
    time.sleep(60)
"""
    (tmp_path / "daemon_like.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, tmp_path / "daemon_like.py"], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout
    children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert len(children) >= 2
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
