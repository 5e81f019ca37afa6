"""Exports as other programs read them: pandas, R, LibreOffice, DuckDB, the sqlite3 command."""

import csv
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from exported import BIKING, FORMULA, FullHome
from exported import home as home

READ = """
x <- read.csv("a.csv")
stopifnot(names(x)[1] == "id", nrow(x) == 10, is.integer(x$id), is.numeric(x$score_Biking))
stopifnot(is.na(x$probability[x$state == "queued"]), sum(x$class == "Biking") == 4)
t <- as.POSIXct(x$recorded_at[1], format = "%Y-%m-%dT%H:%M:%S+00:00", tz = "UTC")
stopifnot(t == as.POSIXct("2025-06-01 12:30:15", tz = "UTC"))
stopifnot(any(grepl("\\u00e4, \\"b\\"", x$name, fixed = TRUE)))
cat("read", nrow(x))
"""
READR = """
suppressMessages(library(readr))
x <- read_csv("a.csv", show_col_types = FALSE)
stopifnot(names(x)[1] == "id", nrow(x) == 10, nrow(problems(x)) == 0, is.numeric(x$id))
stopifnot(inherits(x$arrived_at, "POSIXct"), attr(x$arrived_at, "tzone") == "UTC")
cat("read", nrow(x))
"""


def needs(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs the program {name}")
    return found


def needs_module(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"needs the Python package {name}")


@pytest.fixture
def file(home: FullHome, tmp_path: Path) -> Path:
    """The exported CSV file."""
    home.export(tmp_path / "a.csv")
    return tmp_path / "a.csv"


@pytest.mark.slow
def test_pandas_reads_numbers_as_numbers_and_times_as_times(home: FullHome, file: Path) -> None:
    needs_module("pandas")
    code = f"""
import pandas as pd
x = pd.read_csv({str(file)!r}, parse_dates=["recorded_at", "arrived_at"])
assert list(x.columns)[:2] == ["id", "name"] and len(x) == 10
assert str(x["id"].dtype) == "int64" and str(x["score_{BIKING}"].dtype) == "float64"
assert str(x["arrived_at"].dtype).endswith("UTC]")
assert x["name"].str.replace(r"^'(?=[-=+@'\\t\\r])", "", regex=True).eq({FORMULA!r}).sum() == 1
assert x["probability"].isna().sum() == 2
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", [READ, READR], ids=["read.csv", "readr"])
def test_r_reads_it_without_settings(file: Path, code: str) -> None:
    command = [needs("Rscript"), "-e", code]
    if code is READR:
        there = subprocess.run([command[0], "-e", "library(readr)"], capture_output=True)
        if there.returncode:
            pytest.skip("needs the R package readr")
    done = subprocess.run(
        command,
        cwd=file.parent,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(file.parent)},
    )
    assert done.stdout == "read 10", done.stderr


@pytest.mark.slow
def test_libreoffice_reads_each_cell_and_runs_no_formula(home: FullHome, file: Path) -> None:
    """A sheet as LibreOffice reads the CSV, and what it writes of it again.

    Its window finds by the mark of UTF-8 that the file is that. Without a window it looks for no
    mark: then it has to be told (76).
    """
    folder = file.parent / "converted"
    profile = f"-env:UserInstallation=file://{file.parent}/profile"
    command = [needs("soffice"), profile, "--headless"]
    steps = [
        ["--infilter=CSV:44,34,76,1", "--convert-to", "fods", "--outdir", folder, file],
        ["--convert-to", "csv:Text - txt - csv (StarCalc):44,34,76", "--outdir", folder],
    ]
    steps[1].append(folder / "a.fods")
    for step in steps:
        done = subprocess.run([*command, *step], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert "table:formula" not in (folder / "a.fods").read_text(encoding="utf-8")
    with (folder / "a.csv").open(newline="", encoding="utf-8") as made:
        rows = list(csv.DictReader(made))
    assert {row["id"] for row in rows} == {str(video) for video in home.ids.values()}
    assert {row["source"] for row in rows} == {"", "cam1", "cam1/sub", "cam2", "cam10"}
    names = {row["name"] for row in rows}
    assert {r'ä, "b"\n.mp4', r"caf\xe9.mp4", f"'{FORMULA}"} <= names


def test_duckdb_reads_parquet_and_csv(home: FullHome, file: Path, tmp_path: Path) -> None:
    needs_module("duckdb")
    needs_module("pyarrow")
    home.export(tmp_path / "a.parquet", "parquet")
    import duckdb

    for name in ("a.parquet", "a.csv"):
        query = f"SELECT count(*), sum(score_{BIKING}) FROM '{tmp_path}/{name}' WHERE class = '{BIKING}'"
        assert duckdb.connect().execute(query).fetchone() == (4, 8.0)
    query = f"SELECT typeof(arrived_at) FROM '{tmp_path}/a.parquet'"
    kind = duckdb.connect().execute(query).fetchone()
    assert kind == ("TIMESTAMP WITH TIME ZONE",)


def test_the_sqlite3_command_reads_it(home: FullHome, tmp_path: Path) -> None:
    home.export(tmp_path / "a.sqlite", "sqlite")
    query = "SELECT events.class, count(*) FROM videos JOIN events ON video_id = id GROUP BY 1"
    command = [needs("sqlite3"), tmp_path / "a.sqlite", query]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{BIKING}|2", "Skiing|2", "_unsure|1"]
