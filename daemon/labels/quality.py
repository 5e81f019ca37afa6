"""How many labels each class has, and which labels should be checked again. Only reads.

A label that was given twice in a row is settled: someone has checked it, so nobody is asked again.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, String, cast, select

from daemon.database.expressions import (
    content_of_video,
    lies_below,
    own_group,
    shown_name,
    stands,
)
from daemon.database.tables import labels, videos
from daemon.home.folders import Folders
from daemon.labels.balance import Balance, balance, labelled_parts, sides_of_groups
from daemon.labels.groups import LabelledGroups, labelled_groups
from daemon.labels.label_errors import HeldOut, find_label_errors, newest_held_out
from learner.classes import normal_name
from learner.groups import is_found_by_likeness, is_guessed

REGULAR = 0.2  # share of the groups with several clips; if more are mixed, mixed groups are usual


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """One label that a person gave."""

    who: str
    source: str
    class_name: str | None
    """None if the person was unsure."""
    at: str
    """When it was given; the labels of one import have the same time."""


@dataclass(frozen=True, slots=True)
class LabelledContent:
    """A content whose newest label is a class, with the first video that held it."""

    id: int
    name: str
    sha256: str | None
    group: str
    side: str | None
    """The side of its group; None if the group has none yet."""
    class_name: str
    given: tuple[GivenLabel, ...]
    """All its labels that nobody has taken back, the newest last."""

    @property
    def source(self) -> str:
        """How the newest label was given."""
        return self.given[-1].source

    @property
    def is_settled(self) -> bool:
        """Whether the newest label was given twice in a row."""
        return len(self.given) > 1 and self.given[-2].class_name == self.class_name


@dataclass(frozen=True)
class DoubtfulLabel:
    """A label that should be checked again."""

    id: int
    name: str
    class_name: str
    other: str | None
    """The class that may be right; None if several may be."""
    why: str


@dataclass(frozen=True)
class LikelyError(DoubtfulLabel):
    """A label that is likely wrong by a model's prediction."""

    probability: float
    """The probability of the label."""
    other_probability: float


@dataclass(frozen=True)
class LabelQuality:
    """All that `vidwatch labels` shows."""

    balance: list[Balance]
    judge: str | None
    """The model whose training found the likely errors; None if there was no training yet."""
    doubted: list[LikelyError]
    two_ways: list[DoubtfulLabel]
    odd: list[DoubtfulLabel]

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "classes": [_to_json(one) for one in self.balance],
            "doubted": {"model": self.judge, "labels": [_to_json(one) for one in self.doubted]},
            "two_ways": [_to_json(one) for one in self.two_ways],
            "worth_a_look": [_to_json(one) for one in self.odd],
        }


def _to_json(one: Balance | DoubtfulLabel) -> dict[str, Any]:
    fields = asdict(one)
    return {"class": fields.pop("class_name"), **fields}


def examine(connection: Connection, folders: Folders, models: Path, min_clips: int) -> LabelQuality:
    """Examine all labels.

    Args:
        connection: To the database.
        folders: The home's folders.
        models: The folder of the trained models.
        min_clips: The setting `min_class_clips`.

    Raises:
        VidwatchError: a file that a training left in `models` is damaged.
    """
    grouped = labelled_groups(connection)
    clips = labelled_contents(connection, grouped)
    held_out = newest_held_out(models)
    return LabelQuality(
        balance=balance(clips, min_clips, labelled_parts(connection, grouped)),
        judge=held_out.model if held_out else None,
        doubted=likely_errors(clips, held_out) if held_out else [],
        two_ways=labelled_two_ways(clips, _class_folders(connection, folders)),
        odd=odd_in_group(clips),
    )


def labelled_contents(
    connection: Connection, grouped: LabelledGroups | None = None
) -> list[LabelledContent]:
    """The contents whose newest label is a class, by the ids of their first videos.

    `grouped` are their groups, if these were found already.
    """
    sides = sides_of_groups(connection)
    names = (grouped or labelled_groups(connection)).names
    of_content = (videos.c.id, shown_name(), videos.c.sha256, videos.c.group, labels.c.verdict)
    # The time as text: to make a million datetimes takes seconds, and they are only compared.
    at = cast(labels.c.created_at, String)
    of_label = (labels.c.who, labels.c.source, labels.c["class"], at)
    query = select(*of_content, *of_label).join_from(labels, videos)
    query = query.where(videos.c.state != "failed", stands())
    query = query.order_by(labels.c.video_id, labels.c.id)
    found = []
    rows = connection.execute(query.execution_options(yield_per=10_000))
    for _, label_rows in groupby(rows, key=itemgetter(0)):
        all_rows = list(label_rows)
        video, name, sha256, group, verdict, _, _, class_name, _ = all_rows[-1]
        if verdict != "labelled":
            continue
        group = names.get(video) or group or own_group(video)
        given = tuple(GivenLabel(*row[len(of_content) :]) for row in all_rows)
        side = sides.get(group) or sides.get(own_group(video))
        found.append(LabelledContent(video, name, sha256, group, side, class_name, given))
    return found


