"""Labels that people give on the page: reads forms, adds labels, takes them back.

Knows neither requests nor templates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DatabaseError

from daemon.database.expressions import shown_name
from daemon.database.tables import labels, videos
from daemon.home import settings
from daemon.home.folder import Home
from daemon.home.texts import printable
from daemon.labels.labels import Label, Labels, current_user
from daemon.review.cards import Card, read_cards
from daemon.review.sessions import Action, Session
from learner.classes import class_named, why_not_a_class
from learner.errors import VidwatchError
from learner.texts import counted

LONGEST_ID = 18  # digits
NAMED = 3  # a message names so many clips at most


@dataclass(frozen=True)
class Submission:
    """What a person asks for by sending a form."""

    kind: Literal["accept", "label", "unsure", "skip"]
    ids: tuple[int, ...]
    """The videos, each once."""
    class_name: str = ""
    """Empty except for "label"."""
    newest_label: int = 0
    """The id of the newest label of all when the form's page was made."""
    new_class: bool = False
    """Whether a class that is nearly another one is meant."""


def read_submission(fields: Mapping[str, str], ids: Sequence[str]) -> Submission:
    """The submission in the fields of a form.

    Raises:
        VidwatchError: an id is not a number, there is no id, or the class cannot be one.
    """
    if not all(is_id(text) for text in ids):
        raise VidwatchError("an id of a video is a whole number")
    if not ids:
        raise VidwatchError("no clip is selected; select some with their boxes, or with x")
    videos_once = tuple(dict.fromkeys(int(text) for text in ids))
    seen = fields.get("seen", "")
    # Without the field no label is newer.
    newest = int(seen) if is_id(seen) else 10**LONGEST_ID
    action = fields.get("action", "")
    if action in ("accept", "unsure", "skip"):
        return Submission(action, videos_once, newest_label=newest)  # type: ignore[arg-type]
    is_new = "new" in fields
    name = fields.get("other", "").strip() if action == "other" else fields.get("class", "")
    name = fields.get("new", name)
    if not name:
        raise VidwatchError("no class is given")
    if reason := why_not_a_class(class_named(name)):
        raise VidwatchError(f"{name!r} cannot be a class: {reason}")
    return Submission("label", videos_once, name, newest, is_new)


def is_id(text: str) -> bool:
    """Whether a text can be the id of a row."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_ID


class PageLabels:
    """Adds the labels that people give on the page. The daemon moves the files when it runs."""

    def __init__(self, home: Home, reader: Engine, writer: Engine) -> None:
        self._home = home
        self._reader = reader
        self._labels = Labels(writer, settings.load(home.settings).folders(home.root))
        self._who = current_user()

    def apply(self, submission: Submission, session: Session) -> str:
        """Do what a form asks for, all of it or nothing; gives a message for the person.

        Raises:
            VidwatchError: a video does not exist, failed, or has no prediction to accept.
            DidYouMeanError: the class is new, and nearly another one.
            DatabaseError: the database cannot be written.
        """
        if submission.kind == "skip":
            session.add(Action("skipped", submission.ids))
            return f"{counted(len(submission.ids), 'clip')} skipped for now"
        with self._reader.begin() as connection:
            found = read_cards(connection, self._home, submission.ids)
            meanwhile = _labels_since(connection, submission)
        cards = {card.id: card for card in found}
        new = [_label(submission, video, cards.get(video)) for video in submission.ids]
        at = datetime.now(UTC)
        given = self._labels.add(new, "page", self._who, at, new_class=submission.new_class)
        by_video = dict(zip(submission.ids, given, strict=True))
        session.add(Action("labelled", submission.ids, by_video))
        return ". ".join([_summary(submission, cards), *meanwhile])

    def undo(self, session: Session) -> str:
        """Undo the last action of a session; gives a message for the person.

        The labels of that action are taken back, each for itself. If a label does not count any
        more, its video keeps its labels, and the message names it.

        Raises:
            DatabaseError: the database cannot be written. The action can still be undone.
        """
        last = session.undo()
        if last is None:
            return "there is nothing to undo in this session"
        if last.kind == "skipped":
            return f"{counted(len(last.ids), 'clip')} shown again"
        given = list(last.labels.values())
        try:
            undone = self._labels.undo_given(given, "page", self._who, datetime.now(UTC))
        except DatabaseError:
            session.add(last)  # the person can try again
            raise
        taken_back = f"{counted(len(undone), 'label')} taken back"
        kept = [video for video, label in last.labels.items() if label not in undone]
        if not kept:
            return taken_back
        reason = "someone has labelled it anew since then, or taken your label back"
        return f"{taken_back}. Left as it is, since {reason}: {self._named(kept)}"

    def _named(self, ids: Sequence[int]) -> str:
        """The names of these videos."""
        query = select(videos.c.id, shown_name()).where(videos.c.id.in_(ids))
        with self._reader.begin() as connection:
            names = {row.id: printable(row.shown_name) for row in connection.execute(query)}
        return _listed([names.get(video, f"video {video}") for video in ids])


def _label(submission: Submission, video: int, card: Card | None) -> Label:
    """The label that a form gives a video; `card` is None if the video has no prediction.

    The database says whether the video is of the random share, not the form. This is also so if
    someone has reviewed it before: such a video is never shown among the others.
    """
    in_random_share = card is not None and card.in_random_share
    if submission.kind == "unsure":
        return Label(video, "unsure", sampled=in_random_share)
    if submission.kind == "label":
        return Label(video, "labelled", submission.class_name, in_random_share)
    if card is None:
        raise VidwatchError(f"video {video} has no prediction that could be accepted")
    if card.by_outgrown_starter:
        reason = "was predicted by the starter, which knows none of your classes"
        raise VidwatchError(f"{card.name} {reason}: give its class")
    return Label(video, "labelled", card.predicted, in_random_share)


def _summary(submission: Submission, cards: Mapping[int, Card]) -> str:
    """What was done, with the names of the first clips."""
    done = {"accept": "accepted", "unsure": "unsure"}.get(submission.kind, submission.class_name)
    ids = submission.ids
    names = [cards[video].name if video in cards else f"video {video}" for video in ids]
    return f"{_listed(names)}: {done}"


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    text = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        text += f" and {counted(len(names) - NAMED, 'clip')} more"
    return text


def _labels_since(connection: Connection, submission: Submission) -> list[str]:
    """A message for each label that these videos got since the form's page was made."""
    query = select(labels, shown_name()).join(videos, videos.c.id == labels.c.video_id)
    newer = query.where(
        labels.c.video_id.in_(submission.ids), labels.c.id > submission.newest_label
    )
    rows = connection.execute(newer.order_by(labels.c.id)).mappings()
    return [f"Meanwhile {_report(row)}; that stays in the table, and yours counts" for row in rows]


def _report(row: Any) -> str:
    """What someone did by a label, such as "ann labelled a.avi dark (command)"."""
    who = printable(row["who"])
    name = printable(row["shown_name"])
    if row["verdict"] == "withdrawn":
        return f"{who} took back a label of {name} ({row['source']})"
    label = printable(row["class"] or row["verdict"])
    return f"{who} labelled {name} {label} ({row['source']})"
