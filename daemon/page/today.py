"""Today: what came lately, what to look at, and the last clips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


def page(request: Request) -> Response:
    """The page that one opens first."""
    site = Site.of(request)
    session = site.session(request)
    zone = zone_of(request)
    lately = site.kept.get(f"lately {zone}", lambda: _read_days(site, request), FRESH)
    status = site.kept.get("status", lambda: read_status(site.home, now()), FRESH)
    champion = site.champion()
    with site.reader.begin() as connection:
        cards = read_cards(connection, site.home, _newest(connection))
        troubles = read_troubles(connection, Folders(site.home.root))
    message = session.message
    session.message = ""
    return site.render(
        request,
        "today.html",
        message=message,
        figures=_figures(lately.value),
        at=lately.at,
        zone=name_of(zone),
        n_days=DAYS,
        warnings=list(_warnings(status.value, troubles[:MOST_TROUBLES])),
        waits=site.waits(),
        cards=[(card, site.pictures.problem(card)) for card in cards],
        model=champion,
        frames=frames_of(site, champion),
        inbox=str(site.home.inbox),
        has_videos=any(status.value.counts[state] for state in ("filed", "failed", "queued")),
    )


def _read_days(site: Site, request: Request) -> list[Day]:
    with site.reader.begin() as connection:
        return days(connection, now(), zone_of(request))


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
