"""The fixed words that columns of the tables have, and what they mean."""

# A video is first `queued`, then `claimed` by a daemon, `classified` (it has a prediction), and
# `filed` (its file was moved, too).
# `waiting`: the file changed after it was queued, and has to become whole again.
# `failed`: there is no prediction, and the column `error` says why.
STATES = ("waiting", "queued", "claimed", "classified", "filed", "failed")
# The states of videos that have a prediction.
PREDICTED = ("classified", "filed")

# What becomes of a file whose video is predicted, if it is not moved: it is copied or hard-linked
# to where it belongs, or left where it is, whatever becomes known of its video.
ON_FILED = ("copy", "hardlink", "leave")

# `answer`: made when the clip came. It decides where the file goes, and is shown for the video.
# `shadow`: by a challenger, on the same frames.
# `rescored`: by a later model.
KINDS = ("answer", "shadow", "rescored")

# Why a prediction is unsure.
# `probability`: it is below the threshold of its class.
# `unknown`: the clip looks like none of the model's classes.
DOUBTS = ("probability", "unknown")

# What a person says of a video.
# `labelled`: it is of this class.
# `unsure`: the person cannot tell.
# `withdrawn`: an earlier label is taken back.
VERDICTS = ("labelled", "unsure", "withdrawn")

# How a label was given.
# `folder`: a file that was never seen before was put into a class folder.
# `moved`: a file with a prediction was moved into a class folder.
# `command`: by `vidwatch label`.
# `accepted`: a person accepted the prediction.
# `csv`: it was imported.
# `page`: on the review page.
SOURCES = ("folder", "moved", "command", "accepted", "csv", "page")

SIDES = ("training", "holdout")

# `stopped`: it ended because the daemon ended, for no reason of its own.
TRAINING_STATES = ("asked", "training", "trained", "failed", "stopped")

# `promoted`, `refused`, `undecided`: how a comparison of two models ended.
# `set`: the model was set in vidwatch.toml.
# `chosen`, `rolled back`: by command.
# The challenger is the champion from its row on, unless that is `refused` or `undecided`.
DECISIONS = ("promoted", "refused", "undecided", "set", "chosen", "rolled back")

# What other programs are told of.
# `classified`: a video has its prediction. `failed`: it will have none.
# `labelled`, `labelled_part`: a person gave a label of a video or of a part, or took one back.
# `promoted`: another model is the champion. `training_failed`: a training ended without a model.
# `trouble`: a notice of the daemon stays, or is over.
EVENTS = (
    "classified",
    "failed",
    "labelled",
    "labelled_part",
    "promoted",
    "training_failed",
    "trouble",
)

# What befell a video.
# `moved`: its file was moved, or had another name when it was filed; `path` is where it was.
# `trouble`: it is tried again later. `held`: it is read again later. `text` says why.
# `failed`: `text` says why; `path` is where the file was.
# `again`: it is tried again after it had failed; `text` says who asked for that on the page, as
# that of `failed` says who forgot the failure.
HAPPENINGS = ("moved", "trouble", "held", "failed", "again")
