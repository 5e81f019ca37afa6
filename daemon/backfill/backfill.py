"""One backfill: lists archives, has them classified by an engine, says what became of the files."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.backfill.archive_queue import ArchiveQueue, signature
from daemon.backfill.local import classify_here
from daemon.backfill.place import Place
from daemon.backfill.remote import Files, classify_on_cluster
from daemon.home import stages
from daemon.home.folder import Home


@dataclass(frozen=True)
class Done:
    """What became of the files that were found."""

    classified: int
    duplicates: int
    failed: int
    left: int
    """Videos that temporary trouble prevented. They wait in the queue."""
    known: int
    """Files that had been done before, or that the daemon has in hand."""
    is_stopped: bool


def backfill(
    home: Home,
    model: str,
    place: Place,
    files: Files,
    stopped: Callable[[], bool],
    progress: Callable[[int, int | None], None],
    *,
    on_cluster: bool,
) -> Done:
    """Classify archives.

    Args:
        home: The home that has the model.
        model: Its name.
        place: Where results go.
        files: Begins a listing of the files, batch by batch.
        stopped: Whether to end early.
        progress: Gets how many videos are done.
        on_cluster: Whether a Ray cluster does it; else this machine.

    Raises:
        VidwatchError: the model cannot be used, or something that is needed is not installed.
        PassingError: the cluster cannot be reached.
    """
    before = stages.outcomes()

    def show() -> None:
        progress(sum(stages.outcomes().values()) - sum(before.values()), None)

    if on_cluster:
        left, known = classify_on_cluster(home, model, place, files, stopped, show)
    else:
        queue = ArchiveQueue(place.engine, signature(), files(), place.since)
        queue.recover()
        classify_here(home, model, place, queue, stopped, show)
        left, known = queue.n_left, queue.n_known
    place.parts.write(is_last=True)
    counts = {name: n - before[name] for name, n in stages.outcomes().items()}
    return Done(
        classified=counts["classified"],
        duplicates=counts["duplicate"],
        failed=counts["failed"],
        left=left,
        known=known,
        is_stopped=stopped(),
    )
