"""Moves the files of predicted and failed videos to where they belong, or drops duplicates."""

import errno
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

from daemon.classify.dropping import Dropping
from daemon.database.drops import Drops
from daemon.database.queue import Queue
from daemon.database.records import Left, Move, Moved
from daemon.home.doors import Doors
from daemon.home.folders import Folders
from daemon.home.identity import identify, lies_at
from daemon.home.moving import move_file, sync_folders
from daemon.home.placing import place_second
from daemon.home.reasons import write_reason
from daemon.home.sidecars import Sidecars
from daemon.home.sources import holds_any
from daemon.home.stages import timed
from daemon.home.texts import printable, shown

log = logging.getLogger(__name__)


class StoppedError(Exception):
    """The work at hand is to be left for the next start."""


class NotLeadingError(Exception):
    """Another daemon moves the files by now: nothing more may be moved or noted here."""


class Filing:
    """Ends what is done with a video's file. What cannot be moved now is tried again later."""

    def __init__(
        self,
        queue: Queue,
        folders: Folders,
        inbox_is_there: Callable[[], bool],
        progress: Callable[[], None],
        *,
        drop_duplicates: bool,
    ) -> None:
        """Nothing is moved yet.

        Args:
            queue: Says what is to be moved, and where it is noted.
            folders: The home's folders.
            inbox_is_there: Whether the inbox is there: without it, no file counts as gone.
            progress: Called before a file is moved, while files are copied or compared, and before
                that is noted; raises `StoppedError` or, before that, `NotLeadingError` to end it.
            drop_duplicates: Whether duplicates in the inbox are removed.
        """
        self._queue = queue
        self._root = folders.root
        self._sources = [source.folder for source in folders.sources]
        self._inbox_is_there = inbox_is_there
        self._progress = progress
        self._drop_duplicates = drop_duplicates
        self._sidecars = Sidecars(folders.root, self._sources)
        self._dropping = Dropping(Drops(queue.engine), folders, progress)

    @timed("file")
    def file(self, moves: Sequence[Move], now: datetime) -> None:
        """Move these files, as the queue gave them, or drop them."""
        there, dropped = self._finish([move for move in moves if move.dropped_at is not None], now)
        moves = [move for move in moves if move.dropped_at is None or move in there]
        is_dropped = self._drop_duplicates and self._dropping.may_drop
        # First all others: a duplicate goes only if the first file rests where it belongs.
        duplicates = [
            move for move in moves if move.on_filed is None and is_dropped and is_dropped(move)
        ]
        self._move_all([move for move in moves if move not in duplicates], now)
        try:
            if duplicates:
                kept = self._dropping.drop(duplicates, now)
                dropped += [move for move in duplicates if move not in kept]
                self._move_all(kept, now)
            self._follow_dropped(dropped)
        except StoppedError:
            unmoved = [move.id for move in duplicates if not _may_be_gone(move)]
            self._queue.moved({}, now, unmoved)

    def _follow_dropped(self, moves: Sequence[Move]) -> None:
        """Move the sidecars of removed files to `duplicates/`.

        In the inbox, they would go with the next clip of that name.
        """
        for move in moves:
            if not os.path.lexists(move.path):  # the next clip may be there already
                target = move.destination
                self._sidecars.follow_if_possible(move.path, target, self._progress)

    def _finish(self, begun: Sequence[Move], now: datetime) -> tuple[list[Move], list[Move]]:
        """Finish removals that were begun.

        Gives the files that are there, and are handled as others are, and those that were removed.
        """
        if not begun:
            return [], []
        if self._inbox_is_there():
            there = self._dropping.finish(begun, now)
            return there, [move for move in begun if move not in there]
        for move in begun:  # nobody knows which files were removed
            trouble = "cannot be removed (the inbox is not there)"
            log.warning("%s: %s, is tried again (id=%d)", shown(move.path), trouble, move.id)
            self._queue.postpone_move(move.id, trouble, now, is_begun=True)
        return [], []

    def _move_all(self, moves: Sequence[Move], now: datetime) -> None:
        moved: dict[int, Moved] = {}
        unmoved: list[int] = []
        touched: set[bytes] = set()  # folders
        for done, move in enumerate(moves):
            try:
                self._progress()
                moved[move.id] = self._move(move)
            except StoppedError:
                unmoved = [left.id for left in moves[done:] if not _may_be_gone(left)]
                break
            except OSError as error:
                source = os.fsdecode(os.path.dirname(move.path))
                target = os.fsdecode(os.path.dirname(move.destination))
                reason = f"cannot be moved from {source} to {target} ({error.strerror})"
                trouble = printable(reason)
                text = "%s: %s, is tried again (id=%d)"
                log.warning(text, shown(move.path), trouble, move.id)
                self._require_lead()
                self._queue.postpone_move(move.id, trouble, now, is_begun=_may_be_gone(move))
                continue
            if (path := moved[move.id].path) is not None:
                touched |= {os.path.dirname(path)}
                touched |= set() if moved[move.id].left else {os.path.dirname(move.path)}
        if moved or unmoved:
            sync_folders(touched)
            self._require_lead()
            self._queue.moved(moved, now, unmoved)

    def _require_lead(self) -> None:
        """Check, after a move that may have taken long, that its outcome may be noted.

        If this daemon stood still meanwhile, the file may be gone because another one moved it.
        """
        with suppress(StoppedError):  # what was moved is noted all the same
            self._progress()

    def _move(self, move: Move) -> Moved:
        destination = move.destination

        def redirect(path: bytes) -> None:
            nonlocal destination
            self._queue.redirect(move.id, destination, path)
            destination = path

        stays = move.on_filed is not None
        path = (self._place_second if stays else self._move_away)(move, redirect)
        if path is None and not self._may_be_known(move):
            raise OSError(errno.ENOENT, "the folder that it came from is not there")
        if path and not stays:
            self._sidecars.follow(move.path, path, self._progress)
        if path and move.reason:
            write_reason(path, move.reason, self._root)
        left = Left(move.path, move.identity) if path and stays else None
        return Moved(path, destination, identify(path) if path else None, left)

    def _move_away(self, move: Move, redirect: Callable[[bytes], None]) -> bytes | None:
        return move_file(
            move.path,
            move.destination,
            move.identity,
            move.sha256,
            redirect,
            self._progress,
            root=self._root,
            sources=self._sources,
        )

    def _place_second(self, move: Move, redirect: Callable[[bytes], None]) -> bytes | None:
        origin = [move.origin] if move.origin else []
        return place_second(
            Doors(self._root, origin),
            move.path,
            move.destination,
            move.identity,
            move.sha256,
            redirect,
            self._progress,
            as_link=move.on_filed == "hardlink",
            is_begun=move.is_begun,
        )

    def _may_be_known(self, move: Move) -> bool:
        """Whether the folder that a file came from is there: else nobody knows what is in it."""
        return holds_any(move.origin) if move.origin else self._inbox_is_there()


def _may_be_gone(move: Move) -> bool:
    """Whether a file may have left the place that it is to be moved from."""
    return not lies_at(move.path, move.identity)
