"""Odd files, made with the ffmpeg command or by hand, each with what has to become of it: `CORPUS`
is the table.

A frame's brightness tells its index, and its top left quarter is white: so it is seen whether the
right frames were read, in their order and the right way up.
"""

import io
import random
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FRAMES = 24
LONG = 96  # frames of those that are cut short
WHITE = 235  # of luma, as is the step from a frame to the next

Make = Callable[[Path], object]
Change = Callable[[bytes], bytes]


class NeedsError(Exception):
    """What this machine lacks to make a file."""


@dataclass(frozen=True)
class Read:
    """It is classified: on the frames from `first` to `end`, of a clip of which `share` is there.

    `white` is the corner in which the white quarter is seen; empty where the pictures are too small
    to tell anything. If `is_hdr`, its greys are bent, and only their order is known.
    """

    end: int = FRAMES
    first: int = 0
    share: float = 1.0
    white: str = "top left"
    step: int = 8
    is_hdr: bool = False


@dataclass(frozen=True)
class Refused:
    """It is failed, and its reason has `words`, a regular expression."""

    words: str
    cut_short: bool = False


@dataclass(frozen=True)
class Odd:
    """A file: its name, what becomes of it, and how it is made."""

    name: str
    expected: Read | Refused
    make: Make


def run(*arguments: str | Path) -> None:
    if not shutil.which("ffmpeg"):
        raise NeedsError("needs ffmpeg")
    command = ["ffmpeg", "-v", "error", "-y", "-nostdin", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if "Unknown encoder" in done.stderr:
        raise NeedsError(f"needs ffmpeg with an encoder more: {done.stderr.strip()}")
    if done.returncode:
        raise ValueError(f"ffmpeg {' '.join(map(str, arguments))}: {done.stderr}")


def pictures(size: str = "64x48", first: int = 0, step: int = 8) -> list[str]:
    """What ffmpeg reads the frames from."""
    luma = f"if(lt(X,W/2)*lt(Y,H/2),{WHITE},16+{step}*(N+{first}))"
    return ["-f", "lavfi", "-i", f"nullsrc=s={size}:r=25:d=4,geq=lum='{luma}':cb=128:cr=128"]


def video(
    options: str, frames: int = FRAMES, size: str = "64x48", first: int = 0, step: int = 8
) -> Make:
    """Encoded by ffmpeg, in the format that the name's ending or the options say."""
    source = pictures(size, first, step)
    return lambda path: run(*source, "-frames:v", str(frames), *options.split(), path)


def plain(size: str, options: str) -> Make:
    """Grey, and quickly made."""
    return lambda path: run(
        "-f", "lavfi", "-i", f"color=gray:s={size}:r=25", "-frames:v", "1", *options.split(), path
    )


def with_more(inputs: str, options: str) -> Make:
    """The frames and other things beside them in one container."""
    return lambda path: run(
        *pictures(), *inputs.split(), *options.split(), "-frames:v", str(FRAMES), path
    )


def copied(encode: Make, ending: str, options: str = "", before: str = "") -> Make:
    """Encoded to a file of another kind first, and its packets copied from there."""

    def make(path: Path) -> None:
        encode(first := part(path, ending))
        run(*before.split(), "-i", first, *options.split(), "-c", "copy", path)

    return make


def joined(*makes: Make) -> Make:
    """Files of one kind, one behind the other."""

    def make(path: Path) -> None:
        data = b""
        for each in makes:
            each(piece := part(path, path.suffix))
            data += piece.read_bytes()
        path.write_bytes(data)

    return make


def part(path: Path, ending: str) -> Path:
    """For what is to be no file of the corpus itself."""
    folder = path.parent.parent / "parts"
    folder.mkdir(exist_ok=True)
    return folder / f"{path.stem}{ending}"


def sound(options: str) -> Make:
    return lambda path: run("-f", "lavfi", "-i", "sine=d=1", *options.split(), path)


def content(data: bytes | str) -> Make:
    return lambda path: path.write_bytes(data.encode() if isinstance(data, str) else data)


def changed(make: Make, *changes: Change) -> Make:
    """Made, and then its bytes changed."""

    def making(path: Path) -> None:
        make(path)
        data = path.read_bytes()
        for change in changes:
            data = change(data)
        path.write_bytes(data)

    return making


def cut(share: float, options: str) -> Make:
    """A longer video, of which only a share of the bytes is there.

    A transport stream that is cut between its packets of 188 bytes is a shorter recording, and
    nothing tells: not here.
    """
    end = lambda data: int(len(data) * share) // 188 * 188 - 1  # noqa: E731
    return changed(
        video(f"{options} -vf noise=alls=12:allf=t", LONG, step=2), lambda data: data[: end(data)]
    )


def patched(kind: bytes, offset: int, *values: int, size: int = 4, little: bool = True) -> Change:
    """Numbers that stand behind the name of a part of the container, overwritten."""

    def change(data: bytes) -> bytes:
        at = data.index(kind) + offset
        new = b"".join(value.to_bytes(size, "little" if little else "big") for value in values)
        return data[:at] + new + data[at + len(new) :]

    return change


def hollowed(data: bytes) -> bytes:
    """Zeros in the middle, as of a download into a file of full size that was broken off."""
    first, last = len(data) * 3 // 10, len(data) * 7 // 10
    return data[:first] + bytes(last - first) + data[last:]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.mp4", bytes(1000))
    return buffer.getvalue()


X264 = "-c:v libx264 -pix_fmt yuv420p"
X265 = "-c:v libx265 -x265-params log-level=error"
MPEG2 = "-c:v mpeg2video -q:v 2"
MPEG4 = "-c:v mpeg4 -q:v 2"
MJPEG = "-c:v mjpeg -q:v 2"
KEY = "76a6c65c5ea762046bd749a2e632ccbb"
ENCRYPTED = f"-encryption_scheme cenc-aes-ctr -encryption_key {KEY} -encryption_kid {KEY}"
UNEVEN = "-vf setpts=(N+2*floor(N/5))/25/TB -vsync vfr"
SINE = "-f lavfi -i sine=d=1"
COVER = "-f lavfi -i color=red:s=999x999:r=1:d=1"
SUBTITLES = "1\n00:00:00,000 --> 00:00:01,000\nhello\n"
HALF = "-filter_complex [0]scale=32:24[small]"

NO_VIDEO = Refused("not a video")
PICTURE = Refused("not a video: a picture")
COVERED = Refused("cover picture")
SOUND = Refused("not a video: sound only")
CUT = Refused("cut short", cut_short=True)
UNDECODED = Refused("no frame can be decoded")
TOO_LARGE = Refused("its pictures are too large: 16000x")
HUGE, LARGE = (30_000, 30_000), (16_000, 16_000)

CODECS = [
    Odd("h264.mp4", Read(), video(X264)),
    Odd(
        "h264-b-pyramid.mp4",
        Read(),
        video(f"{X264} -x264-params bframes=8:b-adapt=0:b-pyramid=normal:ref=8"),
    ),
    Odd("h264-one-key-frame.mkv", Read(), video(f"{X264} -g 1000 -bf 3")),
    Odd("h264-open-gop.mp4", Read(), video(f"{X264} -x264-params open-gop=1:keyint=6:bframes=3")),
    Odd("h264-raw.h264", Read(), video(X264)),
    Odd("h264-camcorder.m2ts", Read(), video(f"{X264} -mpegts_m2ts_mode 1")),
    Odd("h264-fragments.mp4", Read(), video(f"{X264} -g 6 -movflags frag_keyframe+empty_moov")),
    Odd("hevc.mp4", Read(), video(f"{X265} -pix_fmt yuv420p")),
    Odd("hevc-raw.hevc", Read(), video(f"{X265} -pix_fmt yuv420p")),
    Odd("av1.mp4", Read(), video("-c:v libsvtav1 -pix_fmt yuv420p -qp 20", size="64x64")),
    Odd("av1.webm", Read(), video("-c:v libaom-av1 -pix_fmt yuv420p -cpu-used 8 -crf 20")),
    Odd("vp8.webm", Read(), video("-c:v libvpx -b:v 2M")),
    Odd("vp8.ivf", Read(), video("-c:v libvpx -b:v 2M -g 4")),
    Odd("vp9.webm", Read(), video("-c:v libvpx-vp9 -b:v 2M")),
    Odd("theora.ogv", Read(), video("-c:v libtheora -q:v 10")),
    Odd("mpeg1.mpg", Read(), video("-c:v mpeg1video -q:v 2")),
    Odd("mpeg2-program-stream.vob", Read(), video(MPEG2)),
    Odd("mpeg2-transport-stream.ts", Read(), video(MPEG2)),
    Odd("mpeg2.mxf", Read(), video(MPEG2)),
    Odd("mpeg4.avi", Read(), video(MPEG4)),
    Odd("mpeg4.mov", Read(), video(MPEG4)),
    Odd("mjpeg.avi", Read(), video(MJPEG)),
    Odd("mjpeg-raw.mjpeg", Read(), video(f"{MJPEG} -g 1")),
    Odd("flash.flv", Read(), video("-c:v flv -q:v 2")),
    Odd("flash.swf", Read(), video("-c:v flv -q:v 2 -g 4")),
    Odd("windows-media.wmv", Read(), video("-c:v wmv2 -q:v 2")),
    Odd("real.rm", Read(), video("-c:v rv10 -q:v 2", size="176x144")),
    Odd("phone.3gp", Read(), video("-c:v h263 -q:v 2", size="176x144")),
    Odd("dv.dv", Read(), video("-pix_fmt yuv420p", size="720x576")),
    Odd("prores.mov", Read(), video("-c:v prores_ks")),
    Odd("ffv1.mkv", Read(), video("-c:v ffv1")),
    Odd("ffv1.nut", Read(), video("-c:v ffv1")),
    Odd("huffman.avi", Read(), video("-c:v ffvhuff")),
    Odd("uncompressed.avi", Read(), video("-c:v rawvideo")),
    Odd("uncompressed.y4m", Read(), video("-pix_fmt yuv420p")),
]
KINDS_OF_PICTURES = [
    Odd("ten-bit.mp4", Read(), video("-c:v libx264 -pix_fmt yuv420p10le")),
    Odd("colour-in-full.mp4", Read(), video("-c:v libx264 -pix_fmt yuv444p")),
    Odd("full-range.mp4", Read(), video("-c:v libx264 -pix_fmt yuvj420p")),
    Odd(
        "hdr.mkv",
        Read(is_hdr=True),
        video(f"{X265} -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084"),
    ),
    Odd("alpha.mov", Read(), video("-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le")),
    Odd("alpha-png.mov", Read(), video("-c:v png -pix_fmt rgba")),
    Odd("screen.avi", Read(), video("-c:v zmbv")),
    Odd("monochrome.mkv", Read(), video("-c:v ffv1 -pix_fmt gray")),
    Odd("monochrome-16-bit.mkv", Read(), video("-c:v ffv1 -pix_fmt gray16le")),
    Odd("sixteen-bit.mov", Read(), video("-c:v png -pix_fmt rgb48be")),
    Odd("interlaced.ts", Read(), video(f"{MPEG2} -flags +ildct+ilme -top 1")),
    Odd("interlaced.mp4", Read(), video(f"{X264} -x264-params tff=1")),
    Odd("odd-size.mkv", Read(), video("-c:v libx264 -pix_fmt yuv444p", size="63x47")),
    Odd("one-pixel.avi", Read(white=""), video("-c:v png -pix_fmt rgb24", size="1x1")),
    Odd("one-line.mkv", Read(white=""), video("-c:v ffv1 -pix_fmt yuv444p", size="640x1")),
    Odd("narrow-pixels.mp4", Read(), video(f"{X264} -aspect 4:1")),
    Odd("one-frame.mp4", Read(1), video(X264, 1)),
    Odd("two-frames.avi", Read(2), video(MPEG4, 2)),
    Odd(
        "turned-90.mp4",
        Read(white="bottom left"),
        copied(video(X264), ".mp4", "-metadata:s:v rotate=90"),
    ),
    Odd(
        "turned-180.mp4",
        Read(white="bottom right"),
        copied(video(MPEG4), ".mp4", "-metadata:s:v rotate=180"),
    ),
    Odd(
        "turned-270.mov",
        Read(white="top right"),
        copied(video(X264), ".mp4", "-metadata:s:v rotate=270"),
    ),
    Odd("size-changes.ts", Read(), joined(video(X264, 12), video(X264, 12, "96x64", 12))),
    Odd("size-changes.h264", Read(), joined(video(X264, 12), video(X264, 12, "96x64", 12))),
    Odd(
        "pixels-change.h264",
        Read(),
        joined(video(X264, 12), video("-pix_fmt yuv444p", 12, first=12)),
    ),
    Odd(
        "size-becomes-too-large.h264",
        Read(12),
        joined(video(f"{X264} -bf 0", 12), plain("16000x4400", X264)),
    ),
]
TIMES = [
    Odd("uneven-times.mkv", Read(), video(f"{X264} {UNEVEN}")),
    Odd("uneven-times.mp4", Read(), video(f"{MPEG4} {UNEVEN}")),
    Odd("one-frame-in-ten-seconds.mp4", Read(), video(f"{X264} -vf setpts=N*10/TB -vsync vfr")),
    Odd("dropped-frames.avi", Read(), video(f"{MPEG4} {UNEVEN} -r 25")),
    Odd("repeated-frames.ogv", Read(), video("-c:v libtheora -q:v 10 -r 75", 3 * FRAMES)),
    Odd("same-time-twice.mkv", Read(), video(f"{MJPEG} -bsf:v setts=ts=floor(N/2)*2")),
    Odd(
        "negative-times.mkv",
        Read(),
        video(f"{X264} -output_ts_offset -5 -avoid_negative_ts disabled"),
    ),
    Odd(
        "negative-times.mp4",
        Read(first=10),
        video(f"{X264} -output_ts_offset -0.4 -avoid_negative_ts disabled"),
    ),
    Odd(
        "edit-list-hides-all.mp4",
        UNDECODED,
        video(f"{X264} -output_ts_offset -5 -avoid_negative_ts disabled"),
    ),
    Odd("starts-after-an-hour.mkv", Read(), video(f"{X264} -output_ts_offset 3600")),
    Odd("clock-wraps.ts", Read(), video(f"{MPEG2} -output_ts_offset 95442")),
    Odd("clock-restarts.ts", Read(), joined(video(MPEG2, 12), video(MPEG2, 12, first=12))),
    Odd("edit-list.mp4", Read(first=10), copied(video(f"{X264} -g 99"), ".mp4", before="-ss 0.4")),
    Odd("edit-list-empty.mp4", Read(), copied(video(X264), ".mp4", before="-itsoffset 3")),
    Odd("unknown-length.mkv", Read(), video("-c:v libx264 -f matroska -live 1")),
    Odd("thousand-a-second.mp4", Read(), video(f"{X264} -vf settb=1/1000,setpts=N -r 1000")),
]
STREAMS = [
    Odd("with-sound.mp4", Read(), with_more("-f lavfi -i sine=d=5", f"{X264} -map 1 -map 0")),
    Odd(
        "sound-comes-later.ts",
        Read(48, white=""),
        joined(video(MPEG2), with_more(SINE, f"{MPEG2} -map 0 -map 1")),
    ),
    Odd("with-timecode.mov", Read(), video(f"{MPEG4} -timecode 01:00:00:00")),
    Odd(
        "with-attachment.mkv",
        Read(),
        with_more("", f"{X264} -attach {__file__} -metadata:s:t mimetype=text/plain"),
    ),
    Odd(
        "two-videos.mkv",
        Read(),
        with_more("", f"{HALF} -map [small] -map 0 {X264} -disposition:1 default"),
    ),
    Odd(
        "with-cover.mp4",
        Read(),
        with_more(COVER, f"-map 1 -map 0 {MPEG4} -c:0 mjpeg -disposition:0 attached_pic"),
    ),
    # What is noise to a decoder may look like a picture, once in a while.
    Odd("encrypted.mp4", Refused("can be decoded"), video(f"{X264} {ENCRYPTED}")),
    Odd("sound-only.mp4", SOUND, sound("-c:a aac")),
    Odd("sound-only.mkv", SOUND, sound("-c:a flac")),
    Odd("sound-only.wav", SOUND, sound("")),
    Odd("sound-only.mp3", SOUND, sound("")),
    Odd("sound-with-cover.mp3", NO_VIDEO, with_more(SINE, "-map 1 -map 0 -frames:v 1 -c:v mjpeg")),
    Odd(
        "sound-with-cover.m4a",
        COVERED,
        with_more(SINE, "-map 1 -map 0 -c:v mjpeg -disposition:v attached_pic"),
    ),
    Odd(
        "subtitles-only.mkv",
        Refused("not a video: no pictures"),
        copied(content(SUBTITLES), ".srt"),
    ),
]
HEADERS = [
    Odd("huge.avi", UNDECODED, changed(video("-c:v ffvhuff"), patched(b"strf", 12, *HUGE))),
    Odd(
        "huge.mov",
        UNDECODED,
        changed(video("-c:v qtrle"), patched(b"rle ", 28, *HUGE, size=2, little=False)),
    ),
    Odd("huge-said-of-small.avi", Read(), changed(video(MJPEG), patched(b"strf", 12, *HUGE))),
    Odd("large.avi", TOO_LARGE, changed(video("-c:v ffvhuff"), patched(b"strf", 12, *LARGE))),
    Odd(
        "large.mov",
        TOO_LARGE,
        changed(video("-c:v qtrle"), patched(b"rle ", 28, *LARGE, size=2, little=False)),
    ),
    Odd("large-and-real.mkv", TOO_LARGE, plain("16000x4400", f"{MJPEG} -pix_fmt yuvj420p")),
    Odd("no-size.avi", Read(), changed(video(MJPEG), patched(b"strf", 12, 0, 0))),
    Odd(
        "billion-frames.avi",
        Read(),
        changed(video(MPEG4), patched(b"avih", 24, 10**9), patched(b"strh", 40, 10**9)),
    ),
    Odd(
        "billion-frames.mp4",
        UNDECODED,
        changed(video(MPEG4), patched(b"stsz", 8, 1, 10**9, little=False)),
    ),
    Odd(
        "billion-times.mp4",
        Read(),
        changed(video(MPEG4), patched(b"stts", 12, 10**9, little=False)),
    ),
    Odd("billion-a-second.avi", Read(), changed(video(MPEG4), patched(b"strh", 28, 1, 10**9))),
    Odd("no-frames.mp4", NO_VIDEO, video(X264, 0)),
    Odd("no-frames.avi", UNDECODED, video(MPEG4, 0)),
    Odd("no-frames.mkv", NO_VIDEO, video(MPEG4, 0)),
    Odd(
        "unknown-codec.avi",
        UNDECODED,
        changed(video(MPEG4), lambda data: data.replace(b"FMP4", b"?!?!")),
    ),
    Odd("wrong-ending.avi", Read(), video(f"{X264} -f mp4")),
    Odd(
        "rubbish-behind.mp4",
        Read(),
        changed(video(X264), lambda data: data + bytes(100) + b"rubbish" * 99),
    ),
    Odd(
        "hollow.mp4",
        Refused("damaged"),
        changed(video(f"{MPEG4} -movflags faststart", LONG, step=2), hollowed),
    ),
    Odd("hollow.mkv", Read(LONG, white=""), changed(video(MPEG4, LONG, step=2), hollowed)),
    Odd("no-index.mp4", CUT, changed(video(X264), lambda data: data[: data.index(b"moov") - 4])),
]
CUT_SHORT = [
    Odd(
        f"cut-at-{percent}.{ending}", expected if percent > 50 else CUT, cut(percent / 100, options)
    )
    for ending, options in {
        "avi": MPEG4,
        "mp4": f"{MPEG4} -movflags faststart",
        "mov": f"{X264} -g 12 -movflags faststart",
        "mkv": MPEG4,
        "webm": "-c:v libvpx -b:v 2M -g 12",
        "flv": "-c:v flv -q:v 2",
        "wmv": "-c:v wmv2 -q:v 2",
    }.items()
    for percent in (90, 60, 30)
    for expected in [Read(LONG, share=percent / 100, step=2)]
] + [
    Odd("cut-at-60.ts", Read(58, share=0.999, step=2), cut(0.6, MPEG2)),
    Odd("cut-at-60-index-last.mp4", CUT, cut(0.6, MPEG4)),
]
NO_VIDEOS = [
    Odd("empty.mp4", Refused("empty", cut_short=True), content(b"")),
    Odd("one-byte.mp4", NO_VIDEO, content(b"x")),
    Odd("text.mp4", NO_VIDEO, content("This is no video.\n" * 99)),
    Odd(
        "page.mp4", NO_VIDEO, content("<!DOCTYPE html><html><video src='h264.mp4'></video></html>")
    ),
    Odd("random.mp4", NO_VIDEO, content(random.Random(0).randbytes(100_000))),
    Odd("zeros.mp4", NO_VIDEO, content(bytes(100_000))),
    Odd("archive.mp4", NO_VIDEO, content(zipped())),
    Odd("subtitles.mp4", NO_VIDEO, content(SUBTITLES)),
    Odd("picture.jpg", PICTURE, video("-f image2 -update 1", 1)),
    Odd("picture.png", PICTURE, video("-f image2 -update 1", 1)),
    Odd("picture.bmp", PICTURE, video("-f image2 -update 1", 1)),
    Odd("picture.tiff", PICTURE, video("-f image2 -update 1", 1)),
    Odd("picture.webp", PICTURE, video("-f image2 -update 1 -c:v libwebp", 1)),
    Odd("picture.avif", PICTURE, video("-c:v libaom-av1 -still-picture 1 -cpu-used 8", 1)),
    Odd("moving.gif", PICTURE, video("")),
    Odd("moving.apng", PICTURE, video("")),
    Odd("moving.webp", PICTURE, video("-c:v libwebp")),
    Odd(
        "drawing.svg",
        NO_VIDEO,
        content("<svg xmlns='http://www.w3.org/2000/svg'><image href='picture.png'/></svg>"),
    ),
]
SCRIPTS = [
    Odd("script.ffconcat", NO_VIDEO, content("ffconcat version 1.0\nfile h264.mp4\n")),
    Odd(
        "script.m3u8",
        NO_VIDEO,
        content("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ninterlaced.ts\n"),
    ),
    Odd(
        "script.sdp", NO_VIDEO, content("v=0\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n")
    ),
    Odd(
        "script.asx",
        NO_VIDEO,
        content("<asx version='3.0'><entry><ref href='h264.mp4'/></entry></asx>"),
    ),
    Odd("picture%03d.jpg", PICTURE, video("-f image2 -update 1", 1, step=3)),
]
NAMES = [
    Odd(name, Read(20 - number), video(f"{MPEG4} -f avi", 20 - number))
    for number, name in enumerate(
        (
            "http:a.avi",
            "concat:a|b",
            "pipe:0",
            "-",
            "%03d.avi",
            "file:a.avi",
            "subfile,,start,0,end,9,,:a",
            "x" * 255,
        )
    )
]
CORPUS = (
    CODECS + KINDS_OF_PICTURES + TIMES + STREAMS + HEADERS + CUT_SHORT + NO_VIDEOS + SCRIPTS + NAMES
)


def table() -> Iterator[str]:
    """What is expected of each file, a line each; printed by `python tests/faults/corpus.py`."""
    for odd in CORPUS:
        expected = odd.expected
        if isinstance(expected, Refused):
            text = f"failed: {expected.words}" + (
                " (looked at again while it is young)" if expected.cut_short else ""
            )
        else:
            share = "" if expected.share == 1 else f", of which {expected.share:.0%} is there"
            text = f"classified on frames {expected.first} to {expected.end - 1}{share}"
        yield f"{odd.name[:40]:40}  {text}"


if __name__ == "__main__":
    print(*table(), sep="\n")
