"""Which files and folders are no clips, and are left alone wherever they lie.

Some are left alone by their names in any case: hidden ones, and files that are still being copied
or downloaded. The others are side files and bins of file servers and operating systems: the
setting `ignore` has patterns for them.
"""

import os
import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from daemon.home.identity import base_name
from learner.classes import SYSTEM_FILES, SYSTEM_FOLDERS

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

# Patterns as in .gitignore. Whether letters are capital does not count.
IGNORED = (
    *(rf"\{name}/" if name.startswith("#") else f"{name}/" for name in sorted(SYSTEM_FOLDERS)),
    *sorted(SYSTEM_FILES),
    "*Zone.Identifier",
)  # fmt: skip
# Endings of a file's name while it is copied or downloaded. The file is renamed when it is whole.
PARTIAL = (
    b".part", b".partial", b".tmp", b".temp", b".crdownload", b".download", b".opdownload",
    b".fdmdownload", b".filepart", b".dtapart", b".aria2", b".ytdl", b".lftp-pget-status",
    b".!ut", b".!qb", b".!bt", b".!sync", b".bc!", b".jc!", b".td", b".xltd",
    b".uploading", b".incomplete", b".inprogress",
    *(b".%s_" % ending for ending in (
        b"mp4", b"mov", b"avi", b"mkv", b"m4v", b"mpg", b"mpeg", b"mts", b"m2ts", b"ts", b"wmv",
        b"flv", b"webm", b"3gp", b"dav", b"asf", b"h264", b"265", b"264",
    )),
)  # fmt: skip
_FRAGMENT = re.compile(rb"\.part-frag\d+$")  # of yt-dlp


def is_unfinished(name: bytes) -> bool:
    """Whether the name of a file says that it is hidden, or not whole yet."""
    name = name.lower()
    return name.startswith(b".") or name.endswith(PARTIAL) or bool(_FRAGMENT.search(name))


def is_unfinished_folder(name: bytes) -> bool:
    """Whether a folder is hidden, or is a download of Safari, with the file in it."""
    return name.startswith(b".") or name.lower().endswith(b".download")


class LeftAlone:
    """Which files and folders are left alone.

    Paths are those below the inbox, `labelled/`, `classified/` or another folder that is searched.

    Args:
        patterns: Patterns as in .gitignore, of what is left alone besides. The last one that
            matches counts; one that begins with "!" takes back what others match.
    """

    def __init__(self, patterns: Sequence[str] = IGNORED) -> None:
        self._patterns = [pattern.lower() for pattern in patterns]

    @cached_property
    def _of_folders(self) -> "GitIgnoreSpec":
        return compiled(self._patterns)

    @cached_property
    def _of_files(self) -> "GitIgnoreSpec":
        # Most patterns are of folders only. Without them, a file takes a fifth of the time.
        return compiled([pattern for pattern in self._patterns if not pattern.endswith("/")])

    def file(self, path: bytes) -> bool:
        """Whether a file is left alone, if its folder is not."""
        if is_unfinished(base_name(path)):
            return True
        return self._of_files.match_file(os.fsdecode(path).lower())

    def folder(self, path: bytes) -> bool:
        """Whether a folder is left alone with all in it, if the folder that it lies in is not."""
        if is_unfinished_folder(base_name(path)):
            return True
        return self._of_folders.match_file(os.fsdecode(path).lower() + "/")

    def is_below(self, path: bytes) -> bool:
        """Whether one of the folders on the way to a file, or to a folder, is left alone."""
        ends = [at for at, byte in enumerate(path) if byte == ord("/")]
        return any(self.folder(path[:end]) for end in ends)


def compiled(patterns: Sequence[str]) -> "GitIgnoreSpec":
    """The patterns as one specification.

    Raises:
        ValueError: a pattern is wrong, or can match nothing; says which and why.
    """
    # Some commands start in less time than this import takes.
    from pathspec import GitIgnoreSpec
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    found = []
    for pattern in patterns:
        try:
            one = GitIgnoreSpecPattern(pattern)
        except (ValueError, re.error) as error:
            raise ValueError(f"{pattern!r} is no pattern as in .gitignore ({error})") from error
        if one.regex is None:
            why = rf"a name that begins with # is '\{pattern}'" if pattern[:1] == "#" else ""
            hint = f"; {why}" if why else ""
            raise ValueError(f"the pattern {pattern!r} can match nothing{hint}")
        found.append(one)
    return GitIgnoreSpec(found, backend="simple")
