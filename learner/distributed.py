"""One model, trained by several processes of one machine, which torchrun has started.

Each process has a device, all clips, and a copy of the network. All of them run the same program
and draw the same random numbers. Each works on its share of every batch, and gradients are averaged
(PyTorch's DistributedDataParallel), so the model is that of one process within rounding. The first
process alone writes files.

What is not the same as in one process is dropout: its masks are drawn for a share, not for a batch.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from learner.batches import Indices
from learner.classifier import Classifier
from learner.errors import VidwatchError
from learner.precision import named_device
from learner.recipe import Recipe
from learner.repeatable import own_random_numbers, seed

# While the first process reads clips, the others wait. If one dies, torchrun ends the others.
LONGEST_WAIT = timedelta(weeks=1)
WITHOUT = "start `vidwatch train` without torchrun"


class Share(NamedTuple):
    """The clips of a batch that one process works on."""

    rows: Indices
    """Which clips of the batch; -1 is its last one."""
    lead: int
    """How many of the first rows are here only to be mixed with the next one."""
    parts: int
    """How many shares the batch has; 1 if this one is all of it."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train a model together. By default it is alone."""

    rank: int = 0
    """Counted from 0."""
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def require_learning(self, recipe: Recipe) -> None:
        """Check that this recipe gives several processes something to do.

        Raises:
            VidwatchError: its backbone does not learn.
        """
        if self.count > 1 and recipe.training.freeze:
            raise VidwatchError(
                f"recipe {recipe.name!r} trains a head alone, which takes one process seconds; "
                f"{WITHOUT}"
            )

    def require_shareable(self, untrained: Classifier) -> None:
        """Check that several processes can train this network as one would.

        Raises:
            VidwatchError: it needs statistics of whole batches, on a CPU.
        """
        if self.count == 1 or untrained.device.type != "cpu":
            return
        if any(isinstance(layer, _BatchNorm) for layer in untrained.network.modules()):
            raise VidwatchError(
                f"backbone {untrained.manifest.network.backbone!r} has batch normalisation, whose "
                f"statistics several processes share on GPUs alone; on this CPU, {WITHOUT}"
            )

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process does it first, then all others: what it has cached is there."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def require_alike(self, what: str) -> None:
        """Check that all processes learn the same, which `what` describes.

        Raises:
            VidwatchError: one of them has found something else.
        """
        if len(set(self._told(what))) > 1:
            raise VidwatchError("clips changed while they were read; give the same command again")

    def wait(self) -> None:
        """Wait for all processes to come to the same line."""
        self.mean(0.0)

    def mean(self, *values: float) -> list[float]:
        """The mean of each value over the processes: the same in all of them."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return (total / self.count).tolist()

    def share(self, size: int, *, mixed: bool) -> Share:
        """This process's share of a batch of `size` clips.

        If there are fewer clips than processes, each has all of them: none may be without a clip.

        Args:
            size: of the batch.
            mixed: whether each clip is blended with the one before it.
        """
        if self.count == 1 or size < self.count:
            return Share(np.arange(size), 0, 1)
        lead = 1 if mixed else 0
        first = self.rank * size // self.count
        last = (self.rank + 1) * size // self.count
        return Share(np.arange(first - lead, last), lead, self.count)

    def part(self, clips: Indices) -> Indices:
        """The clips that this process judges."""
        return np.array_split(clips, self.count)[self.rank]

    def _told(self, own: Any) -> list[Any]:
        """What each process has, in their order."""
        if self.count == 1:
            return [own]
        told = [None] * self.count
        dist.all_gather_object(told, own)
        return told

    def gathered(self, found: list[Sequence[Tensor]]) -> list[Sequence[Tensor]]:
        """What all processes found, in their order."""
        if self.count == 1:
            return found
        parts = self._told([[values.cpu().numpy() for values in batch] for batch in found])
        return [[torch.from_numpy(values) for values in batch] for part in parts for batch in part]

    def averaging(self, network: nn.Module) -> nn.Module:
        """`network`, with gradients that are averaged over the processes.

        On GPUs its batch normalisation takes the statistics of whole batches.
        """
        if self.count == 1:
            return network
        device = next(network.parameters()).device
        is_gpu = device.type == "cuda"
        if is_gpu:
            convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        # Buffers stay alike by themselves: they are sent once, when training begins.
        return DistributedDataParallel(
            network, device_ids=[device] if is_gpu else None, forward_sync_buffers=False
        )

    @contextmanager
    def own_draws(self, number: int, device: torch.device) -> Iterator[None]:
        """Within it each process draws other random numbers, of which `number` is the seed.

        After it all of them draw the same ones again.
        """
        if self.count == 1:
            yield
            return
        with own_random_numbers(device):
            seed((number * self.count + self.rank) % 2**63, device)
            yield


ALONE = Processes()


@contextmanager
def joined(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the processes that torchrun has started; without torchrun, alone.

    It gives the processes, and the name of the device of this one: of GPUs, each has its own. It is
    called once, by a command: all traffic is kept within the machine by variables of the process.

    Raises:
        VidwatchError: there are more processes than GPUs, or they run on several machines.
    """
    count = int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1
    if count == 1:
        yield ALONE, device
        return
    processes = Processes(int(os.environ["RANK"]), count)
    if int(os.environ["LOCAL_WORLD_SIZE"]) != count:
        raise VidwatchError(
            "torchrun: the processes of one training run on one machine; leave --nnodes out"
        )
    is_gpu = named_device(device).type == "cuda"  # each process tries its own
    if is_gpu:
        _take_gpu(processes)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    backend = "cpu:gloo,cuda:nccl" if is_gpu else "gloo"
    dist.init_process_group(backend, timeout=LONGEST_WAIT)
    yield processes, f"cuda:{processes.rank}" if is_gpu else "cpu"
    dist.destroy_process_group()


def _take_gpu(processes: Processes) -> None:
    gpus = torch.cuda.device_count()
    if gpus < processes.count:
        raise VidwatchError(
            f"torchrun started {processes.count} processes, but this machine has {gpus} GPU(s); "
            f"give --nproc-per-node {gpus}"
        )
    torch.cuda.set_device(processes.rank)
