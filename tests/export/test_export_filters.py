"""Which videos `vidwatch export` and `vidwatch search` mean."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from exported import BIKING, RECORDED, SKIING, FullHome, run, table
from exported import home as home
from homes import START

from daemon.export.filters import moment
from daemon.home.clock import END
from learner.errors import VidwatchError

ALL = {"sure", "labelled", "odd", "cannot tell", "unsure", "latin", "duplicate", "failed", "long"}
ALL |= {"queued"}


@pytest.mark.parametrize(
    ("filters", "kinds"),
    [
        ({}, ALL),
        ({"name": "LONG"}, {"long"}),
        ({"name": "cam1/*"}, {"sure", "labelled"}),
        ({"name": "[ab].mp4"}, {"sure", "labelled"}),
        ({"name": "a\N{COMBINING DIAERESIS},"}, {"odd"}),
        ({"name": "%"}, set()),
        ({"classes": (SKIING,)}, {"labelled", "latin"}),
        ({"classes": (BIKING, "_unsure")}, {"sure", "odd", "cannot tell", "unsure", "duplicate", "long"}),
        ({"sources": ("cam1",)}, {"sure", "labelled"}),
        ({"sources": ("cam1/sub/", "cam2")}, {"labelled", "long"}),
        ({"states": ("failed", "queued")}, {"failed", "queued"}),
        ({"models": ("starter",)}, ALL - {"failed", "queued"}),
        # Most were not recorded at a known time: they arrived later.
        ({"end": RECORDED + timedelta(seconds=1)}, {"sure", "labelled", "long", "unsure"}),
        ({"start": RECORDED, "end": START, "classes": (BIKING,)}, {"sure", "long"}),
        ({"start": RECORDED + timedelta(seconds=1), "states": ("filed",)}, {"odd", "cannot tell", "latin", "duplicate"}),
    ],
)  # fmt: skip
def test_the_filters_that_are_given_all_count(
    home: FullHome, tmp_path: Path, filters: dict[str, object], kinds: set[str]
) -> None:
    outcome = home.export(tmp_path / "a.csv", **filters)
    rows = table(tmp_path / "a.csv")
    assert home.kinds(row["id"] for row in rows) == kinds
    assert outcome.videos == len(kinds)


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"classes": ("Bikin",)}, "there is no class 'Bikin': did you mean 'Biking'?"),
        ({"classes": ("Sking", "Foxes")}, "there is no class 'Foxes'"),
        ({"classes": ("Ski",)}, "there is no class 'Ski': did you mean 'Skiing'?"),
        ({"sources": ("cam3",)}, "there is no source 'cam3': did you mean 'cam"),
        ({"states": ("lost",)}, "there is no state 'lost': there are claimed, classified,"),
        ({"models": ("startr",)}, "there is no model 'startr': did you mean 'starter'?"),
    ],
)
def test_an_unknown_name_is_refused_and_similar_ones_are_named(
    home: FullHome, tmp_path: Path, filters: dict[str, object], says: str
) -> None:
    with pytest.raises(VidwatchError) as error:
        home.export(tmp_path / "a.csv", **filters)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.slow
def test_a_former_name_of_a_class_means_the_class(home: FullHome, tmp_path: Path) -> None:
    run(home, "classes", "rename", BIKING, "Cycling")
    home.export(tmp_path / "a.csv", classes=(BIKING,))
    assert {row["class"] for row in table(tmp_path / "a.csv")} == {"Cycling"}


@pytest.mark.slow
def test_nothing_that_matches_is_an_empty_table_and_one_line(
    home: FullHome, tmp_path: Path
) -> None:
    arguments = ("--class", SKIING, "--source", "cam2", "--name", "x*")
    done = run(home, "export", tmp_path / "a.csv", *arguments)
    assert done.stderr == "no video matches name 'x*', class 'Skiing', source 'cam2'\n"
    assert table(tmp_path / "a.csv") == []
    assert (tmp_path / "a.csv").read_text(encoding="utf-8-sig").startswith("id,name,")
    done = run(home, "search", "x*", *arguments[:4])
    assert done.stdout == "no video matches name 'x*', class 'Skiing', source 'cam2'\n"


def test_a_date_as_the_end_includes_its_day() -> None:
    first = moment("2026-01-31", is_end=False)
    last = moment("2026-01-31", is_end=True)
    assert first == datetime(2026, 1, 31).astimezone()
    assert last == datetime(2026, 2, 1).astimezone()
    assert moment("2026-01-31T18:00Z", is_end=True).isoformat() in (
        "2026-01-31T18:00:00+00:00",
        moment("2026-01-31T18:00+00:00", is_end=True).isoformat(),
    )
    assert moment("9999-12-31", is_end=True) == END
    for wrong in ("yesterday", "2026-13-01", ""):
        with pytest.raises(VidwatchError, match=r"--to: .* is no time; examples"):
            moment(wrong, is_end=True)


def test_times_are_as_in_other_commands() -> None:
    assert moment("2026-01-31 8:00", is_end=False) == datetime(2026, 1, 31, 8).astimezone()
    today = datetime.now().astimezone().replace(hour=8, minute=0, second=0, microsecond=0)
    assert moment("8:00", is_end=True) == today


@pytest.mark.slow
def test_a_name_with_brackets_is_found_as_it_is(home: FullHome) -> None:
    video = home.arrive("Bird [dQw4w9WgXcQ].mp4")
    home.predict_and_file()
    for text in ("Bird [dQw4w9WgXcQ].mp4", "[dqw4", "bird [[]dQw*"):
        found = json.loads(run(home, "search", text, "--json").stdout)
        assert json.loads(run(home, "search", "--name", text, "--json").stdout) == found
        assert [row["id"] for row in found] == [video]


@pytest.mark.slow
def test_a_period_that_ends_before_it_begins_is_refused(home: FullHome) -> None:
    line = run(home, "search", "--from", "2026-02-01", "--to", "2026-01-01", code=2).stderr
    assert line == "vidwatch: --from 2026-02-01 is not before --to 2026-01-01\n"
    run(home, "search", "--from", "2026-02-01", "--to", "2026-02-01")


@pytest.mark.slow
def test_search_shows_the_newest_first(home: FullHome) -> None:
    lines = run(home, "search", "--most", "3").stdout.splitlines()
    ids = [line.split()[0] for line in lines[2:]]
    assert ids == ["10", "9", "8"]
    assert "cam2/long.mp4" in lines[3]
    assert "90.0%" in lines[3]
    done = run(home, "search", "--most", "3")
    assert done.stderr == "there are more: --most 30 shows them\n"
    assert run(home, "search").stderr == ""


@pytest.mark.slow
def test_search_prints_the_columns_of_the_export_as_json(home: FullHome) -> None:
    (row,) = json.loads(run(home, "search", "--source", "cam1/sub", "--json").stdout)
    assert (row["id"], row["class"], row["label"]) == (home.ids["labelled"], SKIING, SKIING)
    assert row["labelled_by"] == "=ann"
    assert run(home, "search", "nosuch", "--json").stdout == "[]\n"
