"""What `vidwatch export` writes: each row, in each format."""

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from exported import BIKING, FORMULA, LATIN, ODD, SKIING, VIDWATCH, FullHome, run, table
from exported import home as home

from daemon.classify.missing import GONE
from daemon.database.root import follow_home
from daemon.export import columns
from daemon.export.columns import EVENTS, VIDEOS, WINDOWS
from daemon.home.texts import without_formula
from learner.errors import VidwatchError


def by_kind(home: FullHome, path: Path) -> dict[str, dict[str, str]]:
    rows = {int(row["id"]): row for row in table(path)}
    assert list(rows) == sorted(rows)
    return {kind: rows[video] for kind, video in home.ids.items()}


def test_each_video_is_a_row_with_what_counts_for_it(home: FullHome, tmp_path: Path) -> None:
    outcome = home.export(tmp_path / "a.csv")
    rows = by_kind(home, tmp_path / "a.csv")
    assert outcome.videos == len(rows) == len(home.ids)
    assert {kind: row["class"] for kind, row in rows.items()} == {
        "sure": BIKING,
        "labelled": SKIING,
        "odd": BIKING,
        "cannot tell": "_unsure",
        "unsure": "_unsure",
        "latin": SKIING,
        "duplicate": BIKING,
        "failed": "",
        "long": BIKING,
        "queued": "",
    }
    sure = rows["sure"]
    assert (sure["source"], sure["state"], sure["model"]) == ("cam1", "filed", "starter")
    assert (sure["prediction"], float(sure["probability"])) == (BIKING, 0.9)
    assert float(sure["familiarity"]) == 0.5
    assert sure["recorded_at"] == "2025-06-01T12:30:15+00:00"
    assert sure["arrived_at"] == sure["predicted_at"] == "2026-01-02T00:00:00+00:00"
    assert sure["path"] == str(home.path(home.ids["sure"]))
    assert (float(sure[f"score_{BIKING}"]), float(sure[f"score_{SKIING}"])) == (2, 0)
    assert len(sure["sha256"]) == 64
    labelled = rows["labelled"]
    assert (labelled["prediction"], labelled["label"]) == (BIKING, SKIING)
    assert (labelled["labelled_by"], labelled["labelled_how"]) == ("'=ann", "command")
    assert rows["cannot tell"]["label"] == "_unsure"
    assert rows["unsure"]["unsure"] == "probability"
    assert rows["failed"]["error"] == "not a video"
    assert rows["duplicate"]["duplicate_of"] == sure["id"]
    assert rows["duplicate"]["prediction"] == BIKING
    assert rows["queued"]["prediction"] == rows["queued"][f"score_{BIKING}"] == ""


def files(home: FullHome, target: Path) -> dict[str, str]:
    home.export(target)
    return {kind: row["file"] for kind, row in by_kind(home, target).items()}


def test_what_became_of_a_file_is_a_column(home: FullHome, tmp_path: Path) -> None:
    follow_home(home.engine, home.root)
    assert set(files(home, tmp_path / "a.csv").values()) == {"there"}
    trash = os.fsencode(home.root / "trash/Biking") + b"/"
    home.change("sure", path=trash + b"a.mp4", trashed_at=home.now)
    home.change("unsure", path=trash + b"d.mp4", trashed_at=home.now, removed_at=home.now)
    home.change("odd", trashed_at=home.now)  # a label has taken it out
    home.change("duplicate", dropped_at=home.now)
    home.change("failed", error=GONE)
    home.change("labelled", path=bytes(home.path(home.ids["long"])))
    changed = files(home, tmp_path / "a.csv")
    assert {kind: file for kind, file in changed.items() if file != "there"} == {
        "sure": "trash",
        "unsure": "deleted",
        "duplicate": "dropped",
        "failed": "gone",
        "labelled": "replaced",
    }


def test_csv_is_what_excel_opens_without_settings(home: FullHome, tmp_path: Path) -> None:
    home.export(tmp_path / "a.csv")
    data = (tmp_path / "a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfid,name,")
    assert data.endswith(b"\r\n")
    assert data.count(b"\n") == data.count(b"\r\n") == len(home.ids) + 1


def test_no_text_is_a_formula_and_each_can_be_read_as_it_was(
    home: FullHome, tmp_path: Path
) -> None:
    home.export(tmp_path / "a.csv")
    rows = by_kind(home, tmp_path / "a.csv")
    assert rows["failed"]["name"] == f"'{FORMULA}"
    assert rows["unsure"]["camera"] == "'=evil"
    numbers = {column.name for column in VIDEOS.columns if column.kind in ("number", "integer")}
    for row in rows.values():
        texts = [text for name, text in row.items() if name not in numbers and "score_" not in name]
        assert [text for text in texts if text[:1] in set("=+-@\t\r")] == []


