import pytest

from daemon.home.left_alone import LeftAlone

LEFT = [
    b".a.mp4", b"._a.mp4", b"a.mp4.part", b"A.MP4.PART", b"a.tmp", b"x/Thumbs.db",
    b"a.mp4.crdownload", b"a.mp4_", b"A.MP4_", b"a.mp4.!sync", b"a.mp4.bc!", b"a.mp4.!qB",
    b"a.mp4.download", b"a.mp4.opdownload", b"a.mp4.aria2", b"a.f137.mp4.part-Frag12",
    b"a.f137.mp4.part-Frag12.part", b"a.mp4.ytdl", b"a.mp4:Zone.Identifier",
    b"a.mp4\xef\x80\xbaZone.Identifier", b"cam/Desktop.ini",
]  # fmt: skip
TAKEN = [
    b"a.mp4",
    b"a",
    b"part.mp4",
    b"tmp/a.mp4",
    b"a.partly",
    b"\xff\xfe",
    b"a_",
    b"a.b_",
    b"a.f137.mp4",
]
LEFT_FOLDERS = [
    b".sync", b".zfs", b".AppleDouble", b"cam/@eaDir", b"#recycle", b"@Recycle", b"#snapshot",
    b"$RECYCLE.BIN", b"System Volume Information", b"lost+found", b"clip.mp4.download",
]  # fmt: skip
TAKEN_FOLDERS = [b"cam", b"a.part", b"recycle", b"eaDir", b"tmp", b"download"]


def test_hidden_and_unfinished_files_and_side_files_of_systems_are_left_alone() -> None:
    left_alone = LeftAlone()
    assert [name for name in LEFT + TAKEN if left_alone.file(name)] == LEFT
    assert [
        name for name in LEFT_FOLDERS + TAKEN_FOLDERS if left_alone.folder(name)
    ] == LEFT_FOLDERS
    assert left_alone.is_below(b"cam/@eaDir/x/a.mp4")
    assert not left_alone.is_below(b"cam/x/a.mp4")


@pytest.mark.parametrize(
    ("patterns", "left", "taken"),
    [
        (["*.jpg"], [b"a.jpg", b"x/A.JPG"], [b"a.mp4", b"Thumbs.db"]),
        (["/proxy"], [b"proxy"], [b"x/proxy"]),
        (["cam/*.mp4"], [b"cam/a.mp4"], [b"a.mp4", b"x/cam/a.mp4", b"cam/x/a.mp4"]),
        (["cam/**/x.mp4"], [b"cam/a/b/x.mp4", b"cam/x.mp4"], [b"x.mp4"]),
        (["*", "!*.mp4"], [b"a.jpg"], [b"a.mp4", b"x/a.mp4"]),
        (["proxy/"], [], [b"proxy"]),
        ([], [], [b"Thumbs.db"]),
    ],
)
def test_patterns_of_a_person_take_the_place_of_the_default(
    patterns: list[str], left: list[bytes], taken: list[bytes]
) -> None:
    left_alone = LeftAlone(patterns)
    assert [name for name in left + taken if left_alone.file(name)] == left
    assert left_alone.file(b"a.part")
