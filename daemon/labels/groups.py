"""The groups of labelled videos: stated by people, or guessed from all that is labelled.

A stated group can be changed: by another pattern, or by moving files into sub-folders.
"""

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, and_, bindparam, delete, null, select, update

from daemon.database.expressions import is_for_champion, is_stated, that_counts
from daemon.database.tables import groups, labels, predictions, videos
from daemon.home.folder import Home
from daemon.home.folders import group_at, sub_folder
from daemon.home.identity import display_name
from daemon.labels.classes import classes_of_videos
from daemon.labels.parts import PartLabel, labels_of_parts
from daemon.labels.queries import newest
from learner import files
from learner.groups import (
    GROUP_PATTERN,
    ClipFacts,
    Grouping,
    compile_pattern,
    find_groups,
    group_of,
    recorded_at,
)
from learner.texts import counted

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledGroups:
    """The groups of the predicted videos whose newest label is a class.

    So, too, of those that have no such label, and parts of which have one.
    """

    names: Mapping[int, str]
    """The group of each video, by its id."""
    classes: Mapping[int, str]
    """The class of each video, by its id; of those that have a label as a whole."""
    parts: Sequence[PartLabel]
    """The labels of parts of videos. A part is of the group of its video."""
    found: Grouping
    """How the groups were found."""

    def by_class(self) -> list[tuple[str, int, int]]:
        """How many clips and groups each class has, in alphabetical order."""
        clips = Counter(self.classes.values())
        names = defaultdict(set)
        for video, label in self.classes.items():
            names[label].add(self.names[video])
        return [(label, clips[label], len(names[label])) for label in sorted(clips)]


def labelled_groups(connection: Connection, most: int | None = None) -> LabelledGroups:
    """Find the groups of all labelled videos, as `vidwatch train` finds those of a folder.

    A video of which only parts have labels counts for the class of the first of these.

    Args:
        connection: To the database.
        most: How many videos of each class are looked at, the newest ones; None: all.
    """
    label = newest().where(labels.c.verdict == "labelled").subquery()
    prediction = and_(predictions.c.video_id == videos.c.id, that_counts())
    names = ("id", "group", "fingerprint", "sha256", "mtime_ns")
    columns = [videos.c[name] for name in names]
    query = select(label.c["class"].label("class_name"), *columns).join(
        videos, videos.c.id == label.c.video_id
    )
    query = query.where(is_for_champion(videos.c.id))
    query = query.join(predictions, prediction)
    if most is None:
        rows = list(connection.execute(query.order_by(label.c.id)))
    else:
        first = query.order_by(label.c.video_id.desc()).limit(most)
        rows = [
            row
            for name in classes_of_videos(connection)
            for row in connection.execute(first.where(label.c["class"] == name))
        ]
    classes = {row.id: row.class_name for row in rows}
    parts = labels_of_parts(connection)
    of_parts: dict[int, str] = {}
    for part in parts:
        of_parts.setdefault(part.video_id, part.class_name)
    without = [video for video in of_parts if video not in classes]
    if without:
        query = select(null().label("class_name"), *columns).join(predictions, prediction)
        query = query.where(is_for_champion(videos.c.id))
        rows += connection.execute(query.where(videos.c.id.in_(without)).order_by(videos.c.id))
    clips = [
        ClipFacts(
            label=row.class_name or of_parts[row.id],
            own=str(row.id),
            content=row.sha256,
            stated=row.group if is_stated(row.group) else None,
            fingerprint=row.fingerprint,
            recorded=recorded_at(row.mtime_ns),
        )
        for row in rows
    ]
    found = find_groups(clips)
    return LabelledGroups(
        names={row.id: group for row, group in zip(rows, found.groups, strict=True)},
        classes=classes,
        parts=parts,
        found=found,
    )


@dataclass(frozen=True)
class PatternResult:
    """What a pattern gives for the videos that are there."""

    videos: int
    """How many there are."""
    matched: int
    """How many names it matches."""
    changed: int
    """How many have another group now."""
    replaced: int
    """How many had one that only a folder of the inbox stated: no pattern brings it back."""


def apply_pattern(
    connection: Connection, root: bytes, pattern: re.Pattern[str], before: re.Pattern[str]
) -> PatternResult:
    """Give the videos that are there the groups that `pattern` finds in their names.

    If it finds none, a group that the pattern `before` had found is removed. One that a folder had
    stated stays, also that of a folder in the inbox.
    """
    n_videos = 0
    matched = 0
    replaced = 0
    changes: dict[int, str | None] = {}
    query = select(videos.c.id, videos.c.path, videos.c.group)
    for row in connection.execute(query.execution_options(yield_per=10_000)):
        n_videos += 1
        name = display_name(row.path)
        by_name = group_of(name, [], pattern)
        matched += by_name is not None
        group = by_name or group_at(row.path, root, pattern)
        was_by_name = row.group is not None and row.group == group_of(name, [], before)
        if group != row.group and (group or was_by_name):
            changes[row.id] = group
            is_found_again = was_by_name or row.group == sub_folder(row.path, root)
            replaced += is_stated(row.group) and not is_found_again
    regroup(connection, changes)
    return PatternResult(n_videos, matched, len(changes), replaced)


def follow_setting(engine: Engine, home: Home, pattern: str) -> None:
    """Apply the setting `group_pattern` to the videos that are there, if it was changed."""
    before = applied_pattern(home)
    if pattern == before:
        return
    root = os.fsencode(home.root)
    with engine.execution_options(writes=True).begin() as connection:
        found = apply_pattern(connection, root, compile_pattern(pattern), compile_pattern(before))
    clips = counted(found.videos, "clip")
    log.info("group_pattern is another one: %d of %s regrouped", found.changed, clips)
    note_applied(home, pattern)


def applied_pattern(home: Home) -> str:
    """The pattern by which the videos of a home have their groups."""
    try:
        return home.applied_pattern.read_text(encoding="utf-8")
    except FileNotFoundError:
        return GROUP_PATTERN


def note_applied(home: Home, pattern: str) -> None:
    """Note which pattern was applied. If that cannot be written, it will be applied again."""
    try:
        files.write(home.applied_pattern, pattern.encode())
    except OSError as error:
        log.warning("%s: cannot be written (%s)", home.applied_pattern, error.strerror)


def regroup(connection: Connection, changes: Mapping[int, str | None]) -> None:
    """Give videos other groups, by their ids; None if nothing states one any more.

    The side of a group that gets another video is that of its videos. If one of them trains models,
    all do.
    """
    if not changes:
        return
    rows = [{"video": video, "group": group} for video, group in changes.items()]
    connection.execute(update(videos).where(videos.c.id == bindparam("video")), rows)
    names = [{"name_": name} for name in set(changes.values()) - {None}]
    if names:
        connection.execute(delete(groups).where(groups.c.name == bindparam("name_")), names)
