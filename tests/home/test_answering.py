"""A disk that does not answer holds up whoever asks it, and nobody else."""

import threading
import time
from pathlib import Path

import pytest

from daemon.home.answering import Answers


def test_what_is_asked_is_answered() -> None:
    answers = Answers()
    assert answers.of(b"/disk", lambda: 7) == 7
    with pytest.raises(FileNotFoundError):
        answers.of(b"/disk", lambda: Path("/nowhere").stat())


def test_a_disk_that_does_not_answer_is_not_asked_again_until_it_does() -> None:
    answers = Answers(patience=0.1)
    is_back = threading.Event()
    asked = []

    def ask() -> str:
        asked.append(time.monotonic())
        is_back.wait(10)
        return "here"

    for _ in range(3):
        with pytest.raises(TimeoutError, match="does not answer"):
            answers.of(b"/share", ask)
    assert len(asked) == 1
    assert answers.of(b"/disk", lambda: 7) == 7
    is_back.set()
    time.sleep(0.05)
    assert answers.of(b"/share", ask) == "here"
