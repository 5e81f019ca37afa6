"""Decoders that the file they read takes over: what they can do to others."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from conftest import write_video
from taken_over import DEEDS, SPEC, TRIES, path_of

from daemon.classify import decoder_process
from daemon.classify.decoding import Decoders, DecoderSettings, Undecoded
from learner.video import Clip

PROGRAM = Path(__file__).with_name("taken_over.py")
SECONDS = 30.0  # none of the files here takes so long, whatever else this machine does
NO_CLIP = Undecoded("crashed", "its decoder sent something that is no clip")
ENDLESS = (
    "half a head",
    "half a text",
    "a byte now and then",
    "stopped while it sends",
    "stopped",
    "hangs",
)
Decode = Callable[[str], Clip | Undecoded]


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_process, "PROGRAM", [sys.executable, "-P", str(PROGRAM)])
        patch.setenv("PYTHONPATH", str(PROGRAM.parents[2]))
        decoders = Decoders(DecoderSettings(SPEC, workers=2, seconds=SECONDS, gigabytes=0.25))
        yield decoders
        decoders.close()


@pytest.fixture
def outcome(tmp_path: Path, decoders: Decoders) -> Decode:
    """What comes of a file that takes its decoder over. Files beside it and after it are decoded."""

    def decode(deed: str) -> Clip | Undecoded:
        good = bytes(write_video(tmp_path / "good.mp4"))
        bad = decoders.decode(bytes(path_of(tmp_path, deed)))
        beside = [decoders.outcome(decoders.decode(good)) for _ in range(2)]
        outcome = decoders.outcome(bad)
        after = [decoders.outcome(future) for future in [decoders.decode(good) for _ in range(4)]]
        assert [one for one in beside + after if not isinstance(one, Clip)] == []
        return outcome

    return decode


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        *[
            (deed, NO_CLIP)
            for deed in (
                "a pickle",
                "a pickle of its size",
                "noise",
                "noise for ever",
                "zeros for ever",
                "a byte too many",
                "that it is ready",
                "a hash alone",
                "an unknown kind",
                "the reply to another file",
                "a second reply",
                "a long text",
                "no frame read",
                "too many read",
                "no share",
                "a share of no number",
                "a share of two",
                "a stream of a billion",
                "a stream below none",
                "colours of no name",
                "movement of two",
                "movement of no number",
            )
        ],
        ("killed while it sends", Undecoded("crashed", "its decoder crashed (signal SIGKILL)")),
        ("closes its pipe", Undecoded("crashed", "its decoder crashed (it closed its pipe)")),
        ("aborts", Undecoded("crashed", "its decoder crashed (signal SIGABRT)")),
        ("exits", Undecoded("crashed", "its decoder crashed (exit status 3)")),
        ("ends by SIGTERM", Undecoded("crashed", "its decoder crashed (signal SIGTERM)")),
        (
            "takes memory",
            Undecoded("crashed", "decoding takes more than 0.25 GB of memory (decode_gigabytes)"),
        ),
    ],
)
def test_it_costs_its_own_file_an_attempt_and_holds_up_no_other(
    outcome: Decode, deed: str, expected: Undecoded
) -> None:
    assert outcome(deed) == expected


@pytest.mark.slow
def test_what_would_never_end_holds_up_no_other_and_ends_in_time(
    tmp_path: Path, decoders: Decoders
) -> None:
    settings = replace(decoders.settings, workers=len(ENDLESS) + 1, seconds=10)
    decoders = Decoders(settings)
    good = bytes(write_video(tmp_path / "good.mp4"))
    bad = [decoders.decode(bytes(path_of(tmp_path, deed))) for deed in ENDLESS]
    others = [decoders.outcome(decoders.decode(good)) for _ in range(3)]
    assert [future.done() for future in bad] == [False] * len(ENDLESS)
    slow = Undecoded("crashed", "decoding took longer than 10 s (decode_seconds)")
    assert [decoders.outcome(future) for future in bad] == [slow] * len(ENDLESS)
    others += [decoders.outcome(decoders.decode(good)) for _ in range(3)]
    decoders.close()
    assert all(isinstance(other, Clip) for other in others)


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        (
            "a reason with control characters",
            Undecoded("failed", "\\x1b[2Jred\\nnew line\N{REPLACEMENT CHARACTER}\\x00"),
        ),
        ("a permanent error", Undecoded("failed", "cannot be read (no!)")),
        ("an error of a share", Undecoded("later", "cannot be read (away)")),
        ("that it can start a thread", Undecoded("failed", "thread")),
        (
            "says its core limit",
            Undecoded("failed", "cannot be decoded (ZeroDivisionError: division by zero)"),
        ),
    ],
)
def test_a_reason_is_text_that_can_be_shown(
    outcome: Decode, deed: str, expected: Undecoded
) -> None:
    assert outcome(deed) == expected


ALLOWED = ("says its core limit", "takes memory")


@pytest.mark.parametrize("deed", sorted(set(TRIES) - set(ALLOWED)))
def test_what_it_tries_is_refused(outcome: Decode, deed: str) -> None:
    assert outcome(deed) == Undecoded("failed", "cannot be read (Operation not permitted)")


def test_it_can_send_frames_of_its_own_but_for_its_own_file(outcome: Decode) -> None:
    found = outcome("frames for ever")
    assert found == NO_CLIP or isinstance(found, Clip)


def test_nothing_that_it_sends_is_unpickled(tmp_path: Path, outcome: Decode) -> None:
    for deed in ("a pickle", "a pickle of its size", "a pickle as text"):
        assert isinstance(outcome(deed), Undecoded)
    assert not (tmp_path / "went-off").exists()


@pytest.mark.slow
def test_all_deeds_at_once_end_in_time_and_leave_no_process_and_nothing_open(
    tmp_path: Path, decoders: Decoders
) -> None:
    before = psutil.Process().num_fds()
    children = set(psutil.Process().children())
    decoders = Decoders(replace(decoders.settings, seconds=3))
    good = bytes(write_video(tmp_path / "good.mp4"))
    futures = {deed: decoders.decode(bytes(path_of(tmp_path, deed))) for deed in DEEDS}
    outcomes = {deed: decoders.outcome(future) for deed, future in futures.items()}
    assert {deed for deed, outcome in outcomes.items() if isinstance(outcome, Clip)} <= {
        "frames for ever"
    }
    tries = [decoders.outcome(decoders.decode(good)) for _ in range(3)]
    assert any(isinstance(outcome, Clip) for outcome in tries)
    decoders.decode(bytes(path_of(tmp_path, "stopped while it sends")))
    decoders.decode(bytes(path_of(tmp_path, "noise for ever")))
    time.sleep(0.5)
    began = time.monotonic()
    decoders.close()
    assert time.monotonic() - began < 4
    left = set(psutil.Process().children()) - children
    assert len(left) <= 2, left  # the shared decoders may have been replaced meanwhile
    assert psutil.Process().num_fds() <= before + 4  # likewise
