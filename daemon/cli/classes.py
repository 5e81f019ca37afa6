"""The command `classes`, with `rename`, `merge`, `retire` and `undo`.

Slow imports stand in the commands that need them.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli import completion
from daemon.cli.shared import Json, JsonResult, console, database, examples, is_running, tell
from daemon.home.clock import local_time, now
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError
from learner.texts import counted, listed

if TYPE_CHECKING:
    from daemon.labels.class_changes import ClassChanges
    from daemon.labels.last_learned import LastLearned

NAMED = 3  # clips

app = typer.Typer()
classes_app = typer.Typer(help="The classes: which there are, and changes of them.")
app.add_typer(classes_app, name="classes")

Old = Annotated[
    str,
    typer.Argument(metavar="OLD", autocompletion=completion.classes, help="The class."),
]


@classes_app.callback(
    invoke_without_command=True,
    epilog=examples("vidwatch classes", "vidwatch classes rename Foks Fox"),
)
def classes(context: typer.Context, as_json: Json = False) -> None:
    """List the classes, how many clips are labelled so, and which models know them."""
    if context.invoked_subcommand:
        return
    from rich.text import Text

    from daemon.labels.class_changes import known_classes
    from daemon.labels.last_learned import last_learned
    from daemon.labels.odd_names import odd_names
    from daemon.report.fitting import Column, FittingTable

    home: Home = context.obj
    with database(home) as engine, engine.begin() as connection:
        found = known_classes(connection)
        problems = odd_names(connection, home.root)
        last = last_learned(connection)
    if as_json:
        print(json.dumps({"classes": [asdict(one) for one in found], "odd_names": problems}))
        return
    labels = Column("labels", justify="right")
    columns = (Column("class"), labels, Column("models", wraps=True), Column(wraps=True))
    table = FittingTable("", columns)
    for one in found:
        notes = [f"was {name}" for name in one.former]
        if one.is_retired:
            notes.append("retired")
        table.add_row(one.name, str(one.labels), ", ".join(one.models), ", ".join(notes))
    output = console()
    output.print(table)
    for problem in problems:
        output.print(Text(printable(problem), "yellow"), soft_wrap=True)
    if last:
        print(f"learned last: {_described(last)} ('vidwatch classes undo' takes them back)")


@classes_app.command(epilog=examples("vidwatch classes rename Foks Fox"))
def rename(
    context: typer.Context,
    old: Old,
    new: Annotated[str, typer.Argument(metavar="NEW", help="A name that no class has.")],
    as_json: JsonResult = False,
) -> None:
    """Give a class another name: its labels and its files follow."""
    with _changes(context.obj) as changes:
        name, count = changes.rename(old, new, now())
    line = f"{old} is {name} from now on: {_labels(context.obj, count)}"
    tell({"class": name, "labels": count}, [line], as_json=as_json)


@classes_app.command(epilog=examples("vidwatch classes merge Vixen Fox"))
def merge(
    context: typer.Context,
    old: Old,
    into: Annotated[
        str,
        typer.Argument(
            metavar="INTO",
            autocompletion=completion.classes,
            help="The class that it is part of.",
        ),
    ],
    as_json: JsonResult = False,
) -> None:
    """Make a class part of another one: its labels and its files follow."""
    with _changes(context.obj) as changes:
        count = changes.merge(old, into, now())
    line = f"{old} is part of {into}: {_labels(context.obj, count)}"
    tell({"class": into, "labels": count}, [line], as_json=as_json)


@classes_app.command(epilog=examples("vidwatch classes retire Fox"))
def retire(context: typer.Context, old: Old, as_json: JsonResult = False) -> None:
    """Take all labels of a class back: the next model does not have it any more."""
    with _changes(context.obj) as changes:
        count = changes.retire(old, now())
    line = f"{old} is retired: {_labels(context.obj, count)}"
    tell({"class": None, "labels": count}, [line], as_json=as_json)


@classes_app.command(epilog=examples("vidwatch classes undo"))
def undo(context: typer.Context) -> None:
    """Take back what was learned last from class folders, as after a move to a wrong folder."""
    from daemon.home import settings
    from daemon.labels.labels import Labels, current_user
    from daemon.labels.last_learned import last_learned

    home: Home = context.obj
    with database(home) as engine:
        with engine.begin() as connection:
            last = last_learned(connection)
        if last is None:
            raise VidwatchError("no label that counts was given by class folders")
        print(_described(last))
        if sys.stdin.isatty():
            typer.confirm("Take these labels back?", abort=True)
        all_labels = Labels(engine, settings.load_folders(home.settings))
        undone = all_labels.undo_given(last.labels, "command", current_user(), now())
    print(f"taken back: {_labels(home, len(undone))}")


def _described(last: "LastLearned") -> str:
    """Which labels these are, for a person to judge."""
    named = listed([printable(name) for name in last.names], NAMED)
    class_name = printable(last.class_name) if last.class_name else "unsure"
    count = counted(len(last.labels), "label")
    at = local_time(last.since)
    return f"{count} {class_name} by class folders, {at}: {named}"


@contextmanager
def _changes(home: Home) -> "Iterator[ClassChanges]":
    from daemon.home import settings
    from daemon.labels.class_changes import ClassChanges
    from daemon.labels.labels import current_user

    with database(home) as engine:
        yield ClassChanges(engine, settings.load_folders(home.settings), current_user())


def _labels(home: Home, count: int) -> str:
    text = f"{counted(count, 'label')} changed"
    return text if is_running(home) else f"{text}; the daemon moves the files when it runs"
