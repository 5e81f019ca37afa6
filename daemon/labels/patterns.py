"""What a group pattern does to the labelled classes, and which pattern would suit. Only reads."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from daemon.database.tables import videos
from daemon.home.identity import display_name
from daemon.home.texts import printable
from daemon.labels.enough import HOLDOUT_GROUPS, LEAST_GROUPS
from daemon.labels.groups import LabelledGroups
from learner.groups import NEEDED, compile_pattern, group_of
from learner.texts import counted

# Each finds the recording in names as people and cameras give them: what is before the first sign,
# what is before the last one, the first number.
USUAL = (r"^([^_]+)_", r"^([^-]+)-", r"^(.+)_[^_]+$", r"^(.+)-[^-]+$", r"^(\D*\d+)\D")


@dataclass(frozen=True)
class PatternWarnings:
    """What a person should know before a pattern is applied; sentences without a full stop."""

    blocking: tuple[str, ...] = ()
    """Why classes could not be learned any more."""
    other: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """All of them, the worst first."""
        return self.blocking + self.other


def warnings_of(
    connection: Connection, pattern: str, before: LabelledGroups, after: LabelledGroups
) -> PatternWarnings:
    """What is wrong with a pattern.

    Args:
        connection: To the database.
        pattern: A regular expression.
        before: The groups without it.
        after: The groups with it.
    """
    compiled = compile_pattern(pattern)
    matched = {}
    for row in connection.execute(select(videos.c.id, videos.c.path)):
        if group := group_of(display_name(row.path), [], compiled):
            matched[row.id] = group
    blocking = []
    names = set(matched.values())
    if len(matched) > 1 and len(names) == 1:
        which = f"all {len(matched)} names that match give one group, {printable(names.pop())!r}"
        blocking.append(f"{which}; a class needs at least {LEAST_GROUPS} groups")
    groups_before = {label: n for label, _, n in before.by_class()}
    blocked = {}
    unjudged = {}
    for label, _, n in after.by_class():
        if n < LEAST_GROUPS <= groups_before[label]:
            blocked[label] = n
        elif n < HOLDOUT_GROUPS <= groups_before[label]:
            unjudged[label] = n
    if blocked:
        needed = f"a class needs at least {LEAST_GROUPS} to be learned"
        blocking.append(f"{_listed(blocked)}; {needed}")
    other = []
    if after.classes and matched.keys().isdisjoint(after.classes):
        other.append("it matches the name of no labelled clip")
    if unjudged:
        needed = f"a model can be judged by a class of at least {HOLDOUT_GROUPS}"
        other.append(f"{_listed(unjudged)}; {needed}")
    return PatternWarnings(tuple(blocking), tuple(other))


def fitting_pattern(connection: Connection, found: LabelledGroups) -> str | None:
    """A pattern that finds several groups in the names of each class; None if no usual one does."""
    rows = connection.execute(select(videos.c.id, videos.c.path))
    clips = [
        (display_name(row.path), found.classes[row.id]) for row in rows if row.id in found.classes
    ]
    return next((pattern for pattern in USUAL if _fits(pattern, clips)), None)


def _fits(pattern: str, clips: Sequence[tuple[str, str]]) -> bool:
    """Whether a pattern divides clips, each a name and a class, into groups that are enough."""
    compiled = re.compile(pattern)
    of_class: dict[str, set[str]] = defaultdict(set)
    matched = Counter[str]()
    for name, label in clips:
        if group := group_of(name, [], compiled):
            of_class[label].add(group)
            matched[group] += 1
    n_clips = Counter(label for _, label in clips)
    has_enough = all(len(of_class[label]) >= min(NEEDED, n) for label, n in n_clips.items())
    joins_some = len(matched) < matched.total()
    return has_enough and joins_some and 2 * matched.total() >= len(clips)


def _listed(groups: Mapping[str, int]) -> str:
    texts = (f"{printable(label)} would have {counted(n, 'group')}" for label, n in groups.items())
    return ", ".join(texts)
