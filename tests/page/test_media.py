"""The film of a clip: the file itself, or a small one that is made of it for browsers."""

import subprocess
from pathlib import Path

import av
import pytest
from reviewed import Browser, ReviewedHome
from reviewed import browser as browser
from reviewed import site as site
from starlette.testclient import TestClient
from tiny import cache

from daemon.page.media import SentFilm
from daemon.page.site import Site

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def encode(home: ReviewedHome, name: str, *options: str, sampled: bool = False) -> int:
    """A clip of 2 seconds, 64x48, as ffmpeg's options make it; gives its id."""
    path = home.inbox / name
    source = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2")
    subprocess.run(["ffmpeg", "-v", "error", *source, *options, path], check=True)
    home.count += 1
    return home._predict(path, sampled=sampled)


def shown(content: bytes, tmp_path: Path) -> tuple[str, int, int, float]:
    """The codec, width and height of a film, and its seconds."""
    path = tmp_path / "shown"
    path.write_bytes(content)
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.duration
        assert stream.time_base
        seconds = float(stream.duration * stream.time_base)
        return stream.codec_context.name, stream.width, stream.height, seconds


H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p")


def test_a_file_that_browsers_play_is_sent_as_it_is_in_the_ranges_that_are_asked_for(
    home: ReviewedHome, browser: Browser
) -> None:
    video = encode(home, "v_Biking.mp4", *H264, sampled=True)
    content = home.path(video).read_bytes()
    whole = browser.get(f"/media/{video}")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert whole.content == content
    assert whole.headers["content-disposition"] == "inline"
    assert "Biking" not in str(whole.headers)
    part = browser.get(f"/media/{video}", headers={"range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, content[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(content)}"
    beyond = browser.get(f"/media/{video}", headers={"range": f"bytes={10 * len(content)}-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("a.avi", ("-c:v", "mpeg4", "-vtag", "XVID"), (64, 48)),
        ("a.mkv", ("-c:v", "ffv1"), (64, 48)),
        # The codec counts, and not the name.
        ("a.mp4", ("-c:v", "mpeg4"), (64, 48)),
        ("b.mp4", ("-c:v", "libx264", "-pix_fmt", "yuv444p"), (64, 48)),
        # Its pixels are not square, or it is to be turned.
        ("c.avi", ("-c:v", "mpeg4", "-aspect", "16:9"), (86, 48)),
    ],
)
def test_a_small_film_is_made_of_what_browsers_do_not_play(
    home: ReviewedHome,
    browser: Browser,
    tmp_path: Path,
    name: str,
    options: tuple[str, ...],
    size: tuple[int, int],
) -> None:
    video = encode(home, name, *options)
    response = browser.get(f"/media/{video}")
    assert (response.status_code, response.headers["content-type"]) == (200, "video/mp4")
    codec, width, height, seconds = shown(response.content, tmp_path)
    assert (codec, width, height) == ("h264", *size)
    assert seconds == pytest.approx(2, abs=0.15)


@pytest.mark.slow
def test_a_film_that_is_made_has_the_sound_in_time(
    home: ReviewedHome, browser: Browser, tmp_path: Path
) -> None:
    sound = ("-f", "lavfi", "-i", "sine=f=440:d=2", "-ac", "2")
    video = encode(home, "a.avi", *sound, "-c:v", "mpeg4", "-c:a", "libmp3lame")
    content = browser.get(f"/media/{video}").content
    assert shown(content, tmp_path)[0] == "h264"
    with av.open(tmp_path / "shown") as container:
        (stream,) = container.streams.audio
        frames = list(container.decode(stream))
        assert stream.codec_context.name == "aac"
        seconds = sum(frame.samples for frame in frames) / stream.rate
        assert (frames[0].time, seconds) == (pytest.approx(0, abs=0.1), pytest.approx(2, abs=0.2))
    silent = encode(home, "b.avi", "-c:v", "mpeg4")
    shown(browser.get(f"/media/{silent}").content, tmp_path)
    with av.open(tmp_path / "shown") as container:
        assert not container.streams.audio


@pytest.mark.slow
def test_a_film_is_made_once_and_made_anew_if_a_browser_does_not_play_the_file(
    home: ReviewedHome, browser: Browser, site: Site, tmp_path: Path
) -> None:
    made, played = encode(home, "a.avi", "-c:v", "mpeg4"), encode(home, "b.mp4", *H264)
    first = browser.get(f"/media/{made}").content
    own = browser.get(f"/media/{played}").content
    site.films._run = None  # type: ignore[method-assign, assignment]
    assert browser.get(f"/media/{made}").content == first
    assert browser.get(f"/media/{played}").content == own
    del site.films._run  # type: ignore[method-assign]
    anew = browser.get(f"/media/{played}?anew=yes").content
    assert anew != own
    assert shown(anew, tmp_path)[0] == "h264"
    # It is not tried with the file itself again.
    assert browser.get(f"/media/{played}").content == anew


def test_a_file_that_is_gone_damaged_or_another_one_says_so_and_names_no_blind_clip(
    home: ReviewedHome, browser: Browser
) -> None:
    gone, broken, other = (
        encode(home, f"v_Biking_{n}.avi", "-frames:v", str(9 + n), sampled=n == 0) for n in range(3)
    )
    copy = home.path(gone).read_bytes()
    home.path(gone).unlink()
    home.path(broken).write_bytes(b"no video any more")
    home.path(other).write_bytes(copy + b"\0")
    for video, reason in (
        (gone, "its file is gone"),
        (broken, "no longer the one that was classified"),
        (other, "no longer the one that was classified"),
    ):
        response = browser.get(f"/media/{video}")
        assert response.status_code == 404
        assert reason in response.text
        assert "Biking" not in response.text
    for path in ("/media/99", "/media/x", f"/media/{'9' * 5000}"):
        assert browser.get(path).status_code == 404


def test_a_file_that_goes_before_it_is_sent_is_a_plain_answer(
    home: ReviewedHome, browser: Browser, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = encode(home, "a.mp4", *H264)
    path = home.path(video)
    found = SentFilm(path, media_type="video/mp4", stat_result=path.stat())
    film = site.films.get

    def get_and_lose(*args: object, **more: object) -> object:
        given = film(*args, **more)  # type: ignore[arg-type]
        path.unlink()
        return given

    monkeypatch.setattr(site.films, "get", get_and_lose)
    answers = [browser.get(f"/media/{video}"), TestClient(found).get("/")]
    for answer in answers:
        assert (answer.status_code, answer.text) == (410, "its file is gone: reload the page")
