"""A home with a video of each kind, to be exported."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from homes import CLASSES
from long_home import LongHome
from sqlalchemy import update

from daemon.database.tables import videos
from daemon.export.export import Outcome, Request, export
from daemon.export.filters import Filters
from daemon.labels.labels import Label, Origin
from daemon.labels.parts import Part, PartLabels

VIDWATCH = Path(sys.executable).with_name("vidwatch")
BIKING, SKIING = CLASSES
RECORDED = datetime(2025, 6, 1, 12, 30, 15, tzinfo=UTC)
FORMULA = "=HYPERLINK(\"x\",'y').mp4"
LATIN = b"caf\xe9.mp4"
ODD = 'ä, "b"\n.mp4'


class FullHome(LongHome):
    """Videos by what they are: `ids`."""

    ids: dict[str, int]

    def fill(self) -> None:
        """One video of each kind."""
        self.ids = {}
        for kind, name in {
            "sure": "a.mp4",
            "labelled": "b.mp4",
            "odd": ODD,
            "cannot tell": "c.mp4",
        }.items():
            self.ids[kind] = self.arrive(name)
            self.predict_and_file(replace(self.model_prediction(BIKING, 0.9), familiarity=0.5))
        self.ids["unsure"] = self.arrive("d.mp4")
        self.predict_and_file(self.model_prediction(BIKING, 0.4), unsure="probability")
        self.ids["latin"] = self.arrive(os.fsdecode(LATIN), "latin")
        self.predict_and_file(self.model_prediction(SKIING, 0.8))
        self.ids["duplicate"] = self.arrive("copy.mp4", "a.mp4")
        self.predict_and_file(self.model_prediction(BIKING, 0.9))
        self.ids["failed"] = self.fail(FORMULA, "not a video")
        windows = [(0, 4, BIKING, 0.9), (4, 8, BIKING, 0.7), (8, 10, SKIING, 0.8)]
        self.ids["long"] = self.long_video(
            "long.mp4", [*windows, (10, 12, BIKING, 0.4, "probability")]
        )
        self.ids["queued"] = self.arrive("e.mp4")
        self.give_label(self.ids["labelled"], SKIING, who="=ann")
        label = Label(self.ids["cannot tell"], "unsure", None)
        self.labels.add([label], "page", "bob", self.now)
        self.file()
        origin = Origin("page", "bob", self.now)
        PartLabels(self.engine).add(self.ids["long"], Part(1, 2), SKIING, origin)
        self.change("sure", source="cam1", recorded_at=RECORDED, recorded_by="container")
        self.change("labelled", source="cam1/sub", recorded_at=RECORDED, recorded_by="name")
        self.change("long", source="cam2", recorded_at=RECORDED, recorded_by="container")
        self.change("unsure", source="cam10", camera="=evil", recorded_at=RECORDED)

    def change(self, kind: str, **columns: Any) -> None:
        """Change columns of a video's row."""
        with self.writing() as connection:
            where = videos.c.id == self.ids[kind]
            connection.execute(update(videos).where(where).values(**columns))

    def export(self, target: Path, form: str = "csv", **more: Any) -> Outcome:
        """Export to a file; `more` are filters or fields of `Request`."""
        fields = {name: more.pop(name) for name in list(more) if name in Request.__annotations__}
        request = Request(form, target, filters=Filters(**more), **fields)
        return export(self.home, self.engine, request)

    def kinds(self, ids: Any) -> set[str]:
        """The kinds of videos with these ids."""
        names = {video: kind for kind, video in self.ids.items()}
        return {names[int(video)] for video in ids}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[FullHome]:
    """A home with a video of each kind."""
    found = FullHome(tmp_path / "home")
    found.fill()
    yield found
    found.close()


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def run(home: LongHome, *arguments: str | Path, code: int = 0, **more: Any) -> Any:
    """The command, on a home."""
    environment = {**os.environ, "VIDWATCH_HOME": str(home.root)}
    command = [VIDWATCH, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, **more)
    assert done.returncode == code, done.stderr
    return done
