"""Which stream of pictures of a container is the film, if it has several."""

from typing import Any, NamedTuple

from av.stream import Disposition

from learner.safe_open import File, open_container, packets

# A picture beside the film: of the album, of chapters, or one that stands still.
STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
# The `ffmpeg` command takes a stream that is marked as the default for so many pixels larger.
DEFAULT_PIXELS = 5_000_000
# A stream that has one picture, while another one has so many, is a picture and no film.
MANY = 100


class Film(NamedTuple):
    """The stream that is decoded."""

    stream: Any
    """None if there is no stream of pictures."""
    number: int | None
    """Its index among all streams, from 0, as `ffprobe` and `ffmpeg -map 0:N` count; None if the
    container has no other film."""


def film(container: Any, file: File) -> Film:
    """The stream of an open container that the `ffmpeg` command would take, but no still picture.

    A stream that moves comes before one that stands still, and one that can be decoded before one
    that cannot. Then the largest picture counts, and the default stream as `DEFAULT_PIXELS` larger;
    of equal ones, the first (`map_auto_video` of FFmpeg's fftools/ffmpeg_mux_init.c).

    Args:
        container: An open container. Its position stays.
        file: What it was opened on.

    Raises:
        av.error.FFmpegError: the file cannot be opened once more.
    """
    streams = container.streams.video
    if len(streams) < 2:
        return Film(streams[0] if streams else None, None)
    moving = [stream for stream in streams if not is_still(stream)]
    if len(moving) > 1:
        with_one = _with_one_picture(file, moving)
        moving = [stream for stream in moving if stream.index not in with_one]
    decodable = [stream for stream in moving if stream.codec_context]
    # max() gives the first one of equal ones.
    best = max(decodable or moving or streams, key=_score)
    return Film(best, best.index if len(decodable) > 1 else None)


def is_still(stream: Any) -> bool:
    """Whether a stream holds pictures that stand still, as its container states."""
    return bool(stream.disposition & STILL)


def _score(stream: Any) -> int:
    is_default = bool(stream.disposition & Disposition.default)
    sized = stream.codec_context is not None
    pixels = (stream.width or 0) * (stream.height or 0) if sized else 0
    return pixels + DEFAULT_PIXELS * is_default


def _with_one_picture(file: File, streams: list[Any]) -> set[int]:
    """The indices of those streams that have one picture or none, while another one has more.

    By the count in the header where there is one for all, else by the first packets.
    """
    counts = {stream.index: stream.frames for stream in streams}
    if not all(counts.values()):
        counts = _first_packets(file, list(counts))
    return {index for index, count in counts.items() if count < 2 <= max(counts.values())}


def _first_packets(file: File, indices: list[int]) -> dict[int, int]:
    """How many pictures each stream has among the first ones, by index."""
    counts = dict.fromkeys(indices, 0)
    with open_container(file) as container:
        for packet in packets(container, *(container.streams[index] for index in indices)):
            if packet.size:
                counts[packet.stream.index] += 1
            if min(counts.values()) > 1 or max(counts.values()) >= MANY:
                break
    return counts
