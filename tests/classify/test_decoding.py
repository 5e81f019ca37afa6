import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest
from conftest import write_video
from decoder_children import decoders_of_this_process

from daemon.classify import decoder_process, decoding
from daemon.classify.decoding import Decoders, DecoderSettings, Undecoded
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


@pytest.mark.slow
def test_a_clip_is_read_in_another_process(tmp_path: Path, decoders: Decoders) -> None:
    clip = decoders.outcome(decoders.decode(bytes(write_video(tmp_path / "a.mp4"))))
    assert isinstance(clip, Clip)
    assert clip.frames.shape == (4, 16, 16, 3)


def test_a_clip_comes_through_the_pipe_where_the_system_has_no_memory_to_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*how: object) -> int:
        raise PermissionError

    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setattr(os, "memfd_create", refused)
    assert np.array_equal(decoded(path, SPEC).frames, read_clip(path, SPEC).frames)


def decoded(path: Path, spec: ClipSpec) -> Clip:
    """The clip as it comes from a decoder process."""
    decoders = Decoders(DecoderSettings(spec, workers=1, seconds=30))
    clip = decoders.outcome(decoders.decode(bytes(path)))
    decoders.close()
    assert isinstance(clip, Clip)
    return clip


def test_the_motion_of_a_clip_comes_with_it_from_the_other_process(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4")
    spec = replace(SPEC, motion=True)
    clip = decoded(path, spec)
    expected = read_clip(path, spec)
    assert clip.motion is not None
    assert expected.motion is not None
    assert clip.motion.shape == (4, MOTION_FEATURES)
    assert np.array_equal(clip.motion, expected.motion)
    assert np.array_equal(clip.frames, expected.frames)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_link_is_not_followed(tmp_path: Path, decoders: Decoders) -> None:
    write_video(tmp_path / "a.avi")
    (tmp_path / "link.avi").symlink_to("a.avi")
    outcome = decoders.outcome(decoders.decode(bytes(tmp_path / "link.avi")))
    assert isinstance(outcome, Undecoded)
    assert (outcome.kind, "not a regular file" in outcome.reason) == ("failed", True)


def test_decoders_have_a_memory_limit(tmp_path: Path) -> None:
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=60, gigabytes=0.25))
    reason = "decoding takes more than 0.25 GB of memory (decode_gigabytes)"
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


@pytest.mark.slow
def test_decoders_whose_idle_processes_were_killed_are_replaced(
    tmp_path: Path, decoders: Decoders
) -> None:
    path = bytes(write_video(tmp_path / "a.mp4"))
    decoders.outcome(decoders.decode(path))
    idle = decoders_of_this_process()
    for process in idle:
        process.kill()
    psutil.wait_procs(idle, timeout=5)
    assert isinstance(decoders.outcome(decoders.decode(path)), Clip)


@pytest.mark.slow
def test_decoders_that_are_stopped_while_idle_cost_their_file_an_attempt_and_are_replaced(
    tmp_path: Path,
) -> None:
    path = bytes(write_video(tmp_path / "a.mp4"))
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=2))
    assert isinstance(decoders.outcome(decoders.decode(path)), Clip)
    for process in decoders_of_this_process():
        process.suspend()
    outcome = decoders.outcome(decoders.decode(path))
    assert outcome == Undecoded("crashed", "decoding took longer than 2 s (decode_seconds)")
    assert isinstance(decoders.outcome(decoders.decode(path)), Clip)
    decoders.close()


def test_a_file_that_takes_too_long_to_compute_fails_at_once(tmp_path: Path) -> None:
    """Another attempt would take as long. What is to be done is said."""
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    picture = cv2.imencode(".jpg", noise, [cv2.IMWRITE_JPEG_QUALITY, 30])[1].tobytes()
    (tmp_path / "a.mjpeg").write_bytes(370 * picture)  # fewer than are sought in
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=0.5))
    outcome = decoders.outcome(decoders.decode(bytes(tmp_path / "a.mjpeg")))
    hint = "raise decode_seconds, or convert the video"
    assert outcome == Undecoded("failed", f"decoding took longer than 0.5 s: {hint}")
    decoders.close()


@pytest.mark.slow
def test_a_decoder_that_is_asked_to_stop_goes_on_until_the_daemon_ends_it(tmp_path: Path) -> None:
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=30))
    path = bytes(write_video(tmp_path / "a.mp4", frames=400))
    decoders.outcome(decoders.decode(path))
    futures = [decoders.decode(path) for _ in range(20)]
    asked = decoders_of_this_process()
    while not all(future.done() for future in futures):
        for process in asked:
            process.terminate()
        time.sleep(0.01)
    assert all(isinstance(decoders.outcome(future), Clip) for future in futures)
    assert {process.pid for process in decoders_of_this_process()} == {one.pid for one in asked}
    decoders.close()


@pytest.mark.slow
def test_processes_are_renewed_after_many_clips_and_leave_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CLIPS_A_PROCESS", 3)
    path = bytes(write_video(tmp_path / "a.mp4"))
    before = psutil.Process().num_fds()
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=30))
    seen: list[int] = []
    for _ in range(7):
        assert isinstance(decoders.outcome(decoders.decode(path)), Clip)
        seen += [process.pid for process in decoders_of_this_process()]
    decoders.close()
    assert len(set(seen)) == 3
    assert psutil.Process().num_fds() == before


def test_a_program_that_cannot_be_started_lets_clips_wait_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bytes(write_video(tmp_path / "a.mp4"))
    for program, why in (
        (["/no/such/program"], "No such file or directory"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "exit status 3"),
        # It reads its orders first: else it may have ended when they are sent.
        ([sys.executable, "-c", "input(); print('of another version' * 9)"], "another version"),
    ):
        monkeypatch.setattr(decoder_process, "PROGRAM", program)
        decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=30))
        outcome = decoders.outcome(decoders.decode(path))
        decoders.close()
        assert isinstance(outcome, Undecoded)
        assert outcome.kind == "later"
        assert outcome.reason.startswith("its decoder cannot be started")
        assert why in outcome.reason


def test_what_is_in_hand_is_to_be_decoded_again_after_they_are_closed(tmp_path: Path) -> None:
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=30))
    path = bytes(write_video(tmp_path / "a.mp4", frames=400))
    decoders.outcome(decoders.decode(path))
    futures = [decoders.decode(path) for _ in range(50)]
    began = time.monotonic()
    decoders.close()
    futures.append(decoders.decode(path))
    outcomes = [decoders.outcome(future) for future in futures]
    assert time.monotonic() - began < 3
    assert outcomes[-1] == Undecoded("again", "the decoders were ended")
    assert {outcome.kind for outcome in outcomes if isinstance(outcome, Undecoded)} == {"again"}
    assert decoders_of_this_process() == []


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


def test_all_that_is_known_of_a_clip_comes_from_the_other_process(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata["creation_time"] = "2024-05-06T07:08:09Z"
        container.metadata["com.apple.quicktime.make"] = "Böhm"
        container.metadata["com.apple.quicktime.model"] = "X-1"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for shade in range(3):
            image = np.full((64, 64, 3), 60 * shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    spec = replace(SPEC, motion=True)
    clip = decoded(path, spec)
    expected = read_clip(path, spec)
    for one in fields(Clip):
        value = getattr(clip, one.name)
        assert np.array_equal(value, getattr(expected, one.name)), one.name
    assert (clip.frames_asked, clip.frames_read) == (4, 3)
