"""Predicting: the model loaded, norms folded, batches of all sizes, logits, and short memory."""

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import torch
from gpu_setup import Setup, tensors
from gpu_table import Table
from torch import Tensor, nn

SIZES = (1, 2, 4, 8, 16, 32, 64)
# Features are of half precision, and are computed in bfloat16 where that is fast.
FEATURES_OFF = 0.05
LOGITS_OFF = 0.25  # of the spread of the logits


def load(setup: Setup, table: Table) -> None:
    """One kernel, the model, and its first prediction, which should not wait for graphs."""
    from learner.precision import choose_device, gpu_problem

    problem = gpu_problem(setup.device) if setup.is_gpu else None
    table.fact("a first kernel", problem or "computed", "wanted", "computed")
    table.fact("device 'auto'", choose_device("auto").type, "asked for here", setup.device.type)
    table.fact("device 'cpu'", choose_device("cpu").type, "asked for", "cpu")
    model = setup.model
    table.fact("the model's device", model.device.type, "asked for", setup.device.type)
    clips = setup.clips(1)
    began = time.perf_counter()
    model.prepare()
    setup.sync()
    prepared = time.perf_counter() - began
    taken = []
    for _ in range(4):
        began = time.perf_counter()
        model.predict(clips)
        taken.append(time.perf_counter() - began)
    later = float(np.median(taken[1:]))
    table.figure("prepared at load", prepared, "s", "a prediction of one clip", later)
    table.figure("first prediction", taken[0], "s", "the later ones", later, "≤ 5")


def fold(setup: Setup, table: Table) -> None:
    """Batch norms of the starter: all are folded, and what is left gives the same features."""
    from learner.forward import count_norms, ready

    backbone = setup.model.network.backbone
    made = ready(backbone, torch.float32)
    table.fact("batch norms left", count_norms(made), f"of {count_norms(backbone)}, wanted", 0)
    images = torch.randn(2, *backbone.image, generator=torch.Generator().manual_seed(0))
    images = images.to(setup.device)
    with torch.inference_mode(), _without_tf32():
        before, now = backbone.extract(images), made.extract(images)
    table.difference("features, folded", _off(now, before), "unfolded, TF32 off", 1e-3)
    with torch.inference_mode():
        rounded = backbone.extract(images)
    table.difference("features with TF32 as it is set", _off(rounded, before), "TF32 off", 0.02)


def sizes(setup: Setup, table: Table) -> None:
    """Batches of 1 to 64 clips in a mixed order, each clip's features against the reference's."""
    model = setup.model
    clips = setup.clips(8 if setup.is_gpu else 4)
    expected, _ = setup.reference(clips)
    scale = np.abs(expected).max()
    worst: dict[int, float] = {}
    for turn, size in enumerate((*(one for one in SIZES if one <= setup.most), 3, 1)):
        chosen = (np.arange(size) + turn) % len(clips)
        found = model.features([clips[one] for one in chosen]).float().numpy()
        off = np.abs(found[..., : expected.shape[-1]] - expected[chosen]).max() / scale
        worst[size] = max(worst.get(size, 0.0), float(off))
    for size in sorted({*SIZES, *worst}):
        if size not in worst:
            table.missing(f"features of {size} at once", "a processor computes each clip by itself")
            continue
        table.difference(
            f"features of {size} at once", worst[size], "float32 on the CPU", FEATURES_OFF
        )
    if setup.is_gpu:
        kinds = {size: type(graph).__name__ for size, graph in model._forward._gpu._graphs.items()}
        wanted = dict.fromkeys((1, 2, 4, 8), "_Graph")
        table.fact("graphs captured", dict(sorted(kinds.items())), "wanted", wanted)
    else:
        table.missing("graphs captured", "only CUDA has them")
    once, twice = (model.features(clips[:1]) for _ in range(2))
    table.fact("the same clip twice, equal to the bit", bool((once == twice).all()), "wanted", True)


