"""The clips of the tour."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.demo.clips import FRAMES, HEIGHT, KINDS, WIDTH, write_clip


def frames(path: Path) -> list[np.ndarray]:
    reader = cv2.VideoCapture(str(path))
    found = []
    while True:
        is_there, frame = reader.read()
        if not is_there:
            return found
        found.append(frame)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_is_a_video_of_two_seconds_in_which_something_moves(
    tmp_path: Path, kind: str
) -> None:
    write_clip(tmp_path / "a.mp4", kind, 0)
    read = frames(tmp_path / "a.mp4")
    assert [frame.shape for frame in read] == FRAMES * [(HEIGHT, WIDTH, 3)]
    assert np.abs(read[0].astype(int) - read[10]).max() > 50
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_same_number_gives_the_same_pictures_and_another_one_others(tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 1), ("c", 2)):
        write_clip(tmp_path / f"{name}.mp4", "Balls", number)
    first, same, other = (frames(tmp_path / f"{name}.mp4")[0].astype(int) for name in "abc")
    assert np.abs(first - same).max() <= 2
    assert np.abs(first - other).mean() > 5
