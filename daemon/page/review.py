"""Review: one clip after the other, which people label, and the forms for it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from daemon.labels.class_descriptions import descriptions
from daemon.labels.classes import DidYouMeanError, offered_classes
from daemon.labels.labels import newest_label
from daemon.labels.renamed_folders import questions
from daemon.page import video
from daemon.page.cards import Card, read_cards
from daemon.page.choices import read_choices
from daemon.page.forms import is_id, read_submission, text_fields, texts
from daemon.page.names import ask_name
from daemon.page.queue import Wish, in_order, read_waiting, read_wish, still_waiting
from daemon.page.requests import frames_of
from daemon.page.sessions import Goal, Session
from daemon.page.site import Site
from learner.classes import EMPTY
from learner.errors import VidwatchError

PATH = "/review"
SHOWN = 11  # clips: one, and the next ten
ASKED_ON = re.compile(r"/(review|clips|clip/\d{1,18})(\?[^\s\\]*)?", re.ASCII)
"""The addresses of pages that ask whether to label all the same."""
ROUND = 20  # clips that a goal has at most


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
    wish: Wish
    """What the person reviews."""
    meant: str = ""
    """The class that was probably meant; empty if that is not the question."""
    note: str = ""
    """What the person wrote beside the label."""

    @property
    def videos(self) -> list[int]:
        """The ids that can be such."""
        return [int(one) for one in self.ids if is_id(one)]


def page(request: Request) -> Response:
    """The clips to be reviewed next. Who has not said a name yet is asked for it first."""
    if not Site.of(request).reviewer(request):
        return ask_name(request)
    return _page(request, read_wish(request.query_params))


def wish_of(fields: Mapping[str, str]) -> Wish:
    """What the person reviews who sent a form."""
    return read_wish(dict(parse_qsl(fields.get("wish", ""))))


def _page(request: Request, wish: Wish, refusal: Refusal | None = None) -> Response:
    """The page. The reason of a refusal is shown at the card that the form belongs to.

    If the form was of several cards, or its card is not shown, it is shown as the page's message.
    """
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    champion = site.champion()
    coming = site.forecast()
    with site.reader.begin() as connection:
        waiting = read_waiting(connection, session.skipped, coming.short if coming else (), wish)
        order = in_order(waiting.by_uncertainty, waiting.random_share, session.count)
        first = _first(request, session, refusal)
        pinned = [one for one in still_waiting(connection, first) if one not in session.skipped]
        session.first = [one for one in session.first if one in pinned]
        ids = dict.fromkeys(chain(pinned, (one.id for one in order)))
        done, total = _progress(session, wish, len(ids))
        shown = list(islice(ids, min(SHOWN, max(0, total - done))))
        cards = read_cards(connection, site.home, shown)
        classes = offered_classes(connection)
        newest = newest_label(connection)
        choices = read_choices(connection, cards, classes)
        texts = descriptions(connection)
        renamed = questions(connection, site.home.root)
        can_undo = site.page_labels.can_undo(connection, session, reviewer)
        timelines = video.drawings(connection, cards)
        n_skipped = len(still_waiting(connection, sorted(session.skipped)))
    if not cards:
        session.goal = None  # the next one begins anew
    message = session.message
    session.message = ""
    return site.render(
        request,
        "review.html",
        422 if refusal else 200,
        message=message,
        can_undo=can_undo,
        cards=[(card, site.pictures.problem(card)) for card in cards],
        choices=choices,
        texts=texts,
        timelines=timelines,
        waits=site.waits(),
        wish=wish,
        done=done,
        total=total,
        skipped=n_skipped,
        classes=classes,
        renamed=renamed,
        asked=list(session.questions.items()),
        seen=newest,
        empty=EMPTY,
        model=champion,
        frames=frames_of(site, champion),
        error=refusal.reason if refusal else "",
        error_card=_card_of(refusal, cards) if refusal else None,
        selected=refusal.videos if refusal else [],
        typed=refusal.typed if refusal else "",
        meant=refusal.meant if refusal else "",
        note=refusal.note if refusal else "",
    )


def _first(request: Request, session: Session, refusal: Refusal | None) -> list[int]:
    """The clips to be shown first, if they still wait."""
    asked = request.query_params.get("clip", "")
    refused = refusal.videos if refusal and not refusal.is_of_several else []
    return [*refused, *([int(asked)] if is_id(asked) else []), *session.first]


def _progress(session: Session, wish: Wish, n_waiting: int) -> tuple[int, int]:
    """How many clips of the goal are done, and how many it has. Begins one if there is none."""
    if session.goal is None or session.goal.wish != wish:
        session.goal = Goal(wish, min(ROUND, n_waiting), session.count)
    undone = session.goal.begun_at - session.count
    if undone > 0:  # clips from before the goal was begun: they belong to it now
        session.goal = Goal(wish, session.goal.total + undone, session.count)
    return session.count - session.goal.begun_at, session.goal.total


def _card_of(refusal: Refusal, cards: Sequence[Card]) -> int | None:
    """The id of the shown card that the refused form belongs to; None if there is none."""
    if refusal.is_of_several:
        return None
    return next((card.id for card in cards if list(refusal.ids) == [str(card.id)]), None)


async def submit(request: Request) -> Response:
    """Label, accept or skip clips, as a form asks for; then show the next ones."""
    form = await Site.of(request).form(request)
    fields = text_fields(form)
    ids = texts(form, "id")
    return await run_in_threadpool(_submit, request, fields, ids)


def _submit(request: Request, fields: Mapping[str, str], ids: list[str]) -> Response:
    site = Site.of(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    is_of_several = "bulk" in fields
    wish = wish_of(fields)
    note = fields.get("note", "")
    try:
        submission = read_submission(fields, ids)
        session.message = site.page_labels.apply(submission, session, reviewer)
    except DidYouMeanError as error:
        given, meant = next(iter(error.meant.items()))
        if is_of_several and fields.get("action") == "accept":
            meant = ""  # each clip has a class of its own
        return _page(
            request, wish, Refusal(str(error), ids, is_of_several, given, wish, meant, note)
        )
    except VidwatchError as error:
        typed = fields.get("other", "")
        return _page(request, wish, Refusal(str(error), ids, is_of_several, typed, wish, note=note))
    return site.done(PATH + wish.query)


async def answer(request: Request) -> Response:
    """Label in spite of what others say, or leave it, as the person answers to a question."""
    site = Site.of(request)
    form = await site.form(request)
    name = form.get("question")
    insists = form.get("answer") == "label"
    if isinstance(name, str):
        await run_in_threadpool(_answer, request, name, insists=insists)
    back = form.get("back")
    is_known = isinstance(back, str) and ASKED_ON.fullmatch(back)
    return site.done(str(back) if is_known else PATH + _wish_in(form).query)


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
    form = await site.form(request)
    session = site.session(request)
    reviewer = site.require_reviewer(request)
    session.message = await run_in_threadpool(site.page_labels.undo, session, reviewer)
    return site.done(PATH + _wish_in(form).query)


async def show_skipped(request: Request) -> Response:
    """Show the clips again that were skipped."""
    site = Site.of(request)
    form = await site.form(request)
    session = site.session(request)
    session.show_skipped()
    session.goal = None
    return site.done(PATH + _wish_in(form).query)


def _wish_in(form: FormData) -> Wish:
    return wish_of(text_fields(form))
