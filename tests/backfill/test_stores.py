"""Objects of an S3 on loopback: listed, fetched, and refused."""

import os
from pathlib import Path
from typing import Any

import pytest
from backfilled import refuse_wrong_keys
from backfilled import store as store

from daemon.backfill.stores import StoreListing, fetch
from daemon.home.settings import Settings
from learner.errors import PassingError, VidwatchError


@pytest.fixture
def bucket(store: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bucket `clips`, and the environment that leads to it."""
    import s3fs

    for name, value in {**store, "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    made = s3fs.S3FileSystem()
    made.mkdir("clips")
    yield made
    s3fs.S3FileSystem.clear_instance_cache()


def names(url: str, listing: StoreListing | None = None) -> list[bytes]:
    listing = listing or StoreListing(Path("/home"), Settings())
    return [file.path for batch in listing.videos(url) for file in batch]


@pytest.mark.slow
def test_objects_are_listed_page_by_page_and_what_is_no_video_is_counted(bucket: Any) -> None:
    videos = [f"cam{number % 2}/v{number:04}.mp4" for number in range(1002)]
    others = ["notes.txt", ".hidden.mp4"]
    bucket.pipe({f"clips/2019/{name}": b"x" for name in [*videos, *others]}, batch_size=4)
    bucket.pipe("clips/20190.mp4", b"x")
    listing = StoreListing(Path("/home"), Settings())
    batches = list(listing.videos("s3://clips/2019"))
    assert {len(batch) for batch in batches} == {200, 2}
    first = batches[0][0]
    assert first.path == b"s3://clips/2019/cam0/v0000.mp4"
    assert (first.source, first.origin, first.on_filed) == (
        "2019/cam0",
        b"s3://clips/2019",
        "leave",
    )
    assert (first.identity.size, listing.others[".txt"]) == (1, 1)
    assert names("s3://clips/20190.mp4") == [b"s3://clips/20190.mp4"]


@pytest.mark.slow
def test_an_object_is_another_file_when_its_content_changes(bucket: Any) -> None:
    bucket.pipe("clips/a.mp4", b"one")
    (before,) = next(StoreListing(Path("/home"), Settings()).videos("s3://clips"))
    bucket.pipe("clips/a.mp4", b"two")
    (after,) = next(StoreListing(Path("/home"), Settings()).videos("s3://clips"))
    assert before.identity.inode != after.identity.inode


def test_an_object_is_fetched_unless_it_is_gone_or_another_one(bucket: Any, tmp_path: Path) -> None:
    bucket.pipe("clips/a.mp4", b"content")
    target = tmp_path / "object"
    assert fetch("s3://clips/a.mp4", 7, target) is None
    assert target.read_bytes() == b"content"
    changed = fetch("s3://clips/a.mp4", 8, target)
    gone = fetch("s3://clips/b.mp4", 7, target)
    assert changed is not None
    assert gone is not None
    assert (changed.kind, gone.kind) == ("later", "failed")


@pytest.mark.slow
def test_what_refuses_or_is_away_is_said_in_one_line(
    bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.pipe("clips/a.mp4", b"content")
    with pytest.raises(VidwatchError, match="there is no such object, folder or bucket"):
        names("s3://nothing/2019")
    with pytest.raises(VidwatchError, match="there is no such object, folder or bucket"):
        names("s3://clips/nothing")
    with pytest.raises(VidwatchError, match="nonsense://a"):
        names("nonsense://a")
    refuse_wrong_keys(os.environ["AWS_ENDPOINT_URL"])
    bucket.invalidate_cache()
    with pytest.raises(VidwatchError, match="refused"):
        names("s3://clips")
    refused = fetch("s3://clips/a.mp4", 7, tmp_path / "object")
    assert refused is not None
    assert refused.kind == "failed"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    type(bucket).clear_instance_cache()
    with pytest.raises(PassingError, match="the store cannot be read"):
        names("s3://clips")
    away = fetch("s3://clips/a.mp4", 7, tmp_path / "object")
    assert away is not None
    assert away.kind == "later"
