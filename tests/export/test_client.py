"""`daemon.client`: what a home holds, as records and as tables."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas
import pytest
from exported import BIKING, LATIN, RECORDED, SKIING, FullHome, table
from exported import home as home
from homes import START

from daemon.client import Home, Label, Prediction, Video
from daemon.export.columns import VIDEOS
from daemon.export.records import LABELS, PREDICTIONS, RENAMED
from learner.errors import VidwatchError

SCORES = [f"score_{BIKING}", f"score_{SKIING}"]


def by_kind(home: FullHome, **asked: Any) -> dict[str, Video]:
    names = {video: kind for kind, video in home.ids.items()}
    return {names[video.id]: video for video in Home(home.root).videos(**asked)}


def test_each_video_is_a_record_with_what_counts_for_it(home: FullHome) -> None:
    found = by_kind(home)
    assert list(found) == sorted(home.ids, key=lambda kind: home.ids[kind])
    sure = found["sure"]
    assert (sure.class_name, sure.prediction, sure.probability) == (BIKING, BIKING, 0.9)
    assert (sure.source, sure.state, sure.model, sure.file) == ("cam1", "filed", "starter", "there")
    assert (sure.recorded_at, sure.arrived_at) == (RECORDED, START)
    assert sure.path == home.path(home.ids["sure"])
    assert sure.scores == {BIKING: 2.0, SKIING: 0.0}
    labelled = found["labelled"]
    assert (labelled.class_name, labelled.prediction, labelled.label) == (SKIING, BIKING, SKIING)
    assert found["duplicate"].duplicate_of == sure.id
    assert (found["queued"].class_name, found["queued"].scores) == (None, {})
    assert os.fsencode(found["latin"].path.name) == LATIN
    assert found["failed"].error == "not a video"


def test_filters_are_those_of_the_export(home: FullHome) -> None:
    assert set(by_kind(home, class_name=SKIING)) == {"labelled", "latin"}
    assert set(by_kind(home, source=["cam1", "cam2"])) == {"sure", "labelled", "long"}
    assert set(by_kind(home, state="failed")) == {"failed"}
    assert set(by_kind(home, name="*.avi")) == set()
    recorded = {"sure", "labelled", "long", "unsure"}
    assert set(by_kind(home, until=date(2025, 6, 1))) == recorded
    assert set(by_kind(home, since=RECORDED, until=RECORDED + timedelta(seconds=1))) == recorded
    assert set(by_kind(home, until="2025-06-01")) == recorded
    assert set(by_kind(home, since=datetime(2025, 6, 2))) == set(home.ids) - recorded


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"class_name": "Bikin"}, "no class 'Bikin': did you mean 'Biking'?"),
        ({"model": "starte"}, "no model 'starte'"),
        ({"since": "yesterday"}, "since: 'yesterday' is no time"),
        ({"since": "2026-01-02", "until": "2026-01-01"}, "is not before until='2026-01-01'"),
    ],
)
def test_what_is_not_there_is_one_clear_line(
    home: FullHome, asked: dict[str, Any], text: str
) -> None:
    with pytest.raises(VidwatchError, match=r"^.*$") as error:
        list(Home(home.root).videos(**asked))
    assert text in str(error.value)


def test_every_model_s_prediction_is_a_record(home: FullHome) -> None:
    challenger = home.register("auto-1", [SKIING, "Chess"])
    sure = home.ids["sure"]
    with home.writing() as connection:
        row = {"class": "Chess", "class_index": 1, "logits": [1.0, 3.0], "kind": "shadow"}
        home.add_prediction(connection, sure, challenger, **row)
    found = list(Home(home.root).predictions())
    answers = [one for one in found if one.kind == "answer"]
    # A content has each of its predictions once.
    with_prediction = set(home.ids) - {"queued", "failed", "duplicate"}
    assert [one.video_id for one in answers] == sorted(home.ids[kind] for kind in with_prediction)
    first, second = (one for one in found if one.video_id == sure)
    assert (first.kind, second.kind) == ("answer", "shadow")
    assert (second.model, second.class_name) == ("auto-1", "Chess")
    assert second.scores == {"Chess": 3.0, SKIING: 1.0}
    frame = Home(home.root).predictions().to_pandas()
    assert list(frame) == [
        *(one.name for one in PREDICTIONS.columns),
        SCORES[0],
        "score_Chess",
        SCORES[1],
    ]
    assert len(frame) == len(found)


def test_labels_have_those_taken_back(home: FullHome) -> None:
    labelled = home.ids["labelled"]
    home.tick()
    home.give_label(labelled, BIKING, who="bob")
    found = [one for one in Home(home.root).labels() if one.video_id == labelled]
    assert [(one.class_name, one.labelled_by, one.counts) for one in found] == [
        (BIKING, "bob", True),
        (SKIING, "=ann", False),
    ]
    frame = Home(home.root).labels().to_pandas()
    assert list(frame) == [one.name for one in LABELS.columns]
    counting = frame[frame["counts"]]
    assert dict(zip(counting["video_id"], counting["verdict"], strict=True)) == {
        labelled: "labelled",
        home.ids["cannot tell"]: "unsure",
    }


def test_a_table_of_pandas_is_the_exported_one(home: FullHome, tmp_path: Path) -> None:
    frame = Home(home.root).videos().to_pandas()
    home.export(tmp_path / "a.csv")
    exported = table(tmp_path / "a.csv")
    assert list(frame) == list(exported[0]) == [*(one.name for one in VIDEOS.columns), *SCORES]
    assert frame["id"].tolist() == [int(row["id"]) for row in exported]
    assert frame["path"].tolist() == [row["path"] for row in exported]
    assert frame["class"].fillna("").tolist() == [row["class"] for row in exported]
    assert frame["probability"].mean() == pytest.approx(0.8125, abs=0.2)
    assert frame["recorded_at"].dropna().tolist() == [pandas.Timestamp(RECORDED)] * 4
    assert str(frame["duplicate_of"].dtype) == "Int64"


def test_a_table_of_polars_has_the_same_columns(home: FullHome) -> None:
    polars = pytest.importorskip("polars")
    videos = Home(home.root).videos()
    frame = videos.to_polars()
    assert frame.columns == list(videos.to_pandas())
    assert frame.schema["arrived_at"] == polars.Datetime("us", "UTC")
    counted = dict(frame.group_by("class").len().iter_rows())
    assert counted == {BIKING: 4, SKIING: 2, "_unsure": 2, None: 2}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_an_empty_table_has_its_columns(home: FullHome, library: str) -> None:
    pytest.importorskip(library)
    nothing = Home(home.root).videos(name="no such name")
    frame = getattr(nothing, f"to_{library}")()
    assert (len(frame), list(frame.columns)[:2]) == (0, ["id", "name"])


@pytest.mark.slow
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_is_named(
    home: FullHome, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(VidwatchError, match=f"pip install {library}"):
        getattr(Home(home.root).videos(), f"to_{library}")()


def test_reading_changes_nothing(home: FullHome) -> None:
    def state() -> dict[str, int]:
        files = (path for path in home.root.rglob("*") if path.suffix not in (".db-shm", ".db-wal"))
        return {str(path): path.stat().st_mtime_ns for path in files}

    before, rows = state(), [home.rows()]
    reader = Home(home.root)
    assert len(list(reader.videos())) == len(reader.videos().to_pandas()) == len(home.ids)
    assert [len(list(one)) for one in (reader.predictions(), reader.labels())] == [7, 2]
    assert (state(), [home.rows()]) == (before, rows)


def test_a_reader_goes_on_while_others_write(home: FullHome) -> None:
    found = iter(Home(home.root).videos())
    next(found)
    home.arrive("later.mp4")
    assert len(list(found)) == len(home.ids) - 1
    assert len(list(Home(home.root).videos())) == len(home.ids) + 1


def test_a_folder_that_is_no_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(VidwatchError, match="is not a vidwatch home"):
        Home(tmp_path)


@pytest.mark.of_sqlite
@pytest.mark.parametrize(
    ("revision", "text"),
    [("0019", "an older vidwatch wrote it; bring it up to date"), ("9999", "a newer")],
)
def test_a_database_of_another_version_is_named(home: FullHome, revision: str, text: str) -> None:
    with closing(sqlite3.connect(home.root / "vidwatch.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(VidwatchError, match=text):
        Home(home.root)


def test_the_home_is_the_command_s_if_none_is_given(
    home: FullHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDWATCH_HOME", str(home.root))
    assert Home().root == home.root


def test_records_have_the_columns_of_their_tables() -> None:
    for record, of in ((Video, VIDEOS), (Prediction, PREDICTIONS), (Label, LABELS)):
        columns = [RENAMED.get(column.name, column.name) for column in of.columns]
        names = [field.name for field in fields(record)]  # type: ignore[arg-type]
        assert [name for name in names if name != "scores"] == columns


def test_to_import_it_loads_nothing_heavy() -> None:
    code = "import sys, daemon.client; print(*{'torch', 'pandas', 'polars', 'cv2', 'av'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
