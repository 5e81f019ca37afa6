"""Events as text for other programs: CSV, and WebVTT, which players show as subtitles.

WebVTT: https://www.w3.org/TR/webvtt1/
"""

import csv
from collections.abc import Iterable, Sequence
from typing import TextIO

from daemon.home.texts import printable, shown_path, without_formula
from daemon.report.events import UNSURE, Event
from daemon.report.one_video import VideoReport

COLUMNS = ("id", "path", "class", "start", "end", "probability", "model")


def write_csv(file: TextIO, reports: Iterable[VideoReport]) -> list[str]:
    """Write a line for each event of these videos; gives why others have no line.

    `start` and `end` are in seconds. What a person labelled has neither probability nor model.
    """
    without = []
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for report in reports:
        path = shown_path(report.path)
        events = report.timeline.events
        if not events:
            without.append(why_no_events(report))
        for event in events:
            times = (_seconds(event.start), _seconds(event.end))
            model = "" if event.is_labelled else report.model or ""
            probability = "" if event.probability is None else f"{event.probability:.4f}"
            name = without_formula(event.class_name)
            writer.writerow((report.id, path, name, *times, probability, without_formula(model)))
    return without


def why_no_events(report: VideoReport) -> str:
    """Why a video has no events, in words."""
    name = printable(report.name)
    if not report.predictions and not report.error:
        return f"{name} is not predicted yet, and has no events"
    return f"{name} was not cut into windows, and has no events"


def _seconds(seconds: float) -> str:
    """To a thousandth, as WebVTT has it."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def mark_of(report: VideoReport) -> str:
    """What our file of subtitles of a video begins with. It is known again by the content."""
    return f"WEBVTT - made by vidwatch\n\nNOTE content {report.sha256}\n"


def webvtt(events: Sequence[Event], report: VideoReport) -> str:
    """The events of a video, in order, as a file of subtitles."""
    cues = [
        f"{_timestamp(event.start)} --> {_timestamp(event.end)}\n{_cue(event)}\n"
        for event in events
    ]
    return "\n".join([mark_of(report), *cues])


def _cue(event: Event) -> str:
    name = "unsure" if event.class_name == UNSURE else printable(event.class_name)
    if event.probability is not None and event.class_name != UNSURE:
        name = f"{name} {event.probability:.0%}"
    # A name may have what WebVTT reads as a tag, or as the arrow between two times.
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _timestamp(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
