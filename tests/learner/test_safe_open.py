import av
import pytest

from learner.safe_open import OTHER_FORMATS, VIDEO_FORMATS


@pytest.mark.parametrize("name", f"{VIDEO_FORMATS},{OTHER_FORMATS}".split(","))
def test_each_format_is_a_demuxer_that_pyav_knows(name: str) -> None:
    """FFmpeg ignores a name that it does not know, so a misspelt one would not be noticed."""
    assert av.ContainerFormat(name, "r").is_input
