"""Times on the page: in the zone of the person's browser, or else of this machine, named."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from markupsafe import Markup
from starlette.requests import Request

from daemon.home.clock import local_time, now

COOKIE = "vidwatch-zone"  # the name of the browser's zone; `static/times.js` sets it
LONGEST_NAME = 64  # characters


def time_element(moment: datetime | str) -> Markup:
    """A time as HTML: `static/times.js` writes it in the browser's zone.

    Args:
        moment: With a time zone, or as text in ISO 8601. Other texts, and days, are shown as they
            are.
    """
    if isinstance(moment, str):
        try:
            read = datetime.fromisoformat(moment)
        except ValueError:
            return Markup.escape(moment)
        if read.tzinfo is None:
            return Markup.escape(moment)
        moment = read
    exact = moment.astimezone(UTC).isoformat(timespec="seconds")
    return Markup('<time datetime="{}">{}</time>').format(exact, local_time(moment))


def zone_of(request: Request) -> tzinfo | None:
    """The zone of the browser that a request came from; None if it is not known."""
    name = request.cookies.get(COOKIE, "")
    if not 0 < len(name) <= LONGEST_NAME:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, OSError):  # no zone has this name
        return None


def name_of(zone: tzinfo | None) -> str:
    """The name of a zone, for people; of this machine's zone if it is None."""
    return str(zone) if zone else str(now().astimezone().tzname())
