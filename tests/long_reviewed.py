"""The review page on a home with long videos."""

import subprocess

from reviewed import ReviewedHome

from daemon.database.records import WindowPrediction
from daemon.database.windows import Windows

# When each class begins and ends, and its colour. The last part is one that the model is unsure of.
PARTS = (("bright", "white", None), ("dark", "black", None), ("red", "red", "probability"))


class LongReviewedHome(ReviewedHome):
    """Long videos of parts of 2 seconds."""

    def long(self, name: str = "long.mp4", *, sampled: bool = False) -> int:
        path = self.inbox / name
        sources = [f"color={colour}:s=64x48:r=25:d=2" for _, colour, _ in PARTS]
        inputs = [word for source in sources for word in ("-f", "lavfi", "-i", source)]
        joined = ["-filter_complex", "concat=n=3", "-pix_fmt", "yuv420p", path]
        subprocess.run(["ffmpeg", "-v", "error", *inputs, *joined], check=True)
        video = self._predict(path, sampled=sampled)
        with self.writing() as connection:
            connection.exec_driver_sql("UPDATE videos SET state = 'claimed'")
        Windows(self.engine).record(
            [
                WindowPrediction(
                    video_id=video,
                    number=number,
                    start=2.0 * number,
                    end=2.0 * number + 2,
                    prediction=self.model_prediction(name, 0.8),
                    frames_read=4,
                    unsure=unsure,
                )
                for number, (name, _, unsure) in enumerate(PARTS)
            ],
            self.now,
        )
        with self.writing() as connection:
            connection.exec_driver_sql("UPDATE videos SET state = 'filed'")
        return video
