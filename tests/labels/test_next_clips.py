"""Which clips are to be labelled next, if some are long videos."""

import subprocess
import sys
from pathlib import Path

import pytest
from homes import CLASSES
from long_home import LongHome
from long_home import home as home

from daemon.labels.next_clips import next_clips

BIKING, SKIING = CLASSES
VIDWATCH = Path(sys.executable).with_name("vidwatch")


@pytest.mark.slow
def test_a_long_video_that_shows_several_classes_comes_last_and_is_labelled_by_parts(
    home: LongHome,
) -> None:
    windows = [(0, 2, BIKING, 0.9), (2, 4, SKIING, 0.9)]
    # Half of it is of its class, so its probability is lower than that of any short one.
    long = home.long_video("day.mp4", windows, probability=0.5)
    home.arrive("short.mp4")
    (short,) = home.predict_and_file(home.model_prediction(SKIING, 0.8))
    with home.engine.begin() as connection:
        assert [clip.id for clip in next_clips(connection, [], 9)] == [short, long]
        # If its class is wanted, it comes first all the same.
        assert [clip.id for clip in next_clips(connection, [BIKING], 9)] == [long, short]
    command = [VIDWATCH, "--home", str(home.root), "labels"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"day.mp4: long, mainly {BIKING}; label parts of it: 'vidwatch show {long}'" in text
    assert f"short.mp4: {SKIING} at 80.0%" in text
