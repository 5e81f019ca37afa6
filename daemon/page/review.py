"""Review: the queue of clips that people label, and the forms on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from daemon.home.folders import Folders
from daemon.labels.classes import DidYouMeanError, offered_classes
from daemon.labels.labels import newest_label
from daemon.labels.next_clips import count_unsure
from daemon.labels.renamed_folders import questions
from daemon.page import video
from daemon.page.cards import Card, read_cards
from daemon.page.forms import is_id, read_submission
from daemon.page.names import ask_name
from daemon.page.queue import in_order, read_waiting
from daemon.page.requests import frames_of
from daemon.page.site import Site
from daemon.report.next_training import in_words
from learner.classes import EMPTY
from learner.errors import VidwatchError

PATH = "/review"
SHOWN = 12  # clips on one page
MOST_BUTTONS = 40  # of classes on a card; if there are more, the class is typed


@dataclass(frozen=True)
class Refusal:
    """Why a form was refused, and what the page must show again."""

    reason: str
    ids: Sequence[str]
    """The ids in the form."""
    is_of_several: bool
    """Whether it is the form of all selected cards, and not that of one card."""
    typed: str
    """The class that the person gave."""
    meant: str = ""
    """The class that was probably meant; empty if that is not the question."""


def page(request: Request) -> Response:
    """The clips to be reviewed next. Who has not said a name yet is asked for it first."""
    return _queue(request) if Site.of(request).reviewer(request) else ask_name(request)


def _queue(request: Request, refusal: Refusal | None = None) -> Response:
    """The queue. The reason of a refusal is shown at the card that the form belongs to.

    If the form was of several cards, or its card is not shown, it is shown as the page's message.
    """
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    champion = site.champion()
    coming = site.forecast()
    with site.reader.begin() as connection:
        short = coming.short if coming else ()
        waiting = read_waiting(connection, session.skipped, short)
        order = in_order(waiting.by_uncertainty, waiting.random_share, session.count)
        shown = [candidate.id for candidate in islice(order, SHOWN)]
        cards = read_cards(connection, site.home, shown)
        classes = offered_classes(connection)
        newest = newest_label(connection)
        renamed = questions(connection, site.home.root)
        unsure = count_unsure(connection, Folders(site.home.root))
        can_undo = site.page_labels.can_undo(connection, session, reviewer)
        timelines = video.drawings(connection, cards)
    message = session.message
    session.message = ""
    return site.render(
        request,
        "review.html",
        422 if refusal else 200,
        message=message,
        can_undo=can_undo,
        cards=[(card, site.pictures.problem(card)) for card in cards],
        timelines=timelines,
        waiting=waiting,
        unsure=unsure,
        skipped=len(session.skipped),
        classes=classes,
        buttons=classes if len(classes) <= MOST_BUTTONS else [],
        renamed=renamed,
        asked=list(session.questions.items()),
        seen=newest,
        outlook=in_words(coming) if coming and newest else "",
        empty=EMPTY,
        model=champion,
        frames=frames_of(site, champion),
        error=refusal.reason if refusal else "",
        error_card=_card_of(refusal, cards) if refusal else None,
        selected=[int(one) for one in refusal.ids if is_id(one)] if refusal else [],
        typed=refusal.typed if refusal else "",
        meant=refusal.meant if refusal else "",
    )


def _card_of(refusal: Refusal, cards: Sequence[Card]) -> int | None:
    """The id of the shown card that the refused form belongs to; None if there is none."""
    if refusal.is_of_several:
        return None
    return next((card.id for card in cards if list(refusal.ids) == [str(card.id)]), None)


async def submit(request: Request) -> Response:
    """Label, accept or skip clips, as a form asks for; then show the queue again."""
    form = await Site.of(request).form(request)
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    ids = [value for value in form.getlist("id") if isinstance(value, str)]
    return await run_in_threadpool(_submit, request, fields, ids)


def _submit(request: Request, fields: Mapping[str, str], ids: list[str]) -> Response:
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    is_of_several = "bulk" in fields
    try:
        submission = read_submission(fields, ids)
        session.message = site.page_labels.apply(submission, session, reviewer)
    except DidYouMeanError as error:
        given, meant = next(iter(error.meant.items()))
        if is_of_several and fields.get("action") == "accept":
            meant = ""  # each clip has a class of its own
        return _queue(request, Refusal(str(error), ids, is_of_several, given, meant))
    except VidwatchError as error:
        return _queue(request, Refusal(str(error), ids, is_of_several, fields.get("other", "")))
    return site.done(PATH)


async def answer(request: Request) -> Response:
    """Label in spite of what others say, or leave it, as the person answers to a question."""
    site = Site.of(request)
    form = await site.form(request)
    name = form.get("question")
    insists = form.get("answer") == "label"
    if isinstance(name, str):
        await run_in_threadpool(_answer, request, name, insists=insists)
    return site.done(PATH)


def _answer(request: Request, name: str, *, insists: bool) -> None:
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    try:
        session.message = site.page_labels.answer(name, session, reviewer, insists=insists)
    except VidwatchError as error:
        session.message = str(error)


async def undo(request: Request) -> Response:
    """Undo the last action of this reviewer."""
    site = Site.of(request)
    await site.form(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    session.message = await run_in_threadpool(site.page_labels.undo, session, reviewer)
    return site.done(PATH)


async def show_skipped(request: Request) -> Response:
    """Show the clips again that were skipped."""
    site = Site.of(request)
    await site.form(request)
    site.session(request).show_skipped()
    return site.done(PATH)
