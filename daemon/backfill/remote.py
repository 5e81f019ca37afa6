"""Classifies archives on a cluster: gives it files, and writes what it makes of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from daemon.backfill.archive_queue import ArchiveQueue, signature
from daemon.backfill.cluster import cluster, results
from daemon.backfill.place import Place
from daemon.backfill.recorder import Model, Recorder
from daemon.backfill.steps import Orders
from daemon.classify.champion import ChampionLoader
from daemon.classify.decoding import DecoderSettings
from daemon.classify.filing import StoppedError
from daemon.classify.inference import Inference
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found
from daemon.training.decisions import Decisions
from learner import checkpoint
from learner.classifier import Classifier

PASSES = 3  # over the files, if some changed or were lost meanwhile
Files = Callable[[], Iterator[Sequence[Found]]]


def classify_on_cluster(
    home: Home,
    model: str,
    place: Place,
    files: Files,
    stopped: Callable[[], bool],
    progress: Callable[[int, int], None],
) -> tuple[int, int]:
    """Classify files on the cluster that RAY_ADDRESS names, or on one of this machine alone.

    Gives how many are left, since temporary trouble prevented them, and how many were known.

    Args:
        home: The home that has the model.
        model: Its name.
        place: Where results go.
        files: Begins a listing of the files.
        stopped: Whether to end early.
        progress: Called when results have come: how many are left, and were known.

    Raises:
        VidwatchError: the model cannot be used, or Ray is not installed.
        PassingError: the cluster cannot be reached, or has lost too much.
    """
    orders, driver = prepared(home, model, place)
    n_known = None
    n_left = n_again = 0
    with suppress(StoppedError), cluster():
        for _ in range(PASSES):
            if stopped():
                break
            queue = ArchiveQueue(place.engine, signature(), files(), place.since)
            queue.recover()
            recorder = Recorder(place, queue, driver)

            def feed(queue: ArchiveQueue = queue) -> Sequence[Found] | None:
                return None if stopped() else queue.to_do()

            try:
                for reads in results(orders, feed, stopped):
                    recorder.take(reads, now())
                    known = queue.n_known if n_known is None else n_known
                    progress(n_left + recorder.n_left, known)
                    place.parts.write(is_last=False)
            finally:
                n_known = queue.n_known if n_known is None else n_known
                n_left += recorder.n_left
            n_again = queue.n_given - recorder.n_settled
            if n_again <= 0:
                break
    return n_left + (0 if stopped() else max(n_again, 0)), n_known or 0


def prepared(home: Home, model: str, place: Place) -> tuple[Orders, Model]:
    """What the workers have to know of the model, and what the driver has to."""
    settings = place.settings
    found = checkpoint.load(home.model_or_starter(model))
    classifier = Classifier(found, "cpu", settings.reading)
    on_cpu = settings.model_copy(update={"device": "cpu"})
    loader = ChampionLoader(home, on_cpu, place.predictions, Decisions(place.engine))
    thresholds = loader.thresholds(classifier)
    model_id = place.predictions.register_model(
        classifier.name,
        classifier.digest,
        classifier.classes,
        classifier.manifest.measured,
        now(),
    )
    orders = Orders(
        model=found,
        device=settings.device,
        reading=settings.reading,
        thresholds=thresholds,
        decoding=DecoderSettings.of(classifier.spec, 1, settings),
    )
    join = Inference(classifier, thresholds, None).join
    return orders, Model(model_id, join, settings.window_plan, settings.min_read_share)
