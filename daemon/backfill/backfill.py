"""One backfill: lists archives, has them classified by an engine, says what became of the files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from daemon.backfill.archive_queue import ArchiveQueue, signature
from daemon.backfill.local import classify_here
from daemon.backfill.place import Place
from daemon.backfill.remote import Files, classify_on_cluster
from daemon.home import stages
from daemon.home.folder import Home


@dataclass(frozen=True)
class Done:
    """What became of the files that were found."""

    classified: int = 0
    duplicates: int = 0
    failed: int = 0
    left: int = 0
    """Videos that temporary trouble prevented. They wait in the queue."""
    known: int = 0
    """Files that had been done before, or that the daemon has in hand."""
    is_stopped: bool = False

    @property
    def n_new(self) -> int:
        """How many were done now."""
        return self.classified + self.duplicates + self.failed


def backfill(
    home: Home,
    model: str,
    place: Place,
    files: Files,
    stopped: Callable[[], bool],
    tell: Callable[[Done], None],
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
        tell: Gets what is done so far, again and again.
        on_cluster: Whether a Ray cluster does it; else this machine.

    Raises:
        VidwatchError: the model cannot be used, or something that is needed is not installed.
        PassingError: the cluster cannot be reached.
    """
    before = stages.outcomes()

    def done(left: int, known: int) -> Done:
        counts = {name: n - before[name] for name, n in stages.outcomes().items()}
        return Done(
            classified=counts["classified"],
            duplicates=counts["duplicate"],
            failed=counts["failed"],
            left=left,
            known=known,
            is_stopped=stopped(),
        )

    def progress(left: int, known: int) -> None:
        tell(done(left, known))

    if on_cluster:
        left, known = classify_on_cluster(home, model, place, files, stopped, progress)
    else:
        queue = ArchiveQueue(place.engine, signature(), files(), place.since)
        queue.recover()
        show = partial(_tell_of, queue, progress)
        classify_here(home, model, place, queue, stopped, show)
        left, known = queue.n_left, queue.n_known
    place.parts.write(is_last=True)
    return done(left, known)


def _tell_of(queue: ArchiveQueue, progress: Callable[[int, int], None]) -> None:
    progress(queue.n_left, queue.n_known)
