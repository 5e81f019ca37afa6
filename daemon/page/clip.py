"""A clip's page: the video, and all that is known of it.

Of a clip that awaits its random review, it shows the video and the form alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, or_, select
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from daemon.database.expressions import content_of_video, is_stated
from daemon.database.tables import videos
from daemon.home.identity import is_there
from daemon.home.texts import clock, shown_path
from daemon.labels.classes import offered_classes
from daemon.labels.labels import newest_label
from daemon.labels.queries import is_blind
from daemon.page.cards import Card, read_cards
from daemon.page.forms import is_id
from daemon.page.queue import Wish
from daemon.page.requests import frames_of
from daemon.page.site import Site
from daemon.page.video import windows_shown
from daemon.report.events import UNSURE
from daemon.report.one_video import Predicted, VideoReport, read_video
from daemon.report.one_video_tables import remarks
from daemon.report.story_tables import WHAT, more_of, way
from learner.errors import VidwatchError

BARS = 8  # classes with a bar, of each model
MOST_OF_GROUP = 12


@dataclass(frozen=True)
class Refusal:
    """Why a form of the page was refused."""

    reason: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    """What the person gave."""
    meant: str = ""
    """The class that was probably meant; empty if that is not the question."""
    is_of_part: bool = False
    """Whether it is the form for a part of a long video."""


def page(request: Request) -> Response:
    """The page of the video that the address names."""
    return show(request)


def moved(request: Request) -> Response:
    """Where the page of a long video was in earlier versions."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/clip/{requested_id(request)}{query}", 301)


def requested_id(request: Request) -> int:
    """The video that the address names.

    Raises:
        HTTPException: it can be none.
    """
    text = request.path_params["id"]
    if not is_id(text):
        raise HTTPException(404, "There is no such clip.")
    return int(text)


def show(request: Request, refusal: Refusal | None = None) -> Response:
    """The page, with the reason of a refusal at its form.

    Raises:
        HTTPException: there is no such video.
    """
    site = Site.of(request)
    video = requested_id(request)
    session = site.session(request)
    with site.reader.begin() as connection:
        report = _read(connection, site, video)
        blind = is_blind_video(connection, video)
        cards = read_cards(connection, site.home, [report.content])
        card = cards[0] if cards else None
        relatives = [] if blind else _relatives(connection, site, report)
        classes = offered_classes(connection)
        newest = newest_label(connection)
    champion = site.champion(card.model if card else None)
    message = session.message
    session.message = ""
    shown: dict[str, Any] = {}
    if not blind:
        shown = _known(report)
        if card and report.timeline.windows:
            given = refusal.fields if refusal and refusal.is_of_part else {}
            shown["long"] = windows_shown(request, card, report.timeline, given)
    return site.render(
        request,
        "clip.html",
        422 if refusal else 200,
        video=video,
        blind=blind,
        title=f"clip {video}" if blind else report.name,
        content=report.content,
        card=card,
        picture_problem=site.pictures.problem(card) if card else None,
        relatives=relatives,
        classes=classes,
        seen=newest,
        model=champion,
        frames=frames_of(site, champion),
        can_label=report.state != "failed",
        unsure=UNSURE,
        refusal=refusal or Refusal(),
        asked=list(session.questions.items()),
        wish=Wish(),  # what a question's form goes on with
        message=message,
        known=shown,
    )


def is_blind_video(connection: Connection, video: int) -> bool:
    """Whether nothing that tells of its class may be shown."""
    query = select(videos.c.id).where(videos.c.id == video, is_blind())
    return connection.scalar(query) is not None


def content_named(connection: Connection, video: int) -> int:
    """The first video with the same content: that which labels and windows belong to.

    Raises:
        HTTPException: there is no such video.
    """
    content = connection.scalar(select(content_of_video()).where(videos.c.id == video))
    if content is None:
        raise HTTPException(404, f"There is no clip {video}.")
    return content


def _read(connection: Connection, site: Site, video: int) -> VideoReport:
    try:
        return read_video(connection, video, site.home)
    except VidwatchError as error:
        raise HTTPException(404, f"There is no clip {video}.") from error


def _relatives(
    connection: Connection, site: Site, report: VideoReport
) -> list[tuple[Card, str | None]]:
    """The newest clips of its group, and why the picture of each cannot be shown.

    Blind ones are left out: clips of a group are mostly of one class.
    """
    group = report.group
    if not group:
        return []
    is_of_group = videos.c.group == group
    if not is_stated(group):  # named after its first video
        is_of_group = or_(is_of_group, videos.c.id == int(group[1:]))
    query = select(videos.c.id).where(is_of_group, videos.c.id != report.content)
    query = query.where(videos.c.duplicate_of.is_(None)).order_by(videos.c.id.desc())
    cards = read_cards(connection, site.home, connection.scalars(query.limit(MOST_OF_GROUP)).all())
    return [(card, site.pictures.problem(card)) for card in cards if not card.is_blind]


def _known(report: VideoReport) -> dict[str, Any]:
    """What is known of a video that is not blind, for the template."""
    story = report.story
    assert story is not None
    return {
        "report": report,
        "path": shown_path(report.path),
        "fate_of_file": _fate_of_file(report),
        "predictions": [(one, remarks(one), _bars(one)) for one in report.predictions],
        "labels": report.labels,
        "way": way(story),
        "copies": [(one, shown_path(one.path)) for one in story.copies],
        "happenings": [(one.at, WHAT[one.what], more_of(one)) for one in story.happenings],
        "predicted_until": None
        if report.predicted_until is None
        else clock(report.predicted_until),
        "long": None,
    }


def _fate_of_file(report: VideoReport) -> str:
    """What became of its file, if it does not lie at its path; else empty."""
    if report.removed_at:
        return "Its file was deleted from the trash."
    story = report.story
    assert story is not None
    if is_there(report.path, story.destination, story.moving_to):
        return "Its file is in the trash." if report.trashed_at else ""
    if report.content != report.id:
        return "Its own file is not there; the first video with the same content is shown."
    return "Its file is not there any more: it was moved or deleted by somebody else."


def _bars(one: Predicted) -> list[tuple[str, float]]:
    """The likeliest classes, each with its probability; that of the prediction alone if the others
    are not known."""
    known = one.probabilities
    if known is None:
        return [(one.class_name, one.probability)]
    return list(known.items())[:BARS]
