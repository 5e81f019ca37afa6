"""A home with long videos: their files are real, their windows are written as the pipeline does."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from conftest import write_video
from homes import MadeHome

from daemon.database.records import WindowPrediction
from daemon.database.windows import Windows

Window = tuple[float, float, str, float] | tuple[float, float, str, float, str]
"""Start, end, class, probability, and why it is unsure if it is."""


class LongHome(MadeHome):
    """`CLASSES` of a made home; windows are given by each test."""

    def long_video(
        self,
        name: str,
        windows: Sequence[Window],
        main: str | None = None,
        *,
        shade: int = 0,
        probability: float = 0.9,
    ) -> int:
        """A video of 25 frames a second, of as many seconds as its windows, filed; gives its id."""
        seconds = max(window[1] for window in windows)
        path = self.inbox / name
        made = write_video(self.root / f"made{path.suffix}", round(25 * seconds), shade=shade)
        made.rename(path)
        video = self._begin(path, windows)
        predicted = self.model_prediction(main or windows[0][2], probability)
        self.record(self.prediction(video, predicted, has_windows=True))
        self.file()
        return video

    def begin_long_video(self, name: str, windows: Sequence[Window]) -> int:
        """A video in hand whose first windows are recorded; gives its id. Its file is short."""
        return self._begin(write_video(self.inbox / name, 25, shade=99), windows)

    def _begin(self, path: Path, windows: Sequence[Window]) -> int:
        self.enqueue(path)
        (claimed,) = self.claim()
        rows = [self._window(claimed.id, n, window) for n, window in enumerate(windows)]
        Windows(self.engine).record(rows, self.now)
        return claimed.id

    def _window(self, video: int, number: int, window: Window) -> WindowPrediction:
        start, end, class_name, probability, *unsure = window
        return WindowPrediction(
            video_id=video,
            number=number,
            start=start,
            end=end,
            prediction=self.model_prediction(class_name, probability),
            frames_read=16,
            unsure=unsure[0] if unsure else None,
        )

    def subtitles(self) -> list[Path]:
        """All files of subtitles in the home."""
        return sorted(self.root.rglob("*.vtt"))


@pytest.fixture
def home(tmp_path: Path) -> Iterator[LongHome]:
    """A home with long videos."""
    found = LongHome(tmp_path / "home")
    yield found
    found.close()
