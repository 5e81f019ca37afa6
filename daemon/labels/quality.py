"""Whether the labels can be relied on: how many each class has, and which should be looked at again. Only reads.

A label that was said twice in a row counts as settled: someone has looked again, so it is not asked about any more.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, String, cast, func, select

from daemon.database.tables import (
    groups,
    is_found_by_likeness,
    labels,
    lies_below,
    own_group,
    stands,
    videos,
)
from daemon.home.folders import Folders
from daemon.labels.enough import what_is_missing
from daemon.labels.label_errors import HeldOut, find_label_errors, newest_held_out

REGULAR = 0.2  # of the groups that could hold several classes


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """What one person said; `class_name` is None where they could not tell. `at` tells one import from the next."""

    who: str
    source: str
    class_name: str | None
    at: str


@dataclass(frozen=True, slots=True)
class LabelledContent:
    """A content, by its first video, with the label that counts, and all that was said and not withdrawn, in order.

    `side` is that of its group; None where that was not dealt yet.
    """

    id: int
    name: str
    sha256: str | None
    group: str
    side: str | None
    class_name: str
    said: tuple[GivenLabel, ...]

    @property
    def is_settled(self) -> bool:
        """Whether the label was said once more."""
        return len(self.said) > 1 and self.said[-2].class_name == self.class_name


@dataclass(frozen=True)
class Balance:
    """How many clips of a class are labelled, in how many groups; `holdout` of them judge new models.

    `sources` says how their labels were given, `short` what is missing to learn from them.
    """

    class_name: str
    clips: int
    groups: int
    holdout: int
    holdout_groups: int
    sources: dict[str, int]
    short: str | None


@dataclass(frozen=True)
class DoubtfulLabel:
    """A label that should be looked at again, and why. `other` is the class that it may be, if that can be told."""

    id: int
    name: str
    class_name: str
    other: str | None
    why: str


@dataclass(frozen=True)
class LikelyError(DoubtfulLabel):
    """One that a model is against, with the probabilities that it gives to the label and to the other class."""

    probability: float
    other_probability: float


@dataclass(frozen=True)
class LabelQuality:
    """All that `vidwatch labels` shows.

    `judge` is the model whose training found likely errors; None if there was none yet.
    """

    balance: list[Balance]
    judge: str | None
    doubted: list[LikelyError]
    two_ways: list[DoubtfulLabel]
    odd: list[DoubtfulLabel]

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "classes": [_named(one) for one in self.balance],
            "doubted": {"model": self.judge, "labels": [_named(one) for one in self.doubted]},
            "two_ways": [_named(one) for one in self.two_ways],
            "worth_a_look": [_named(one) for one in self.odd],
        }


def examine(read: Connection, folders: Folders, models: Path, min_clips: int) -> LabelQuality:
    """Look at all labels; `models` is the folder of the trained ones.

    Raises:
        VidwatchError: what a training left there is damaged.
    """
    clips = labelled(read)
    held_out = newest_held_out(models)
    judge, doubted = (held_out.model, against(clips, held_out)) if held_out else (None, [])
    ways = two_ways(clips, _places(read, folders))
    return LabelQuality(balance(clips, min_clips), judge, doubted, ways, odd_ones(clips))


def labelled(read: Connection) -> list[LabelledContent]:
    """The contents that are of a class, by a person's word."""
    sides = {row.name: row.side for row in read.execute(select(groups))}
    # The moments as text: to make datetimes of a million of them takes seconds, and they are only compared.
    said = labels.c.who, labels.c.source, labels.c["class"], cast(labels.c.created_at, String)
    columns = videos.c.id, videos.c.name, videos.c.sha256, videos.c.group, labels.c.verdict, *said
    query = select(*columns).join_from(labels, videos).where(videos.c.state != "failed", stands())
    rows = read.execute(
        query.order_by(labels.c.video_id, labels.c.id).execution_options(yield_per=10_000)
    )
    found = []
    for video, of_video in groupby(rows, key=itemgetter(0)):
        words = list(of_video)
        _, name, sha256, group, verdict, _, _, class_name, _ = words[-1]
        if verdict == "labelled":
            group = group or own_group(video)
            heard = tuple(GivenLabel(*row[5:]) for row in words)
            found.append(
                LabelledContent(video, name, sha256, group, sides.get(group), class_name, heard)
            )
    return found


def balance(clips: Sequence[LabelledContent], min_clips: int) -> list[Balance]:
    """Class by class, in the order of the alphabet."""
    by_class = defaultdict(list)
    for clip in clips:
        by_class[clip.class_name].append(clip)
    return [_balance(name, by_class[name], min_clips) for name in sorted(by_class)]


