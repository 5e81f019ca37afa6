"""Today: what came lately, what to look at, and the last clips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

from sqlalchemy import Connection, and_, select
from starlette.requests import Request
from starlette.responses import Response

from daemon.database.expressions import that_counts
from daemon.database.tables import predictions, videos
from daemon.home.clock import now
from daemon.home.folders import Folders
from daemon.page.cards import read_cards
from daemon.page.charts import spark
from daemon.page.failures import Reason, read_troubles
from daemon.page.requests import frames_of
from daemon.page.site import Site
from daemon.page.times import name_of, zone_of
from daemon.report.lately import DAYS, Day, days
from daemon.report.status import Status, read_status

SHOWN = 12  # clips
MOST_TROUBLES = 10
FRESH = 10.0  # seconds for which figures are not read again


@dataclass(frozen=True)
class Figure:
    """How many videos something happened to."""

    name: str
    today: int
    week: int
    """Of the last seven days, today included."""
    points: str
    """The line of the days; see `spark`."""
    words: str
    """The days, for a screen reader."""


@dataclass(frozen=True)
class Counted:
    """What takes a while to count."""

    figures: list[Figure]
    warnings: list[str]
    """What a person should know, or do something about."""
    has_videos: bool


def page(request: Request) -> Response:
    """The page that one opens first; it says so if the figures are still being counted."""
    site = Site.of(request)
    session = site.session(request)
    zone = zone_of(request)
    champion = site.champion()
    kept = site.kept.soon(f"today {zone}", partial(_read, site, zone), FRESH, longer=0)
    counted = kept.value if kept else None
    waits = site.waits() if counted else None
    with site.reader.begin() as connection:
        cards = read_cards(connection, site.home, _newest(connection))
    message = session.message
    session.message = ""
    return site.render(
        request,
        "today.html",
        message=message,
        counted=counted,
        at=kept.at if kept else None,
        zone=name_of(zone),
        n_days=DAYS,
        is_counting=counted is None or waits is None,
        waits=waits,
        cards=[(card, site.pictures.problem(card)) for card in cards],
        model=champion,
        frames=frames_of(site, champion),
        inbox=str(site.home.inbox),
    )


def _read(site: Site, zone: tzinfo | None) -> Counted:
    status = read_status(site.home, now())
    with site.reader.begin() as connection:
        lately = days(connection, now(), zone)
        troubles = read_troubles(connection, Folders(site.home.root))
    return Counted(
        figures=_figures(lately),
        warnings=list(_warnings(status, troubles[:MOST_TROUBLES])),
        has_videos=any(status.counts[state] for state in ("filed", "failed", "queued")),
    )


def _newest(connection: Connection) -> list[int]:
    """The videos that were finished last, copies of earlier ones left out."""
    has_prediction = select(predictions.c.id).where(
        predictions.c.video_id == videos.c.id, that_counts()
    )
    is_shown = and_(
        videos.c.finished_at.is_not(None),
        videos.c.duplicate_of.is_(None),
        has_prediction.exists(),
    )
    query = select(videos.c.id).where(is_shown)
    query = query.order_by(videos.c.finished_at.desc(), videos.c.id.desc()).limit(SHOWN)
    return list(connection.scalars(query))


def _figures(lately: list[Day]) -> list[Figure]:
    figures = []
    for name in ("came", "predicted", "unsure", "failed"):
        values = [getattr(day, name) for day in lately]
        words = ", ".join(f"{day.day:%a} {getattr(day, name)}" for day in lately)
        figures.append(Figure(name, values[-1], sum(values), spark(values), words))
    return figures


def _warnings(status: Status, troubles: Sequence[Reason]) -> Iterator[str]:
    """What a person should know, or do something about.

    The troubles in the status name the classes of clips that are to be reviewed without that.
    """
    if status.running:
        yield from status.running.notices.values()
    if status.settings_are_newer:
        yield "vidwatch.toml was changed after the daemon started: it counts from the next start"
    if status.guessing:
        yield f"the model {status.model} is {status.guessing}: do not rely on it"
    if status.fallback:
        yield status.fallback
    yield from status.quality.drift
    yield from status.odd_names
    yield from status.links
    yield from status.loose_files
    for trouble in troubles:
        more = f", and {trouble.n - 1} more" if trouble.n > 1 else ""
        yield f"{trouble.newest[0].title}{more}: {trouble.text}"
