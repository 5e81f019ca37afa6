"""Removes duplicates from the inbox, each only if its content lies in another file of the home.

The two files are compared byte for byte, now: what the database and a decoder say is not enough to
remove a file for ever.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from daemon.database.drops import Drops
from daemon.database.records import Move
from daemon.home.doors import Doors
from daemon.home.folders import Folders
from daemon.home.identity import (
    Identity,
    Version,
    lies_at,
    open_for_writing,
    version_of,
    version_of_open,
)
from daemon.home.moving import numbered, sync_folders
from daemon.home.texts import printable, shown
from learner.folders import new_name

log = logging.getLogger(__name__)

PIECE = 2**23  # bytes: what a slow disk reads before a person gets tired of waiting for a stop


@dataclass(frozen=True)
class _Proof:
    """Two files that had the same content, and how they were when that was seen."""

    first: bytes
    first_version: Version
    copy_version: Version


class Dropping:
    """Removes duplicates. A duplicate that cannot be removed is to be moved, as without `drop`.

    First a duplicate gets a hidden name, which nobody else knows. Under that name, it is looked at
    once more: whatever has come to its former name meanwhile is not touched. If the daemon is ended
    before the file is removed, the next start gives it its name back.
    """

    def __init__(self, drops: Drops, folders: Folders, progress: Callable[[], None]) -> None:
        """Nothing is removed yet.

        Args:
            drops: Where it is noted which files are removed.
            folders: The home's folders.
            progress: Called now and then while files are read. An exception from it ends that.
        """
        self._drops = drops
        self._folders = folders
        self._doors = Doors(folders.root)
        self._progress = progress

    def may_drop(self, move: Move) -> bool:
        """Whether a file that is to be moved is a duplicate in the inbox."""
        is_duplicate = move.copy_of is not None
        # Perhaps into a folder of it: with `filed_as = "tree"` it keeps those of the inbox.
        goes_there = move.destination.startswith(self._folders.duplicates() + b"/")
        return is_duplicate and goes_there and self._folders.is_in_inbox(move.path)

    def finish(self, begun: Sequence[Move], now: datetime) -> list[Move]:
        """Finish the removals that were begun before the daemon was ended.

        Returns:
            Those of the files that are still there.
        """
        removed: list[Move] = []
        there: list[Move] = []
        for move in begun:
            (there if self._is_there(move) else removed).append(move)
        if removed:
            self._drops.complete(removed, now)
        if there:
            self._drops.undo(there)
        return there

    def drop(self, moves: Sequence[Move], now: datetime) -> list[Move]:
        """Remove the files of these videos, all of which `may_drop`.

        Returns:
            Those that are to be moved instead.
        """
        proofs = {}
        for move in moves:
            if proof := self._compare(move):
                proofs[move.id] = proof
        proven = [move for move in moves if move.id in proofs]
        firsts = {move.copy_of: proofs[move.id].first for move in proven if move.copy_of}
        begun = self._drops.begin(proven, firsts, now) if proven else []
        dropped = [move for move in begun if self._remove(move, proofs[move.id])]
        sync_folders({os.path.dirname(move.path) for move in dropped})
        if left := [move for move in begun if move not in dropped]:
            self._drops.undo(left)
        if dropped:
            self._drops.complete(dropped, now)
        for move in dropped:
            text = "%s: removed, video %d has the same content in %s (id=%d)"
            first = printable(os.fsdecode(proofs[move.id].first))
            log.info(text, shown(move.path), move.copy_of, first, move.id)
        return [move for move in moves if move not in dropped]

    def _is_there(self, move: Move) -> bool:
        """Whether a file is there, after it got its name back; True if it cannot be found out."""
        try:
            self._give_name_back(move)
            return _has_numbers(self._doors.identify(move.path), move.identity)
        except OSError:
            return True

    def _compare(self, move: Move) -> _Proof | None:
        """Read both files, and give how they were; None if they differ, or cannot be read now."""
        assert move.copy_of is not None
        first = self._drops.first_at(move.copy_of)
        if (
            first is None
            or self._folders.is_in_trash(first)
            or not lies_at(move.path, move.identity)
        ):
            return None
        try:
            with ExitStack() as stack:
                copied = stack.enter_context(self._doors.open(move.path))
                original = stack.enter_context(self._doors.open(first))
                versions = [version_of_open(file.fileno()) for file in (original, copied)]
                if os.path.samestat(os.fstat(original.fileno()), os.fstat(copied.fileno())):
                    return None  # two names of one file: without it, nothing is left
                if not _has_numbers(versions[1].identity, move.identity):
                    return None
                if not _have_same_content(original, copied, self._progress):
                    return None
        except OSError as error:
            text = "%s: kept, it cannot be compared with %s (%s) (id=%d)"
            its_first = printable(os.fsdecode(first))
            log.warning(text, shown(move.path), its_first, error.strerror, move.id)
            return None
        return _Proof(first, *versions)

    def _remove(self, move: Move, proof: _Proof) -> bool:
        """Remove a duplicate, if neither file has changed since they were compared."""
        doors = self._doors
        hidden = os.path.join(os.path.dirname(move.path), os.fsencode(_hidden_name(move)))
        try:
            if version_of(move.path) != proof.copy_version or open_for_writing(move.path):
                return False
            doors.rename(move.path, hidden)
        except OSError:
            return False
        try:
            is_it = doors.identify(hidden) == proof.copy_version.identity
            if is_it and version_of(proof.first) == proof.first_version:
                doors.remove(hidden)
                return True
        except OSError as error:
            log.warning("%s: cannot be removed (%s)", shown(move.path), error.strerror)
        with contextlib.suppress(OSError):  # `vidwatch check` finds it
            self._give_name_back(move)
        return False

    def _give_name_back(self, move: Move) -> None:
        """Give a file its name back that was not removed, or a numbered one if that is taken."""
        folder = os.path.dirname(move.path)
        begin = os.fsencode(_hidden_begin(move))
        for name in self._doors.names(folder):
            if not name.startswith(begin):
                continue
            target = move.path
            while True:
                try:
                    self._doors.rename(folder + b"/" + name, target)
                    break
                except FileExistsError:
                    target = next(
                        path for path in numbered(target) if not self._doors.is_taken(path)
                    )


def _have_same_content(one: BinaryIO, other: BinaryIO, progress: Callable[[], None]) -> bool:
    while True:
        piece = one.read(PIECE)
        if piece != other.read(PIECE):
            return False
        if not piece:
            return True
        progress()


def _has_numbers(there: Identity | None, identity: Identity) -> bool:
    return there is not None and there.has_numbers_of(identity)


def _hidden_begin(move: Move) -> str:
    # `vidwatch check` knows such names: see `daemon/maintenance/leftovers.py`.
    return f".vidwatch-{move.identity.inode}-{move.identity.size}-"


def _hidden_name(move: Move) -> str:
    return new_name(f"{move.identity.inode}-{move.identity.size}-")
