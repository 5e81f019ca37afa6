"""Runs the whole path on a GPU, and prints a table: `make gpu`, or `PYTHONPATH=. python
tests/gpu/check_gpu.py`. It needs PyTorch 2.11 or newer and what `learner` imports; no pytest, and
nothing of `daemon`.

Without a GPU the same rows are of the processor, in about three minutes. The exit status is 1 if a
row missed its aim, and 2 if there is no such device.
"""

import argparse
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from gpu_predict import fold, load, logits, memory, shape, sizes
from gpu_setup import Setup
from gpu_speed import decode, speed
from gpu_table import Table
from gpu_train import fit, train

PARTS: dict[str, Callable[[Setup, Table], None]] = {
    "load": load,
    "fold": fold,
    "sizes": sizes,
    "logits": logits,
    "shape": shape,
    "memory": memory,
    "fit": fit,
    "train": train,
    "speed": speed,
    "decode": decode,
}


def main() -> int:
    """Run the parts one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--data", type=Path, help="class folders of real clips, instead of made ones"
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--compile", action="store_true", help="also on a processor")
    parser.add_argument("--json", type=Path, help="a file for the rows, too")
    given = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    if given.device == "cuda" and not has_gpu:
        print("check_gpu: PyTorch finds no GPU; leave --device out to run on the processor")
        return 2
    is_gpu = has_gpu and given.device != "cpu"
    if not is_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # "auto" is to mean the processor, too.
        torch.cuda.is_available = lambda: False
    logging.basicConfig(format="    %(name)s: %(message)s")
    logging.getLogger("learner").setLevel(logging.INFO)
    setup = Setup(torch.device("cuda" if is_gpu else "cpu"), given.data, given.compile)
    table = Table()
    began = time.perf_counter()
    for name in given.only:
        with table.section(name):
            PARTS[name](setup, table)
    print(f"\n{described(setup)}, {time.perf_counter() - began:.0f} s\n\n{table.markdown()}\n")
    print(f"{table.failed} of {len(table.rows)} rows failed")
    if given.json:
        rows = [asdict(row) for row in table.rows]
        given.json.write_text(json.dumps({"machine": described(setup), "rows": rows}, indent=1))
    return 1 if table.failed else 0


def described(setup: Setup) -> str:
    """When and on what it ran."""
    if setup.is_gpu:
        major, minor = torch.cuda.get_device_capability()
        name = f"{torch.cuda.get_device_name()} ({major}.{minor}), CUDA {torch.version.cuda}"
    else:
        name = f"{processor()}, no GPU"
    cores = len(os.sched_getaffinity(0))
    return f"{datetime.now(UTC):%Y-%m-%d}: {name}, {cores} cores, PyTorch {torch.__version__}"


def processor() -> str:
    """Its name, as Linux knows it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
