"""Ends a process with SIGKILL at a named step, from outside: on PYTHONPATH, it is imported by every
Python that starts.

VIDWATCH_TEST_FAULT is `module:function:when`, such as
`daemon.training.decisions:Decisions.conclude:before`, with `:3` for the third time. The first
process to get there dies, with VIDWATCH_TEST_FAULT_ALL together with all of its process group; the
file VIDWATCH_TEST_FAULT_DONE says that it has, and nobody dies after that.

With VIDWATCH_TEST_FAULT_HOLD nobody dies: the thread that gets there waits until that file is
there, as on a busy disk, and all other threads go on.
"""

import importlib.util
import os
import signal
import sys
import time
from functools import reduce, wraps
from pathlib import Path

FAULT, DONE = os.environ.get("VIDWATCH_TEST_FAULT"), os.environ.get("VIDWATCH_TEST_FAULT_DONE", "")


HOLD = os.environ.get("VIDWATCH_TEST_FAULT_HOLD")


class Helper:
    """A decoder can make no file and end no other process: this process of its own can."""

    def __init__(self) -> None:
        asks, self.ask = os.pipe()
        self.answer, answers = os.pipe()
        if not os.fork():
            os.close(self.ask)
            while os.read(asks, 1):
                os.write(answers, b"1" if claim() else b"0")
            os._exit(0)
        os.close(asks)
        os.close(answers)

    def claim(self) -> bool:
        os.write(self.ask, b"?")
        return os.read(self.answer, 1) == b"1"


helper = None


def claim() -> bool:
    """Whether this is the first process to get there."""
    if helper:
        return helper.claim()
    try:
        os.close(os.open(DONE, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    if os.environ.get("VIDWATCH_TEST_FAULT_ALL"):
        os.killpg(os.getpgid(0), signal.SIGKILL)
    return True


def die() -> None:
    if not claim():
        return
    if HOLD:
        while not Path(HOLD).exists():
            time.sleep(0.02)
        return
    os.kill(os.getpid(), signal.SIGKILL)


class Finder:
    """Finds the module of the fault as it would be found, and has it changed when it has been
    loaded.
    """

    def __init__(self, fault: str) -> None:
        self.module, self.function, self.when, *time = fault.split(":")
        self.left = int(time[0]) if time else 1
        self.searching = False

    def find_spec(self, name, path=None, target=None):
        if name != self.module or self.searching:
            return None
        self.searching = True
        spec = importlib.util.find_spec(name)
        self.searching = False
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), self.change(module))
        return spec

    def change(self, module) -> None:
        *owners, name = self.function.split(".")
        owner = reduce(getattr, owners, module)
        function = getattr(owner, name)

        @wraps(function)
        def deadly(*arguments, **named):
            self.left -= 1
            if self.when == "before" and self.left <= 0:
                die()
            result = function(*arguments, **named)
            if self.when == "after" and self.left <= 0:
                die()
            return result

        setattr(owner, name, deadly)


if FAULT and not Path(DONE).exists():
    if "daemon.classify.decoder" in sys.orig_argv:
        helper = Helper()
    sys.meta_path.insert(0, Finder(FAULT))
