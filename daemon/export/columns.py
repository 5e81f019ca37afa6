"""The columns of the exported tables, by which their documentation is made.

Columns keep their names, their meaning and their order. New ones come before those of the scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Value = str | int | float | bool | None
Kind = Literal["text", "integer", "number", "boolean", "time"]
SCORE = "score_"
"""What the name of a column begins with that has a class's scores."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    kind: Kind
    about: str
    is_ours: bool = False
    """Whether no text in it is of unknown origin: then it can be no formula of a spreadsheet."""


@dataclass(frozen=True)
class ExportTable:
    """A table, and what a row of it is."""

    name: str
    about: str
    columns: tuple[Column, ...]
    has_scores: bool = True
    """Whether a column for the scores of each class follows."""


VIDEOS = ExportTable(
    "videos",
    "A row for each file that arrived.",
    (
        Column("id", "integer", "The number that commands take, as `vidwatch show 17`."),
        Column("name", "text", "The file's name. Bytes that are no text are shown as `\\xff`."),
        Column("source", "text", "The folder of the inbox, or the source, that it came from."),
        Column("path", "text", "Where the file is now, written as `name` is.", is_ours=True),
        Column("uri", "text", "The same as an exact `file://` address (RFC 8089).", is_ours=True),
        Column(
            "copied_from",
            "text",
            "The file of an archive or a source that it is a copy or a hard link of.",
            is_ours=True,
        ),
        Column(
            "state",
            "text",
            "`waiting`, `queued`, `claimed`, `classified`, `filed` or `failed`.",
            is_ours=True,
        ),
        Column(
            "class",
            "text",
            "What it counts as: its label, else its prediction; `_unsure` if that is unsure.",
        ),
        Column("recorded_at", "time", "When it was recorded."),
        Column(
            "recorded_by",
            "text",
            "What says so: the `container`, the `name`, or the date of the `file`.",
            is_ours=True,
        ),
        Column("arrived_at", "time", "When vidwatch first saw the file."),
        Column("finished_at", "time", "When it was filed, or had failed."),
        Column("camera", "text", "Make and model, if the file names them."),
        Column("group", "text", "The recording or scene that it belongs to, if that is known."),
        Column("size", "integer", "Of the file, in bytes."),
        Column("sha256", "text", "Of the file's content.", is_ours=True),
        Column("duplicate_of", "integer", "The first video with the same content: its `id`."),
        Column("error", "text", "Why there is no prediction, or why the file was not filed."),
        Column("prediction", "text", "The class that the model predicted, by its present name."),
        Column("probability", "number", "Of the predicted class, from 0 to 1."),
        Column(
            "unsure",
            "text",
            "Why the prediction is unsure: `probability` (too low) or `unknown` (no known class).",
            is_ours=True,
        ),
        Column(
            "familiarity", "number", "The share of clips known to the model that look stranger."
        ),
        Column("model", "text", "The model that predicted."),
        Column("predicted_at", "time", "When it did."),
        Column("read_share", "number", "The share of the clip that could be read."),
        Column("movement", "number", "The share of the picture that changes, from 0 to 1."),
        Column(
            "label",
            "text",
            "The class that a person gave, the newest; `_unsure` if the person cannot tell.",
        ),
        Column("labelled_by", "text", "Who gave the label."),
        Column("labelled_at", "time", "When."),
        Column(
            "labelled_how",
            "text",
            "By a `folder`, `moved`, by `command`, `accepted`, from a `csv`, or on the `page`.",
            is_ours=True,
        ),
        Column("note", "text", "What the person wrote beside the label."),
        Column(
            "file",
            "text",
            "What became of the file, as far as the database knows; see above. `there`, in the"
            " `trash`, `deleted` from it, `dropped` as a duplicate, `replaced` by another file of"
            " the same path, or `gone` before it was read.",
            is_ours=True,
        ),
    ),
)

_VIDEO = (
    Column("video_id", "integer", "The `id` of the video in the table of videos."),
    Column("path", "text", "As in the table of videos.", is_ours=True),
)
_TIMES = (
    Column("start", "number", "Seconds from the video's first picture."),
    Column("end", "number", "As `start`."),
)

EVENTS = ExportTable(
    "events",
    "A row for each part of a long video in which one class was found, as `vidwatch show` has it.",
    (
        *_VIDEO,
        *_TIMES,
        Column("class", "text", "`_unsure` if all of its windows are unsure."),
        Column("probability", "number", "The mean of its windows; empty if a person labelled it."),
        Column("labelled", "boolean", "Whether a person labelled it."),
        Column("model", "text", "The model that predicted; empty if a person labelled it."),
    ),
    has_scores=False,
)

WINDOWS = ExportTable(
    "windows",
    "A row for each window of a long video.",
    (
        *_VIDEO,
        Column("number", "integer", "Its place in the video, from 0."),
        *_TIMES,
        Column("class", "text", "The predicted class, by its present name."),
        Column("probability", "number", "Of that class, from 0 to 1."),
        Column("unsure", "text", "As in the table of videos.", is_ours=True),
        Column("familiarity", "number", "As in the table of videos."),
        Column("model", "text", "The model that predicted."),
    ),
)

TABLES = {table.name: table for table in (VIDEOS, EVENTS, WINDOWS)}


def with_scores(table: ExportTable, classes: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a table, and one for the scores of each class.

    To SQLite and others, two names that differ in case only are the same: the later one gets a
    number.
    """
    taken = {column.name.lower() for column in table.columns}
    columns = list(table.columns)
    for name in classes:
        column = f"{SCORE}{name}"
        n = 1
        while column.lower() in taken:
            n += 1
            column = f"{SCORE}{name}_{n}"
        taken.add(column.lower())
        columns.append(Column(column, "number", f"The raw score of {name}."))
    return tuple(columns)


def documentation() -> str:
    """All columns of all tables, as Markdown: the end of `docs/export.md`."""
    return "\n".join(documented(table) for table in TABLES.values())


def documented(table: ExportTable) -> str:
    """All columns of a table, as Markdown."""
    rows = [f"| `{each.name}` | {each.kind} | {each.about} |" for each in table.columns]
    if table.has_scores:
        about = "The raw score (logit) of that class, by the model's own name for it; see above."
        rows.append(f"| `{SCORE}<class>` | number | {about} |")
    head = ["| column | holds | what it is |", "| --- | --- | --- |"]
    return "\n".join([f"## `{table.name}`", "", table.about, "", *head, *rows, ""])