@pytest.mark.parametrize(
    "text",
    ["=1", "'=1", "''=1", "'", "''", "'t Zand", "-a.mp4", "+49", "@x", "\tx", "a=b", "", "\uff1d1"],
)
def test_the_apostrophe_before_a_formula_can_be_taken_away_again(text: str) -> None:
    written = without_formula(text)
    assert written[:1] not in set("=+-@\t\r\uff1d")
    signs = set("=+-@\t\r\uff1d\uff0b\uff0d\uff20'")
    is_ours = written[:1] == "'" and written[1:2] in signs and len(written) > 1
    assert (written[1:] if is_ours else written) == text


def test_names_in_other_encodings_are_readable_and_their_bytes_can_be_made_again(
    home: FullHome, tmp_path: Path
) -> None:
    home.change("latin", left_at=b"/archive/" + LATIN)
    home.export(tmp_path / "a.csv")
    rows = by_kind(home, tmp_path / "a.csv")
    assert rows["latin"]["copied_from"] == r"/archive/caf\xe9.mp4"
    assert rows["latin"]["name"] == r"caf\xe9.mp4"
    assert rows["odd"]["name"] == ODD.replace("\n", r"\n")
    for kind, row in rows.items():
        assert row["uri"].startswith("file:///")
        path = unquote_to_bytes(row["uri"].removeprefix("file://"))
        assert path == os.fsencode(home.path(home.ids[kind]))
        assert Path(os.fsdecode(path)).is_file()


@pytest.mark.slow
def test_a_renamed_class_has_its_present_name(home: FullHome, tmp_path: Path) -> None:
    run(home, "classes", "rename", BIKING, "Cycling")
    home.export(tmp_path / "a.csv")
    rows = by_kind(home, tmp_path / "a.csv")
    assert rows["sure"]["class"] == rows["sure"]["prediction"] == "Cycling"
    home.export(tmp_path / "events.csv", what="events")
    assert {row["class"] for row in table(tmp_path / "events.csv")} == {
        "Cycling",
        SKIING,
        "_unsure",
    }


def test_scores_of_models_with_different_classes_stand_side_by_side(
    home: FullHome, tmp_path: Path
) -> None:
    other = home.register("other", ["skiing", SKIING, "Fox"])
    video = home.arrive("f.mp4")
    home.ids["other"] = video
    for each in home.claim():
        home.record(
            home.prediction(each.id, home.model_prediction(BIKING, logits=[1, 2, 3], model=other))
        )
    home.export(tmp_path / "a.csv")
    rows = by_kind(home, tmp_path / "a.csv")
    scores = {name: value for name, value in rows["other"].items() if name.startswith("score_")}
    # "skiing" is another class than "Skiing", but no other name of a column in SQLite.
    assert scores == {
        "score_Biking": "",
        "score_Fox": "3",
        "score_Skiing": "2",
        "score_skiing_2": "1",
    }
    assert rows["sure"]["score_Fox"] == ""
    home.export(tmp_path / "b.csv", models=("other",))
    row, *_ = table(tmp_path / "b.csv")
    assert [name for name in row if name.startswith("score_")] == [
        "score_Fox",
        "score_Skiing",
        "score_skiing_2",
    ]
    home.export(tmp_path / "a.sqlite", "sqlite")


def test_events_and_windows_are_tables_of_their_own(home: FullHome, tmp_path: Path) -> None:
    events = home.export(tmp_path / "events.csv", what="events")
    windows = home.export(tmp_path / "windows.csv", what="windows")
    rows = table(tmp_path / "events.csv")
    assert [(row["start"], row["end"], row["class"], row["labelled"]) for row in rows] == [
        ("0.0", "1.0", BIKING, "false"),
        ("1.0", "2.0", SKIING, "true"),
        ("2.0", "8.0", BIKING, "false"),
        ("8.0", "10.0", SKIING, "false"),
        ("10.0", "12.0", "_unsure", "false"),
    ]
    assert {row["video_id"] for row in rows} == {str(home.ids["long"])}
    assert [row["model"] for row in rows] == ["starter", "", "starter", "starter", "starter"]
    own = table(tmp_path / "windows.csv")
    assert [(row["number"], row["class"], row["unsure"]) for row in own] == [
        ("0", BIKING, ""),
        ("1", BIKING, ""),
        ("2", SKIING, ""),
        ("3", BIKING, "probability"),
    ]
    assert float(own[2][f"score_{SKIING}"]) == 2
    assert (events.rows, windows.rows) == (5, 4)


