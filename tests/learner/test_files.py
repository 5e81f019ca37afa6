"""What `learner.files` promises of a file's SHA-256."""

import hashlib
import os
from pathlib import Path

import pytest

from learner import files
from learner.files import sha256_of

CONTENT = b"video" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.avi"
    path.write_bytes(CONTENT)
    return path


def test_a_file_is_hashed_by_a_path_of_any_kind(file: Path) -> None:
    assert sha256_of(file) == sha256_of(str(file)) == sha256_of(os.fsencode(file)) == DIGEST


def test_progress_is_called_after_each_piece_and_may_end_the_reading(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "HASHED_AT_ONCE", 1000)
    calls: list[None] = []
    assert sha256_of(file, progress=lambda: calls.append(None)) == DIGEST
    assert len(calls) == 5

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sha256_of(file, progress=stop)


def test_a_link_is_followed_only_if_asked(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.avi"
    link.symlink_to(file)
    assert sha256_of(link) == DIGEST
    with pytest.raises(OSError, match="symbolic links"):
        sha256_of(link, follow_links=False)


def test_a_pipe_that_nobody_writes_into_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert sha256_of(tmp_path / "pipe") == hashlib.sha256().hexdigest()


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "none")