def logits(setup: Setup, table: Table) -> None:
    """Whether the device gives the classes of float32 on the CPU."""
    model = setup.model
    clips = setup.clips(200 if setup.is_gpu else 12)
    _, expected = setup.reference(clips)
    found = model.logits(model.features(clips))
    same = int((found.argmax(1) == expected.argmax(1)).sum())
    table.figure(
        "clips with the same class", same, "clips", "float32 on the CPU", len(clips), "≥ 0.995"
    )
    off = np.abs(found - expected)
    spread = expected.std()
    table.difference(
        "largest difference of a logit", float(off.max() / spread), "its spread", LOGITS_OFF
    )
    table.difference(
        "mean difference of a logit", float(off.mean() / spread), "its spread", LOGITS_OFF / 4
    )
    kept = np.array([list(one.logits.values()) for one in model.predict(clips)])
    table.difference(
        "features kept on the device",
        float(np.abs(kept - found).max() / spread),
        "brought back first",
        0.01,
    )


def shape(setup: Setup, table: Table) -> None:
    """A clip with one frame is refused; it would be taken for all of them."""
    from learner.errors import VidwatchError

    (clip,) = setup.clips(1)
    try:
        setup.model.features([clip.frames[:1]])
    except VidwatchError:
        answer = "refused"
    else:
        answer = "computed"
    table.fact("a clip of one frame", answer, "wanted", "refused")


def memory(setup: Setup, table: Table) -> None:
    """Short memory: all clips are answered, fewer at a time; later as many as before."""
    from learner.gpu import AT_ONCE, GROWS_AFTER, GpuForward

    clips = tensors(setup.clips(8))
    clips *= 2 if setup.is_gpu else 1
    made = setup.model._forward._backbone
    expected = setup.model._forward(clips).cpu().float()
    forward = GpuForward(made, setup.device)
    if not setup.is_gpu:
        _memory_made_up(made, clips, expected, table)
        return
    total = torch.cuda.get_device_properties(setup.device).total_memory
    found, most = None, AT_ONCE
    try:
        # More and more room, until some clips fit and eight do not.
        for spare in range(0, 4096, 16):
            torch.cuda.empty_cache()
            torch.cuda.set_per_process_memory_fraction(
                min(1.0, (torch.cuda.memory_reserved() + (spare << 20)) / total)
            )
            with contextlib.suppress(torch.OutOfMemoryError):
                found = forward(clips).cpu().float()
                break
        most = forward._most
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    table.fact(
        "little memory: clips answered", 0 if found is None else len(found), "asked", len(clips)
    )
    table.fact("little memory: fewer at a time", most < AT_ONCE, "wanted", True)
    off = float("nan") if found is None else _off(found, expected)
    table.difference("little memory: features", off, "with all of it", FEATURES_OFF)
    while forward._most < AT_ONCE:
        for _ in range(GROWS_AFTER):
            forward(clips[:1])
    off = _off(forward(clips).cpu().float(), expected)
    table.fact("later: clips at a time", forward._most, "at first", AT_ONCE)
    table.difference("later: features", off, "with all of it", FEATURES_OFF)
    stream = torch.cuda.current_stream() == torch.cuda.default_stream()
    table.fact("later: on the stream of before", stream, "wanted", True)


def _memory_made_up(made: nn.Module, clips: list[Tensor], expected: Tensor, table: Table) -> None:
    """On a CPU: what is short of memory is made up, and `learner.memory` goes on by halves."""
    from learner.memory import in_halves

    sizes: list[int] = []

    def compute(batch: Tensor) -> Tensor:
        if len(batch) > 4:
            raise torch.OutOfMemoryError("made up")
        sizes.append(len(batch))
        return made(batch)  # type: ignore[no-any-return]

    with torch.inference_mode():
        found = torch.cat(in_halves(compute, torch.stack(clips)))
    table.fact("little memory: clips answered", len(found), "asked", len(clips))
    table.fact("little memory: fewer at a time", max(sizes) < len(clips), "wanted", True)
    table.difference(
        "little memory: features", _off(found, expected), "with all of it", FEATURES_OFF
    )
    for what in ("later: clips at a time", "later: features", "later: on the stream of before"):
        table.missing(what, "only a GPU runs short of it")


@contextlib.contextmanager
def _without_tf32() -> Iterator[None]:
    """By the old names, which all versions know."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())
