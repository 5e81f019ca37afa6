"""A grid of clips that are probably of one class: people mark the wrong ones, and accept the rest.

Clips of the random share are never in it: it would tell what was predicted of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.labels.classes import DidYouMeanError, offered_classes
from daemon.labels.labels import newest_label
from daemon.labels.next_clips import of_class, sure_of_class
from daemon.page.cards import Card, read_cards
from daemon.page.forms import is_id, read_submission, text_fields, texts
from daemon.page.names import ask_name
from daemon.page.queue import Wish
from daemon.page.requests import frames_of
from daemon.page.site import Site
from learner.errors import VidwatchError
from learner.texts import counted

PATH = "/grid"
SHOWN = 24  # clips
COMPARED = 400  # clips that are compared with one, to find those that are like it


@dataclass(frozen=True)
class Sought:
    """Which clips a grid shows."""

    class_name: str = ""
    """The sure predictions of this class."""
    like: int | None = None
    """Clips that look like this one; instead of a class."""

    @property
    def query(self) -> str:
        """What follows the path in an address."""
        return (
            f"?like={self.like}" if self.like is not None else Wish("class", self.class_name).query
        )


def page(request: Request) -> Response:
    """The grid that the address asks for."""
    if not Site.of(request).reviewer(request):
        return ask_name(request)
    if not any(request.query_params.get(name) for name in ("like", "of", "class")):
        return RedirectResponse("/review")  # which leads to the grids of classes
    return _page(request, _sought(request.query_params))


def _sought(fields: Mapping[str, str]) -> Sought:
    like = fields.get("like", "")
    if is_id(like):
        return Sought(like=int(like))
    if name := fields.get("of", "") or fields.get("class", ""):
        return Sought(name)
    raise HTTPException(404, "A grid is of a class, or of clips that are like one.")


def _page(
    request: Request, sought: Sought, error: str = "", typed: str = "", meant: str = ""
) -> Response:
    """The page; `typed` is the class of a form that was refused, `meant` the one probably meant."""
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    champion = site.champion()
    hidden = session.skipped | set(session.first)
    with site.reader.begin() as connection:
        example = _example(site, connection, sought)
        if example is None:
            most = SHOWN + len(hidden)
            ids = [one.id for one in sure_of_class(connection, sought.class_name, most)]
        else:
            candidates = of_class(connection, example.predicted, COMPARED)
            others = read_cards(connection, site.home, [one.id for one in candidates])
    if example is not None:  # a model may have to be loaded: no transaction waits for it
        ids = site.pictures.alike(example, others, champion)
    ids = list(islice((one for one in ids if one not in hidden), SHOWN))
    with site.reader.begin() as connection:
        cards = [card for card in read_cards(connection, site.home, ids) if not card.is_blind]
        classes = offered_classes(connection)
        newest = newest_label(connection)
        can_undo = site.page_labels.can_undo(connection, session, reviewer)
    message = session.message
    session.message = ""
    return site.render(
        request,
        "grid.html",
        422 if error else 200,
        sought=sought,
        example=example,
        cards=[(card, site.pictures.problem(card)) for card in cards],
        classes=classes,
        seen=newest,
        can_undo=can_undo,
        has_questions=bool(session.questions),
        model=champion,
        frames=frames_of(site, champion),
        typed=typed or (example.predicted if example else sought.class_name),
        meant=meant,
        message=error or message,
    )


def _example(site: Site, connection: Connection, sought: Sought) -> Card | None:
    """The clip that the others are to be like; None if that is not what is sought.

    Raises:
        HTTPException: there is no such clip, or it is to be reviewed first.
    """
    if sought.like is None:
        return None
    cards = read_cards(connection, site.home, [sought.like])
    if not cards or cards[0].is_blind:
        raise HTTPException(404, "There is no such clip, or it is to be labelled first.")
    return cards[0]


async def submit(request: Request) -> Response:
    """Label the clips that are not marked."""
    form = await Site.of(request).form(request)
    fields = text_fields(form)
    shown, wrong = texts(form, "id"), texts(form, "wrong")
    return await run_in_threadpool(_submit, request, fields, shown, wrong)


def _submit(
    request: Request, fields: Mapping[str, str], shown: Sequence[str], wrong: Sequence[str]
) -> Response:
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    sought = _sought(fields)
    right = [one for one in shown if one not in wrong]
    message = ""
    try:
        if right:
            # All that is in a grid is predicted as its class: no label of it is blind.
            submission = replace(read_submission(fields, right), knows=True)
            message = site.page_labels.apply(submission, session, reviewer)
    except DidYouMeanError as error:
        given, meant = next(iter(error.meant.items()))
        return _page(request, sought, str(error), given, meant)
    except VidwatchError as error:
        return _page(request, sought, str(error), fields.get("other", ""))
    marked = [int(one) for one in wrong if is_id(one)]
    session.first = [*marked, *session.first]
    session.goal = None
    if marked:
        message = f"{message}. " if message else ""
        message += f"{counted(len(marked), 'clip')} marked: the review begins with them"
    session.message = message
    return site.done(PATH + sought.query)
