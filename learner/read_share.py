"""How much of a clip is there: by its bytes, its running time, and the frames that were decoded."""

import os
from dataclasses import dataclass, replace
from typing import Literal

import av.error

from learner.container import stated_size
from learner.frames import Times, running_time
from learner.safe_open import File, VideoError, open_container
from learner.streams import film, is_still
from learner.texts import counted, share_in_words

# Of the frames that are stored, the share that may give no picture: VP8 stores some that are never
# shown.
TOLERATED_LOSS = 0.1
# So many frames may be lost at the end of a clip that is cut short: the frame that the cut went
# through, and those that refer to it.
CUT_LOSS = 4
PICTURE_BRANDS = ("avif", "heic", "heix", "heim", "heis", "mif1")


@dataclass(frozen=True)
class There:
    """The share of a clip that can be decoded, and how it is known that the rest is missing."""

    stated: int
    """The bytes that its container states; 0 if that does not say."""

    size: int = 0
    """The bytes that it has."""
    share: float = 1.0
    missing: str = ""
    """What says so."""
    what: Literal["cut short", "damaged"] = "cut short"

    def require(self, least: float) -> None:
        """Check that at least this share is there.

        Raises:
            VideoError: it is not.
        """
        if self.share >= least:
            return
        rule = ""
        if least < 1:
            rule = f"; {share_in_words(self.share)} of it is there, and {least:.0%} is the least"
        raise VideoError(f"{self.what}: {self.missing}{rule}", cut_short=self.what == "cut short")


def bytes_there(file: File) -> There:
    """The share of the bytes that the file should have by its container."""
    stated = stated_size(file)
    size = os.fstat(file.fileno()).st_size
    if size >= stated:
        return There(stated, size)
    missing = f"its container says that it has {stated} bytes, but it has {size}"
    return There(stated, size, size / stated, missing)


def frames_there(file: File, count: int, claimed: int, there: There) -> There:
    """The share that can be decoded, by running time and by frames, too, if that is less.

    A count that differs from the header's is no proof (edit lists, variable rates), unless
    something else shows that the clip was cut short. The packets are a proof.

    Raises:
        VideoError: it is a picture in a video's container.
    """
    if count == claimed and count > 1:
        return there
    try:
        with open_container(file) as container:
            stream = film(container, file).stream
            if is_still(stream):
                raise VideoError("not a video: sound with a cover picture")
            if container.metadata.get("major_brand") in PICTURE_BRANDS:
                raise VideoError("not a video: a picture (HEIF or AVIF)")
            times = running_time(container, stream, there.stated)
            is_avi = container.format.name == "avi"
            rate = float(stream.average_rate or 0)
    except MemoryError:
        raise
    except (av.error.FFmpegError, AttributeError) as error:
        raise VideoError(f"its end cannot be checked ({error})") from error
    # An AVI's header is often wrong. Its index is right, and that is missing if it is cut short.
    if not (is_avi and there.share < 1):
        there = _by_time_and_frames(there, times, count, claimed)
    # Interlaced video may have two packets a frame, and a variable rate is a guess: so the smaller
    # of both counts.
    stored = min(times.stored, round(times.length * rate)) if rate else times.stored
    tail = CUT_LOSS if there.share < 1 else 0
    if count + tail < stored * (1 - TOLERATED_LOSS):
        missing = f"it has {counted(stored, 'frame')}, but only {count} of them can be decoded"
        return replace(there, share=there.share * count / stored, missing=missing, what="damaged")
    return there


def by_time(there: There, times: Times) -> There:
    """The share that is there: by running time, if that is less."""
    if times.are_short and times.reached / times.stated < there.share:
        missing = f"it should run for {times.stated:.1f} s, but ends after {times.reached:.1f} s"
        return replace(there, share=times.reached / times.stated, missing=missing)
    return there


def _by_time_and_frames(there: There, times: Times, count: int, claimed: int) -> There:
    """The share that is there: by running time or by frames, if that is less than by bytes."""
    there = by_time(there, times)
    if there.share < 1 and claimed and count / claimed < there.share:
        missing = f"it should have {counted(claimed, 'frame')}, but has {count}"
        there = replace(there, share=count / claimed, missing=missing)
    return there
