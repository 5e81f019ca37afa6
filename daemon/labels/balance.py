"""How many labels each class has, of clips and of parts of long videos. Only reads."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, select

from daemon.database.expressions import own_group
from daemon.database.tables import groups
from daemon.labels.enough import what_is_missing
from daemon.labels.groups import LabelledGroups


class Labelled(Protocol):
    """A clip or a part that has a label."""

    @property
    def class_name(self) -> str:
        """Its class."""

    @property
    def group(self) -> str:
        """Its group."""

    @property
    def side(self) -> str | None:
        """The side of its group; None if the group has none yet."""

    @property
    def source(self) -> str:
        """How its label was given."""


@dataclass(frozen=True)
class LabelledPart:
    """A part of a video that has a label of its own."""

    class_name: str
    group: str
    side: str | None
    source: str


@dataclass(frozen=True)
class Balance:
    """How many labelled clips a class has, and how many parts of long videos."""

    class_name: str
    clips: int
    """Whole videos. The other figures count them and the parts."""
    parts: int
    """Parts of long videos that have labels of their own."""
    groups: int
    holdout: int
    """How many of them judge new models."""
    holdout_groups: int
    sources: dict[str, int]
    """How many labels came from each source."""
    short: str | None
    """What the class lacks before a model can learn it; None if it has enough."""


def labelled_parts(connection: Connection, grouped: LabelledGroups) -> list[LabelledPart]:
    """The parts of videos that have labels."""
    sides = sides_of_groups(connection) if grouped.parts else {}
    found = []
    for label in grouped.parts:
        own = own_group(label.video_id)
        group = grouped.names.get(label.video_id, own)
        side = sides.get(group) or sides.get(own)
        found.append(LabelledPart(label.class_name, group, side, label.source))
    return found


def balance(
    clips: Sequence[Labelled], min_clips: int, parts: Sequence[LabelledPart] = ()
) -> list[Balance]:
    """How many clips and parts each class has, in alphabetical order."""
    by_class: dict[str, list[Labelled]] = defaultdict(list)
    for one in [*clips, *parts]:
        by_class[one.class_name].append(one)
    return [_balance(name, by_class[name], min_clips) for name in sorted(by_class)]


def _balance(name: str, clips: Sequence[Labelled], min_clips: int) -> Balance:
    holdout = [clip for clip in clips if clip.side == "holdout"]
    training = [clip for clip in clips if clip.side != "holdout"]
    sources = Counter(clip.source for clip in clips)
    n_parts = sum(isinstance(clip, LabelledPart) for clip in clips)
    return Balance(
        class_name=name,
        clips=len(clips) - n_parts,
        parts=n_parts,
        groups=_count_groups(clips),
        holdout=len(holdout),
        holdout_groups=_count_groups(holdout),
        sources=dict(sources.most_common()),
        short=what_is_missing(len(training), _count_groups(training), min_clips),
    )


def sides_of_groups(connection: Connection) -> dict[str, str]:
    """The sides of the groups that have one, by their names."""
    return {row.name: row.side for row in connection.execute(select(groups))}


def _count_groups(clips: Sequence[Labelled]) -> int:
    return len({clip.group for clip in clips})
