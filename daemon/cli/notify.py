"""The command `notify`, with `test`.

Slow imports stand in the commands that need them.
"""

import json
from typing import Annotated

import typer

from daemon.cli.shared import JsonResult, examples
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError

app = typer.Typer()
notify_app = typer.Typer(help="Who is told of events: commands, webhooks, a broker, people.")
app.add_typer(notify_app, name="notify")


@notify_app.callback(epilog=examples("vidwatch notify test"))
def _notify() -> None:
    """Who is told of events: commands, webhooks, a broker, people."""


@notify_app.command(
    "test", epilog=examples("vidwatch notify test", "vidwatch notify test on_classified")
)
def send_test(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="The receiver to try, as 'vidwatch status' calls it.")
    ] = None,
    as_json: JsonResult = False,
) -> None:
    """Send a test event to each receiver of the settings. Exit status 1 if one does not get it."""
    from daemon.home import settings
    from daemon.notify.deliveries import try_out

    home: Home = context.obj
    home.require()
    receivers = settings.load(home.settings).receivers
    if name is not None and name not in receivers:
        there = ", ".join(receivers) or "none"
        raise VidwatchError(f"there is no receiver {name!r}; those of {home.settings}: {there}")
    if not receivers:
        hint = "on_classified, [[webhook]], [mqtt] and [[notify]] are explained there"
        raise VidwatchError(f"{home.settings} names no receiver; {hint}")
    problems = {}
    for each, receiver in receivers.items():
        if name in (None, each):
            problems[each] = try_out(each, receiver, home.root) or None
            if not as_json:
                print(printable(f"{each}: {problems[each] or 'delivered'}"), flush=True)
    if as_json:
        print(json.dumps({"problems": problems}))
    if any(problems.values()):
        raise typer.Exit(1)
