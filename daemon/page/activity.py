"""Activity: what was recorded when and where. Every mark leads to its clips."""

import csv
import io
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from daemon.home.clock import now
from daemon.home.texts import without_formula
from daemon.page.activity_drawing import GRIDS, HOURS, UNSURE_KIND, Asked, Shown, draw, shown_kind
from daemon.page.kept import Kept
from daemon.page.site import Site
from daemon.page.times import name_of, zone_of
from daemon.report.activity import Activity, By, Slot, most_common, read_activity

FRESH = 60.0  # seconds for which figures are not counted again
SPANS = {"week": 7, "month": 30, "quarter": 91, "year": 365, "all": 36_500}
TIME = "time"  # the picture of classes over time; the others are `GRIDS`
MOST_NAMES = 200  # of classes to choose from


@dataclass(frozen=True)
class Drawn:
    """What is shown of the figures."""

    asked: Asked
    n: int
    """How many videos are asked for."""
    shown: Shown | None
    """None if there is none."""
    names: list[str]
    """The classes to choose from."""
    sources: list[str]


def page(request: Request) -> Response:
    """The page; it says so if the figures are still being counted."""
    site = Site.of(request)
    by = _by(request)
    zone = zone_of(request)
    shared: dict[str, Any] = {
        "zone": name_of(zone),
        "spans": list(SPANS),
        "unsure": UNSURE_KIND,
        "by": by,
    }
    kept = _kept(request, by)
    drawn = _drawn(request, kept) if kept else None
    if kept is None or drawn is None:
        return site.render(request, "activity.html", activity=None, **shared)
    return site.render(
        request,
        "activity.html",
        activity=kept.value,
        at=kept.at,
        hours=HOURS,
        shown_kind=shown_kind,
        **vars(drawn.value),
        **shared,
    )


def as_csv(request: Request) -> Response:
    """The figures of one picture as CSV."""
    by = _by(request)
    name = request.path_params["chart"]
    if name not in (TIME, *GRIDS):
        raise HTTPException(404, "There is no such picture.")
    kept = _kept(request, by)
    drawn = _drawn(request, kept) if kept else None
    if drawn is None:
        raise HTTPException(503, "The figures are being counted: try again.")
    shown = drawn.value.shown
    rows: list[list[str | int]]
    if shown is None:
        rows = []
    elif name == TIME:
        rows = [["begins", *map(shown_kind, shown.kinds)]]
        rows += [[begin, *(n[kind] for kind in shown.kinds)] for begin, n, _ in shown.columns]
    else:
        grid = shown.grids[name]
        rows = [[grid.corner, *grid.columns]]
        rows += [[row, *(cell.n for cell in cells)] for row, cells in grid.rows]
    text = io.StringIO()
    for row in rows:
        harmless = (without_formula(one) if isinstance(one, str) else one for one in row)
        csv.writer(text).writerow(harmless)
    headers = {"Content-Disposition": f'attachment; filename="vidwatch-{name}.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _by(request: Request) -> By:
    """Which time counts. If it is not asked for, the one that most videos have."""
    asked = request.query_params.get("by")
    if asked in ("came", "recorded"):
        return "came" if asked == "came" else "recorded"
    kept = _kept(request, "recorded")
    if kept and kept.value.unknown > sum(slot.n for slot in kept.value.slots):
        return "came"
    return "recorded"


def _kept(request: Request, by: By) -> Kept[Activity] | None:
    """All figures; None if they are still being counted."""
    site = Site.of(request)
    zone = zone_of(request)

    def read() -> Activity:
        with site.reader.begin() as connection:
            return read_activity(connection, by, zone)

    return site.kept.soon(f"activity {by} {zone}", read, FRESH)


def _drawn(request: Request, kept: Kept[Activity]) -> Kept[Drawn] | None:
    """The pictures of what is asked for; None if they are still being drawn."""
    fields = sorted(request.query_params.items())

    def draw_them() -> Drawn:
        asked = _asked(request, kept.value, _by(request))
        slots = _asked_for(kept.value, asked)
        return Drawn(
            asked=asked,
            n=sum(slot.n for slot in slots),
            shown=draw(slots, asked) if slots else None,
            names=most_common(kept.value.slots, MOST_NAMES),
            sources=sorted({slot.source for slot in kept.value.slots}),
        )

    name = f"drawn {fields} {zone_of(request)} {kept.at}"
    return Site.of(request).kept.soon(name, draw_them, float("inf"))


def _asked(request: Request, activity: Activity, by: By) -> Asked:
    given = request.query_params
    span = given.get("span", "")
    source = given.get("source", "*")
    span = span if span in SPANS else "month"
    slots = activity.slots
    # The newest video, not the day of today: the card of a camera may be a month old.
    last = slots[-1].at.date() if slots else now().astimezone(zone_of(request)).date()
    earliest = slots[0].at.date() if slots else last
    first = max(last - timedelta(days=SPANS[span] - 1), earliest)
    first = max(_day(given.get("from"), first), earliest)
    last = min(_day(given.get("to"), last), last)
    return Asked(span, by, first, last, given.get("class", ""), None if source == "*" else source)


def _day(text: str | None, otherwise: date) -> date:
    try:
        return date.fromisoformat(text) if text else otherwise
    except ValueError:
        return otherwise


def _asked_for(activity: Activity, asked: Asked) -> list[Slot]:
    return [
        slot
        for slot in activity.within(asked.first, asked.last)
        if asked.class_name in ("", slot.class_name or UNSURE_KIND)
        and asked.source in (None, slot.source)
    ]
