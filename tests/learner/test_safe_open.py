import av
import pytest

from learner.demuxers import OTHERS, PICTURES, SOUND, VIDEO, names, why_not
from learner.safe_open import OTHER_FORMATS, VIDEO_FORMATS


@pytest.mark.parametrize("name", f"{VIDEO_FORMATS},{OTHER_FORMATS}".split(","))
def test_each_format_is_a_demuxer_that_pyav_knows(name: str) -> None:
    """FFmpeg ignores a name that it does not know, so a misspelt one would not be noticed."""
    assert av.ContainerFormat(name, "r").is_input


def demuxers() -> set[str]:
    """Those of the installed FFmpeg."""
    found = set[str]()
    for name in av.formats_available:
        try:
            is_input = av.ContainerFormat(name, "r").is_input
        except ValueError:  # it can only be written
            continue
        if is_input:
            found.update(name.split(","))
    return found


def test_every_demuxer_of_the_installed_ffmpeg_is_judged() -> None:
    assert len(demuxers()) > 300
    assert {name for name in demuxers() if not why_not(name)} == set(names(VIDEO))


def test_no_demuxer_is_judged_twice() -> None:
    judged = names(VIDEO, PICTURES, SOUND, OTHERS)
    assert len(judged) == len(set(judged))


@pytest.mark.parametrize("name", ["concat", "hls", "image2", "mlv", "sdp", "tty", "lavfi"])
def test_what_opens_other_files_or_is_no_video_is_not_used(name: str) -> None:
    assert why_not(name)
    assert name not in f"{VIDEO_FORMATS},{OTHER_FORMATS}".split(",")


def test_a_demuxer_that_nobody_judged_is_an_error() -> None:
    with pytest.raises(KeyError):
        why_not("not judged")
