"""The command `groups`: shows which labelled clips belong together, and changes that.

Slow imports stand in the functions that need them.
"""

import json
import os
import shlex
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.shared import Json, console, database, examples, is_running
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern, readable
from learner.texts import counted

if TYPE_CHECKING:
    from daemon.labels.groups import LabelledGroups, PatternResult
    from daemon.labels.patterns import PatternWarnings

app = typer.Typer()

SHOWN = 20  # groups
HOW = {
    "stated": "names or folders state them",
    "alike": "clips that look the same",
    "day": "the day of recording",
    "hour": "the hour of recording",
    "runs": "clips recorded in a row",
    "clips": "each clip for itself",
}


@app.command(
    epilog=examples(
        "vidwatch groups", "vidwatch groups --pattern '^(cam[0-9]+_day[0-9]+)' --dry-run"
    )
)
def groups(
    context: typer.Context,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern",
            metavar="REGEX",
            help="Find groups in file names by this regular expression, also for the clips that "
            "are there, and set group_pattern.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what --pattern gives; change nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show which labelled clips belong to one recording, and how that was found."""
    from daemon.home import settings

    if dry_run and pattern is None:
        raise VidwatchError("groups: --dry-run needs --pattern REGEX, of which it shows the result")
    home: Home = context.obj
    if pattern is None:
        used = settings.load(home.settings).group_pattern
        found, fitting = _found(home)
        changes: dict[str, Any] = {}
        is_refused = False
        advice = _how_to_name(home, used, fitting)
    else:
        used = pattern
        found, result, warnings = _with_pattern(home, pattern, dry_run=dry_run)
        changes = {**vars(result), "applied": not dry_run, "warnings": list(warnings.all)}
        is_refused = bool(warnings.blocking)
        advice = _conclusion(home, pattern, result, warnings, dry_run=dry_run)
    if as_json:
        print(json.dumps({**_to_json(found, used), **changes, "advice": advice}))
    else:
        _print_groups(home, found)
        for warning in changes.get("warnings", ()):
            print(f"warning: {warning}")
        print(advice)
    if is_refused:  # as it would be without --dry-run
        raise typer.Exit(2)


def _found(home: Home) -> tuple["LabelledGroups", str | None]:
    """The groups, and a pattern for the file names that would suit; None if they need none."""
    from daemon.labels.groups import labelled_groups
    from daemon.labels.patterns import fitting_pattern

    with database(home) as engine, engine.begin() as connection:
        found = labelled_groups(connection)
        are_stated = found.found.how == "stated"
        return found, None if are_stated else fitting_pattern(connection, found)


def _with_pattern(
    home: Home, pattern: str, *, dry_run: bool
) -> tuple["LabelledGroups", "PatternResult", "PatternWarnings"]:
    """The groups with this pattern, which stays applied unless it is a dry run.

    Raises:
        VidwatchError: it is no regular expression, matches no name, or would leave a class too few
            groups, and it is no dry run.
    """
    from daemon.labels.groups import applied_pattern, apply_pattern, labelled_groups
    from daemon.labels.patterns import PatternWarnings, warnings_of

    compiled = compile_pattern(pattern)
    applied = applied_pattern(home)
    before = compile_pattern(applied)
    root = os.fsencode(home.root)
    warnings = PatternWarnings()
    with database(home) as engine, engine.execution_options(writes=True).connect() as connection:
        found_before = labelled_groups(connection)
        result = apply_pattern(connection, root, compiled, before)
        # The default is taken back to, whatever it matches.
        if result.videos and not result.matched and pattern != GROUP_PATTERN:
            connection.rollback()
            trouble = f"--pattern {pattern!r} matches none of {counted(result.videos, 'file name')}"
            raise VidwatchError(f"groups: {trouble}; nothing was changed")
        found = labelled_groups(connection)
        if pattern not in (GROUP_PATTERN, applied):
            warnings = warnings_of(connection, pattern, found_before, found)
        if dry_run or warnings.blocking:
            connection.rollback()
        else:
            connection.commit()
    if warnings.blocking and not dry_run:
        raise VidwatchError(_refusal(home, pattern, warnings))
    return found, result, warnings


def _refusal(home: Home, pattern: str, warnings: "PatternWarnings") -> str:
    """Why a pattern is not applied, and how to have it all the same."""
    from daemon.home.settings import toml_text

    trouble = f"--pattern {pattern!r} was not applied: {'; '.join(warnings.blocking)}"
    line = f"group_pattern = {toml_text(pattern)}"
    return (
        f"groups: {trouble}. Give another pattern (--dry-run shows what one gives). If these clips "
        f"are of one recording, write this line into {home.settings} and restart the daemon: {line}"
    )


def _conclusion(
    home: Home,
    pattern: str,
    result: "PatternResult",
    warnings: "PatternWarnings",
    *,
    dry_run: bool,
) -> str:
    """Set the setting, unless it is a dry run; gives what to tell the person."""
    matches = f"the pattern matches {result.matched} of {counted(result.videos, 'file name')}"
    clips = counted(result.changed, "clip")
    if result.replaced:
        lost = "had a group from a folder of the inbox, which no pattern brings back"
        matches += f"; {counted(result.replaced, 'clip')} {lost}"
    if dry_run:
        nothing = "nothing was changed: leave --dry-run out to apply it"
        if warnings.blocking:
            nothing = "nothing was changed, and without --dry-run it is refused"
        return f"{matches}; {clips} would be regrouped; {nothing}"
    back = "" if pattern == GROUP_PATTERN else f"\n{_way_back()}"
    return f"{matches}; {clips} regrouped; {_set_pattern(home, pattern)}{back}"


def _way_back() -> str:
    return f"to go back: {shlex.join(['vidwatch', 'groups', '--pattern', GROUP_PATTERN])}"


def _set_pattern(home: Home, pattern: str) -> str:
    """Set `group_pattern`; gives what is left to do for the person."""
    from daemon.home.settings import toml_text, write_setting
    from daemon.labels.groups import note_applied

    is_set = write_setting(home.settings, "group_pattern", pattern)
    runs = is_running(home)
    if not runs:
        note_applied(home, pattern)
    variable = "VIDWATCH_GROUP_PATTERN"
    if os.environ.get(variable, pattern) != pattern:
        return f"the variable {variable} counts more: change it, or the next start undoes this"
    if not is_set:
        line = f"group_pattern = {toml_text(pattern)}"
        return f"write this line into {home.settings}, or the next start undoes this: {line}"
    then = "; restart the daemon, so that new clips follow it, too" if runs else ""
    return f"group_pattern is set in {home.settings}{then}"


def _to_json(found: "LabelledGroups", pattern: str) -> dict[str, Any]:
    """All that is shown, and each group."""
    return {
        "how": found.found.how,
        "optimistic": found.found.optimistic,
        "pattern": pattern,
        "classes": [
            {"class": name, "clips": clips, "groups": n, "how": found.found.ways[name]}
            for name, clips, n in found.by_class()
        ],
        "groups": [
            {"group": name, "classes": dict(sorted(classes.items()))}
            for name, classes in sorted(_by_group(found).items())
        ],
    }


def _by_group(found: "LabelledGroups") -> dict[str, Counter[str]]:
    """How many clips of each class a group has."""
    by_group: dict[str, Counter[str]] = defaultdict(Counter)
    for video, label in found.classes.items():
        by_group[found.names[video]][label] += 1
    return by_group


def _print_groups(home: Home, found: "LabelledGroups") -> None:
    from daemon.labels.enough import how_to_begin
    from daemon.report.fitting import Column, FittingTable

    if not found.classes:
        print(f"no clip has a label yet: {how_to_begin(home)}")
        return
    numbers = (Column(name, justify="right") for name in ("clips", "groups"))
    table = FittingTable("", [Column("class"), *numbers, Column("found by", wraps=True)])
    for label, clips, n in found.by_class():
        table.add_row(label, str(clips), str(n), HOW[found.found.ways[label]])
    console().print(table)
    several = {name: n for name, n in _by_group(found).items() if n.total() > 1}
    alone = len(set(found.names.values())) - len(several)
    for name in sorted(several, key=lambda name: (-several[name].total(), name))[:SHOWN]:
        counts = ", ".join(f"{n} {label}" for label, n in sorted(several[name].items()))
        print(printable(f"{readable(name)}: {counts}"))
    if (more := len(several) - SHOWN) > 0:
        print(f"and {counted(more, 'group')} more; --json has all")
    if alone:
        print(f"{counted(alone, 'group')} of one clip")
    if found.found.reason:
        print(f"figures by these groups are {found.found.reason}")


def _how_to_name(home: Home, pattern: str, fitting: str | None) -> str:
    """How to name recordings; `fitting` is a pattern that suits the names that are there."""
    from daemon.home.settings import toml_text

    folder = home.root / "labelled" / "<class>" / "<recording>"
    names = "or let a regular expression find them in the file names"
    if fitting:
        command = shlex.join(["vidwatch", "groups", "--pattern", fitting, "--dry-run"])
        names += f"; this shows what one gives:\n  {command}"
    else:
        names += ": vidwatch groups --pattern REGEX --dry-run shows what one gives"
    back = "" if pattern == GROUP_PATTERN else f"; {_way_back()}"
    return (
        f"to name the recordings, move their clips into sub-folders: {folder}/\n{names}\n"
        f"now it is {toml_text(pattern)} (group_pattern){back}"
    )
