"""Changes of classes by forms of the page: a new name or text, and what is asked about first.

They go through `ClassChanges`, as those of the command line do.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, func, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.database.tables import labels
from daemon.home import settings
from daemon.home.clock import now
from daemon.home.texts import printable
from daemon.labels.class_changes import ClassChanges
from daemon.labels.class_descriptions import describe
from daemon.labels.parts import labels_of_parts
from daemon.labels.queries import newest
from daemon.page import classes
from daemon.page.classes import PATH, Refusal, anchor
from daemon.page.requests import obeyed
from daemon.page.site import Site
from learner.errors import VidwatchError
from learner.texts import counted


def ask_merge(request: Request) -> Response:
    """Ask whether a class is to be part of another one, with what that changes."""
    given = request.query_params
    return _question(request, given.get("class", ""), given.get("into", ""))


def ask_retire(request: Request) -> Response:
    """Ask whether all labels of a class are to be taken back."""
    return _question(request, request.query_params.get("class", ""), None)


def _question(request: Request, name: str, into: str | None, refusal: str = "") -> Response:
    """The question; `into` is None if the class is to be retired."""
    site = Site.of(request)
    known = {one.known.name: one.known for one in classes.kept(site).value}
    with site.reader.begin() as connection:
        n = _count(connection, name)
    if name not in known:
        raise HTTPException(404, f"There is no class {name[:200]!r}.")
    if into is not None and (into not in known or into == name):
        reason = "choose the class that it is part of"
        return classes.page(request, Refusal(reason, name, "merge", into))
    return site.render(
        request,
        "classes_question.html",
        422 if refusal else 200,
        one=known[name],
        into=into,
        n=n,
        refusal=refusal,
        back=f"{PATH}#{anchor(name)}",
    )


def _count(connection: Connection, name: str) -> int:
    """How many labels of a class count, those of parts included."""
    of_class = newest().where(labels.c["class"] == name).subquery()
    n = connection.scalar(select(func.count()).select_from(of_class)) or 0
    return n + len(labels_of_parts(connection, class_name=name))


async def rename(request: Request) -> Response:
    """Give a class another name."""
    return await obeyed(request, _rename)


async def merge(request: Request) -> Response:
    """Make a class part of another one, as the person has said on the question's page."""
    return await obeyed(request, _merge)


async def retire(request: Request) -> Response:
    """Take all labels of a class back, as the person has said on the question's page."""
    return await obeyed(request, _retire)


async def write_description(request: Request) -> Response:
    """Keep what a person writes of a class."""
    return await obeyed(request, _describe)


def _rename(request: Request, fields: Mapping[str, str]) -> Response:
    old = fields.get("class", "")
    new = fields.get("new", "")
    try:
        name, n = _changes(request).rename(old, new, now())
    except VidwatchError as error:
        return classes.page(request, Refusal(str(error), old, "rename", new))
    return _done(request, f"{old} is {name} from now on", n)


def _merge(request: Request, fields: Mapping[str, str]) -> Response:
    old = fields.get("class", "")
    into = fields.get("into", "")
    if stale := _stale(request, fields):
        return _question(request, old, into, stale)
    try:
        n = _changes(request).merge(old, into, now())
    except VidwatchError as error:
        return _question(request, old, into, str(error))
    return _done(request, f"{old} is part of {into} from now on", n)


def _retire(request: Request, fields: Mapping[str, str]) -> Response:
    name = fields.get("class", "")
    if stale := _stale(request, fields):
        return _question(request, name, None, stale)
    try:
        n = _changes(request).retire(name, now())
    except VidwatchError as error:
        return _question(request, name, None, str(error))
    return _done(request, f"{name} is retired", n)


def _describe(request: Request, fields: Mapping[str, str]) -> Response:
    site = Site.of(request)
    who = site.require_reviewer(request)
    name = fields.get("class", "")
    text = fields.get("text", "")
    try:
        describe(site.writer, name, text, who, now())
    except VidwatchError as error:
        return classes.page(request, Refusal(str(error), name, "describe", text))
    site.session(request).message = f"{printable(name)}: description kept"
    # No figure has changed: none is counted again.
    return RedirectResponse(f"{PATH}#{anchor(name)}", 303)


def _changes(request: Request) -> ClassChanges:
    site = Site.of(request)
    who = site.require_reviewer(request)
    return ClassChanges(site.writer, settings.load_folders(site.home.settings), who)


def _stale(request: Request, fields: Mapping[str, str]) -> str:
    """That labels were given or taken back since the question was asked; empty if none were."""
    name = fields.get("class", "")
    with Site.of(request).reader.begin() as connection:
        n = _count(connection, name)
    if fields.get("n") == str(n):
        return ""
    return f"Nothing was changed: meanwhile {counted(n, 'label')} of {name} count. Answer again."


def _done(request: Request, what: str, n: int) -> Response:
    site = Site.of(request)
    state = site.state()
    later = "; the daemon moves the files when it runs"
    text = later if state is None or state.daemon == "not running" else ""
    site.session(request).message = f"{printable(what)}: {counted(n, 'label')} changed{text}"
    return site.done(PATH)
