"""Files of events: what a name may not do in them, and that no time is rounded away."""

import csv
import io
from datetime import UTC, datetime

from daemon.report.event_files import mark_of, webvtt, write_csv
from daemon.report.events import Event, Span
from daemon.report.one_video import VideoReport
from daemon.report.timeline import Timeline

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WINDOWS = (Span(0, 3599.5, "<b>up & down --> 3</b>", 0.876), Span(3599.5, 3661.04, "b", 0.2, True))


def report(windows: tuple[Span, ...] = WINDOWS) -> VideoReport:
    nothing = dict.fromkeys(("group", "error", "recorded_at", "recorded_by", "camera", "movement"))
    return VideoReport(
        id=1,
        name="a.mp4",
        path=b"/a.mp4",
        state="filed",
        content=1,
        sha256="abc",
        arrived_at=NOW,
        predictions=(),
        labels=(),
        timeline=Timeline(windows),
        **nothing,  # type: ignore[arg-type]
    )


def test_a_name_is_neither_a_tag_nor_an_arrow_of_subtitles() -> None:
    video = report()
    assert webvtt(video.timeline.events, video).splitlines() == [
        "WEBVTT - made by vidwatch",
        "",
        "NOTE content abc",
        "",
        "00:00:00.000 --> 00:59:59.500",
        "&lt;b&gt;up &amp; down --&gt; 3&lt;/b&gt; 88%",
        "",
        "00:59:59.500 --> 01:01:01.040",
        "unsure",
    ]


def test_no_class_is_a_formula_of_a_spreadsheet() -> None:
    file = io.StringIO()
    write_csv(file, [report((Span(0, 4, "=1+1", 0.5),))])
    (row,) = csv.DictReader(io.StringIO(file.getvalue()))
    assert row["class"] == "'=1+1"


def test_what_a_person_labelled_has_no_probability() -> None:
    text = webvtt([Event(0, 1, "a", None)], report())
    assert text.startswith(mark_of(report()))
    assert text.endswith("00:00:00.000 --> 00:00:01.000\na\n")


def test_the_times_of_days_of_video_are_exact() -> None:
    windows = (Span(0, 123_456.04, "a", 0.5), Span(123_456.04, 2_592_015, "b", 0.5))
    file = io.StringIO()
    write_csv(file, [report(windows)])
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    times = [(float(row["start"]), float(row["end"])) for row in rows]
    assert times == [(0, 123_456.04), (123_456.04, 2_592_015)]
