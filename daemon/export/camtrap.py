"""Exports a Camtrap DP package: camera traps' deployments, media and observations.

A source is a deployment. The observation of a video is its label, else its prediction; of a long
video, each of its events is one. Left out are duplicates, failed files, files that are known not to
be there any more, and videos without a time of recording: a wrong time is worse than none.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from zipfile import ZIP_DEFLATED, ZipFile

from sqlalchemy import Connection, select

from daemon.database.tables import videos
from daemon.export.camtrap_columns import MEDIA, TABLES, URL
from daemon.export.camtrap_metadata import Metadata, Places, as_json
from daemon.export.filters import Filters
from daemon.export.parts import timeline_of
from daemon.export.query import NOT_THERE, videos_query, what_became_of_file
from daemon.export.rows import Found, find_videos, iso
from daemon.home.texts import printable, uri
from daemon.report.events import UNSURE, Event
from learner.errors import VidwatchError

SOURCE = "vidwatch"
"""The title of the source of our packages, by which they are known again."""
DESCRIPTOR = "datapackage.json"
MEDIATYPES = {
    "3gp": "3gpp", "avi": "x-msvideo", "flv": "x-flv", "m4v": "x-m4v", "mkv": "x-matroska",
    "mov": "quicktime", "mp4": "mp4", "mpeg": "mpeg", "mpg": "mpeg", "mts": "mp2t", "m2ts": "mp2t",
    "mxf": "mxf", "ogv": "ogg", "ts": "mp2t", "webm": "webm", "wmv": "x-ms-wmv",
}  # fmt: skip
"""By the ending of a file's name."""


@dataclass
class Counts:
    """What became of the videos."""

    videos: int = 0
    observations: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """How many, by why."""


def is_ours(folder: Path) -> bool:
    """Whether a folder is empty, or holds nothing but a package that vidwatch exported."""
    names = {path.name for path in folder.iterdir()}
    if not names:
        return True
    if names != {DESCRIPTOR, *(f"{name}.csv" for name in TABLES)}:
        return False
    try:
        descriptor = json.loads((folder / DESCRIPTOR).read_text(encoding="utf-8"))
        return any(source["title"] == SOURCE for source in descriptor["sources"])
    except (ValueError, KeyError, TypeError, OSError):
        return False


def zipped(folder: Path, target: Path) -> None:
    """Pack the files of a folder into one, and nothing else."""
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)


def write_package(
    folder: Path, connection: Connection, filters: Filters, metadata: Metadata, path: Path | None
) -> Counts:
    """Write a package.

    Args:
        folder: Where; it is empty.
        connection: A transaction.
        filters: Which videos are in it.
        metadata: What a person says of them.
        path: The file with the metadata; None if there is none.

    Raises:
        VidwatchError: a deployment has no place, a filter names what does not exist, or no video
            fits.
    """
    sources = _sources(connection, filters)
    counts = Counts()
    with _Package(folder, Places.of(metadata, path, sources)) as package:
        for rows in find_videos(connection, filters, with_parts=True):
            for found in rows:
                if why := _why_not(found):
                    counts.left_out[why] += 1
                    continue
                counts.videos += 1
                counts.observations += package.add(connection, found)
        if not counts.videos:
            words = filters.words()
            why = f"no video matches {words}" if words else "there is no video"
            raise VidwatchError(f"{why} that fits a Camtrap DP package{left_out(counts)}")
        package.finish()
    return counts


def left_out(counts: Counts) -> str:
    """How many videos were left out, and why, as the end of a line."""
    parts = [f"{n} {why}" for why, n in sorted(counts.left_out.items())]
    return f"; left out: {', '.join(parts)}" if parts else ""


def _sources(connection: Connection, filters: Filters) -> set[str | None]:
    query = videos_query(filters.conditions(connection), with_parts=False)
    of_media = query.where(
        videos.c.duplicate_of.is_(None),
        videos.c.recorded_at.is_not(None),
        videos.c.state != "failed",
        what_became_of_file().not_in(NOT_THERE),
    )
    return set(connection.scalars(select(of_media.subquery().c.source).distinct()))


def _why_not(found: Found) -> str | None:
    if found.duplicate_of is not None:
        return "the same as another one"
    if found.state == "failed":
        return "failed"
    if found.file in NOT_THERE:
        return f"whose file is {found.file}"
    return None if found.recorded_at else "without a time of recording"


