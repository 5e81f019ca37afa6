"""Code of libraries that was let go is read again when it runs."""

import subprocess
import sys

CODE = """
import cv2, numpy, psutil
from learner.process import let_go_of_code
picture = numpy.arange(90_000, dtype=numpy.uint8).reshape(300, 300)
before = cv2.blur(picture, (3, 3))
memory = psutil.Process().memory_info
held = memory().rss
let_go_of_code()
left = memory().rss
assert left < held - 10e6, (held, left)
assert (cv2.blur(picture, (3, 3)) == before).all()
"""


def test_it_takes_less_memory_and_computes_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
