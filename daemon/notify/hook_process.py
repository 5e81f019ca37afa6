"""The process between the daemon and a command: runs it, and ends with the daemon.

It is begun as a program of its own, with the arguments PARENT and the words of the command. Its
process group is that of the command, so that whoever ends the group ends both, and all that the
command has started. It loads nothing of vidwatch: it has to be there in some milliseconds.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress

PR_SET_PDEATHSIG = 1
NICENESS = 10
CANNOT_RUN = 126


def main() -> None:
    """Run the command; the exit status is its own."""
    # A handler, not the end: the kernel ends this process alone, and not the command.
    signal.signal(signal.SIGTERM, lambda number, frame: os.killpg(0, signal.SIGKILL))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        os.killpg(0, signal.SIGKILL)
    with suppress(OSError):
        os.nice(NICENESS)
    # If memory runs out, a command ends before the daemon does.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("500")
    try:
        child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, setsigdef=[signal.SIGPIPE])
    except OSError as error:
        print(f"{sys.argv[2]}: {error.strerror}", file=sys.stderr)
        sys.exit(CANNOT_RUN)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
