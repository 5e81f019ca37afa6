"""Finds the video files that a person names: files, and folders with all videos in them."""

import os
from collections.abc import Sequence
from pathlib import Path

from daemon.home.folders import files_below
from daemon.home.identity import base_name
from daemon.home.left_alone import LeftAlone
from daemon.home.sidecars import is_video_by_name
from daemon.home.similar import question, similar
from daemon.home.texts import printable
from learner.errors import VidwatchError


def named_files(words: Sequence[str], left_alone: LeftAlone) -> list[str]:
    """The files, in the order of `words`; those of a folder and its folders in that of their names.

    A file is taken whatever its name is. Of a folder, those are taken that are videos by their
    names.

    Args:
        words: Paths of files and folders.
        left_alone: What is left alone in folders.

    Raises:
        VidwatchError: something is not there, or a folder has no video in it; names each.
    """
    found: list[str] = []
    wrong = []
    for word in words:
        shown = printable(word)
        if Path(word).is_dir():
            inside = _videos_below(word, left_alone)
            found += inside
            if not inside:
                wrong.append(f"{shown}: no file in this folder is a video by its name")
        elif os.path.lexists(word):
            found.append(word)
        else:
            wrong.append(f"{shown}: there is no such file or folder{_meant(word)}")
    if wrong:
        raise VidwatchError("; ".join(wrong))
    return found


def _videos_below(folder: str, left_alone: LeftAlone) -> list[str]:
    batches = files_below(Path(folder), left_alone=left_alone)
    paths = (file.path for batch in batches for file in batch)
    return sorted(os.fsdecode(path) for path in paths if is_video_by_name(base_name(path)))


def _meant(word: str) -> str:
    path = Path(word)
    try:
        there = {one.name for one in path.parent.iterdir()}
    except OSError:
        return ""
    asked = question(similar(path.name, there))
    return f"; {asked}" if asked else ""
