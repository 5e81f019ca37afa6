"""What all routes of the page share: the home's database, its templates, its sessions. Threads use it side by side."""

import secrets
from dataclasses import dataclass, field
from typing import Any

import jinja2
from sqlalchemy import Engine
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from daemon.database.connection import connect
from daemon.home.folder import Home
from daemon.home.identity import printable
from daemon.home.settings import Settings
from daemon.review.answers import Answers
from daemon.review.clips import Clips
from daemon.review.guard import same
from daemon.review.sessions import Session, Sessions
from daemon.training.decisions import Decisions


def _templates() -> Jinja2Templates:
    loader = jinja2.PackageLoader("daemon.review")
    env = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    env.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    env.filters["printable"] = printable
    return Jinja2Templates(env=env)


@dataclass
class Site:
    """The page on one home; `secret` is in each of its forms, and another site cannot know it."""

    home: Home
    settings: Settings
    port: int
    reader: Engine
    writer: Engine
    clips: Clips
    answers: Answers
    sessions: Sessions = field(default_factory=Sessions)
    templates: Jinja2Templates = field(default_factory=_templates)
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @classmethod
    def on(cls, home: Home, settings: Settings, port: int) -> "Site":
        """With engines of its own; see `close`."""
        reader, writer = connect(home.database, read_only=True), connect(home.database)
        return cls(
            home,
            settings,
            port,
            reader,
            writer,
            Clips(home, settings),
            Answers(home, reader, writer),
        )

    @classmethod
    def of(cls, request: Request) -> "Site":
        """The one that a request came to."""
        return request.app.state.site  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the decoders and let go of the database."""
        self.clips.close()
        self.reader.dispose()
        self.writer.dispose()

    def champion(self, otherwise: str | None = None) -> str:
        """The model whose frames and evidence are shown."""
        return Decisions(self.reader).champion() or otherwise or self.settings.model

    def session(self, request: Request) -> Session:
        """What this browser has done."""
        if not hasattr(request.state, "session"):
            request.state.session = self.sessions.get(request.cookies.get(self._cookie))
        return request.state.session[1]  # type: ignore[no-any-return]

    def render(
        self, request: Request, template: str, status: int = 200, **context: Any
    ) -> Response:
        """A whole page."""
        self.session(request)
        context["home"] = printable(str(self.home.root))
        response = self.templates.TemplateResponse(request, template, context, status_code=status)
        response.set_cookie(
            self._cookie, request.state.session[0], httponly=True, samesite="strict"
        )
        return response

    async def form(self, request: Request) -> FormData:
        """The fields of one of our own forms.

        Raises:
            HTTPException: it is none of ours.
        """
        form = await request.form(max_files=0)
        given = form.get("secret")
        if not isinstance(given, str) or not same(given, self.secret):
            raise HTTPException(
                403,
                "This form is of an earlier start of the page, or of another site: reload the page.",
            )
        return form

    @property
    def _cookie(self) -> str:
        return f"vidwatch-session-{self.port}"
