import os
import time
from pathlib import Path

import numpy as np
import pytest

from learner.cache import Cache, Usage

VALUES = np.arange(12, dtype=np.float16).reshape(3, 4)


def kept(tmp_path: Path, limit: int = 10_000) -> Cache:
    return Cache(limit, tmp_path)


def test_what_is_put_is_got_under_the_same_key(tmp_path: Path) -> None:
    kept(tmp_path).shelf("features", "net").put("clip", VALUES)
    got = kept(tmp_path).shelf("features", "net").get("clip")
    assert got is not None
    assert np.array_equal(got, VALUES)


@pytest.mark.parametrize(
    ("kind", "key", "name"),
    [("frames", "net", "clip"), ("features", "other", "clip"), ("features", "net", "x")],
)
def test_another_kind_key_or_clip_has_nothing(
    tmp_path: Path, kind: str, key: str, name: str
) -> None:
    kept(tmp_path).shelf("features", "net").put("clip", VALUES)
    assert kept(tmp_path).shelf(kind, key).get(name) is None


def test_an_entry_that_lies_under_another_key_or_name_is_not_trusted(tmp_path: Path) -> None:
    shelf, other = (kept(tmp_path).shelf("features", key) for key in ("net", "other"))
    shelf.put("clip", VALUES)
    (shelf.folder / "clip").rename(shelf.folder / "renamed")
    assert shelf.get("renamed") is None
    shelf.folder.rename(other.folder)
    assert other.get("renamed") is None


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "zeros"])
def test_a_damaged_entry_is_not_trusted(tmp_path: Path, damage: str) -> None:
    """As a crash can leave it: of the right length and full of zeros, too."""
    shelf = kept(tmp_path).shelf("features", "net")
    shelf.put("clip", VALUES)
    path = shelf.folder / "clip"
    data = path.read_bytes()
    flipped = bytes([*data[:140], data[140] ^ 1, *data[141:]])
    path.write_bytes(
        {"empty": b"", "cut": data[:-7], "flipped": flipped, "zeros": bytes(len(data))}[damage]
    )
    assert shelf.get("clip") is None


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    shelf = kept(tmp_path).shelf("features", "net")
    for age, name in enumerate(("new", "middle", "old")):
        shelf.put(name, VALUES)
        os.utime(shelf.folder / name, (1_000_000 - age, 1_000_000 - age))
    assert shelf.get("old") is not None  # used just now
    size = (shelf.folder / "new").stat().st_size
    kept(tmp_path, 2 * size).trim()
    assert {path.name for path in shelf.folder.iterdir()} == {"new", "old"}


def test_what_was_used_while_the_clock_was_ahead_is_not_the_newest_for_ever(
    tmp_path: Path,
) -> None:
    shelf = kept(tmp_path).shelf("features", "net")
    ahead = time.time() + 86400
    for name, at in (("ahead", ahead), ("old", 1_000_000), ("new", 1_000_001)):
        shelf.put(name, VALUES)
        os.utime(shelf.folder / name, (at, at))
    size = (shelf.folder / "new").stat().st_size
    kept(tmp_path, 2 * size).trim()
    assert {path.name for path in shelf.folder.iterdir()} == {"old", "new"}


def test_usage_counts_entries_and_bytes_and_clearing_leaves_nothing(tmp_path: Path) -> None:
    cache = kept(tmp_path)
    for name in ("a", "b"):
        cache.shelf("frames", "spec").put(name, VALUES)
    size = (cache.shelf("frames", "spec").folder / "a").stat().st_size
    assert cache.usage() == {"frames": Usage(2, 2 * size)}
    cache.clear()
    assert cache.usage() == {}
    assert not list(tmp_path.rglob("*.npy"))


def test_a_part_that_a_killed_writer_left_is_cleared_too(tmp_path: Path) -> None:
    cache = kept(tmp_path)
    shelf = cache.shelf("frames", "spec")
    shelf.put("a", VALUES)
    (shelf.folder / "b.1.part").write_bytes(b"half")
    cache.clear()
    assert not shelf.folder.exists()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("a file where the folder should be")
    kept(tmp_path).shelf("frames", "spec").put("a", VALUES)
    assert kept(tmp_path).shelf("frames", "spec").get("a") is None
