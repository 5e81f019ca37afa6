"""Labels that people give on the page: reads forms, adds labels, takes them back.

Knows neither requests nor templates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DatabaseError

from daemon.database.tables import labels, stands, videos
from daemon.home.folder import Home
from daemon.home.folders import Folders
from daemon.home.texts import printable
from daemon.labels.labels import Label, Labels, current_user, newest_label
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
        self._labels = Labels(writer, Folders(home.root))
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
        is_new = submission.new_class
        self._labels.add(new, "page", self._who, datetime.now(UTC), new_class=is_new)
        with self._reader.begin() as connection:
            session.add(Action("labelled", submission.ids, newest_label(connection)))
        return ". ".join([_summary(submission, cards), *meanwhile])

    def undo(self, session: Session) -> str:
        """Undo the last action of a session; gives a message for the person.

        A video that was labelled again since then keeps its labels.

        Raises:
            VidwatchError: a video has no label any more.
            DatabaseError: the database cannot be written. The action can still be undone.
        """
        last = session.undo()
        if last is None:
            return "there is nothing to undo in this session"
        if last.kind == "skipped":
            return f"{counted(len(last.ids), 'clip')} shown again"
        relabelled = self._relabelled_since(last)
        ids = [video for video in last.ids if video not in relabelled]
        try:
            if ids:
                self._labels.undo(ids, "page", self._who, datetime.now(UTC))
        except DatabaseError:
            session.add(last)  # the person can try again
            raise
        taken_back = "1 label" if len(ids) == 1 else f"{len(ids)} labels"
        if not relabelled:
            return f"{taken_back} taken back"
        kept = f"not taken back because of a newer label: {counted(len(relabelled), 'clip')}"
        return f"{taken_back} taken back; {kept}"

    def _relabelled_since(self, action: Action) -> set[int]:
        """Which videos of an action have a label that was given after it."""
        later = select(labels.c.video_id).where(
            labels.c.video_id.in_(action.ids), labels.c.id > action.newest_label, stands()
        )
        with self._reader.begin() as connection:
            return set(connection.scalars(later))


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
    first = submission.ids[:NAMED]
    names = [cards[video].name if video in cards else f"video {video}" for video in first]
    text = ", ".join(names)
    if len(submission.ids) > NAMED:
        text += f" and {counted(len(submission.ids) - NAMED, 'clip')} more"
    return f"{text}: {done}"


def _labels_since(connection: Connection, submission: Submission) -> list[str]:
    """A message for each label that these videos got since the form's page was made."""
    query = select(labels, videos.c.name).join(videos, videos.c.id == labels.c.video_id)
    newer = query.where(
        labels.c.video_id.in_(submission.ids), labels.c.id > submission.newest_label
    )
    rows = connection.execute(newer.order_by(labels.c.id)).mappings()
    return [f"Meanwhile {_report(row)}; that stays in the table, and yours counts" for row in rows]


def _report(row: Any) -> str:
    """What someone did by a label, such as "ann labelled a.avi dark (command)"."""
    who = printable(row["who"])
    name = printable(row["name"])
    if row["verdict"] == "withdrawn":
        return f"{who} took back a label of {name} ({row['source']})"
    label = printable(row["class"] or row["verdict"])
    return f"{who} labelled {name} {label} ({row['source']})"
