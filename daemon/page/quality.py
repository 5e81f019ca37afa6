"""Quality: how good the predictions are, and which labels are doubtful."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import partial
from itertools import dropwhile

from sqlalchemy import Connection, func, select
from starlette.requests import Request
from starlette.responses import Response

from daemon.database.tables import videos
from daemon.home.clock import now
from daemon.home.folders import Folders
from daemon.labels.quality import LabelQuality, examine
from daemon.labels.queries import blind_ids, is_left_out
from daemon.page.charts import SHADES, shade
from daemon.page.site import Site
from daemon.page.times import name_of, zone_of
from daemon.report import accuracy, confusion
from daemon.report.accuracy import Bin, LiveWeek, Week
from daemon.report.confusion import Confusion
from learner.catalogue import model_name
from learner.errors import VidwatchError

FRESH = 30.0  # seconds for which figures are not read again
MOST_DOUBTFUL = 30  # labels of a list
HEIGHT = 100.0  # of a chart
CHART_WEEKS = 26


@dataclass(frozen=True)
class Figures:
    """All that the page shows."""

    live: list[LiveWeek]
    bins: list[Bin]
    histogram: list[int]
    weeks: list[Week]
    """The newest first."""
    warnings: list[str]
    drawn: int
    """How many clips were drawn for the random share."""
    left_out: int
    """How many of them were labelled anew by who had seen the prediction."""
    random: Confusion
    other: Confusion
    labels: LabelQuality | None
    """None if a training left a damaged file."""
    damage: str
    """Which file that is; empty if there is none."""


@dataclass(frozen=True)
class LivePoint:
    """The accuracy of one week and model, as a mark of a chart."""

    x: float
    y: float
    """Counts from the top."""
    low: float
    """Where its interval ends."""
    high: float
    """Where it begins."""
    is_new_model: bool
    """Whether another model than that of the mark before predicted."""
    week: LiveWeek


def page(request: Request) -> Response:
    """The page; it says so if the figures are still being counted."""
    site = Site.of(request)
    zone = zone_of(request)
    model = model_name(site.champion())
    read = partial(_read, site, model, zone)
    kept = site.kept.soon(f"quality {model} {zone}", read, FRESH)
    if kept is None:
        return site.render(request, "quality.html", figures=None)
    figures = kept.value
    classes = {name for week in figures.weeks for name in week.classes}
    return site.render(
        request,
        "quality.html",
        figures=figures,
        at=kept.at,
        zone=name_of(zone),
        model=model,
        points=live_points(figures.live),
        classes=sorted(classes, key=str.casefold),
        most_predicted=max([*figures.histogram, 1]),
        n_bins=len(figures.histogram),
        shade=shade,
        shades=SHADES,
        most=MOST_DOUBTFUL,
        draws_none=not site.settings.review_share,
    )


def live_points(live: Sequence[LiveWeek]) -> list[LivePoint]:
    """The marks of the newest weeks; those without a decided clip have none."""
    decided = [week for week in live if week.n]
    mondays = sorted({week.week for week in decided})[-CHART_WEEKS:]
    points: list[LivePoint] = []
    for week in decided:
        if week.week not in mondays:
            continue
        is_new = bool(points) and points[-1].week.model != week.model
        points.append(_point(week, len(points), is_new=is_new))
    return points


def _point(week: LiveWeek, place: int, *, is_new: bool) -> LivePoint:
    low, high = week.interval
    return LivePoint(
        x=place + 0.5,
        y=HEIGHT * (1 - week.right / week.n),
        low=HEIGHT * (1 - low),
        high=HEIGHT * (1 - high),
        is_new_model=is_new,
        week=week,
    )


def _read(site: Site, model: str, zone: tzinfo | None) -> Figures:
    moment = now()
    folders = Folders(site.home.root)
    with site.reader.begin() as connection:
        weeks = accuracy.weeks(connection, moment, zone=zone)
        labels, damage = None, ""
        try:
            least = site.settings.min_class_clips
            found = examine(connection, folders, site.home.models, least)
            labels = _without_blind(connection, found)
        except VidwatchError as error:
            damage = str(error)
        return Figures(
            live=accuracy.live_accuracy(connection, zone),
            bins=accuracy.calibration(connection, model),
            histogram=confusion.histogram(connection, model),
            weeks=list(dropwhile(lambda week: not week.n, weeks))[::-1],
            warnings=accuracy.drift(connection, moment),
            drawn=connection.scalar(select(func.count()).where(videos.c.sampled)) or 0,
            left_out=connection.scalar(select(func.count()).where(is_left_out())) or 0,
            random=confusion.of_random_share(connection, model),
            other=confusion.of_other_labels(connection, model),
            labels=labels,
            damage=damage,
        )


def _without_blind(connection: Connection, found: LabelQuality) -> LabelQuality:
    """Without clips that await their random review, though somebody labelled them before.

    What is wrong with such a label tells what was predicted.
    """
    blind = set(connection.scalars(blind_ids()))
    return replace(
        found,
        doubted=[one for one in found.doubted if one.id not in blind],
        two_ways=[one for one in found.two_ways if one.id not in blind],
        odd=[one for one in found.odd if one.id not in blind],
    )