def test_json_lines_have_all_of_a_video_in_one(home: FullHome, tmp_path: Path) -> None:
    home.export(tmp_path / "a.jsonl", "jsonl")
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["id"]: row for row in map(json.loads, lines)}
    assert set(rows) == set(home.ids.values())
    long = rows[home.ids["long"]]
    assert long["scores"] == {BIKING: 2.0, SKIING: 0.0}
    assert [event["class"] for event in long["events"]] == [
        BIKING,
        SKIING,
        BIKING,
        SKIING,
        "_unsure",
    ]
    assert len(long["windows"]) == 4
    assert long["seconds_by_class"] == {BIKING: 7, SKIING: 3, "_unsure": 2}
    failed = rows[home.ids["failed"]]
    assert (failed["name"], failed["class"], failed["scores"]) == (FORMULA, None, {})
    assert (failed["events"], failed["windows"]) == ([], [])


@pytest.mark.of_sqlite  # a server takes no such numbers
def test_json_has_no_number_that_is_none(home: FullHome, tmp_path: Path) -> None:
    with home.writing() as connection:
        connection.exec_driver_sql("UPDATE predictions SET logits = '[NaN, -Infinity]'")
    home.export(tmp_path / "a.jsonl", "jsonl")
    for line in (tmp_path / "a.jsonl").read_text().splitlines():
        row = json.loads(line, parse_constant=pytest.fail)
        assert set(row["scores"].values()) <= {None}


def test_sqlite_has_three_tables(home: FullHome, tmp_path: Path) -> None:
    home.export(tmp_path / "a.sqlite", "sqlite")
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as made:
        made.row_factory = sqlite3.Row
        rows = {row["id"]: row for row in made.execute("SELECT * FROM videos")}
        assert set(rows) == set(home.ids.values())
        assert rows[home.ids["failed"]]["name"] == FORMULA
        assert rows[home.ids["sure"]][f"score_{BIKING}"] == 2.0
        assert made.execute("SELECT count(*) FROM events WHERE labelled").fetchone()[0] == 1
        assert made.execute("SELECT count(*) FROM windows").fetchone()[0] == 4
        assert made.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_parquet_has_types(home: FullHome, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    home.export(tmp_path / "a.parquet", "parquet")
    made = parquet.read_table(tmp_path / "a.parquet")
    assert str(made.schema.field("arrived_at").type) == "timestamp[ms, tz=UTC]"
    rows = {row["id"]: row for row in made.to_pylist()}
    assert set(rows) == set(home.ids.values())
    assert rows[home.ids["failed"]]["name"] == FORMULA
    assert rows[home.ids["sure"]]["recorded_at"].isoformat() == "2025-06-01T12:30:15+00:00"
    assert rows[home.ids["sure"]][f"score_{BIKING}"] == 2.0
    home.export(tmp_path / "events.parquet", "parquet", what="events")
    events = parquet.read_table(tmp_path / "events.parquet").to_pylist()
    assert [event["labelled"] for event in events] == [False, True, False, False, False]
    home.export(tmp_path / "none.parquet", "parquet", states=("waiting",))
    assert parquet.read_table(tmp_path / "none.parquet").num_rows == 0


@pytest.mark.slow
def test_the_format_is_that_of_the_ending_and_csv_goes_to_the_standard_output(
    home: FullHome, tmp_path: Path
) -> None:
    done = run(home, "export", "--class", BIKING)
    assert done.stdout.startswith("\ufeffid,name,")
    assert done.stdout.count("\n") == 5
    assert run(home, "export", tmp_path / "a.NDJSON").stdout == f"{tmp_path}/a.NDJSON: 10 videos\n"
    assert json.loads((tmp_path / "a.NDJSON").read_text().splitlines()[0])["id"] == 1
    line = run(home, "export", tmp_path / "a.xls", code=2).stderr
    assert line.count("\n") == 1
    assert "--format csv|jsonl|parquet|sqlite|camtrap" in line
    with (tmp_path / "out").open("w+") as out:
        subprocess.run([VIDWATCH, "--home", home.root, "export"], stdout=out, check=True)
    assert len(table(tmp_path / "out")) == 10


@pytest.mark.parametrize(
    ("form", "more", "says"),
    [
        ("sqlite", {"what": "events"}, "has all tables in one"),
        ("csv", {"metadata": Path("x.toml")}, "--metadata goes with camtrap alone"),
        ("camtrap", {"since_last": True}, "does not go with camtrap"),
    ],
)
def test_what_does_not_go_together_is_refused(
    home: FullHome, tmp_path: Path, form: str, more: dict[str, object], says: str
) -> None:
    with pytest.raises(VidwatchError, match=says):
        home.export(tmp_path / "a", form, **more)
    assert list(tmp_path.iterdir()) == [home.root]


def test_the_documentation_has_each_column_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    assert text.endswith(f"\n{columns.documentation()}")


def test_no_two_columns_have_one_name() -> None:
    for each in (VIDEOS, EVENTS, WINDOWS):
        names = [column.name.lower() for column in each.columns]
        assert len(set(names)) == len(names)
        assert all(column.about.endswith(".") for column in each.columns)
