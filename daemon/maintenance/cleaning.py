"""Puts files of chosen classes into the trash, and deletes them from there for good.

Which classes, and when, the tables `[[remove]]` of the settings say. A file goes only if it is the
one that its row says, in its class folder or among the duplicates of the home. What a person has
labelled never goes, nor the random share. The rows stay.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import Engine

from daemon.database.trash import Removable, Trash, Trashed
from daemon.home.deleting import delete_file, is_file
from daemon.home.doors import Doors
from daemon.home.folder import Home
from daemon.home.remove_rules import RemoveRule
from daemon.home.settings import Settings
from daemon.home.sidecars import Sidecars
from daemon.home.space import GIGABYTE
from daemon.home.texts import shown
from daemon.labels.unknown_classes import unknown_classes
from learner.texts import counted

log = logging.getLogger(__name__)

# At one visit: they are moved between other clips, whose turn must come soon.
MOVED = 2000
VISITS = timedelta(hours=1)  # between two visits, if there was not more to do
WRITTEN = 100  # rows in one transaction, for which others wait
DELETED = 10  # files in one transaction: a large one may take a second
PAUSE = 0.05  # seconds between transactions


@dataclass(frozen=True)
class Going:
    """A video whose file is to go into the trash."""

    video: Removable
    rule: RemoveRule
    why: str


class Cleaning:
    """Follows the rules, every hour; more often while more is to go than at one visit."""

    def __init__(
        self,
        home: Home,
        engine: Engine,
        settings: Settings,
        note: Callable[[str | None], None] = lambda text: None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is moved yet.

        Args:
            home: The home.
            engine: Its database.
            settings: Its settings: `remove` and `trash_days`.
            note: Given the reason if files cannot be deleted now, and None if all is well.
            progress: Called for each file that is looked at. An exception from it ends the work.
        """
        self._home = home
        self._engine = engine
        self._rules = settings.remove
        self._trash_days = timedelta(days=settings.trash_days)
        self._note = note
        self._progress = progress
        self._folders = settings.folders(home.root)
        self._trash = Trash(engine, self._folders)
        self._doors = Doors(os.fsencode(home.root))
        self._sidecars = Sidecars(os.fsencode(home.root))
        self._visited: datetime | None = None
        self._has_more = False

    def tend(self, now: datetime) -> None:
        """Have files moved into the trash that are due, and delete those that lay there for long.

        Not more of them than the pipeline moves until the next visit.
        """
        is_early = self._visited is not None and abs(now - self._visited) < VISITS
        if is_early and not self._has_more:
            return
        self._visited = now
        self._has_more = False
        if self._rules and not (left := self._trash.n_to_move()):
            going = list(islice(self.plan(now), MOVED))
            self._has_more = len(going) == MOVED
            if moved := self.put_in(going, now):
                log.info("going into the trash (remove): %s", counted(moved, "file"))
        elif self._rules:
            self._has_more = True
            log.info("still to be moved into the trash: %s", counted(left, "file"))
        self.delete(now)

    def plan(self, now: datetime) -> Iterator[Going]:
        """The files that go now, each with the first rule that says so."""
        planned: set[int] = set()
        freed = 0
        for rule in self._rules:
            for one in self._due(rule, now, planned, freed):
                planned.add(one.video.id)
                freed += one.video.frees
                yield one

    def kept(self) -> Counter[str]:
        """How many files of the rules' classes stay in any case, by why: keys of `trash.KEPT`."""
        of_videos: dict[int, str] = {}
        for rule in self._rules:
            of_videos |= self._trash.kept(rule.classes)
        return Counter(of_videos.values())

    def unknown_classes(self) -> str | None:
        """What is wrong with the classes of the rules; None if nothing is."""
        names = {name for rule in self._rules for name in rule.classes}
        with self._engine.begin() as connection:
            wrong = unknown_classes(connection, names)
        return f"setting 'remove': {'; '.join(wrong)}" if wrong else None

    def put_in(self, going: Sequence[Going], now: datetime) -> int:
        """Have these files moved into the trash; gives how many still may go."""
        n = 0
        for rule in self._rules:
            videos = [one.video for one in going if one.rule is rule]
            for first in range(0, len(videos), WRITTEN):
                self._progress()
                n += self._trash.put_in(videos[first : first + WRITTEN], rule.classes, now)
                time.sleep(PAUSE)
        return n

    def to_delete(self, now: datetime) -> list[Trashed]:
        """What lies in the trash for longer than `trash_days`."""
        last = now - self._trash_days
        return [video for video in self._trash.contents() if video.trashed_at <= last]

    def delete(self, now: datetime) -> int:
        """Delete what lies in the trash for longer than `trash_days`; gives how many files."""
        due = self.to_delete(now)
        if due and self._may_be_away():
            return 0
        n = 0
        problem: str | None = None
        for first in range(0, len(due), DELETED):
            self._progress()
            with self._trash.deleting() as transaction:
                for video in due[first : first + DELETED]:
                    if not transaction.may_be_deleted(video):
                        continue
                    try:
                        n += self._delete(video)
                    except OSError as error:
                        reason = f"cannot be deleted ({error.strerror})"
                        problem = f"{shown(video.path)} {reason}, and is tried again"
                        continue
                    transaction.deleted(video, now)
            time.sleep(PAUSE)
        self._note(problem)
        if n:
            log.info("deleted from the trash for good (trash_days): %s", counted(n, "file"))
        return n

    def _due(
        self, rule: RemoveRule, now: datetime, planned: set[int], freed: int
    ) -> Iterator[Going]:
        """The files that a rule lets go, the oldest first.

        Args:
            rule: The rule.
            now: The time.
            planned: The videos that other rules let go.
            freed: The bytes that are free without their files.
        """
        total = sum(video.size for video in self._there(rule, planned)) if _by_size(rule) else 0
        surplus = total - rule.at_most_gigabytes * GIGABYTE if rule.at_most_gigabytes else 0.0
        missing = 0.0
        if rule.keep_free_gigabytes:
            missing = rule.keep_free_gigabytes * GIGABYTE - self._free() - freed
        for video in self._there(rule, planned):
            is_old = bool(rule.after_days) and video.filed_at <= now - timedelta(
                days=rule.after_days
            )
            if is_old:
                why = f"filed more than {counted(rule.after_days, 'day')} ago"
            elif surplus > 0:
                why = f"they take more than {rule.at_most_gigabytes:g} GB"
            elif missing > 0 and video.is_link:
                continue
            elif missing > 0:
                why = f"less than {rule.keep_free_gigabytes:g} GB are free"
            else:
                return  # all others are newer
            surplus -= video.size
            missing -= video.frees
            yield Going(video, rule, why)

    def _there(self, rule: RemoveRule, planned: set[int]) -> Iterator[Removable]:
        """The videos of a rule whose files lie where their rows say."""
        for video in self._trash.removable(rule.classes):
            self._progress()
            if video.id not in planned and is_file(self._doors, video.path, video.identity):
                yield video

    def _free(self) -> int:
        """Bytes that are free, or will be when all files are moved and the trash is empty."""
        classified = self._home.root / "classified"
        info = os.statvfs(classified)
        is_one_disk = False
        with suppress(OSError):
            is_one_disk = classified.stat().st_dev == self._home.trash.stat().st_dev
        coming = self._trash.bytes_that_will_be_free(also_in_trash=is_one_disk)
        return info.f_bavail * info.f_frsize + coming

    def _may_be_away(self) -> bool:
        """Whether the trash is a link to another disk that may not be mounted."""
        trash = self._home.trash
        return trash.is_symlink() and not (trash.is_dir() and any(trash.iterdir()))

    def _delete(self, video: Trashed) -> bool:
        """Delete a file with its sidecars; False if it was not there any more."""
        sidecars = self._sidecars.beside(video.path)
        if not delete_file(self._doors, video.path, video.identity, sidecars):
            return False
        log.info("%s: deleted from the trash (id=%d)", shown(video.path), video.id)
        return True


def _by_size(rule: RemoveRule) -> bool:
    return bool(rule.at_most_gigabytes)
