"""The commands about the running daemon: `pause` and `resume`.

Slow imports stand in the commands that need them.
"""

from typing import Annotated

import typer

from daemon.home.clock import local_time, now
from daemon.home.folder import Home
from learner.errors import VidwatchError

app = typer.Typer()


@app.command()
def pause(
    context: typer.Context,
    length: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long, such as 30m or 2h.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="TIME", help='Until when, such as 20:00 or "2026-12-24 8:00".'
        ),
    ] = None,
) -> None:
    """Let the daemon begin no new clip and no training. What is in hand is finished.

    Files are noticed, queued and filed meanwhile. It may be given while no daemon runs.
    """
    from daemon.home.pause import Pause, after, duration, next_time, write_pause
    from daemon.labels.labels import current_user

    home: Home = context.obj
    home.require()
    if length and until:
        raise VidwatchError("pause: give --for or --until, not both")
    at = now()
    end = after(at, duration(length)) if length else None
    if until and (end := next_time(until, at)) <= at:
        raise VidwatchError(f"pause: {until!r} is over")
    asked = Pause(at, end, current_user())
    write_pause(home.pause, asked)
    print(f"paused {asked.in_words()}")


@app.command()
def resume(context: typer.Context) -> None:
    """End a pause: the daemon goes on."""
    from daemon.home.pause import end_pause, read_pause

    home: Home = context.obj
    home.require()
    was_paused = read_pause(home.pause, now()) is not None
    end_pause(home.pause)
    print("the pause has ended" if was_paused else "there was no pause")
    running = home.running()
    if running and running.closed_until:
        begin = local_time(running.closed_until)
        print(f"no new clip begins before the working hours do: {begin} (working_hours)")
