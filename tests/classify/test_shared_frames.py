import os
from collections.abc import Iterator

import numpy as np
import pytest

from daemon.classify.shared_frames import SharedFrames, new_memory
from learner.spec import ClipSpec

SPEC = ClipSpec(frames=2, size=4)


@pytest.fixture
def descriptor() -> Iterator[int]:
    with new_memory(SPEC) as descriptor:
        assert descriptor is not None
        yield descriptor


def test_frames_that_were_taken_stay_whatever_the_decoder_writes_later(descriptor: int) -> None:
    daemon, decoder = SharedFrames(descriptor, SPEC), SharedFrames(descriptor, SPEC)
    frames = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)
    taken = np.empty_like(frames)
    decoder.put(frames)
    daemon.take(taken)
    decoder.put(frames + 1)
    assert np.array_equal(taken, frames)
    daemon.close()
    daemon.close()


def test_nobody_can_take_away_what_the_daemon_reads_or_add_to_it(descriptor: int) -> None:
    """A page that is not there any more would end the daemon (SIGBUS)."""
    for size in (0, 95, 97, 1 << 30):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)
    with pytest.raises(PermissionError):
        os.pwrite(descriptor, b"x", 1 << 30)
    assert os.fstat(descriptor).st_size == 96
