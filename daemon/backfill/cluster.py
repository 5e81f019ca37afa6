"""Runs the steps of a backfill on a Ray cluster, by Ray Data's streaming executor.

Ray decides which machine does what, holds back what comes too fast, and does again what is lost
with a machine. Each block of the stream is one row with one pickled group, of few files or clips.
"""

import logging
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

from daemon.backfill.passing import Block, Passing, listed, row_of, unpacked
from daemon.classify.filing import StoppedError
from learner.errors import PassingError, VidwatchError

ITEMS = 8  # in a group
ENDING = (signal.SIGTERM, signal.SIGINT)
Feed = Callable[[], Sequence[Any] | None]


class Steps(Protocol):
    """What is done with a stream of items, as data that goes to the workers."""

    @property
    def device(self) -> str:
        """Where the second step computes: "auto", "cpu" or "cuda"."""

    def first(self) -> Callable[[Sequence[Any]], Iterator[Any]]:
        """Made in each worker of the first step: items to groups, which decodes."""

    def second(self) -> Callable[[Any], Any]:
        """Made in each worker of the second step: a group to its results, which computes."""


@contextmanager
def cluster() -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine alone, on loopback.

    Raises:
        VidwatchError: Ray is not installed.
        PassingError: the cluster cannot be reached, or has no processor.
    """
    address = os.environ.get("RAY_ADDRESS")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it writes to our standard error
    if not address:
        # Ray's own switch for machines without a cluster: everything listens on loopback alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ImportError as error:
        need = "--engine ray needs Ray, which is not installed"
        raise VidwatchError(f"{need}: pip install 'vidwatch[cluster]'") from error
    alone: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        with _silent(), _own_handlers():
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **alone,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise PassingError(f"no Ray cluster at {address or 'this machine'} ({reason})") from error
    try:
        if not ray.cluster_resources().get("CPU"):
            raise PassingError(f"the Ray cluster at {address} has no processor for this")
        yield
    finally:
        ray.shutdown()


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Ray puts its own handlers in the place of ours while it starts. They raise SystemExit.

    Raises:
        StoppedError: a signal came meanwhile; our handler has noted it.
    """
    handlers = {number: signal.getsignal(number) for number in ENDING}
    try:
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    except SystemExit as error:  # Ray's handler of SIGTERM
        handler = handlers[signal.SIGTERM]
        if not callable(handler):
            raise
        # It did not get the signal. Without its note, the end would look as if all were done.
        handler(signal.SIGTERM, None)
        raise StoppedError from error


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let a signal end what is waited for, after its handler has noted it.

    Raises:
        StoppedError: one came.
    """
    handlers = {number: signal.getsignal(number) for number in ENDING}

    def end(number: int, frame: FrameType | None) -> None:
        handler = handlers[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)
        raise StoppedError

    own = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in own:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in own.items():
            if signal.getsignal(number) is end:
                signal.signal(number, handler)


@contextmanager
def _silent() -> Iterator[None]:
    """Without what Ray's core writes to standard error when it starts; its errors are raised."""
    before = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nothing)


def results(steps: Steps, feed: Feed, stopped: Callable[[], bool] = lambda: False) -> Iterator[Any]:
    """What the cluster makes of the items that a feed gives, in no order, as it comes.

    Args:
        steps: What is done with them.
        feed: Gives the next items, perhaps none; None at the end. Called by another thread.
        stopped: Whether a signal came. If one comes while a result is waited for, that ends.

    Raises:
        StoppedError: a signal came.
        PassingError: the cluster has lost too much, or is not there any more.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    _quieten(DataContext.get_current())
    # The one who passes files on lies beside the driver: without it there is nothing to do.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    passing = ray.remote(Passing).options(num_cpus=0, scheduling_strategy=here).remote()
    feeding = _Feeding(feed, passing)
    feeding.start()
    resources = ray.cluster_resources()
    n_cpus = int(resources["CPU"])
    n_gpus = int(resources.get("GPU", 0)) if steps.device != "cpu" else 0
    known = ray.put(steps)
    # With a single processor, both steps share it.
    share = 1.0 if n_cpus > 1 else 0.5
    on_device: dict[str, Any] = {"num_gpus": 1, "num_cpus": 0} if n_gpus else {"num_cpus": share}
    n_decoding = max(1, n_cpus if n_gpus else n_cpus - 1)
    n_predicting = n_gpus or max(1, n_cpus - 1)
    one_row: dict[str, Any] = {"batch_size": 1, "batch_format": "numpy"}
    stream = (
        ray.data.from_items([{"group": 0}])
        .map_batches(listed, fn_kwargs={"passing": passing}, num_cpus=0, **one_row)
        .map_batches(
            _First,
            fn_constructor_kwargs={"steps": [known]},
            compute=ActorPoolStrategy(min_size=1, max_size=n_decoding),
            num_cpus=share,
            **one_row,
        )
        .map_batches(
            _Second,
            fn_constructor_kwargs={"steps": [known]},
            compute=ActorPoolStrategy(min_size=1, max_size=n_predicting),
            **on_device,
            **one_row,
        )
    )
    try:
        blocks = iter(stream.iter_batches(batch_size=1, batch_format="numpy", prefetch_batches=4))
        while (block := _next(blocks, stopped)) is not None:
            yield unpacked(block)
    except RayError as error:
        if feeding.error:
            raise feeding.error from error
        reason = str(error).strip().rpartition("\n")[2]
        raise PassingError(f"the Ray cluster gave up ({reason}); give the command again") from error
    finally:
        feeding.stop()
    if feeding.error:
        raise feeding.error


def _quieten(context: Any) -> None:
    """Each row is a block of its own; the terminal shows our progress, and not Ray's."""
    context.target_max_block_size = 1
    context.target_min_block_size = 1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.log_internal_stack_trace = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _next(blocks: Iterator[Block], stopped: Callable[[], bool]) -> Block | None:
    """The next block; None at the end."""
    with _ended_by_signals():
        if stopped():
            raise StoppedError
        return next(blocks, None)


class _Feeding(threading.Thread):
    """Takes files from the feed to the cluster, no faster than it wants them."""

    def __init__(self, feed: Feed, passing: Any) -> None:
        super().__init__(name="feed", daemon=True)
        self.error: Exception | None = None
        self._feed = feed
        self._passing = passing
        self._is_stopped = False

    def run(self) -> None:
        import ray

        try:
            while not self._is_stopped and (files := self._feed()) is not None:
                for first in range(0, len(files), ITEMS):
                    group = pickle.dumps(files[first : first + ITEMS])
                    ray.get(self._passing.put.remote(group))
        except Exception as error:  # raised where the results are read
            self.error = error
        try:
            ray.get(self._passing.put.remote(None))
        except Exception as error:
            self.error = self.error or error

    def stop(self) -> None:
        """Give no more files."""
        self._is_stopped = True


class _First:
    def __init__(self, steps: list[Any]) -> None:
        import ray

        self._groups = ray.get(steps[0]).first()

    def __call__(self, block: Block) -> Iterator[Block]:
        for group in self._groups(unpacked(block)):
            yield row_of(pickle.dumps(group))


class _Second:
    def __init__(self, steps: list[Any]) -> None:
        import ray

        self._results = ray.get(steps[0]).second()

    def __call__(self, block: Block) -> Block:
        return row_of(pickle.dumps(self._results(unpacked(block))))
