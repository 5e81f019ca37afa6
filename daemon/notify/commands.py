"""Runs a command at each event: the event is its standard input."""

import logging
import os
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from daemon.home.receivers import Command
from daemon.notify import hook_process
from daemon.notify.content import Content
from daemon.notify.sender import NotDeliveredError, as_json, one_line

log = logging.getLogger(__name__)

KEPT = 400  # bytes: the end of what a command prints, for people
READ = 65536  # bytes
LONG = 8  # characters: no token is shorter
ENDING = 2.0  # seconds in which a process that was killed ends
# systemd would believe what is sent to these by a command.
NOT_PASSED_ON = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "JOURNAL_STREAM")
PROGRAM = (sys.executable, "-I", "-S", hook_process.__file__)


class CommandSender:
    """Runs one command, one event at a time.

    It has a process group of its own, which is ended when the command is, or after its time: then
    nothing is left that would hold the output open or go on for ever.
    """

    bundles = False

    def __init__(self, command: Command, home: Path) -> None:
        self._command = command
        self._words = shlex.split(command.line.get_secret_value())
        self._seconds = command.seconds
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False
        self._is_missing = False

    def send(self, events: Sequence[Content], more: int) -> None:
        """Run the command with an event.

        Raises:
            NotDeliveredError: it cannot be run, it takes too long, or its exit status is not 0.
        """
        (event,) = events
        self._require_program()
        with tempfile.TemporaryFile() as given:
            given.write(as_json(event))
            given.seek(0)
            try:
                process = self._begin(given.fileno(), event)
            except OSError as error:
                raise NotDeliveredError(f"cannot be run ({error.strerror})") from None
        self._process = process
        try:
            printed, is_late = self._watch(process)
        finally:
            self._end(process)
        if is_late:
            limit = f"{self._seconds:g} s (command_seconds)"
            reason = self._explained(f"took longer than {limit}", printed)
            raise NotDeliveredError(reason, is_refusal=True)
        if process.returncode != 0:
            reason = self._explained(_status(process.returncode), printed)
            raise NotDeliveredError(reason, is_refusal=True)

    def _require_program(self) -> None:
        problem = self._command.why_not_run(self._home)
        self._is_missing = problem is not None
        if problem is not None:
            raise NotDeliveredError(self._explained(problem, b""))

    def _begin(self, given: int, event: Content) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if k not in NOT_PASSED_ON}
        environment["VIDWATCH_EVENT"] = event["event"]
        environment["VIDWATCH_EVENT_ID"] = event["event_id"]
        environment["VIDWATCH_HOME"] = str(self._home)
        return subprocess.Popen(
            [*PROGRAM, str(os.getpid()), *self._words],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._home,
            env=environment,
            start_new_session=True,
        )

    def _watch(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bool]:
        """Wait for the end; gives the end of what was printed, and whether it took too long.

        The output may stay open: what the command has started may hold it.
        """
        assert process.stdout
        output = process.stdout.fileno()
        os.set_blocking(output, False)
        deadline = time.monotonic() + self._seconds
        ended = os.pidfd_open(process.pid)
        printed = b""
        waiting = select.poll()
        waiting.register(output, select.POLLIN)
        waiting.register(ended, select.POLLIN)
        try:
            while not self._is_over and (left := deadline - time.monotonic()) > 0:
                ready = {number for number, _ in waiting.poll(1000 * left)}
                if output in ready:
                    more = _read(output)
                    printed = (printed + more)[-KEPT:]
                    if not more:
                        waiting.unregister(output)
                if ended in ready:
                    return (printed + _read(output))[-KEPT:], False
            return printed, True
        finally:
            os.close(ended)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the command and all that it has started."""
        # Its leader is not waited for yet: so the number is still that of this group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout
        process.stdout.close()
        try:
            process.wait(ENDING)
        except subprocess.TimeoutExpired:  # it waits for a disk that does not answer
            log.warning("process %d of a command does not end", process.pid)
        self._process = None

    def _explained(self, problem: str, printed: bytes) -> str:
        text = one_line(printed.decode(errors="replace"), self.secrets())
        return f"{one_line(problem, self.secrets())}: {text}" if text else problem

    def tend(self) -> bool:
        """Look for the program: that it is missing is shown before the first event comes.

        Gives whether it has come since. Whether it works is only known when it runs.

        Raises:
            NotDeliveredError: it is not there, or may not be run.
        """
        was_missing = self._is_missing
        self._require_program()
        return was_missing

    def abort(self) -> None:
        """End the command that runs."""
        self._is_over = True
        process = self._process
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Nothing is open."""

    def secrets(self) -> Iterable[str]:
        """The words of the command that name no file: a token may be among them."""
        words = [part for word in self._words[1:] for part in (word, *word.split())]
        # Not `Path.exists`: it raises an error for a long word, or in a closed folder.
        return [
            word
            for word in words
            if len(word) >= LONG and not os.path.exists(self._home / word)  # noqa: PTH110
        ]


def _read(output: int) -> bytes:
    try:
        return os.read(output, READ)
    except BlockingIOError:
        return b""


def _status(code: int) -> str:
    if code in (hook_process.CANNOT_RUN, 127):
        return "cannot be run"
    return f"exit status {code}"
