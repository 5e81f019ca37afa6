"""Weights of a network: from a file, from the Hugging Face hub, and their digest."""

import contextlib
import hashlib
import pickle
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants
from huggingface_hub import utils as hub
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from learner.errors import VidwatchError

# What torch and safetensors raise at files that are damaged, cut short, or something else.
UNREADABLE = (
    *(RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError),
    *(pickle.UnpicklingError, SafetensorError),
)
CONNECT_SECONDS = 5


def weights_digest(network: nn.Module) -> str:
    """The SHA-256 of a network's weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


Tensors = dict[str, Tensor]
Convert = Callable[[Tensors, nn.Module], Tensors]


def load_weights(body: nn.Module, path: Path, convert: Convert | None = None) -> None:
    """Fill the body of a backbone from a file.

    Tensors are taken by name. If the names or shapes are those of another port of the network,
    `convert` may make ours of them. Else they are taken in order, as long as every shape agrees.

    Args:
        body: what is filled.
        path: a file of safetensors, or one that torch wrote.
        convert: tensors of the file, and the body, to tensors by the names of the body.

    Raises:
        VidwatchError: the file cannot be read, or its tensors are not this backbone's.
    """
    tensors = _read_tensors(path)
    own = body.state_dict()
    if _difference(own, tensors) and convert is not None:
        # Of another network's tensors it may make nothing, or fail in any way.
        with contextlib.suppress(*UNREADABLE, AssertionError):
            converted = convert(dict(tensors), body)
            tensors = tensors if _difference(own, converted) else converted
    if not own.keys() <= tensors.keys():
        # The source network's own classifier comes last: it is left out.
        in_order = dict(zip(own, tensors.values(), strict=False))
        tensors = tensors if _difference(own, in_order) else in_order
    if difference := _difference(own, tensors):
        hint = "give the file made for it, or a model of ours with --init-from"
        raise VidwatchError(
            f"weights {path}: they are those of another network ({difference}); {hint}"
        )
    body.load_state_dict({name: tensors[name] for name in own})


def _difference(own: Tensors, tensors: Tensors) -> str:
    """The first of a network's tensors that is missing or has another shape; empty if none is."""
    for name, tensor in own.items():
        if name not in tensors:
            return f"{name} is missing"
        if tensors[name].shape != tensor.shape:
            given = "x".join(map(str, tensors[name].shape))
            wanted = "x".join(map(str, tensor.shape))
            return f"{name} is {given}, not {wanted}"
    return ""


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise VidwatchError(f"weights {path}: cannot be read ({error.strerror})") from error
    except UNREADABLE as error:
        raise VidwatchError(
            f"weights {path}: not a whole file of weights; copy it again"
        ) from error
    is_plain = isinstance(tensors, dict) and all(
        isinstance(tensor, Tensor) for tensor in tensors.values()
    )
    if not is_plain:
        raise VidwatchError(f"weights {path}: not a plain dictionary of tensors; give a state dict")
    return dict(tensors)


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Within it the hub's client logs errors alone, and without a hub it uses its cache.

    Both are settings of the whole process: they are put back at the end.
    """
    verbosity = hub.logging.get_verbosity()
    was_offline = constants.HF_HUB_OFFLINE
    hub.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    constants.HF_HUB_OFFLINE = was_offline or not _reaches_hub()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline
        hub.logging.set_verbosity(verbosity)


def _reaches_hub() -> bool:
    """Whether the hub can be reached.

    If not, its client would try for 48 s before it uses its cache. Behind a proxy this cannot be
    known, so the hub counts as reachable.
    """
    if getproxies():
        return True
    endpoint = urlsplit(constants.ENDPOINT)
    address = (endpoint.hostname, endpoint.port or 443)
    try:
        with socket.create_connection(address, timeout=CONNECT_SECONDS):
            return True
    except OSError:
        return False
