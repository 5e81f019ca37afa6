"""The program of a decoder process: jobs come in on its standard input, replies go out.

It dies with the daemon, and can do little but decode.
"""

import os
import signal
import sys

import cv2

from daemon.classify.confinement import confine
from daemon.classify.head import Failure
from daemon.classify.job import Job, Orders
from daemon.classify.reading import read
from daemon.classify.reply import Reply, send
from daemon.classify.shared_frames import SharedFrames
from learner.process import die_with, keep_freed_memory


def main() -> None:
    """Read files until the daemon closes the pipe."""
    jobs = sys.stdin.buffer
    # What a library prints must not come between the replies.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    orders = Orders.from_line(jobs.readline())
    shared = None if orders.shared is None else SharedFrames(orders.shared, orders.spec)
    _prepare(orders)
    send(replies, 0, None)
    for line in jobs:
        job = Job.from_line(line)
        send(replies, job.token, _reply(job, orders), shared)


def _prepare(orders: Orders) -> None:
    die_with(orders.parent)
    # The daemon handles Ctrl-C, and ends its decoders itself when the system stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keep_freed_memory()
    cv2.setNumThreads(1)  # there are as many decoders as cores
    confine(orders.gigabytes)


def _reply(job: Job, orders: Orders) -> Reply:
    try:
        return read(job, orders)
    except Exception as error:  # it goes to the daemon, and the row of the video records it
        return Failure.of(error)


if __name__ == "__main__":
    main()
