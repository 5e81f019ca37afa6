"""Compiles a backbone by OpenVINO, and tries whether that is as exact as PyTorch, and faster.

`tried` does so in a process of its own, which gives back all the memory that it takes: 80 MB.
"""

import io
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import torch
from pydantic import TypeAdapter

from learner.backbone import Backbone
from learner.compiled import Compiled, compile_backbone
from learner.forward import ROUNDING, frames_at_once, ready, workers
from learner.spec import ClipSpec, NetworkArgs

log = logging.getLogger(__name__)

SECONDS = 1.0
"""How long both are tried, after one pass of each."""
FASTER = 0.9
"""OpenVINO is used if it takes at most this share of PyTorch's processor time."""
AT_MOST = 300  # seconds for all of it
# How far its features may be from those of PyTorch in float32, as a share of the largest one.
# bfloat16 has three digits.
TOLERANCES = {torch.float32: ROUNDING, torch.bfloat16: 0.03}


def tried(backbone: Backbone, precision: torch.dtype, *, anyway: bool) -> bytes | None:
    """The compiled backbone; empty if PyTorch should compute it, None if the trial has failed.

    Args:
        backbone: on the CPU.
        precision: what products are computed in.
        anyway: whether OpenVINO is used even if it is slower.
    """
    given = io.BytesIO()
    torch.save(
        {
            "args": asdict(backbone.args),
            "size": backbone.image[1],
            "mean": (backbone.mean.flatten() / 255).tolist(),
            "std": (backbone.std.flatten() / 255).tolist(),
            "weights": backbone.state_dict(),
            "precision": precision,
            "anyway": anyway,
        },
        given,
    )
    run = [sys.executable, "-W", "ignore", "-m", __name__]  # torch warns of what OpenVINO uses
    try:
        done = subprocess.run(
            run, input=given.getvalue(), capture_output=True, timeout=AT_MOST, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("OpenVINO could not be tried, so PyTorch computes (%s)", error)
        return None
    for line in done.stderr.decode(errors="replace").splitlines():
        log.info("%s", line)
    return done.stdout


def compile_if_better(backbone: Backbone, precision: torch.dtype, *, anyway: bool) -> bytes:
    """The compiled backbone; empty if OpenVINO cannot compute it, not as exactly, or is slower."""
    exact = ready(backbone, torch.float32)
    try:
        blob = compile_backbone(exact, precision)
        theirs = Compiled(blob, precision, threads=1)
    except Exception as error:  # OpenVINO's errors have no common class
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        log.warning("OpenVINO cannot compute backbone %s (%s)", backbone.args.backbone, reason)
        return b""
    apart = _apart(exact, theirs)
    if not apart <= TOLERANCES[precision]:
        text = "OpenVINO computes other features of backbone %s (%.2g apart): PyTorch is used"
        log.warning(text, backbone.args.backbone, apart)
        return b""
    ours = exact if precision is torch.float32 else ready(backbone, precision)
    share = _time_share(ours, theirs, precision)
    log.info(
        "OpenVINO takes %.0f%% of PyTorch's time for backbone %s",
        100 * share,
        backbone.args.backbone,
    )
    return blob if share <= FASTER or anyway else b""


def _apart(exact: Backbone, theirs: Compiled) -> float:
    """The largest difference of their features, as a share of the largest one.

    Of noise, and of a picture that changes smoothly.
    """
    generator = torch.Generator().manual_seed(0)
    size = exact.image[1:]
    noise = torch.randint(0, 256, (theirs.frames, *size, 3), dtype=torch.uint8, generator=generator)
    slope = torch.linspace(0, 255, size[0] * size[1]).view(1, *size, 1).byte()
    found = []
    for frames in (noise, slope.expand(theirs.frames, *size, 3).contiguous()):
        with torch.inference_mode():
            expected = exact.extract(exact.images(frames.float()))
        found.append((theirs(frames).float() - expected).abs().max() / expected.abs().max())
    return float(torch.stack(found).max())  # no number if one of them is none


def _time_share(ours: Backbone, theirs: Compiled, precision: torch.dtype) -> float:
    """Their processor time as a share of ours, one thread each, in turns.

    Not by the clock: other programs may be at work.
    """
    count = frames_at_once(precision)
    frames = torch.zeros(count, *ours.image[1:], 3, dtype=torch.uint8)

    @torch.inference_mode()
    def by_torch() -> None:
        ours(frames[None])

    def by_openvino() -> None:
        for part in torch.split(frames, theirs.frames):
            theirs(part)

    shares: list[float] = []
    with workers(1) as alone:
        for call in (by_torch, by_openvino):
            alone.submit(call).result()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or len(shares) < 3:
            mine, other = (
                alone.submit(_processor_time, call).result() for call in (by_torch, by_openvino)
            )
            shares.append(other / mine)
    return statistics.median(shares)


def _processor_time(call: Callable[[], object]) -> float:
    before = time.process_time()
    call()
    return time.process_time() - before


def _answer() -> None:
    """In the process of the trial: from its standard input to its standard output."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = torch.load(io.BytesIO(sys.stdin.buffer.read()), weights_only=True)
    args = TypeAdapter(NetworkArgs).validate_python(given["args"])
    spec = ClipSpec(1, given["size"], mean=tuple(given["mean"]), std=tuple(given["std"]))
    backbone = Backbone(args, spec)
    backbone.load_state_dict(given["weights"])
    blob = compile_if_better(backbone.eval(), given["precision"], anyway=given["anyway"])
    sys.stdout.buffer.write(blob)


if __name__ == "__main__":
    _answer()
