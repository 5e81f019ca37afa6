"""What the champion says of videos that an earlier model predicted: by `vidwatch rescore`."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select

from daemon.database.expressions import as_now
from daemon.database.tables import models, predictions
from daemon.training.records import takeover
from learner.catalogue import model_name


@dataclass(frozen=True)
class Later:
    """What the champion predicts of a video, beside the prediction that counts."""

    model: str
    class_name: str
    """By the name that the class has now."""
    probability: float


def later_predictions(connection: Connection, contents: Collection[int]) -> dict[int, Later]:
    """What the champion says of these contents, of those that it predicted later than they came."""
    row = connection.execute(takeover()).first()
    if row is None:
        return {}
    query = (
        select(predictions.c.video_id, predictions.c.probability, models.c.name)
        .add_columns(as_now(predictions.c["class"]).label("class_name"))
        .join(models, models.c.id == predictions.c.model_id)
        .where(predictions.c.video_id.in_(list(contents)))
        .where(predictions.c.kind == "rescored", models.c.name == model_name(row.challenger))
        .order_by(predictions.c.id)
    )
    return {
        one.video_id: Later(one.name, one.class_name, one.probability)
        for one in connection.execute(query)
    }
