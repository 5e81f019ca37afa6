"""The forms of a clip's page: label the clip or a part of it, and take labels back."""

from collections.abc import Mapping
from dataclasses import replace

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from daemon.home.clock import now
from daemon.home.texts import printable
from daemon.labels.classes import DidYouMeanError
from daemon.labels.labels import Origin
from daemon.labels.parts import PartLabels, read_part
from daemon.page.clip import Refusal, content_named, is_blind_video, requested_id, show
from daemon.page.forms import is_id, read_submission
from daemon.page.requests import obeyed
from daemon.page.site import Site
from daemon.page.video import window_named
from daemon.report.timeline import read_timeline
from learner.errors import VidwatchError


async def label(request: Request) -> Response:
    """Label the clip, or take one of its labels back, as a form asks for."""
    return await obeyed(request, _label)


async def label_part(request: Request) -> Response:
    """Label a part of a long video, or take such a label back, as a form asks for."""
    return await obeyed(request, _label_part)


def _label(request: Request, fields: Mapping[str, str]) -> Response:
    site = Site.of(request)
    video = requested_id(request)
    who = site.require_reviewer(request)
    session = site.session(request)
    with site.reader.begin() as connection:
        # That of a copy has the card: it says whether the label is of the random share.
        content = content_named(connection, video)
    try:
        if fields.get("action") == "take back":
            session.message = _take_back(site, content, fields.get("label", ""), who)
        else:
            # Who was shown the blind page knows nothing of the prediction.
            submission = read_submission(fields, [str(content)])
            submission = replace(submission, knows="blind" not in fields)
            session.message = site.page_labels.apply(submission, session, who)
    except DidYouMeanError as error:
        given, meant = next(iter(error.meant.items()))
        return show(request, Refusal(str(error), {**fields, "other": given}, meant))
    except VidwatchError as error:
        return show(request, Refusal(str(error), fields))
    return site.done(f"/clip/{video}")


def _take_back(site: Site, content: int, label: str, who: str) -> str:
    if is_id(label) and site.page_labels.take_back(int(label), who):
        holds = site.page_labels.in_force(content)
        return f"the label is taken back{'; ' if holds else ''}{holds}"
    return "the label does not count any more, and was left as it is"


def _label_part(request: Request, fields: Mapping[str, str]) -> Response:
    site = Site.of(request)
    video = requested_id(request)
    who = site.require_reviewer(request)
    with site.reader.begin() as connection:
        timeline = read_timeline(connection, content_named(connection, video))
        is_blind = is_blind_video(connection, video)
    if is_blind or not timeline.windows:
        raise HTTPException(404, f"Clip {video} has no windows, or they are not shown yet.")
    given = fields.get("new") or fields.get("class") or fields.get("other", "").strip()
    try:
        part = read_part(fields.get("from", ""), fields.get("to", ""))
        origin = Origin("page", who, now())
        labels = PartLabels(site.writer)
        if fields.get("action") == "undo":
            done = labels.undo(video, part, origin)
            message = f"{done.part}: label {printable(done.class_name)} taken back"
        elif not given:
            raise VidwatchError("no class is given")
        else:
            done = labels.add(video, part, given, origin, new_class="new" in fields)
            message = f"{done.part}: labelled {printable(done.class_name)}"
    except DidYouMeanError as error:
        return show(request, Refusal(str(error), fields, error.meant[given], is_of_part=True))
    except VidwatchError as error:
        return show(request, Refusal(str(error), fields, is_of_part=True))
    site.session(request).message = message
    number = window_named(timeline, fields.get("window", "")).number
    return site.done(f"/clip/{video}?window={number}")
