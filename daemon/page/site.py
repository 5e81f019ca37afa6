"""What all routes of the page share: the home's database, templates, sessions.

Several threads use it at the same time.
"""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import jinja2
from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from daemon.database.connection import connect
from daemon.home.folder import Home
from daemon.home.folders import Folders
from daemon.home.settings import Settings
from daemon.home.texts import printable
from daemon.page.cards import read_cards
from daemon.page.films import Films
from daemon.page.kept import Keeper
from daemon.page.labelling import PageLabels
from daemon.page.pictures import Pictures
from daemon.page.queue import Waits, count_waiting, in_order, read_waiting
from daemon.page.reviewers import Reviewers, is_same_secret
from daemon.page.sessions import Session, Sessions
from daemon.page.state import State, read_state
from daemon.page.times import time_element
from daemon.report.next_training import in_brief, in_words
from daemon.training.decisions import Decisions
from daemon.training.forecast import Forecast, forecast
from learner.errors import VidwatchError
from learner.texts import counted


def _templates() -> Jinja2Templates:
    loader = jinja2.PackageLoader("daemon.page")
    env = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    env.filters["counted"] = counted
    env.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    env.filters["printable"] = printable
    env.filters["time"] = time_element
    return Jinja2Templates(env=env)


# Sessions and names stay when the browser is closed.
STATE_SECONDS = 2.0  # for which what the line of state shows is not read again
WARMED = 12  # clips whose pictures are made before a page asks for them
WAITS_SECONDS = 10.0  # for which it is not counted again what is to be reviewed
COOKIE_SECONDS = 400 * 24 * 3600  # browsers allow no more


class StalePageError(HTTPException):
    """A form was sent by a page that is not good any more; one that is made now is."""

    def __init__(self, reason: str) -> None:
        super().__init__(403, f"{reason}. Nothing was changed: reload the page.")


@dataclass
class Site:
    """The page on one home."""

    home: Home
    settings: Settings
    port: int
    reader: Engine
    writer: Engine
    pictures: Pictures
    films: Films
    page_labels: PageLabels
    reviewers: Reviewers
    kept: Keeper = field(default_factory=Keeper)
    sessions: Sessions = field(default_factory=Sessions)
    templates: Jinja2Templates = field(default_factory=_templates)

    @classmethod
    def on(cls, home: Home, settings: Settings, port: int, reviewers: Reviewers) -> "Site":
        """The page on a home, with engines of its own; `close` ends them."""
        reader = connect(home.database, read_only=True)
        writer = connect(home.database)
        return cls(
            home=home,
            settings=settings,
            port=port,
            reader=reader,
            writer=writer,
            pictures=Pictures(home, settings),
            films=Films(settings),
            page_labels=PageLabels(home, reader, writer),
            reviewers=reviewers,
        )

    @classmethod
    def of(cls, request: Request) -> "Site":
        """The site that a request came to."""
        return request.app.state.site  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the decoders and close the database."""
        self.kept.close()
        self.films.close()
        self.pictures.close()
        self.reader.dispose()
        self.writer.dispose()

    def warm(self) -> None:
        """Prepare what the first page of clips will need, in a thread of its own."""
        threading.Thread(target=self._warm, name="warming", daemon=True).start()

    def _warm(self) -> None:
        self.films.warm()
        self.state()
        self.waits()
        self.forecast()
        model = self.champion()
        self.pictures.warm(model)
        with self.reader.begin() as connection:
            waiting = read_waiting(connection)
            order = in_order(waiting.by_uncertainty, waiting.random_share)
            ids = [one.id for one in islice(order, WARMED)]
            cards = read_cards(connection, self.home, ids)
        for card in cards:
            with suppress(VidwatchError):  # the page says why, when it asks for it
                self.pictures.strip(card, model)
        # Last: it keeps the processor busy for seconds, and is needed last.
        self.pictures.warm_model(model)

    def champion(self, otherwise: str | None = None) -> str:
        """The model whose frames and evidence are shown.

        If no model has been in use yet, it is `otherwise`, or else the setting `model`.
        """
        return Decisions(self.reader).champion() or otherwise or self.settings.model

    def forecast(self) -> Forecast | None:
        """How near the next training is; None if the champion or the database cannot be read."""
        try:
            read = partial(forecast, self.reader, self.home, self.settings)
            return self.kept.get("forecast", read, STATE_SECONDS).value
        except (DatabaseError, VidwatchError):
            return None

    def state(self) -> State | None:
        """The line of state; None if the database cannot be read."""
        try:
            return self.kept.get("state", self._read_state, STATE_SECONDS).value
        except (DatabaseError, VidwatchError):
            return None

    def _read_state(self) -> State:
        return read_state(self.reader, self.home, self.settings)

    def waits(self) -> Waits | None:
        """How many clips are to be reviewed; None if they are still being counted."""
        kept = self.kept.soon("waits", self._count_waiting, WAITS_SECONDS, longer=0)
        return kept.value if kept else None

    def _count_waiting(self) -> Waits:
        with self.reader.begin() as connection:
            return count_waiting(connection, Folders(self.home.root))

    def session(self, request: Request) -> Session:
        """What this browser has done."""
        if not hasattr(request.state, "session"):
            request.state.session = self.sessions.get(request.cookies.get(self._cookie))
        return request.state.session[1]  # type: ignore[no-any-return]

    def reviewer(self, request: Request) -> str | None:
        """The name of the person at the browser; None if the browser has not said it."""
        return self.reviewers.name(request.cookies, self.port)

    def require_reviewer(self, request: Request) -> str:
        """As `reviewer`.

        Raises:
            StalePageError: the browser has not said it.
        """
        if name := self.reviewer(request):
            return name
        raise StalePageError("The page does not know your name")

    def render(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> Response:
        """A whole page, with the cookie of its session."""
        self.session(request)
        context |= self._state_shown()
        coming = self.forecast()
        context["outlook"] = in_words(coming) if coming else ""
        context["outlook_in_brief"] = in_brief(coming) if coming else ""
        context["home"] = printable(str(self.home.root))
        context["reviewer"] = self.reviewer(request)
        context["secret"] = self.reviewers.form_secret
        response = self.templates.TemplateResponse(request, template, context, status_code=status)
        self.set_cookie(response, self._cookie, request.state.session[0])
        return response

    def _state_shown(self) -> dict[str, Any]:
        """As `state`, but a page does not wait for it."""
        try:
            kept = self.kept.soon("state", self._read_state, STATE_SECONDS, longer=0, is_quick=True)
            return {"state": kept and kept.value, "no_state": "the state is being read"}
        except (DatabaseError, VidwatchError):
            return {"state": None, "no_state": "the database cannot be read"}

    @staticmethod
    def set_cookie(response: Response, name: str, value: str) -> None:
        """Have the browser keep a value, also when it is closed."""
        response.set_cookie(name, value, max_age=COOKIE_SECONDS, httponly=True, samesite="strict")

    async def form(self, request: Request) -> FormData:
        """The fields of a form that this page made.

        Raises:
            StalePageError: this page did not make the form.
        """
        form = await request.form(max_files=0)
        given = form.get("secret")
        if not isinstance(given, str) or not is_same_secret(given, self.reviewers.form_secret):
            raise StalePageError("The page's key is another one since this page was loaded")
        return form

    def done(self, path: str) -> Response:
        """After a form was obeyed: show a page, with what it shows counted anew."""
        self.kept.forget()
        return RedirectResponse(path, 303)

    @property
    def _cookie(self) -> str:
        return f"vidwatch-session-{self.port}"
