"""What becomes of each odd file, alone and all together in the inbox of a real daemon."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from corpus import CORPUS, WHITE, NeedsError, Odd, Read, Refused
from installed import Daemon
from tiny import class_folders, trained_on

from daemon.classify.decoding import Decoders, DecoderSettings, Undecoded
from daemon.home.sidecars import is_sidecar
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip, sample_indices

SPEC = ClipSpec(frames=8, size=32)
QUICK = {odd.name for odd in CORPUS[::4]}


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(DecoderSettings(SPEC, workers=1, seconds=60, reading=ReadOptions(0.5)))
    yield decoders
    decoders.close()


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(odd, id=odd.name, marks=[] if odd.name in QUICK else pytest.mark.slow)
        for odd in CORPUS
    ],
)
def test_an_odd_file_becomes_what_the_table_says(
    tmp_path: Path, decoders: Decoders, odd: Odd
) -> None:
    (tmp_path / "files").mkdir()
    path = tmp_path / "files" / odd.name
    try:
        odd.make(path)
    except NeedsError as error:
        pytest.skip(str(error))
    outcome = decoders.outcome(decoders.decode(bytes(path)))
    if isinstance(odd.expected, Refused):
        assert isinstance(outcome, Undecoded)
        assert outcome.kind == "failed"
        assert re.search(odd.expected.words, outcome.reason)
        assert outcome.cut_short == odd.expected.cut_short
    else:
        assert isinstance(outcome, Clip), outcome
        check(outcome, odd.expected)


def check(clip: Clip, expected: Read) -> None:
    """That these are the frames that were to be sampled; of a clip cut short, about these."""
    whole = expected.share == 1
    assert clip.read_share == pytest.approx(expected.share, abs=0 if whole else 0.12)
    assert (clip.read_share == 1) == whole
    count = expected.end - expected.first
    indices = sample_indices(count if whole else round(count * clip.read_share), SPEC.frames)
    assert clip.frames_read == len(set(indices))
    if not expected.white:
        return
    quarters = {
        f"{row} {column}": clip.frames[:, 4 + 16 * y : 12 + 16 * y, 4 + 16 * x : 12 + 16 * x].mean(
            axis=(1, 2, 3)
        )
        for y, row in enumerate(("top", "bottom"))
        for x, column in enumerate(("left", "right"))
    }
    assert quarters.pop(expected.white).min() > WHITE
    greys = np.mean(list(quarters.values()), axis=0)
    if expected.is_hdr:
        assert (np.diff(greys) > 0).all()
        return
    shown = greys * 219 / 255 / expected.step
    assert np.abs(shown - expected.first - indices).max() < (0.5 if whole else 0.1 * expected.end)


@contextmanager
def small_daemon(folder: Path) -> Iterator[Daemon]:
    """One that answers with a small model; not started yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        daemon = Daemon(folder / "home")
        trained_on(class_folders(folder / "data"), daemon.root / "models/tiny")
        daemon.environment["VIDWATCH_MODEL"] = "tiny"
        try:
            yield daemon
        finally:
            if daemon.process and daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.communicate()


@pytest.mark.slow
def test_all_odd_files_at_once_leave_an_empty_inbox_and_a_daemon_that_runs(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    made = {}
    for odd in CORPUS:
        if is_sidecar(os.fsencode(odd.name)):
            continue  # left alone: see tests/inbox/test_lone_sidecars.py
        with suppress(NeedsError):
            odd.make(tmp_path / "files" / odd.name)
            made[odd.name] = odd.expected
    with small_daemon(tmp_path) as daemon:
        (tmp_path / "files").rename(daemon.inbox / "files")
        daemon.start()
        for least in (1, len(made) // 2, len(made)):  # each within its time
            daemon.wait_for(lambda now, least=least: now["filed"] + now["failed"] >= least)
        code, log = daemon.end(signal.SIGTERM)
    assert (code, "Traceback" in log) == (0, False)
    assert daemon.names("inbox") == []
    found = {}
    for path, error in daemon.query("SELECT CAST(path AS TEXT), error FROM videos"):
        assert Path(path).is_file()
        folder, *_ = Path(path).relative_to(daemon.root).parts
        found[Path(path).name] = (folder, error or "")
    assert found.keys() == made.keys()
    for name, expected in made.items():
        folder, error = found[name]
        if isinstance(expected, Refused):
            assert folder == "failed", name
            assert re.search(expected.words, error), name
        else:
            assert folder in ("classified", "duplicates"), (name, error)
