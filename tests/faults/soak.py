"""A long load on one daemon: `make soak`, or `make soak MINUTES=5`.

Clips, copies, files that are none and labels keep coming; it trains as often as it may; in the
first and the last sixth of the time it is killed now and then, and in between it lives on, for its
memory, file handles, threads and processes to be watched. Prints a row a minute, and ends with
status 1 where something grew or was lost.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from ordeal import Ordeal
from rich.console import Console
from rich.table import Table
from tiny import class_folders, trained_on

MEGABYTE = 10**6
WAITING = 300  # files at most: the load is what the daemon can bear
GROWTH = 1.1  # of the second half of its quiet life over the first


@dataclass(frozen=True)
class Sample:
    """The daemon at one moment; memory in megabytes, of itself and of its decoders together."""

    minute: float
    life: int
    daemon: float
    decoders: float
    handles: int
    threads: int
    processes: int
    done: int
    waiting: int


class Soak:
    """The load, and what is seen of the daemon under it."""

    def __init__(self, ordeal: Ordeal, minutes: float) -> None:
        self.ordeal, self.minutes, self.began = ordeal, minutes, time.monotonic()
        self.samples: list[Sample] = []
        self.kills = self.number = self.moves = 0
        self.rng = random.Random(0)

    @property
    def minute(self) -> float:
        return (time.monotonic() - self.began) / 60

    def run(self) -> None:
        """Until the time is over."""
        self.ordeal.start()
        next_sample, next_kill = 0.0, 1.0
        while self.minute < self.minutes:
            self.drop()
            self.label()
            if self.minute >= next_sample:
                self.sample()
                next_sample = self.minute + 1 / 6
            is_rough = not self.minutes / 6 < self.minute < 5 * self.minutes / 6
            if is_rough and self.minute >= next_kill:
                self.ordeal.kill(all_of_it=self.rng.random() < 0.5)
                self.kills += 1
                self.ordeal.start()
                next_kill = self.minute + self.rng.uniform(0.5, 1.5)
            time.sleep(0.2)
        assert self.ordeal.wait_for(self.ordeal.is_worked_off, 300), self.ordeal.end_of_log()
        self.ordeal.stop()
        self.ordeal.require_well()

    def drop(self) -> None:
        """Some files, while not too many wait."""
        ((waiting,),) = self.ordeal.query("SELECT count(*) FROM videos WHERE finished_at IS NULL")
        for _ in range(10 if waiting < WAITING else 0):
            self.number += 1
            if self.number % 20 == 7:
                self.ordeal.drop(self.number - 1, f"inbox/copy-{self.number}.avi")
            elif self.number % 50 == 9:
                self.ordeal.drop(self.number, f"inbox/{self.number}.mp4", video=False)
            elif self.number % 30 == 11:
                label = "bright" if self.number % 2 else "dark"
                self.ordeal.drop(self.number, f"labelled/{label}/v_g{self.number}_c01.avi")
            else:
                self.ordeal.drop(self.number, f"inbox/v_g{self.number}_c01.avi")

    def label(self) -> None:
        """Now and then somebody moves a clip to the class that it is of."""
        if self.rng.random() > 0.1:
            return
        for wrong, right in (("bright", "dark"), ("dark", "bright")):
            clips = sorted((self.ordeal.home.root / "classified" / wrong).glob("v_g*"))[:50]
            for clip in self.rng.sample(clips, min(len(clips), 1)):
                try:
                    clip.rename(self.ordeal.home.root / "classified" / right / clip.name)
                    self.moves += 1
                except FileNotFoundError:
                    continue

    def sample(self) -> None:
        """Look at the daemon, where it has begun."""
        assert self.ordeal.process
        if not self.ordeal.home.running():
            return
        try:
            daemon = psutil.Process(self.ordeal.process.pid)
            children = [
                child
                for child in daemon.children(recursive=True)
                if "spawn_main" in " ".join(child.cmdline())
            ]
            used = daemon.memory_info().rss, sum(child.memory_info().rss for child in children)
            counted = daemon.num_fds(), daemon.num_threads(), len(children)
        except psutil.Error:
            return
        left = "count(*) FILTER (WHERE finished_at IS NULL)"
        ((done, waiting),) = self.ordeal.query(f"SELECT count(*) - {left}, {left} FROM videos")
        memory = [size / MEGABYTE for size in used]
        self.samples.append(Sample(self.minute, self.kills, *memory, *counted, done, waiting))

    def table(self) -> Table:
        """A row a minute: the most that was seen within it."""
        table = Table(
            "minute",
            "life",
            "daemon MB",
            "decoders MB",
            "handles",
            "threads",
            "decoders",
            "done",
            "waiting",
        )
        for minute in range(int(self.minutes) + 1):
            seen = [sample for sample in self.samples if int(sample.minute) == minute]
            if seen:
                most = [
                    max(getattr(sample, name) for sample in seen) for name in Sample.__annotations__
                ]
                table.add_row(str(minute), str(most[1]), *(f"{value:.0f}" for value in most[2:]))
        return table

    def grown(self) -> list[str]:
        """What grew within the longest life: its second half against its first, after a start."""
        lives = [sample.life for sample in self.samples]
        longest = [sample for sample in self.samples if sample.life == statistics.mode(lives)]
        longest = longest[len(longest) // 5 :]
        first, second = longest[: len(longest) // 2], longest[len(longest) // 2 :]
        found = []
        for name in ("daemon", "decoders", "handles", "threads", "processes"):
            before, after = (
                statistics.median(getattr(sample, name) for sample in half)
                for half in (first, second)
            )
            print(f"{name}: {before:.0f}, then {after:.0f}")
            if after > before * GROWTH:
                found.append(f"{name} grew from {before:.0f} to {after:.0f}")
        return found


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["XDG_CACHE_HOME"] = str(root / "cache")
        trained_on(class_folders(root / "data"), root / "tiny")
        learning = {"min_new_labels": 30, "min_class_clips": 5, "retrain_check_minutes": 0.5}
        soak = Soak(Ordeal(root / "home", root / "tiny", **learning), minutes)
        try:
            soak.run()
        finally:
            if soak.ordeal.process and soak.ordeal.process.poll() is None:
                soak.ordeal.process.kill()
            Console(width=120).print(soak.table())
        ended = dict(soak.ordeal.query("SELECT state, count(*) FROM trainings GROUP BY 1"))
        decided = dict(soak.ordeal.query("SELECT verdict, count(*) FROM decisions GROUP BY 1"))
        sources = dict(soak.ordeal.query("SELECT source, count(*) FROM labels GROUP BY 1"))
        print(
            f"{soak.ordeal.dropped.total()} files, {soak.kills} kills, labels {sources}, "
            f"trainings {ended}, {decided}"
        )
        if grown := soak.grown():
            sys.exit("; ".join(grown))


if __name__ == "__main__":
    main()
