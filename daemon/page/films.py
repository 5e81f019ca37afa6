"""Films that a browser plays: of a clip's file itself, or of a small film that is made of it once.

What a browser can play is found by a process of its own (`film_program.py`), which reads the file.
"""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.home.identity import Identity, identify
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.page.cards import Card
from daemon.page.film_order import Order
from learner import files
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from learner.cache import Cache

PROGRAM = (sys.executable, "-P", "-m", "daemon.page.film_program")
TYPES = {"mp4": "video/mp4", "webm": "video/webm"}
# What is kept in the cache: a film, by its ending, or the media type of a file that plays itself.
PLAYS = "plays"
AT_ONCE = 2  # films that are made
START = 60.0  # seconds that a process has to begin
TRIM_EVERY = 50  # films, after which the cache is kept within its limit
MOST_KNOWN = 1000


@dataclass(frozen=True)
class Film:
    """What a browser plays."""

    path: Path
    media_type: str


class Films:
    """Films of clips. Calls may come from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        # A process dies with the thread that made it: these threads stay.
        self._workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="films")
        self._going_on: dict[tuple[str, bool], Future[Film]] = {}
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._spare: subprocess.Popen[bytes] | None = None
        """A process that has begun, for the next film: to begin takes longer than a short film."""
        self._hashed: dict[tuple[bytes, Identity], str] = {}
        self._made = 0
        self._is_closed = False

    def close(self) -> None:
        """End what is being made."""
        with self._lock:
            self._is_closed = True
            for process in self._processes:
                process.kill()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def warm(self) -> None:
        """Have a process ready before the first film is asked for."""
        with suppress(RuntimeError):
            self._workers.submit(self._prepare)

    def get(self, card: Card, *, anew: bool = False) -> Film:
        """The film of a clip; waits until it is made.

        Args:
            card: The clip.
            anew: Whether a browser did not play the file itself.

        Raises:
            VidwatchError: the file is gone, holds something else now, or no film can be made of it.
        """
        limit = START + 2 * self._settings.decode_seconds
        try:
            return self._future(card, anew=anew).result(limit)
        except LateError as error:
            raise VidwatchError("other films are being made: try again later") from error
        except (CancelledError, RuntimeError) as error:
            raise VidwatchError("the page's server is ending") from error

    def _future(self, card: Card, *, anew: bool) -> "Future[Film]":
        key = (card.sha256, anew)
        with self._lock:
            future = self._going_on.get(key)
            if future is None:
                future = self._workers.submit(self._find, card, anew=anew)
                self._going_on[key] = future
        # Outside the lock: if it is done already, the callback runs here.
        future.add_done_callback(lambda done: self._forget(key, done))
        return future

    def _forget(self, key: tuple[str, bool], done: "Future[Film]") -> None:
        with self._lock:
            if self._going_on.get(key) is done:
                del self._going_on[key]

    def _require_unchanged(self, card: Card) -> None:
        """Refuse a file that is not the one that was classified."""
        try:
            file = identify(card.path)
        except OSError as error:
            raise VidwatchError(f"its file: {error.strerror}") from error
        if file is None:
            raise VidwatchError("its file is gone")
        if (file.size, file.mtime_ns) == card.version:
            return
        key = (card.path, file)
        if key not in self._hashed:
            if len(self._hashed) >= MOST_KNOWN:
                self._hashed.clear()
            try:
                self._hashed[key] = files.sha256_of(card.path)
            except OSError as error:
                raise VidwatchError(f"its file: {error.strerror}") from error
        if self._hashed[key] != card.sha256:
            raise VidwatchError("the file is no longer the one that was classified")

    def _find(self, card: Card, *, anew: bool) -> Film:
        self._require_unchanged(card)
        folder = self._cache().shelf("films", f"{version('vidwatch')}").folder
        own = Path(os.fsdecode(card.path))
        for ending, media_type in TYPES.items():
            kept = folder / f"{card.sha256}.{ending}"
            with suppress(OSError):
                os.utime(kept)  # the cache keeps what was used last
                return Film(kept, media_type)
        plays = folder / f"{card.sha256}.{PLAYS}"
        if not anew:
            with suppress(OSError):
                return Film(own, plays.read_text())
        head, data = self._run(card, anew=anew)
        if problem := head.get("problem"):
            raise VidwatchError(problem)
        folder.mkdir(parents=True, exist_ok=True)
        if played_as := head.get("plays"):
            files.write(plays, played_as.encode(), durable=False)
            return Film(own, played_as)
        made = folder / f"{card.sha256}.{head['made']}"
        files.write(made, data, durable=False)
        self._made += 1
        if self._made % TRIM_EVERY == 0:
            self._cache().trim()
        return Film(made, TYPES[head["made"]])

    def _run(self, card: Card, *, anew: bool) -> tuple[dict[str, str], bytes]:
        """What the program says of a file, and the film that it made of it.

        Raises:
            VidwatchError: it gave no answer.
        """
        with self._lock:
            process, self._spare = self._spare, None
        if process is None or process.poll() is not None:
            process = self._start()
        seconds = self._settings.decode_seconds
        order = Order(os.fsdecode(card.path), anew, seconds / 2)
        try:
            answer, _ = process.communicate(order.to_line(), START + seconds)
        except subprocess.TimeoutExpired as error:
            raise VidwatchError(f"no film could be made of it in {seconds:g} s") from error
        finally:
            self._end(process)
            self._workers.submit(self._prepare)
        line, _, data = answer.partition(b"\n")
        if not line:
            reason = "the program that makes a film of it crashed"
            raise VidwatchError(f"{reason} (exit status {process.returncode})")
        return json.loads(line), data

    def _prepare(self) -> None:
        """Have a spare process."""
        if self._spare is None and not self._is_closed:
            process = self._start()
            with self._lock:
                spare, self._spare = self._spare, process
            if spare:
                self._end(spare)

    def _start(self) -> "subprocess.Popen[bytes]":
        command = (*PROGRAM, str(os.getpid()), f"{self._settings.decode_gigabytes:g}")
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        with self._lock:
            self._processes.add(process)
            if self._is_closed:
                process.kill()
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()
        with self._lock:
            self._processes.discard(process)

    def _cache(self) -> "Cache":
        from learner.cache import Cache

        return Cache(round(self._settings.cache_gigabytes * GIGABYTE))
