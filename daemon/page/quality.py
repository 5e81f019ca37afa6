"""Quality: how good the predictions are."""

from datetime import UTC, datetime
from itertools import dropwhile

from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from daemon.database.tables import videos
from daemon.page.site import Site
from daemon.page.times import name_of, zone_of
from learner.catalogue import model_name


def page(request: Request) -> Response:
    """How good the predictions are, by the random share alone, and how many videos came."""
    from daemon.report import accuracy

    site = Site.of(request)
    now = datetime.now(UTC)
    zone = zone_of(request)
    with site.reader.begin() as connection:
        weeks = list(dropwhile(lambda week: not week.n, accuracy.weeks(connection, now, zone=zone)))
        live = accuracy.live_accuracy(connection, zone)
        bins = accuracy.calibration(connection, model_name(site.champion()))
        drawn = connection.scalar(select(func.count()).where(videos.c.sampled)) or 0
        warnings = accuracy.drift(connection, now)
    classes = sorted({name for week in weeks for name in week.classes}, key=str.casefold)
    return site.render(
        request,
        "quality.html",
        live=live,
        bins=bins,
        weeks=weeks,
        warnings=warnings,
        classes=classes,
        drawn=drawn,
        zone=name_of(zone),
    )