class _Package:
    """A package that is being written."""

    def __init__(self, folder: Path, places: Places) -> None:
        self._folder = folder
        self._places = places
        self._metadata = places.metadata
        self._taxa: dict[str, dict[str, Any]] = {}
        self._times: dict[str, tuple[str, str]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._media = self._table("media")
        self._observations = self._table("observations")
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _table(self, name: str) -> "csv.DictWriter[str]":
        # Without a mark of UTF-8 and without apostrophes before formulas: this is for validators
        # and for R, and the standard has neither.
        file = (self._folder / f"{name}.csv").open("w", encoding="utf-8", newline="")
        columns = TABLES[name]
        writer = csv.DictWriter(
            self._stack.enter_context(file),
            columns,
            lineterminator="\n",
            # To look for keys that are no columns takes a third of the time.
            extrasaction="ignore",
        )
        writer.writeheader()
        return writer

    def add(self, connection: Connection, found: Found) -> int:
        """Write a video, and what was observed in it; gives how many observations."""
        deployment = self._places.known[found.source]
        start = datetime.fromisoformat(str(iso(found.recorded_at)))
        media = dict(zip(MEDIA, _media(found, deployment), strict=True))
        self._media.writerow(media)
        observations = list(self._of_video(connection, found, start))
        self._observations.writerows({"deploymentID": deployment, **each} for each in observations)
        first = str(iso(found.recorded_at))
        last = max(each["eventEnd"] for each in observations)
        before = self._times.get(deployment, (first, last))
        self._times[deployment] = (min(first, before[0]), max(last, before[1]))
        return len(observations)

    def _of_video(
        self, connection: Connection, found: Found, start: datetime
    ) -> Iterator[dict[str, Any]]:
        events = timeline_of(connection, found).events if found.is_cut else []
        for n, event in enumerate(events):
            yield {
                "observationID": f"{found.id}-{n + 1}",
                "eventID": f"{found.id}-{n + 1}",
                "eventStart": _time(start + timedelta(seconds=event.start)),
                "eventEnd": _time(start + timedelta(seconds=event.end)),
                "observationLevel": "event",
                **self._seen(event.class_name),
                **_by(found, event),
            }
        if not events:
            moment = iso(found.recorded_at)
            yield {
                "observationID": str(found.id),
                "mediaID": str(found.id),
                "eventStart": moment,
                "eventEnd": moment,
                "observationLevel": "media",
                **(self._seen(found.main) if found.main else {"observationType": "unclassified"}),
                **_by(found, None),
            }

    def _seen(self, class_name: str) -> dict[str, Any]:
        """The columns that say what was seen."""
        # A "|" separates tags.
        tags = f"class:{class_name.replace('|', '/')}"
        if class_name == UNSURE:
            return {"observationType": "unknown", "observationTags": tags}
        meaning = self._metadata.meaning(class_name)
        if taxon := meaning.taxon():
            self._taxa.setdefault(taxon["scientificName"], taxon)
        return {
            "observationType": meaning.type,
            "scientificName": meaning.scientificName,
            "lifeStage": meaning.lifeStage,
            "sex": meaning.sex,
            "behavior": meaning.behavior,
            "observationTags": tags,
        }

    def finish(self) -> None:
        """Write the deployments and the descriptor."""
        deployments = self._table("deployments")
        for name, (first, last) in sorted(self._times.items()):
            given = self._metadata.deployment[name].model_dump(exclude_none=True)
            times = {"deploymentStart": first, "deploymentEnd": last}
            row = {"deploymentID": name, **times, **given}
            deployments.writerow({key: _cell(value) for key, value in row.items()})
        text = json.dumps(self._descriptor(), ensure_ascii=False, indent=2)
        (self._folder / DESCRIPTOR).write_text(f"{text}\n", encoding="utf-8")

    def _descriptor(self) -> dict[str, Any]:
        times = [time[:10] for pair in self._times.values() for time in pair]
        levels = {"observationLevel": ["media", "event"]}
        return {
            "resources": [_resource(name) for name in TABLES],
            "profile": f"{URL}/camtrap-dp-profile.json",
            **as_json(self._metadata.package),
            "created": _time(datetime.now(UTC)),
            "contributors": [
                each.model_dump(exclude_none=True) for each in self._metadata.contributors
            ],
            "sources": [{"title": SOURCE, "version": version("vidwatch")}],
            "project": as_json({**self._metadata.project.model_dump(), **levels}),
            "spatial": self._area(),
            "temporal": {
                "start": min(times),
                "end": max(times),
            },
            "taxonomic": list(self._taxa.values()),
        }

    def _area(self) -> Mapping[str, Any]:
        """All places, as GeoJSON (RFC 7946: the longitude first)."""
        deployments = (self._metadata.deployment[name] for name in sorted(self._times))
        points = [[each.longitude, each.latitude] for each in deployments]
        return {"type": "MultiPoint", "coordinates": points}


def _media(found: Found, deployment: str) -> tuple[Any, ...]:
    ending = found.name.rpartition(".")[2].lower()
    # The standard takes no path from the root, and no "..".
    address = uri(found.path).replace("..", ".%2E")
    comment = f"time by the {found.recorded_by}" if found.recorded_by else None
    return (
        str(found.id), deployment, None, iso(found.recorded_at), address, "false",
        printable(found.name), f"video/{MEDIATYPES.get(ending, 'x-unknown')}", None, None, comment,
    )  # fmt: skip


def _by(found: Found, event: Event | None) -> dict[str, Any]:
    """Who or what classified an event; the video itself if it is None."""
    if event is not None and event.is_labelled:
        return {"classificationMethod": "human"}
    if event is None and found.verdict is not None:
        return {
            "classificationMethod": "human",
            "classifiedBy": printable(found.who),
            "classificationTimestamp": iso(found.labelled_at),
        }
    if found.model is None:
        return {}
    comment = f"unsure, perhaps {found.predicted}" if event is None and found.doubt else None
    return {
        "classificationMethod": "machine",
        "classifiedBy": f"vidwatch model {found.model}",
        "classificationTimestamp": iso(found.predicted_at),
        "classificationProbability": found.probability if event is None else event.probability,
        "observationComments": comment,
    }


def _resource(name: str) -> dict[str, str]:
    return {
        "name": name,
        "path": f"{name}.csv",
        "profile": "tabular-data-resource",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": f"{URL}/{name}-table-schema.json",
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return _time(value) if isinstance(value, datetime) else value
