"""What is recorded of a video: its prediction, with what was read of its file."""

from collections.abc import Sequence
from dataclasses import replace

from daemon.classify.long_videos import LongVideo
from daemon.classify.predictor import Outcome, model_prediction
from daemon.database.records import Claimed, ModelPrediction, VideoPrediction, WindowPrediction
from learner.cutting import Window
from learner.recording import recorded
from learner.video import Clip
from learner.windows import Long

Predicted = VideoPrediction | WindowPrediction


def recorded_prediction(video: Claimed, clip: Clip, outcome: Outcome, model_id: int) -> Predicted:
    """The prediction of a clip, or that of a window of a long video."""
    if isinstance(clip, Window):
        return WindowPrediction(
            video_id=video.id,
            number=clip.number,
            start=clip.start,
            end=clip.end,
            prediction=model_prediction(model_id, outcome.prediction),
            frames_read=clip.frames_read,
            unsure=outcome.unsure,
            fingerprint=outcome.fingerprint,
            shadow=_shadow(outcome),
            movement=clip.movement,
            read_share=clip.read_share,
        )
    found = _video_prediction(video, clip, outcome, model_id)
    return replace(found, frames_read=clip.frames_read, movement=clip.movement, uncut=clip.uncut)


def long_prediction(
    one: LongVideo, windows: Sequence[WindowPrediction], outcome: Outcome, model_id: int
) -> VideoPrediction:
    """The prediction of a long video, which is drawn from its windows."""
    return replace(
        _video_prediction(one.video, one.long, outcome, model_id),
        read_share=one.read_share(windows),
        frames_asked=one.long.frames_asked * len(windows),
        frames_read=sum(window.frames_read for window in windows),
        movement=max((one.movement for one in windows if one.movement is not None), default=None),
        has_windows=True,
    )


def why_damaged(one: LongVideo, windows: Sequence[WindowPrediction], least: float) -> str | None:
    """Why a long video has no prediction, although all of its windows were tried; None if it has.

    Args:
        one: The video.
        windows: Those that were read.
        least: The least share of it that has to be there.
    """
    if not windows:
        return "damaged: no frame of it can be decoded"
    share = one.read_share(windows)
    if share < least:
        return f"damaged: {share:.0%} of it can be read, and {least:.0%} is the least"
    return None


def _video_prediction(
    video: Claimed, read: Clip | Long, outcome: Outcome, model_id: int
) -> VideoPrediction:
    """What is predicted of a video, without what was read of its frames."""
    return VideoPrediction(
        video_id=video.id,
        path=video.path,
        sha256=read.sha256,
        prediction=model_prediction(model_id, outcome.prediction),
        frames_asked=read.frames_asked,
        frames_read=0,
        decoder=read.decoder,
        unsure=outcome.unsure,
        fingerprint=outcome.fingerprint,
        shadow=_shadow(outcome),
        read_share=read.read_share,
        recording=recorded(read.recorded, read.camera, video.path, video.identity.mtime_ns),
        stream=read.stream,
        colours=read.colours,
    )


def _shadow(outcome: Outcome) -> ModelPrediction | None:
    return model_prediction(*outcome.shadow) if outcome.shadow else None