def against(clips: Sequence[LabelledContent], held_out: HeldOut) -> list[LikelyError]:
    """The labels that the model is against, and that were not said twice, the worst first."""
    by_content = {clip.sha256: clip for clip in clips if clip.sha256}
    found = []
    for doubt in find_label_errors(
        {sha256: clip.class_name for sha256, clip in by_content.items()}, held_out
    ):
        clip, p, other = by_content[doubt.sha256], doubt.probability, doubt.other_probability
        if not clip.is_settled:
            why = f"{doubt.other} {other:.1%}, {clip.class_name} {p:.1%}"
            found.append(
                LikelyError(clip.id, clip.name, clip.class_name, doubt.other, why, p, other)
            )
    return found


def two_ways(
    clips: Sequence[LabelledContent], places: Mapping[int, Mapping[str, str]]
) -> list[DoubtfulLabel]:
    """Contents that are of one class by one person's last word, and of another by someone else's.

    Who says something else later has corrected themself, so that their last word counts. There can be two at the same
    moment: an import that names a clip twice. Nor has anyone corrected anything where files of the same content lie in
    several class folders: `places` has those folders, by video.
    """
    found = []
    for clip in clips:
        if len(clip.said) == 1 and clip.id not in places:
            continue
        last = {one.who: one.at for one in clip.said}
        words = {
            one.class_name: f"{one.who} ({one.source})"
            for one in clip.said
            if one.at == last[one.who]
        }
        ways = {**places.get(clip.id, {}), **{name: who for name, who in words.items() if name}}
        if len(ways) > 1 and not clip.is_settled:
            other = (
                next(name for name in ways if name != clip.class_name) if len(ways) == 2 else None
            )
            why = "; ".join(f"{name}: {who}" for name, who in ways.items())
            found.append(DoubtfulLabel(clip.id, clip.name, clip.class_name, other, why))
    return found


def odd_ones(clips: Sequence[LabelledContent]) -> list[DoubtfulLabel]:
    """Clips labelled otherwise than nearly all others of their recording: worth a look, not more.

    Not where groups regularly hold several classes, as those of a camera do that sees all sorts of things.
    """
    by_group = defaultdict(list)
    for clip in clips:
        by_group[clip.group].append(clip)
    several = [members for members in by_group.values() if len(members) > 1]
    mixed = [members for members in several if len({clip.class_name for clip in members}) > 1]
    if len(mixed) > max(1, REGULAR * len(several)):
        return []
    return [question for members in mixed for question in _odd(members)]


def _named(one: Balance | DoubtfulLabel) -> dict[str, Any]:
    fields = asdict(one)
    return {"class": fields.pop("class_name"), **fields}


def _balance(name: str, clips: Sequence[LabelledContent], min_clips: int) -> Balance:
    held = [clip for clip in clips if clip.side == "holdout"]
    learned = [clip for clip in clips if clip.side != "holdout"]
    short = what_is_missing(len(learned), len({clip.group for clip in learned}), min_clips)
    counted = (
        len(clips),
        len({clip.group for clip in clips}),
        len(held),
        len({clip.group for clip in held}),
    )
    sources = Counter(clip.said[-1].source for clip in clips)
    return Balance(name, *counted, dict(sources.most_common()), short)


def _odd(members: Sequence[LabelledContent]) -> list[DoubtfulLabel]:
    """Those of a recording that has one label otherwise; both of a pair, where they were found to look alike."""
    (usual, n), *_ = Counter(clip.class_name for clip in members).most_common()
    others = [(clip, usual) for clip in members if clip.class_name != usual]
    group = f"{n} of the {len(members)} labelled clips of {members[0].group} are"
    if len(members) == 2 and is_found_by_likeness(members[0].group):
        others = [(one, other.class_name) for one, other in (members, members[::-1])]
        group = "the clip that looks the same is"
    elif len(members) < 3 or len(others) > max(1, len(members) // 4):
        return []
    return [
        DoubtfulLabel(clip.id, clip.name, clip.class_name, other, f"{group} {other}")
        for clip, other in others
        if not clip.is_settled
    ]


def _places(read: Connection, folders: Folders) -> dict[int, dict[str, str]]:
    """The folders of `labelled/` that files of one content lie in, by its first video and class."""
    columns = (
        videos.c.id,
        func.coalesce(videos.c.duplicate_of, videos.c.id).label("content"),
        videos.c.path,
    )
    query = select(*columns).where(lies_below(videos.c.path, folders.labelled()))
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for row in read.execute(query.where(videos.c.destination.is_(None))):
        if folder := folders.class_folder(row.path):
            found[row.content][folder[1]] = f"video {row.id} lies there"
    return {content: places for content, places in found.items() if len(places) > 1}
