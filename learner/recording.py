"""When a clip was recorded, and by which camera: as its container, its name or its file says.

Opens no file: FFmpeg has read the tags of the container already.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from learner.groups import NO_DATE

Source = Literal["container", "name", "file"]
"""What says when a clip was recorded; "file" is the date of the file."""

LONGEST_TEXT = 100  # characters of a camera's name
# A clock may be ahead by a zone. A date beyond that is none.
AHEAD = timedelta(days=1)

# The tags of containers, in lower case, the surest first. Apple's has the zone in which the clip
# was recorded.
_TIMES = ("com.apple.quicktime.creationdate", "creation_time", "date")
_MAKES = ("com.apple.quicktime.make", "com.android.manufacturer", "make")
_MODELS = ("com.apple.quicktime.model", "com.android.model", "model")
# Some cameras name themselves only as what wrote the pictures.
_WRITERS = ("handler_name",)
_NAMED_AS_WRITERS = ("GoPro",)

# A day and a time to the second, in the order of ISO 8601, as in VID_20240131_235959.mp4,
# 2024-01-31T23.59.59Z.mkv, 2024_0131_235959_012.mp4 and, with the folder, 2024-01-31/23-59-59.mp4.
# No digit may stand before and after it, but for thousandths of a second: a longer number is
# something else. Neither may "AM" or "PM".
_TIME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d\d)[-_.]?(?P<month>\d\d)[-_.]?(?P<day>\d\d)"
    r"(?:[-_./T ]| at )?"
    r"(?P<hour>\d\d)[-_.:h]?(?P<minute>\d\d)[-_.:m]?(?P<second>\d\d)"
    r"(?:[.,]?\d{3})?(?!\d)(?!\s?[AaPp]\.?[Mm])"
    r"(?P<zone>Z|[+-]\d\d:?\d\d(?!\d))?"
)
# Phones of Google name their clips by the time in UTC.
_IN_UTC = re.compile(r"PXL_")


class Recording(NamedTuple):
    """What a container says of a recording."""

    at: int | None = None
    """When it began, in seconds since 1970 in UTC; None if it does not say."""
    camera: str | None = None
    """The make and the model; None if it does not say."""


NOT_STATED = Recording()


class Recorded(NamedTuple):
    """When a clip was recorded, and by which camera, as far as anything says so."""

    at: datetime | None = None
    """With a time zone."""
    by: Source | None = None
    """What says when."""
    camera: str | None = None
    """The make and the model."""


NOT_KNOWN = Recorded()


def by_container(*tags: Mapping[str, str]) -> Recording:
    """What the tags of a container say; those of earlier mappings count more.

    A time without a zone, as AVI has it, is one of this machine's zone.
    """
    all_tags: dict[str, str] = {}
    for some in reversed(tags):
        all_tags |= {name.lower(): value for name, value in some.items()}
    moments = (_moment(all_tags.get(name, "")) for name in _TIMES)
    at = next((moment for moment in moments if moment is not None and _is_sane(moment)), None)
    return Recording(None if at is None else int(at.timestamp()), _camera(all_tags))


def recorded(stated: int | None, camera: str | None, path: bytes, mtime_ns: int) -> Recorded:
    """When a clip was recorded, what says so, and by which camera.

    Nothing says it if the file without any other date has one of 1990 or before.

    Args:
        stated: What its container says: seconds since 1970 in UTC.
        camera: The camera, by the container.
        path: The path of its file. The name counts, and the folder that it lies in.
        mtime_ns: The date of its file.
    """
    if stated is not None and (moment := _at(stated)):
        return Recorded(moment, "container", camera)
    if moment := by_name(path):
        return Recorded(moment, "name", camera)
    if moment := _at(mtime_ns / 1e9):
        return Recorded(moment, "file", camera)
    return Recorded(camera=camera)


def by_name(path: bytes) -> datetime | None:
    """When a clip was recorded, by the name of its file and of its folder; None if they say none.

    A time without a zone is one of this machine's zone.
    """
    last_two = path.decode("utf-8", "replace").split("/")[-2:]
    for text in (last_two[-1], "/".join(last_two)):
        for found in _TIME.finditer(text):
            zone = found["zone"]
            if zone is None and _IN_UTC.match(text):
                zone = "Z"
            parts = [found[name] for name in ("year", "month", "day", "hour", "minute", "second")]
            moment = _moment("{}-{}-{}T{}:{}:{}".format(*parts) + (zone or ""))
            if moment is not None and _is_sane(moment):
                return moment
    return None


def _moment(text: str) -> datetime | None:
    """The moment that a text in ISO 8601 names; None if it names none, or a whole day."""
    try:
        moment = datetime.fromisoformat(text.strip()[:40])
        if "T" not in text.upper() and ":" not in text:
            return None
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _at(seconds: float) -> datetime | None:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if _is_sane(moment) else None


def _is_sane(moment: datetime) -> bool:
    """Whether a clock that was set gave this time: one that was not says 1904 or 1970."""
    return NO_DATE < moment <= datetime.now(UTC) + AHEAD


def _camera(tags: Mapping[str, str]) -> str | None:
    make, model = (_first(tags, names) for names in (_MAKES, _MODELS))
    writer = _first(tags, _WRITERS)
    if not make and not model:
        return next((name for name in _NAMED_AS_WRITERS if name in writer), None)
    if model.lower().startswith(make.lower()):
        return model[:LONGEST_TEXT]
    return f"{make} {model}".strip()[:LONGEST_TEXT]


def _first(tags: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The value of the first of these tags that has one, in one line; empty if none has."""
    values = (" ".join(tags.get(name, "").split()) for name in names)
    return next((value for value in values if value), "")
