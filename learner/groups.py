"""Groups: which clips show the same recording, camera or scene. Opens no file.

A group is stated by the name of a clip or by its sub-folder. Where nothing states it, it is
guessed: from the likeness of the clips, else from the times of recording. A guess never keeps a
class from being learned.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Literal

from learner.errors import VidwatchError
from learner.likeness import earlier_alike

# UCF101's names, `v_<Class>_g<group>_c<clip>`: one group shows one person or scene.
GROUP_PATTERN = r"^(.+_g\d+)_c\d+"

Way = Literal["stated", "alike", "day", "hour", "runs", "clips"]
"""How the groups of a class were found, in words that people see, the surest first."""
WAYS: tuple[Way, ...] = ("stated", "alike", "day", "hour", "runs", "clips")

# The groups that a class needs to be learned and judged: two to learn from, and one that judges.
NEEDED = 3
# A guess is not used if more than this share of a class, or of all clips, would be one group.
LARGEST_OF_CLASS = 2 / 3
LARGEST_OF_ALL = 1 / 2
# Files that were copied in one go have the times of the copying. Times that follow one another so
# closely count as one time.
IN_ONE_GO = timedelta(seconds=10)
# A longer pause than this ends a run of clips.
PAUSE = timedelta(seconds=60)
# Files that were unpacked without dates have one of these years or before.
NO_DATE = datetime(1990, 1, 1, tzinfo=UTC)

_MARK = "#"  # begins the name of each guessed group
# A folder may begin with the mark, too, as "#1 door".
_GUESSED = re.compile(
    rf"{_MARK}(((run|clip) )?(\d+|[0-9a-f]{{64}})|day \d+-\d\d-\d\d|hour \d+-\d\d-\d\d \d\d)"
)
_EXPLAINED = {
    "day": "each day of recording",
    "hour": "each hour of recording",
    "runs": "each run of clips that were recorded in a row",
    "clips": "each clip",
}
HOW_TO_NAME = (
    "name recordings by sub-folders of the class folders, or by a pattern for the file names: "
    "`vidwatch groups` shows how"
)
NAMES_SHOWN = 4


@dataclass(frozen=True)
class ClipFacts:
    """What is known of a clip, to find its group."""

    label: str
    own: str
    """A name for it alone; a group that begins with the clip is named after it."""
    content: str
    """The SHA-256 of its content."""
    stated: str | None = None
    """The group that its name or its sub-folder states."""
    fingerprint: bytes | None = None
    """As `learner.fingerprint` makes it; None if there are no features yet."""
    recorded: datetime | None = None
    """When it was recorded, in the zone whose days count; the file's date if nothing else says."""


@dataclass(frozen=True)
class Grouping:
    """The groups of some clips, and how they were found."""

    groups: tuple[str, ...]
    """Of each clip, in the order in which the clips were given."""
    ways: Mapping[str, Way]
    """How the groups were found, by class: the weakest of the ways that the class needed."""

    @property
    def how(self) -> Way:
        """The weakest way that a class needed."""
        return max(self.ways.values(), key=WAYS.index, default="stated")

    @property
    def optimistic(self) -> str | None:
        """Why figures by these groups are optimistic, and what helps; None if they are not."""
        return f"{self.reason}; {HOW_TO_NAME}" if self.reason else None

    @property
    def reason(self) -> str | None:
        """Why figures by these groups are optimistic; None if they are not."""
        classes = defaultdict(list)
        for label, way in sorted(self.ways.items()):
            classes[way].append(label)
        counted = [
            f"{_EXPLAINED[way]} of {_listed(classes[way])} counts as one"
            for way in WAYS
            if way in _EXPLAINED and way in classes
        ]
        if not counted:
            return None
        trouble = "optimistic, since nothing tells which clips show the same recording"
        return f"{trouble}, so {', and '.join(counted)}"


def find_groups(clips: Sequence[ClipFacts]) -> Grouping:
    """Find the group of each clip.

    A stated group is never changed. The others are guessed, for each class in the first way that
    leaves it enough groups:

    1. "alike": a clip is of the group of the earlier clip that looks the same.
    2. "day", then "hour": the time of recording.
    3. "runs": clips that were recorded in a row.
    4. "clips": each clip is a group of its own.

    The result does not depend on the order in which the clips are given. It may change with more
    clips: one that was recorded earlier begins a group, and so names it; one that looks like two
    groups joins them; and if a class needs another way, all its guessed groups are others. Whoever
    keeps something for a group, keeps it for its clips.
    """
    # Compared, and joined to runs, in an order that is the same wherever the files lie.
    guessed = sorted(
        (i for i, clip in enumerate(clips) if clip.stated is None), key=lambda i: _order(clips[i])
    )
    guesses = [(way, cache(partial(guess, clips, guessed))) for way, guess in _GUESSES]
    of_class: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        of_class[clip.label].append(i)
    groups = [clip.stated or "" for clip in clips]
    ways: dict[str, Way] = {}
    for label, members in of_class.items():
        own = [i for i in members if clips[i].stated is None]
        n_stated = len({clips[i].stated for i in members} - {None})
        ways[label] = "stated"
        for way, guess in guesses if own else ():
            names = guess()
            found = [names.get(i) for i in own]
            if way == "clips" or _are_enough(found, n_stated):
                ways[label] = way
                for i, name in zip(own, found, strict=True):
                    groups[i] = name or ""
                break
    return Grouping(tuple(groups), ways)


