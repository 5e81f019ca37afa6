"""Trainings and champions that a person asks for on the page.

Only models of the home can be chosen here; `vidwatch models promote` takes paths, too.
"""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from daemon.home.clock import now
from daemon.home.texts import printable
from daemon.page import models
from daemon.page.models import PATH, model_before
from daemon.page.requests import obeyed
from daemon.page.site import Site
from daemon.training.choosing import promote, roll_back
from daemon.training.decisions import Decisions
from daemon.training.retraining import request as request_training
from learner.catalogue import Entry, find_models, model_name
from learner.errors import VidwatchError


def ask_promote(request: Request) -> Response:
    """Ask whether a model is to be the champion."""
    return _ask_promote(request, request.query_params.get("name", ""))


def _ask_promote(request: Request, name: str, refusal: str = "") -> Response:
    site = Site.of(request)
    found = {entry.name: entry for entry in find_models(site.home.models)}
    if name not in found:
        raise HTTPException(404, "There is no such model.")
    champion = model_name(site.champion())
    decisions = Decisions(site.reader).newest_first()
    about = next((one for one in decisions if model_name(one.challenger) == name), None)
    return site.render(
        request,
        "models_question.html",
        422 if refusal else 200,
        action=f"{PATH}/promote",
        title=f"Make {name} the champion?",
        wanted=found[name],
        champion=found.get(champion, Entry(champion)),
        about=about,
        refusal=refusal,
        button=f"make {name} the champion",
    )


def ask_rollback(request: Request) -> Response:
    """Ask whether the champion before this one is to be the champion again."""
    return _ask_rollback(request)


def _ask_rollback(request: Request, refusal: str = "") -> Response:
    site = Site.of(request)
    before = model_before(site)
    if before is None:
        raise HTTPException(404, "There is no model to go back to.")
    found = {entry.name: entry for entry in find_models(site.home.models)}
    champion = model_name(site.champion())
    return site.render(
        request,
        "models_question.html",
        422 if refusal else 200,
        action=f"{PATH}/rollback",
        title=f"Go back to {before}?",
        wanted=found.get(before, Entry(before)),
        champion=found.get(champion, Entry(champion)),
        about=None,
        refusal=refusal,
        button=f"go back to {before}",
    )


async def train(request: Request) -> Response:
    """Request a training, as `vidwatch retrain` does."""
    return await obeyed(request, _train)


async def promote_model(request: Request) -> Response:
    """Make a model the champion, as the person has said on the question's page."""
    return await obeyed(request, _promote)


async def go_back(request: Request) -> Response:
    """Make the champion before this one the champion again."""
    return await obeyed(request, _roll_back)


def _train(request: Request, fields: Mapping[str, str]) -> Response:
    site = Site.of(request)
    site.require_reviewer(request)
    try:
        answer = request_training(site.writer, site.home, site.settings, now())
    except VidwatchError as error:
        return models.page(request, str(error))
    state = site.state()
    if state and state.daemon == "not running":
        answer += "; the daemon is not running: it trains when you start it"
    site.session(request).message = answer
    return site.done(PATH)


def _promote(request: Request, fields: Mapping[str, str]) -> Response:
    site = Site.of(request)
    who = site.require_reviewer(request)
    name = fields.get("name", "")
    if name not in {entry.name for entry in find_models(site.home.models)}:
        raise HTTPException(404, "There is no such model.")
    if stale := _stale(site, fields):
        return _ask_promote(request, name, stale)
    try:
        noted = promote(site.writer, site.home, name, now(), f"on the page, by {who}")
    except VidwatchError as error:
        return _ask_promote(request, name, str(error))
    site.session(request).message = f"{printable(noted)} is the champion from now on"
    return site.done(PATH)


def _roll_back(request: Request, fields: Mapping[str, str]) -> Response:
    site = Site.of(request)
    who = site.require_reviewer(request)
    if stale := _stale(site, fields):
        return _ask_rollback(request, stale)
    try:
        back, replaced = roll_back(site.writer, site.home, now(), f"on the page, by {who}")
    except VidwatchError as error:
        return _ask_rollback(request, str(error))
    names = (printable(model_name(one)) for one in (back, replaced))
    site.session(request).message = " is the champion from now on, instead of ".join(names)
    return site.done(PATH)


def _stale(site: Site, fields: Mapping[str, str]) -> str:
    """That another model is the champion than when the question was asked; empty if none is."""
    champion = model_name(site.champion())
    if fields.get("champion") == champion:
        return ""
    return f"Nothing was changed: meanwhile {champion} is the champion. Answer again."
