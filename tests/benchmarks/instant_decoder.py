"""The program of a decoder that needs no time: it gives the same frames for each file."""

import hashlib

import numpy as np

from daemon.classify import decoder
from daemon.classify.job import Job, Orders
from learner.video import Clip


def read(job: Job, orders: Orders) -> Clip:
    """A clip of the asked size; the name of the file stands for its content."""
    size = (orders.spec.frames, orders.spec.size, orders.spec.size, 3)
    frames = np.zeros(size, np.uint8)
    return Clip(frames, len(frames), len(frames), "none", hashlib.sha256(job.path).hexdigest())


if __name__ == "__main__":
    decoder.read = read
    decoder.main()