def recorded_at(mtime_ns: int) -> datetime | None:
    """When a clip was recorded, by its file's date, in this machine's zone; None if it has none."""
    moment = datetime.fromtimestamp(mtime_ns / 1e9, UTC)
    return moment.astimezone() if moment > NO_DATE else None


def is_guessed(group: str) -> bool:
    """Whether the name of a group is one that `find_groups` makes for a guess."""
    return _GUESSED.fullmatch(group) is not None


def readable(group: str) -> str:
    """The name of a group, for people."""
    if not is_guessed(group):
        return group
    return group[1:] if " " in group else f"alike {group[1:]}"


def is_found_by_likeness(group: str) -> bool:
    """Whether the clips of a group were found to look the same."""
    return is_guessed(group) and " " not in group


def group_of(name: str, folders: Sequence[str], pattern: re.Pattern[str]) -> str | None:
    """What `pattern` finds in the clip's name, else the clip's sub-folders, else None.

    If the pattern has a group in parentheses, the first one counts.
    """
    if match := pattern.match(name):
        return match[1] if pattern.groups and match[1] else match[0]
    return "/".join(folders) or None


def compile_pattern(text: str) -> re.Pattern[str]:
    """The regular expression that a person wrote.

    Raises:
        VidwatchError: it is no regular expression.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise VidwatchError(
            f"group pattern {text!r} is not a regular expression: {error}"
        ) from error


def _order(clip: ClipFacts) -> tuple[bool, float, str]:
    """By the time of recording; clips without one come last."""
    if clip.recorded is None:
        return True, 0.0, clip.content
    return False, clip.recorded.timestamp(), clip.content


def _are_enough(groups: Sequence[str | None], n_stated: int) -> bool:
    """Whether guessed groups of a class leave it enough to be learned from and judged by.

    Args:
        groups: Of each clip of the class that states none; None if there is no guess for the clip.
        n_stated: How many other groups of the class are stated.
    """
    if None in groups:
        return False
    n = len(groups)
    sizes = Counter(groups)
    if len(sizes) + n_stated < min(NEEDED, n + n_stated):
        return False
    return n == 1 or sizes.most_common(1)[0][1] <= LARGEST_OF_CLASS * n


def _by_likeness(clips: Sequence[ClipFacts], guessed: Sequence[int]) -> dict[int, str]:
    """The groups of the clips that have a fingerprint; of none that would hold most of all clips.

    A clip is of the group of that one of the `COMPARED` clips before it that is most like it.
    """
    prints = {i: print_ for i in guessed if (print_ := clips[i].fingerprint) is not None}
    if not prints:
        return {}
    names: list[str] = []
    for i, like in zip(prints, earlier_alike(list(prints.values())), strict=True):
        names.append(f"{_MARK}{clips[i].own}" if like is None else names[like])
    largest = LARGEST_OF_ALL * len(clips)
    crowded = {name for name, n in Counter(names).items() if n > max(1, largest)}
    return {i: name for i, name in zip(prints, names, strict=True) if name not in crowded}


def _by_time(clips: Sequence[ClipFacts], guessed: Sequence[int], kind: str) -> dict[int, str]:
    """The groups of the clips whose time of recording is known.

    Args:
        clips: All clips.
        guessed: The positions of those without a stated group, in their order of recording.
        kind: The way: "day", "hour" or "runs".
    """
    names: dict[int, str] = {}
    longest = PAUSE if kind == "runs" else IN_ONE_GO
    before: datetime | None = None
    name = ""
    for i in guessed:
        recorded = clips[i].recorded
        if recorded is None:
            continue
        if before is None or recorded - before > longest:
            name = {
                "day": f"{_MARK}day {recorded:%Y-%m-%d}",
                "hour": f"{_MARK}hour {recorded:%Y-%m-%d %H}",
                "runs": f"{_MARK}run {clips[i].own}",
            }[kind]
        names[i] = name
        before = recorded
    return names


def _each_alone(clips: Sequence[ClipFacts], guessed: Sequence[int]) -> dict[int, str]:
    return {i: f"{_MARK}clip {clips[i].own}" for i in guessed}


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = [str(name) for name in names[:NAMES_SHOWN]]
    if more := len(names) - len(shown):
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


_Guess = Callable[[Sequence[ClipFacts], Sequence[int]], dict[int, str]]
_GUESSES: tuple[tuple[Way, _Guess], ...] = (
    ("alike", _by_likeness),
    ("day", partial(_by_time, kind="day")),
    ("hour", partial(_by_time, kind="hour")),
    ("runs", partial(_by_time, kind="runs")),
    ("clips", _each_alone),
)
