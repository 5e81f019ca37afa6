"""No file in the inbox makes the program open another file or a connection.

Targets lie beside and outside the inbox: inotify tells that one was opened, by whatever program,
and a listener that it was called. The decoders' second guard, the kernel's, is off here where clips
are read in the test's own process.
"""

import contextlib
import ctypes
import itertools
import os
import select
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from conftest import write_video
from test_corpus import small_daemon

from learner.demuxers import VIDEO, names
from learner.jpeg import Film
from learner.safe_open import VideoError, open_container, open_regular
from learner.spec import ClipSpec
from learner.video import read_clip

SPEC = ClipSpec(frames=4, size=16)
IN_OPEN = 0x20
ENDINGS = [
    ".mp4",
    *(pytest.param(ending, marks=pytest.mark.slow) for ending in (".avi", ".m3u8", ".ffconcat")),
]


class Watch:
    """Tells whether one of some files was opened since."""

    def __init__(self, *paths: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in paths:
            assert libc.inotify_add_watch(self._descriptor, os.fsencode(path), IN_OPEN) >= 0

    def opened(self) -> bool:
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def close(self) -> None:
        os.close(self._descriptor)


class Room:
    """An inbox with a video beside it and one outside, and a port: whether any of them was touched."""

    def __init__(self, root: Path) -> None:
        self.inbox, outside = root / "inbox", root / "outside"
        self.inbox.mkdir()
        outside.mkdir()
        self.targets = [
            transport_stream(self.inbox / "target.ts"),
            transport_stream(outside / "target.ts"),
        ]
        for number in range(3):
            cv2.imwrite(str(self.inbox / f"frame{number:03}.jpg"), np.zeros((48, 64, 3), np.uint8))
            self.targets.append(self.inbox / f"frame{number:03}.jpg")
        self.server = socket.create_server(("127.0.0.1", 0))
        port = self.server.getsockname()[1]
        files = [
            name
            for path in self.targets[:2]
            for name in (str(path), f"file:{path}", f"file://{path}")
        ]
        urls = [
            f"{scheme}://127.0.0.1:{port}/target.ts"
            for scheme in ("http", "tcp", "rtmp", "rtsp", "ftp")
        ]
        self.names = ["target.ts", "./target.ts", "../outside/target.ts", *files, *urls]
        self.port = port
        self.watch = Watch(*self.targets)

    def touched(self) -> bool:
        return self.watch.opened() or bool(select.select([self.server], [], [], 0)[0])

    def close(self) -> None:
        self.watch.close()
        self.server.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.close()


def transport_stream(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(24):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    return path


def hls(name: str) -> str:
    return (
        f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n"
    )


def dash(name: str) -> str:
    return (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        '<Period><AdaptationSet mimeType="video/mp2t"><Representation id="0" bandwidth="1">'
        f"<BaseURL>{name}</BaseURL><SegmentList><SegmentURL media='{name}'/></SegmentList>"
        "</Representation></AdaptationSet></Period></MPD>"
    )


# What names another file in its text; {} is the name.
SCRIPTS = {
    "ffconcat": lambda name: f"ffconcat version 1.0\nfile '{name}'\n",
    "hls": hls,
    "hls-key": lambda name: hls("a.ts").replace(
        "#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{name}"\n#EXTINF'
    ),
    "hls-map": lambda name: hls("a.ts").replace("#EXTINF", f'#EXT-X-MAP:URI="{name}"\n#EXTINF'),
    "hls-master": lambda name: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{name}\n",
    "m3u": lambda name: f"#EXTM3U\n{name}\n",
    "dash": dash,
    "pls": lambda name: f"[playlist]\nFile1={name}\nNumberOfEntries=1\n",
    "asx": lambda name: f"<asx version='3.0'><entry><ref href='{name}'/></entry></asx>",
    "asf-reference": lambda name: f"[Reference]\nRef1={name}\n",
    "smil": lambda name: f"<smil><body><video src='{name}'/></body></smil>",
    "svg": lambda name: f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{name}'/></svg>",
    "avisynth": lambda name: f'DirectShowSource("{name}")\n',
    "vobsub": lambda name: f"# VobSub index file, v7\nid: {name}, index: 0\n",
    "quicktime": lambda name: f"rtsptext\r\n{name}\r\n",
    "name alone": lambda name: name,
}
# What makes a script look like a video: the beginnings of real ones.
HEADS = {
    "": b"",
    "mp4": bytes.fromhex("0000001c667479706d703432000000006d70343269736f6d61766331"),
    "avi": b"RIFF\xff\xff\x00\x00AVI LIST\x00\x00\x00\x00hdrl",
    "mkv": bytes.fromhex("1a45dfa3a34286810142f7810142f2810442f381084282886d6174726f736b61"),
    "ts": b"G" + bytes(187) + b"G" + bytes(187),
}


# The beginnings of files of cameras, as FFmpeg recognises them.
HEADS_OF = {
    "dhav": b"DAHUA" + bytes(27) + b"DHAV\xf1\0\0\0",
    "cine": b"CI" + b"\x2c\0\0\0\1\0",
    "ser": b"LUCAM-RECORDER",
    "mpjpeg": b"--frame\r\nContent-Type: image/jpeg\r\n\r\n",
    "hxvs": b"HXVS" + bytes(12),
    "ifv": bytes.fromhex("11d2d3abbaa9cf118ee600c00c205365"),
    "luodat": b"luo " + bytes(60),
    "iv8": bytes.fromhex("0102000000000000"),
    "r3d": b"\0\0\1\0RED1",
}
NO_VIDEO = (av.error.FFmpegError, ValueError, LookupError, VideoError)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", SCRIPTS)
def test_what_a_script_names_is_not_opened(room: Room, kind: str, ending: str) -> None:
    """Under a video's ending, too, and behind a video's beginning: told without the kernel's help
    for decoders.
    """
    path = room.inbox / f"script{ending}"
    for name, head in itertools.product(room.names, HEADS.values()):
        path.write_bytes(head + SCRIPTS[kind](name).encode())
        with pytest.raises(VideoError):
            read_clip(path, SPEC)
        assert not room.touched(), (name, head)


@pytest.mark.parametrize(
    "demuxer",
    [
        name if name in HEADS_OF else pytest.param(name, marks=pytest.mark.slow)
        for name in names(VIDEO)
    ],
)
def test_no_demuxer_opens_what_a_file_names(room: Room, demuxer: str) -> None:
    """Each that is used for videos, even if it is made to take a file for its own."""
    path = room.inbox / "script.mp4"
    films = [Film(format=demuxer), Film()]
    for script, film in itertools.product(SCRIPTS.values(), films):
        for name in room.names[:5]:
            path.write_bytes(HEADS_OF.get(demuxer, b"") + script(name).encode() + bytes(600))
            with (
                contextlib.suppress(*NO_VIDEO),
                open_regular(path) as file,
                open_container(file, film=film) as container,
            ):
                for _ in itertools.islice(container.demux(), 20):
                    pass
            assert not room.touched(), (demuxer, name)


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_script_glued_to_a_video_changes_nothing(room: Room, kind: str) -> None:
    video = write_video(room.inbox / "a.avi").read_bytes()
    frames = read_clip(room.inbox / "a.avi", SPEC).frames
    for name in room.names:
        (room.inbox / "a.avi").write_bytes(video + SCRIPTS[kind](name).encode())
        assert np.array_equal(read_clip(room.inbox / "a.avi", SPEC).frames, frames)
        assert not room.touched()


def test_a_session_description_opens_no_port(room: Room) -> None:
    text = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {room.port} RTP/AVP/TCP 33\n"
    for ending in (".sdp", ".mp4"):
        (room.inbox / f"a{ending}").write_text(text)
        with pytest.raises(VideoError):
            read_clip(room.inbox / f"a{ending}", SPEC)
    assert not room.touched()


@pytest.mark.parametrize(
    "name", ["frame%03d.jpg", "frame*.jpg", "frame%d.jpg", "concat:frame000.jpg|frame001.jpg"]
)
def test_a_name_that_is_a_pattern_is_a_name(room: Room, name: str) -> None:
    (room.inbox / name).write_bytes(
        cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    )
    with pytest.raises(VideoError, match="a picture"):
        read_clip(room.inbox / name, SPEC)
    assert not room.touched()


@pytest.mark.parametrize("kind", [b"alis", b"url ", b"urn "])
def test_a_quicktime_file_whose_pictures_lie_in_another_one_does_not_get_at_them(
    room: Room, kind: bytes
) -> None:
    movie = write_video(room.inbox / "a.mp4").read_bytes()
    for name in room.names:
        (room.inbox / "b.mov").write_bytes(with_reference(movie, kind, name))
        with contextlib.suppress(VideoError):
            read_clip(room.inbox / "b.mov", SPEC)
        assert not room.touched()


def with_reference(movie: bytes, kind: bytes, name: str) -> bytes:
    """The data reference of an MP4's pictures, which says that they are in the file itself,
    replaced by another.
    """
    at = movie.index(b"dref") - 4
    old = int.from_bytes(movie[at : at + 4], "big")
    path = name.encode().replace(b"/", b":")
    alias = (
        bytes(10) + b"\x01x" + bytes(38) + b"\x09target.ts" + bytes(70) + b"\0\1\0\1" + bytes(16)
    )
    alias += (
        (2).to_bytes(2, "big")
        + len(path).to_bytes(2, "big")
        + path
        + b"\0" * (len(path) % 2)
        + b"\xff\xff\0\0"
    )
    reference = alias if kind == b"alis" else name.encode() + b"\0"
    entry = (12 + len(reference)).to_bytes(4, "big") + kind + bytes(4) + reference
    new = (16 + len(entry)).to_bytes(4, "big") + b"dref" + bytes(4) + b"\0\0\0\1" + entry
    data = bytearray(movie[:at] + new + movie[at + old :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):  # each holds the next
        there = movie.index(box) - 4
        size = int.from_bytes(data[there : there + 4], "big") + len(new) - old
        data[there : there + 4] = size.to_bytes(4, "big")
    return bytes(data)


def test_a_demuxer_that_asks_for_another_file_is_refused_with_the_name(room: Room) -> None:
    """QuickTime's with its external references allowed, which they are not here: FFmpeg asks, and
    gets nothing.
    """
    movie = write_video(room.inbox / "a.mp4").read_bytes()
    (room.inbox / "b.mov").write_bytes(with_reference(movie, b"alis", str(room.targets[1])))
    asked = []
    options = {"enable_drefs": "1", "use_absolute_path": "1"}

    def refuse(name: str, *_: Any) -> Any:
        asked.append(name)
        raise PermissionError

    with (
        (room.inbox / "b.mov").open("rb") as file,
        contextlib.suppress(PermissionError, av.error.FFmpegError),
    ):
        av.open(file, options=options, io_open=refuse)
    assert [name for name in asked if name.endswith("target.ts")]
    assert not room.touched()


def test_without_the_guard_it_would_be_seen(room: Room) -> None:
    """As OpenCV and a bare FFmpeg do it."""
    (room.inbox / "a.mp4").write_text(SCRIPTS["ffconcat"]("target.ts"))
    with av.open(str(room.inbox / "a.mp4")) as container:
        assert next(container.decode(video=0))
    assert room.watch.opened()
    with socket.create_connection(("127.0.0.1", room.port)):
        assert select.select([room.server], [], [], 5)[0]


@pytest.mark.slow
def test_nothing_in_a_daemons_inbox_makes_it_open_anything_else(room: Room, tmp_path: Path) -> None:
    """Scripts, and what is no regular file: links, to a folder too, a pipe, a socket, a device."""
    (inbox := tmp_path / "drop").mkdir()
    transport_stream(inbox / "target.ts").rename(inbox / "target.ts.part")
    scripts = [(kind, name) for kind in SCRIPTS for name in room.names]
    for number, (kind, name) in enumerate(scripts):
        (inbox / f"{number}.mp4").write_text(SCRIPTS[kind](name))
    (inbox / "link.ts").symlink_to(room.targets[1])
    (inbox / "folder").symlink_to(room.targets[1].parent)
    (inbox / "nowhere.mp4").symlink_to(tmp_path / "nowhere")
    os.mkfifo(inbox / "pipe.mp4")
    special = [inbox / "pipe.mp4"]
    with contextlib.suppress(PermissionError):
        os.mknod(inbox / "device.mp4", stat.S_IFCHR | 0o600, os.makedev(1, 5))
        special.append(inbox / "device.mp4")
    with contextlib.chdir(inbox), socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
    watch = Watch(inbox / "target.ts.part", *special)
    write_video(inbox / "a.avi")
    with small_daemon(tmp_path) as daemon:
        inbox = inbox.rename(daemon.inbox / "drop")
        daemon.start()
        for least in range(0, len(scripts) + 1, 40):  # each within its time
            daemon.wait_for(lambda now, least=least: now["failed"] >= least)
        daemon.wait_for(lambda now: now["failed"] == len(scripts) and now["filed"] == 1)
        time.sleep(2)  # a rescan
    assert not room.touched()
    assert not watch.opened()
    left = {path.name for path in inbox.iterdir()}
    there = {path.name for path in special}
    assert left == there | {"link.ts", "folder", "nowhere.mp4", "socket.mp4", "target.ts.part"}
    watch.close()
