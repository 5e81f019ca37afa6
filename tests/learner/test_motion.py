"""What the numbers of motion say, on pictures that are made here."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from motion_clips import CLASSES, make_frames, make_site, write_clips, write_video

from learner.motion import CELLS, MOTION_FEATURES, REVERSED, SIDE, motion
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip, read_clip

Array = np.ndarray[Any, Any]

RIGHT, DOWN, AWAY, CLOCKWISE, OWN_AWAY, OWN_CLOCKWISE, SHARE, BRIGHTNESS = range(8)
SPEC = ClipSpec(frames=8, size=32, motion=True)
STEPS = 8


def pairs(paint: Callable[[float], Array], steps: int = STEPS) -> Array:
    """`(steps, 2, SIDE, SIDE)`: the picture at each time, and one frame later."""
    times = np.arange(steps) * 4.0
    return np.stack([np.stack([paint(time), paint(time + 1)]) for time in times])


def picture(
    x: float,
    y: float,
    radius: float,
    angle: float = 0.0,
    *,
    ball: bool = True,
    inverted: bool = False,
) -> Array:
    """A bright ball or bar on grey, in pixels of the picture."""
    image = np.full((SIDE, SIDE), 90, np.uint8)
    if ball:
        cv2.circle(
            image, (round(x * 16), round(y * 16)), round(radius * 16), 200, -1, cv2.LINE_AA, 4
        )
    else:
        along = np.array([np.cos(angle), np.sin(angle)]) * radius
        across = np.array([-np.sin(angle), np.cos(angle)]) * 3
        corners = [along + across, along - across, -along - across, -along + across]
        points = np.rint((np.array(corners) + np.array([x, y])) * 16).astype(np.int32)
        cv2.fillConvexPoly(image, points, 200, cv2.LINE_AA, 4)
    return 255 - image if inverted else image


PLACES = [(18.0, 20.0), (40.0, 24.0), (30.0, 44.0)]


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_direction_has_a_sign_wherever_the_object_is_and_whether_it_is_bright_or_dark(
    place: tuple[float, float], inverted: bool
) -> None:
    x, y = place
    right = motion(pairs(lambda t: picture(x - 8 + t / 2, y, 6, inverted=inverted))).mean(0)
    down = motion(pairs(lambda t: picture(x, y - 8 + t / 2, 6, inverted=inverted))).mean(0)
    grows = motion(pairs(lambda t: picture(x, y, 4 + t / 4, inverted=inverted))).mean(0)
    turns = motion(pairs(lambda t: picture(x, y, 12, t / 10, ball=False, inverted=inverted))).mean(
        0
    )
    assert right[RIGHT] > 0.2
    assert abs(right[DOWN]) < 0.05
    assert down[DOWN] > 0.2
    assert abs(down[RIGHT]) < 0.05
    assert min(grows[AWAY], grows[OWN_AWAY]) > 0.1
    assert abs(grows[CLOCKWISE]) < 0.03
    assert min(turns[CLOCKWISE], turns[OWN_CLOCKWISE]) > 0.1
    assert abs(turns[AWAY]) < 0.1


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("place", [(24.0, 26.0), (40.0, 36.0)])
def test_an_object_that_circles_turns_about_the_centre_of_the_clip(
    place: tuple[float, float], direction: int
) -> None:
    def paint(time: float) -> Array:
        angle = direction * time / 5
        return picture(place[0] + 14 * np.cos(angle), place[1] + 14 * np.sin(angle), 4)

    found = motion(pairs(paint)).mean(0)
    assert direction * found[CLOCKWISE] > 0.3
    assert abs(found[OWN_CLOCKWISE]) < 0.1


def test_played_backwards_each_number_changes_its_sign_but_the_share() -> None:
    site = make_site(np.random.default_rng(3))
    frames = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (SIDE, SIDE))
        for frame in make_frames("Clockwise", site, np.random.default_rng(4))
    ]
    found = np.stack([[frames[i], frames[i + 1]] for i in range(0, 40, 5)])
    np.testing.assert_allclose(motion(found[::-1, ::-1]), motion(found)[::-1] * REVERSED, atol=1e-4)


def test_a_still_camera_with_noise_and_a_light_that_changes_moves_nothing() -> None:
    draw = np.random.default_rng(0)
    scene = cv2.resize(draw.uniform(40, 160, (9, 9)).astype(np.float32), (SIDE, SIDE))
    still = scene + draw.normal(0, 1.5, (STEPS, 2, SIDE, SIDE))
    still[:, 1] *= 1.1
    found = motion(still.clip(0, 255).astype(np.uint8))
    assert found.shape == (STEPS, MOTION_FEATURES)
    assert found.dtype == np.float32
    assert np.abs(np.delete(found, BRIGHTNESS, 1)).max() < 0.1
    assert np.abs(np.delete(found.mean(0), BRIGHTNESS)).max() < 0.03
    assert 7 < found[:, BRIGHTNESS].mean() < 13
    assert not motion(np.full((2, 2, SIDE, SIDE), 255, np.uint8)).any()


def test_motion_by_place_stands_in_its_cell() -> None:
    found = motion(pairs(lambda t: picture(40 + t / 4, 48, 6))).mean(0)
    in_cells = found[8:].reshape(2, CELLS, CELLS)
    assert in_cells[0, 1, 1] > 0.1
    assert np.abs(np.delete(in_cells.ravel(), 3)).max() < 0.05


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("motion")


def ball_video(path: Path, frames: int, step: float = 1.0, turned: int = 0) -> Path:
    """A ball that moves to the right by `step` of 64 pixels a frame, and begins again."""
    images = []
    for index in range(frames):
        image = picture(6 + (index * step) % 52, 32, 6)
        images.append(np.rot90(np.repeat(image[..., None], 3, 2), turned).copy())
    return write_video(path, images)


def by_hand(path: Path, numbers: list[int]) -> Array:
    """The motion of these frames, from a list of all frames of the file."""
    import av
    from av.video.reformatter import Interpolation

    with av.open(str(path)) as container:
        grey = [
            frame.reformat(SIDE, SIDE, "gray8", interpolation=Interpolation.AREA).to_ndarray()
            for frame in container.decode(video=0)
        ]
    first = [max(0, min(number, len(grey) - 2)) for number in numbers]
    return motion(np.stack([[grey[i], grey[min(i + 1, len(grey) - 1)]] for i in first]))


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13, 16, 50])
def test_the_neighbour_is_the_next_frame_and_for_the_last_frame_the_one_before(
    folder: Path, count: int
) -> None:
    path = ball_video(folder / f"{count}.mp4", count)
    clip = read_clip(path, SPEC)
    numbers = [(2 * part + 1) * count // 16 for part in range(8)]
    assert clip.motion is not None
    np.testing.assert_allclose(clip.motion, by_hand(path, numbers), atol=1e-5)
    assert bool(clip.motion.any()) == (count > 1)


def test_a_clip_has_the_same_frames_with_motion_and_none_without(folder: Path) -> None:
    path = ball_video(folder / "same.mp4", 30)
    plain = read_clip(path, replace(SPEC, motion=False))
    assert plain.motion is None
    assert np.array_equal(read_clip(path, SPEC).frames, plain.frames)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False])
def test_of_a_long_clip_the_neighbour_is_the_next_decoded_frame(folder: Path, exact: bool) -> None:
    path = ball_video(folder / "long.mp4", 1600, step=0.8)
    clip = read_clip(path, SPEC, ReadOptions(exact=exact))
    assert clip.motion is not None
    if exact:
        numbers = [(2 * part + 1) * 1600 // 16 for part in range(8)]
        np.testing.assert_allclose(clip.motion, by_hand(path, numbers), atol=1e-5)
    assert (clip.motion[:, RIGHT] > 0.2).all()
    assert np.array_equal(
        clip.frames, read_clip(path, replace(SPEC, motion=False), ReadOptions(exact=exact)).frames
    )


@pytest.mark.slow
def test_every_frame_of_a_long_clip_may_be_sampled(folder: Path) -> None:
    path = ball_video(folder / "dense.mp4", 1600, step=0.8)
    spec = replace(SPEC, frames=1600)
    clip = read_clip(path, spec, ReadOptions(exact=True))
    assert clip.motion is not None
    assert clip.frames_read == 1600
    np.testing.assert_allclose(clip.motion, by_hand(path, list(range(1600))), atol=1e-5)


def turned_by_flag(path: Path, out: Path) -> Path:
    """A copy whose header says that the recorder was turned by a quarter."""
    upright = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
    old, new = (
        b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
        for matrix in (upright, turned)
    )
    data = path.read_bytes()
    at = data.index(old, data.index(b"tkhd"))
    out.write_bytes(data[:at] + new + data[at + len(old) :])
    return out


def test_frames_that_the_recorder_turned_move_upright(folder: Path) -> None:
    path = turned_by_flag(ball_video(folder / "lying.mp4", 40), folder / "turned.mp4")
    spec = replace(SPEC, size=SIDE)
    lying = read_clip(folder / "lying.mp4", spec)
    turned = read_clip(path, spec)
    assert lying.motion is not None
    assert turned.motion is not None
    assert np.array_equal(turned.frames, np.rot90(lying.frames, -1, axes=(1, 2)))
    # Turned to the right, what went to the right goes down.
    np.testing.assert_allclose(turned.motion[:, DOWN], lying.motion[:, RIGHT], atol=1e-4)


def test_a_clip_that_is_cut_short_has_the_motion_of_the_frames_that_are_there(folder: Path) -> None:
    whole = ball_video(folder / "whole.mkv", 60)
    data = whole.read_bytes()
    cut = folder / "cut.mkv"
    cut.write_bytes(data[: len(data) * 4 // 5])
    clip = read_clip(cut, SPEC, ReadOptions(min_read_share=0.3))
    assert clip.read_share < 1
    assert clip.motion is not None
    assert (np.median(clip.motion[:, RIGHT])) > 0.2


def test_made_frames_are_the_same_each_time() -> None:
    first, again = (
        make_frames("Recede", make_site(np.random.default_rng(1)), np.random.default_rng(2))
        for _ in range(2)
    )
    assert np.array_equal(first, again)


@pytest.mark.slow
def test_made_clips_differ_in_direction(tmp_path: Path) -> None:
    made = write_clips(tmp_path, clips=1)
    assert [path.parent.name for path in made] == list(CLASSES)
    found: dict[str, Clip] = {path.parent.name: read_clip(path, SPEC) for path in made}
    means = {name: clip.motion.mean(0) for name, clip in found.items() if clip.motion is not None}
    assert means["Rightward"][RIGHT] > 0 > means["Leftward"][RIGHT]
    assert means["Clockwise"][CLOCKWISE] > 0 > means["CounterClockwise"][CLOCKWISE]
    assert means["Approach"][AWAY] > 0 > means["Recede"][AWAY]