def likely_errors(clips: Sequence[LabelledContent], held_out: HeldOut) -> list[LikelyError]:
    """The labels that are likely wrong and not settled, the worst first."""
    by_content = {clip.sha256: clip for clip in clips if clip.sha256}
    classes = {sha256: clip.class_name for sha256, clip in by_content.items()}
    found = []
    for error in find_label_errors(classes, held_out):
        clip = by_content[error.sha256]
        if clip.is_settled:
            continue
        likelier = f"{error.other} {error.other_probability:.1%}"
        likely_error = LikelyError(
            id=clip.id,
            name=clip.name,
            class_name=clip.class_name,
            other=error.other,
            why=f"{likelier}, {clip.class_name} {error.probability:.1%}",
            probability=error.probability,
            other_probability=error.other_probability,
        )
        found.append(likely_error)
    return found


def labelled_two_ways(
    clips: Sequence[LabelledContent], class_folders: Mapping[int, Mapping[str, str]]
) -> list[DoubtfulLabel]:
    """Contents that one person has labelled with one class, and another person with another.

    Of each person the newest label counts: who gives another class later has corrected the first
    one. A person can have two newest labels of the same moment, if an import names a clip twice.

    Files of the same content in several class folders count, too: nobody has corrected anything
    there.

    Args:
        clips: The labelled contents.
        class_folders: As `_class_folders` gives them.
    """
    found = []
    for clip in clips:
        if len(clip.given) == 1 and clip.id not in class_folders:
            continue
        if clip.is_settled:
            continue
        reasons = {**class_folders.get(clip.id, {}), **_newest_of_each_person(clip)}
        if len(reasons) < 2:
            continue
        others = [name for name in reasons if name != clip.class_name]
        other = others[0] if len(reasons) == 2 else None
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        found.append(DoubtfulLabel(clip.id, clip.name, clip.class_name, other, why))
    return found


def _newest_of_each_person(clip: LabelledContent) -> dict[str, str]:
    """The classes that people gave in their newest labels: by class, who gave it and how."""
    newest_at = {label.who: label.at for label in clip.given}
    newest = [label for label in clip.given if label.at == newest_at[label.who]]
    return {
        label.class_name: f"{label.who} ({label.source})" for label in newest if label.class_name
    }


def _class_folders(connection: Connection, folders: Folders) -> dict[int, dict[str, str]]:
    """The contents that have files in several class folders of `labelled/`.

    Returns:
        By the first video of the content: each class, and which video's file is in its folder.
    """
    content = content_of_video().label("content")
    query = select(videos.c.id, content, videos.c.path)
    query = query.where(lies_below(videos.c.path, folders.labelled()))
    query = query.where(videos.c.destination.is_(None))
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(query):
        if folder := folders.class_folder(row.path):
            found[row.content][normal_name(folder[1])] = f"video {row.id} is in its folder"
    return {content: classes for content, classes in found.items() if len(classes) > 1}


def odd_in_group(clips: Sequence[LabelledContent]) -> list[DoubtfulLabel]:
    """Clips that have another label than nearly all others of their group. They may be right.

    There are none if groups regularly hold several classes, as those of a camera do that sees all
    sorts of things.
    """
    by_group = defaultdict(list)
    for clip in clips:
        if not is_guessed(clip.group) or is_found_by_likeness(clip.group):
            by_group[clip.group].append(clip)
    several = [members for members in by_group.values() if len(members) > 1]
    mixed = [members for members in several if len({clip.class_name for clip in members}) > 1]
    if len(mixed) > max(1, REGULAR * len(several)):
        return []
    return [label for members in mixed for label in _odd(members)]


def _odd(members: Sequence[LabelledContent]) -> list[DoubtfulLabel]:
    """The clips of one group that are labelled otherwise than the rest.

    Of two clips that were found to look alike, both are doubtful.
    """
    if len(members) == 2:
        first, second = members
        if not is_found_by_likeness(first.group):
            return []
        text = "the clip that looks the same is"
        pairs = [(first, second.class_name), (second, first.class_name)]
    else:
        usual, n = Counter(clip.class_name for clip in members).most_common(1)[0]
        text = f"{n} of the {len(members)} labelled clips of {members[0].group} are"
        pairs = [(clip, usual) for clip in members if clip.class_name != usual]
        if len(pairs) > max(1, len(members) // 4):
            return []
    return [
        DoubtfulLabel(clip.id, clip.name, clip.class_name, other, f"{text} {other}")
        for clip, other in pairs
        if not clip.is_settled
    ]
