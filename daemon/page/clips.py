"""Clips: all videos, the newest first, by filters; several are labelled at once.

Clips of the random share that await their review are shown as a number alone, and not at all if
what is asked for could tell of their class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from daemon.database.tables import videos
from daemon.database.values import STATES
from daemon.export.filters import WEEKDAYS, Filters
from daemon.export.listing import Count, Listing, Search
from daemon.export.pieces import csv_pieces
from daemon.export.search import found_by_ids
from daemon.home.clock import now
from daemon.labels.classes import DidYouMeanError, offered_classes
from daemon.labels.labels import newest_label
from daemon.labels.queries import is_blind
from daemon.page import searches
from daemon.page.cards import Card, read_cards
from daemon.page.clips_query import VIEWS, ClipsQuery
from daemon.page.forms import is_id, read_submission, text_fields, texts
from daemon.page.queue import Wish
from daemon.page.requests import frames_of
from daemon.page.site import Site
from daemon.page.times import zone_of
from daemon.report.events import UNSURE
from learner.errors import VidwatchError

PATH = "/clips"
SHOWN = 48  # clips
ROWS = 100  # of a table
FRESH = 30.0  # seconds for which a count is not made again
NAMES_FRESH = 60.0  # seconds, of the classes and sources that are offered
MOST_SOURCES = 500


@dataclass(frozen=True)
class Entry:
    """A video in the list."""

    id: int
    row: Mapping[str, Any]
    """As `vidwatch search` has it; not to be shown if it is blind."""
    is_blind: bool
    card: Card | None
    """Of its content; None if that has no prediction."""
    problem: str | None
    """Why its picture cannot be shown."""

    @property
    def title(self) -> str:
        """How it is named on the page."""
        if self.is_blind:
            return f"clip {self.id}"
        name: str = self.row["name"]
        return f"{self.row['source']}/{name}" if self.row["source"] else name

    @property
    def when(self) -> str:
        """When it was recorded; when it arrived, if that is not known."""
        return str(self.row["recorded_at"] or self.row["arrived_at"])


@dataclass(frozen=True)
class Refusal:
    """Why the form for several clips was refused."""

    reason: str
    ids: Sequence[str] = ()
    typed: str = ""
    meant: str = ""
    """The class that was probably meant; empty if that is not the question."""


def page(request: Request) -> Response:
    """The clips that the address asks for."""
    return _list(request, ClipsQuery.of(dict(request.query_params)))


def table_file(request: Request) -> Response:
    """The same as CSV. Clips that await their random review are never in it."""
    site = Site.of(request)
    query = ClipsQuery.of(dict(request.query_params))
    filters = query.filters(zone_of(request))
    pieces = csv_pieces(site.reader, replace(filters, without_blind=True))
    headers = {"Content-Disposition": 'attachment; filename="clips.csv"'}
    return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=headers)


async def submit(request: Request) -> Response:
    """Label the selected clips, undo, or keep or forget a search, as a form asks for."""
    form = await Site.of(request).form(request)
    fields = text_fields(form)
    ids = texts(form, "id")
    return await run_in_threadpool(_submit, request, fields, ids)


def _submit(request: Request, fields: Mapping[str, str], ids: list[str]) -> Response:
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    query = ClipsQuery.of_text(fields.get("query", ""))
    action = fields.get("action", "")
    try:
        if action == "undo":
            session.message = site.page_labels.undo(session, reviewer)
        elif action == "keep":
            kept = searches.keep(
                site.writer, fields.get("title", ""), query.search, reviewer, now()
            )
            session.message = f"kept as {kept}"
        elif action == "forget":
            if is_id(fields.get("search", "")):
                searches.forget(site.writer, int(fields["search"]))
            session.message = "the search is not kept any more"
        else:
            submission = replace(read_submission(fields, ids), knows=True)
            session.message = site.page_labels.apply(submission, session, reviewer)
    except DidYouMeanError as error:
        given, meant = next(iter(error.meant.items()))
        return _list(request, query, Refusal(str(error), ids, given, meant))
    except VidwatchError as error:
        return _list(request, query, Refusal(str(error), ids, fields.get("other", "")))
    return site.done(f"{PATH}?{query.text}")


def _list(request: Request, query: ClipsQuery, refusal: Refusal | None = None) -> Response:
    site = Site.of(request)
    session = site.session(request)
    listing = Listing((), None, False)
    count: Count | None = None
    error = ""
    leaves_out_blind = False
    try:
        filters = query.filters(zone_of(request))
        leaves_out_blind = filters.without_blind
        listing = _find(site, query, filters)
        count = site.kept.get(
            f"clips {zone_of(request)} {query.search}", lambda: _count(site, filters), FRESH
        ).value
    except VidwatchError as wrong:
        error = str(wrong)
    with site.reader.begin() as connection:
        entries = _entries(connection, site, listing.ids)
        newest = newest_label(connection)
        kept = searches.kept_searches(connection)
    offered = site.kept.get("offered classes", lambda: _offered(site), NAMES_FRESH).value
    sources = site.kept.get("sources", lambda: _sources(site), NAMES_FRESH).value
    champion = site.champion()
    message = session.message
    session.message = ""
    return site.render(
        request,
        "clips.html",
        422 if refusal or error else 200,
        query=query,
        error=error,
        leaves_out_blind=leaves_out_blind,
        listing=listing,
        **_places(query, listing),
        count=count,
        entries=entries,
        classes=offered,
        sources=sources,
        states=STATES,
        views=VIEWS,
        weekdays=WEEKDAYS,
        unsure=UNSURE,
        wish=Wish(),
        searches=kept,
        seen=newest,
        asked=list(session.questions.items()),
        model=champion,
        frames=frames_of(site, champion),
        refusal=refusal or Refusal(""),
        message=message or (refusal.reason if refusal else ""),
    )


def _places(query: ClipsQuery, listing: Listing) -> dict[str, str]:
    """The addresses of the newer and the older clips; empty if there are none."""
    ids = listing.ids
    newer = older = ""
    if query.after is not None:
        older = query.at(before=ids[-1] if ids else query.after + 1)
        newer = "" if listing.go_on is None else query.at(after=listing.go_on)
    else:
        older = "" if listing.go_on is None else query.at(before=listing.go_on)
        if query.before is not None:
            newer = query.at(after=ids[0] if ids else query.before - 1)
    return {"newer": newer, "older": older}


def _find(site: Site, query: ClipsQuery, filters: Filters) -> Listing:
    most = ROWS if query.is_table else SHOWN
    with site.reader.begin() as connection:
        search = Search(connection, filters)
        return search.page(most, before=query.before, after=query.after)


def _count(site: Site, filters: Filters) -> Count:
    with site.reader.begin() as connection:
        return Search(connection, filters).count()


def _entries(connection: Connection, site: Site, ids: Sequence[int]) -> list[Entry]:
    """The videos of a list, in its order."""
    rows = found_by_ids(connection, ids)
    blind = set(connection.scalars(select(videos.c.id).where(videos.c.id.in_(ids), is_blind())))
    contents = {row["duplicate_of"] or video for video, row in rows.items()}
    cards = {card.id: card for card in read_cards(connection, site.home, sorted(contents))}
    entries = []
    for video in ids:
        card = cards.get(rows[video]["duplicate_of"] or video)
        problem = site.pictures.problem(card) if card else None
        entries.append(Entry(video, rows[video], video in blind, card, problem))
    return entries


def _offered(site: Site) -> list[str]:
    with site.reader.begin() as connection:
        return offered_classes(connection)


def _sources(site: Site) -> list[str]:
    """The folders of the inbox, and the sources, that videos came from: the first ones by name.

    Each is found from the one before: an index gives the next one, without reading all videos.
    """
    found: list[str] = []
    with site.reader.begin() as connection:
        while len(found) < MOST_SOURCES:
            following = select(videos.c.source).where(videos.c.source.is_not(None))
            if found:
                following = following.where(videos.c.source > found[-1])
            source = connection.scalar(following.order_by(videos.c.source).limit(1))
            if source is None:
                break
            found.append(source)
    return found
