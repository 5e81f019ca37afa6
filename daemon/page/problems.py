"""Problems: what failed and why, what is tried again by itself, and the end of the log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import ColumnElement, Connection, and_, select, update
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from daemon.classify.trying_again import TryingAgain
from daemon.database.by_whom import note_person
from daemon.database.tables import videos
from daemon.home import settings
from daemon.home.clock import now
from daemon.home.left_alone import LeftAlone
from daemon.home.links import links_in
from daemon.home.logs import Unit
from daemon.home.loose_files import loose_files_in_words
from daemon.labels.odd_names import odd_names
from daemon.page.failures import (
    LOG_LINES,
    MOST_REASONS,
    Reason,
    count_failures,
    like,
    may_be_tried,
    read_failures,
    read_log,
    read_troubles,
)
from daemon.page.forms import is_id, text_fields
from daemon.page.site import Site
from daemon.report.receivers import ReceiverStatus, read_receivers
from daemon.report.waits import Wait, waits
from learner.errors import VidwatchError
from learner.texts import counted, listed

PATH = "/problems"
FRESH = 15.0  # seconds for which this is not read again
MOST_WAITS = 50
_Obey = Callable[[Site, Mapping[str, str], str], str]  # the last is who asks
AT_ONCE = 500  # videos that are tried again at once
NAMED = 3  # refusals of a message


@dataclass(frozen=True)
class Figures:
    """All that the page shows."""

    failures: list[Reason]
    n_failures: int
    troubles: list[Reason]
    waits: list[Wait]
    receivers: list[ReceiverStatus]
    """Those that something is wrong with."""
    names: list[str]
    """What is wrong with names of classes, with files and with links, and what to do."""
    log: list[str]
    unit: Unit | None
    """The unit of systemd whose journal has the log; None if the home has it."""
    log_problem: str
    """Why the log cannot be read; empty if it can."""


def page(request: Request) -> Response:
    """The page; it says so if the figures are still being counted."""
    return _page(request)


def _page(request: Request, refusal: str = "", refused: str = "") -> Response:
    """The page, with the reason why a form was refused.

    Args:
        request: What is answered.
        refusal: The reason; empty if none was.
        refused: The id of the video that the form was about.
    """
    site = Site.of(request)
    session = site.session(request)
    # What a refused form says must not be lost while this is read.
    ask = site.kept.get if refusal else site.kept.soon
    kept = ask("problems", partial(_read, site), FRESH)
    message = session.message if kept else ""
    session.message = "" if kept else session.message
    running = site.home.running()
    figures = kept.value if kept else None
    shown = figures.failures if figures else []
    at_form = any(refused == str(one.id) for reason in shown for one in reason.newest)
    return site.render(
        request,
        "problems.html",
        422 if refusal else 200,
        figures=figures,
        notices=list(running.notices.items()) if running else [],
        most=MOST_REASONS,
        most_waits=MOST_WAITS,
        at_once=AT_ONCE,
        lines=LOG_LINES,
        message=message or ("" if at_form else refusal),
        refusal=refusal,
        refused=int(refused) if at_form else None,
    )


async def again(request: Request) -> Response:
    """Try failed videos again, as a form asks for."""
    return await _obeyed(request, _try_again)


async def forget(request: Request) -> Response:
    """Take failures from the list, as a form asks for. No file is touched."""
    return await _obeyed(request, _forget)


async def _obeyed(request: Request, obey: _Obey) -> Response:
    form = await Site.of(request).form(request)
    fields = text_fields(form)
    return await run_in_threadpool(_answered, request, fields, obey)


def _answered(request: Request, fields: Mapping[str, str], obey: _Obey) -> Response:
    site = Site.of(request)
    who = site.require_reviewer(request)
    try:
        message = obey(site, fields, who)
    except VidwatchError as error:
        site.kept.forget()
        return _page(request, str(error), fields.get("id", ""))
    site.session(request).message = message
    return site.done(PATH)


def _try_again(site: Site, fields: Mapping[str, str], who: str) -> str:
    trying = TryingAgain(site.writer, site.home)
    with site.reader.begin() as connection:
        which = and_(_wanted(connection, fields), may_be_tried(trying.folders))
        query = select(videos.c.id).where(which).order_by(videos.c.id.desc()).limit(AT_ONCE)
        ids = list(connection.scalars(query))
    if not ids:
        raise VidwatchError("its file is not in failed/: it cannot be tried again from here")
    done = trying.try_again(ids, now(), who)
    if not done.n:
        reasons = _refusals(done.refused) or ["it is being tried again already"]
        raise VidwatchError(listed(reasons, NAMED))
    message = f"{counted(done.n, 'video')} tried again"
    if done.refused:
        return f"{message}; not these: {listed(_refusals(done.refused), NAMED)}"
    return message


def _refusals(refused: Mapping[int, str]) -> list[str]:
    return [f"video {video}: {reason}" for video, reason in refused.items()]


def _forget(site: Site, fields: Mapping[str, str], who: str) -> str:
    with site.writer.execution_options(writes=True).begin() as connection:
        which = _wanted(connection, fields)
        note_person(connection, which, "failed", f"forgotten by {who}")
        these = update(videos).where(which)
        n = connection.execute(these.values(forgotten_at=now())).rowcount
    return f"{counted(n, 'failure')} forgotten: no file was touched"


def _wanted(connection: Connection, fields: Mapping[str, str]) -> ColumnElement[bool]:
    """The failures that a form is about: that of one video, or all of the same reason.

    Raises:
        VidwatchError: it names none, or it is no failure any more.
    """
    given = fields.get("id", "")
    if not is_id(given):
        raise VidwatchError("the form names no video")
    same = like(connection, int(given))
    return same if "all" in fields else and_(same, videos.c.id == int(given))


def _read(site: Site) -> Figures:
    folders = settings.load_folders(site.home.settings)
    with site.reader.begin() as connection:
        names = odd_names(connection, site.home.root)
        log: list[str] = []
        unit, log_problem = None, ""
        try:
            log, unit = read_log(connection, site.home)
        except OSError as error:
            log_problem = f"the log in {site.home.logs} cannot be read ({error.strerror})"
        receivers = read_receivers(connection)
        return Figures(
            failures=read_failures(connection, folders),
            n_failures=count_failures(connection),
            troubles=read_troubles(connection, folders),
            waits=waits(connection, MOST_WAITS),
            receivers=[one for one in receivers if one.failure or one.given_up],
            names=[*names, *links_in(site.home.root), *_loose_files(site)],
            log=log,
            unit=unit,
            log_problem=log_problem,
        )


def _loose_files(site: Site) -> list[str]:
    def left_alone() -> LeftAlone:
        return settings.load_left_alone(site.home.settings)

    return loose_files_in_words(site.home.root, left_alone)
