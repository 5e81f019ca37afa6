"""Classes: what each is, how many clips it has, what it lacks, and which may be the same."""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from heapq import nlargest
from urllib.parse import quote, urlencode

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from daemon.labels.balance import Balance, balance, labelled_parts
from daemon.labels.class_changes import KnownClass, known_classes
from daemon.labels.class_descriptions import LONGEST, descriptions
from daemon.labels.classes import labelled_classes
from daemon.labels.groups import labelled_groups
from daemon.labels.odd_names import alike_classes, misspelt_classes
from daemon.labels.quality import LabelledContent, labelled_contents
from daemon.page.cards import Card, read_cards
from daemon.page.kept import Kept
from daemon.page.requests import frames_of
from daemon.page.site import Site

PATH = "/classes"
KEPT = "classes"  # the name of the figures
FRESH = 30.0  # seconds for which the figures are not read again
EXAMPLES = 5  # clips of a class, of which the newest that is there is shown


@dataclass(frozen=True)
class Twin:
    """A class that may be the same as another one."""

    other: str
    why: str


@dataclass(frozen=True)
class ShownClass:
    """A class with all that the page shows of it."""

    known: KnownClass
    balance: Balance | None
    """None if nothing is labelled so."""
    twins: tuple[Twin, ...]
    example: Card | None
    """The newest labelled clip whose file is there; None if there is none."""

    @property
    def query(self) -> str:
        """Asks for it in an address."""
        return urlencode({"class": self.known.name})

    @property
    def anchor(self) -> str:
        """Where it is on the page."""
        return anchor(self.known.name)


def anchor(name: str) -> str:
    """Where a class is on the page."""
    return f"class-{quote(name, safe='')}"


@dataclass(frozen=True)
class Refusal:
    """Why a form was refused, and what was typed into it."""

    reason: str
    class_name: str
    form: str
    """"rename", "describe" or "merge"."""
    typed: str


def page(request: Request, refusal: Refusal | None = None) -> Response:
    """All classes; it says so if they are still being counted."""
    site = Site.of(request)
    session = site.session(request)
    # What a refused form says must not be lost while the classes are counted.
    found = kept(site) if refusal else site.kept.soon(KEPT, partial(_read, site), FRESH)
    message = session.message if found else ""
    session.message = "" if found else session.message
    with site.reader.begin() as connection:
        texts = descriptions(connection)
    shown = found.value if found else None
    names = [one.known.name for one in shown or [] if not one.known.is_retired]
    champion = site.champion()
    if refusal and refusal.class_name not in names:
        message = refusal.reason
    return site.render(
        request,
        "classes.html",
        422 if refusal else 200,
        classes=shown,
        names=names,
        texts=texts,
        longest=LONGEST,
        least=site.settings.min_class_clips,
        model=champion,
        frames=frames_of(site, champion),
        message=message,
        refusal=refusal,
    )


def kept(site: Site) -> Kept[list[ShownClass]]:
    """All classes, counted now if that was not done lately."""
    return site.kept.get(KEPT, partial(_read, site), FRESH)


def _read(site: Site) -> list[ShownClass]:
    """All classes, those that were retired last."""
    with site.reader.begin() as connection:
        grouped = labelled_groups(connection)
        clips = labelled_contents(connection, grouped)
        parts = labelled_parts(connection, grouped)
        rows = balance(clips, site.settings.min_class_clips, parts)
        of_class = {row.class_name: row for row in rows}
        twins = _twins(connection)
        examples = _examples(connection, site, clips)
        return [
            ShownClass(one, of_class.get(one.name), twins.get(one.name, ()), examples.get(one.name))
            for one in known_classes(connection)
        ]


def _twins(connection: Connection) -> dict[str, tuple[Twin, ...]]:
    used = labelled_classes(connection)
    found: dict[str, list[Twin]] = defaultdict(list)
    for name, other in alike_classes(used):
        found[name].append(Twin(other, "looks the same"))
        found[other].append(Twin(name, "looks the same"))
    for name, other in misspelt_classes(connection, used):
        found[name].append(Twin(other, "is nearly the same, and was there before"))
    return {name: tuple(twins) for name, twins in found.items()}


def _examples(
    connection: Connection, site: Site, clips: list[LabelledContent]
) -> dict[str, Card | None]:
    """The newest clip of each class that can be shown; none that awaits its blind review."""
    by_class: dict[str, list[LabelledContent]] = defaultdict(list)
    for clip in clips:
        by_class[clip.class_name].append(clip)
    wanted = {
        name: [clip.id for clip in nlargest(EXAMPLES, of_class, key=lambda clip: clip.given[-1].at)]
        for name, of_class in by_class.items()
    }
    ids = [video for videos in wanted.values() for video in videos]
    cards = {card.id: card for card in read_cards(connection, site.home, ids)}
    good = {
        video: card for video, card in cards.items() if not card.is_blind and card.problem is None
    }
    return {
        name: next((good[video] for video in videos if video in good), None)
        for name, videos in wanted.items()
    }
