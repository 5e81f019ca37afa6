"""The command `notify`, with `test`.

Slow imports stand in the commands that need them.
"""

from typing import Annotated

import typer

from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError

app = typer.Typer()
notify_app = typer.Typer(help="Who is told of events: commands, webhooks, a broker, people.")
app.add_typer(notify_app, name="notify")


@notify_app.callback()
def _notify() -> None:
    """Who is told of events: commands, webhooks, a broker, people."""


@notify_app.command("test")
def send_test(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="The receiver to try, as 'vidwatch status' calls it.")
    ] = None,
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
    has_failed = False
    for each, receiver in receivers.items():
        if name in (None, each):
            problem = try_out(each, receiver, home.root)
            has_failed |= bool(problem)
            print(printable(f"{each}: {problem or 'delivered'}"), flush=True)
    if has_failed:
        raise typer.Exit(1)
