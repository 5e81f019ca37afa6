"""The table that `make gpu` prints: each figure beside its baseline, which is of the same run."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HEAD = ("part", "what", "figure", "baseline", "its figure", "ratio", "aim", "")


@dataclass(frozen=True)
class Row:
    """A figure, or a fact, and what it is held against."""

    part: str
    what: str
    figure: str
    baseline: str
    base: str
    ratio: str = "-"
    aim: str = "-"
    verdict: str = ""
    """"ok", "FAILED", "n/a" (not here), or empty: no aim."""


@dataclass
class Table:
    """Rows, printed as they come. A part that raises becomes a row, and the others go on."""

    rows: list[Row] = field(default_factory=list)
    part: str = ""

    def figure(
        self, what: str, value: float, unit: str, baseline: str, base: float, aim: str = "-"
    ) -> None:
        """A number beside another one in the same unit; `aim` is on their ratio: "≥ 0.8"."""
        ratio = value / base if base else float("inf")
        self._add(
            what,
            f"{value:.4g} {unit}",
            baseline,
            f"{base:.4g} {unit}",
            f"{ratio:.2f}",
            aim,
            _is_met(ratio, aim),
        )

    def difference(self, what: str, off: float, of: str, most: float) -> None:
        """How far something is from a reference, as a share of it; at most `most`."""
        is_met = off <= most  # false of what is no number
        self._add(what, f"{off:.2g}", of, "0", "-", f"≤ {most:g}", "ok" if is_met else "FAILED")

    def fact(self, what: str, found: object, baseline: str, wanted: object) -> None:
        """Something that has to be equal to what is wanted."""
        verdict = "ok" if found == wanted else "FAILED"
        self._add(what, str(found), baseline, str(wanted), "-", "equal", verdict)

    def missing(self, what: str, why: str) -> None:
        """A row of which there is nothing on this machine."""
        self._add(what, "-", why, "-", "-", "-", "n/a")

    @contextmanager
    def section(self, part: str) -> Iterator[None]:
        """Rows of one part. What is not installed is a row; so is what raises."""
        self.part = part
        began = time.perf_counter()
        try:
            yield
        except ImportError as error:
            self.missing("all further rows", f"needs {error.name}, which cannot be imported")
        except Exception as error:
            traceback.print_exc()
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = str(error).partition("\n")[0][:100]
            place = f"{Path(where.filename).name}:{where.lineno}"
            self._add(
                "it raised", f"{type(error).__name__}: {said}", place, "nothing", "-", "-", "FAILED"
            )
        print(f"    ({part}: {time.perf_counter() - began:.0f} s)", flush=True)

    def _add(self, *values: str) -> None:
        row = Row(self.part, *values)
        self.rows.append(row)
        told = f"{row.part}: {row.what}: {row.figure} ({row.baseline}: {row.base})"
        print(f"{row.verdict:6} {told}", flush=True)

    @property
    def failed(self) -> int:
        """How many rows missed their aim."""
        return sum(row.verdict == "FAILED" for row in self.rows)

    def markdown(self) -> str:
        """The whole table."""
        lines = [HEAD, ("---",) * len(HEAD), *(tuple(asdict(row).values()) for row in self.rows)]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _is_met(ratio: float, aim: str) -> str:
    if aim == "-":
        return ""
    side, bound = aim.split()
    is_met = ratio <= float(bound) if side == "≤" else ratio >= float(bound)
    return "ok" if is_met else "FAILED"


def rate(call: Callable[[], Any], count: int, sync: Callable[[], Any], least: float = 1.0) -> float:
    """How many of `count` a second, once it is warm, over at least so many seconds."""
    call()
    sync()
    began = time.perf_counter()
    runs = 0
    while runs == 0 or time.perf_counter() - began < least:
        call()
        runs += 1
        if runs % 8 == 0:
            sync()  # a GPU would otherwise be given more and more work, long after the time is over
    sync()
    return count * runs / (time.perf_counter() - began)
