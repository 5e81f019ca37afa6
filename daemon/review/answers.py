"""What a form on the page says, noted as labels, and taken back. Knows neither requests nor templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DatabaseError

from daemon.database.tables import labels, stands, videos
from daemon.home.folder import Home
from daemon.home.folders import Folders
from daemon.home.identity import printable
from daemon.labels.labels import Label, Labels, current_user, newest_label
from daemon.review.cards import Card, read_cards
from daemon.review.sessions import Done, Session
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError

LONGEST_ID = 18  # digits
NAMED = 3  # so many clips are named in a message


@dataclass(frozen=True)
class Wish:
    """What a form wants of some videos; `seen` is the newest label when its page was made."""

    kind: Literal["accept", "label", "unsure", "skip"]
    ids: tuple[int, ...]
    class_name: str = ""
    seen: int = 0


def read_wish(fields: Mapping[str, str], ids: Sequence[str]) -> Wish:
    """From the fields of a form.

    Raises:
        VidwatchError: an id that is no number, no video, or no class.
    """
    if not all(map(is_id, ids)):
        raise VidwatchError("an id of a video is a whole number")
    if not ids:
        raise VidwatchError("no clip is selected; select some with their boxes, or with x")
    seen = fields.get("seen", "")
    common: dict[str, Any] = {
        "ids": tuple(dict.fromkeys(map(int, ids))),
        "seen": int(seen) if is_id(seen) else 10**LONGEST_ID,
    }
    action = fields.get("action", "")
    if action in ("accept", "unsure", "skip"):
        return Wish(action, **common)  # type: ignore[arg-type]
    name = fields.get("other", "").strip() if action == "other" else fields.get("class", "")
    if not is_class_name(name):
        raise VidwatchError(
            f"{name!r} cannot be a class: {CLASS_NAME_RULE}" if name else "no class is given"
        )
    return Wish("label", class_name=name, **common)


def is_id(text: str) -> bool:
    """Whether it can be the id of a row."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_ID


class Answers:
    """Notes what people say on the page; the daemon, running or not, moves the files in its own time."""

    def __init__(self, home: Home, reader: Engine, writer: Engine) -> None:
        self._home, self._reader = home, reader
        self._labels, self._who = Labels(writer, Folders(home.root)), current_user()

    def follow(self, wish: Wish, session: Session) -> str:
        """Do it, and say what was done.

        Raises:
            VidwatchError: a video that there is not, that failed, or that has no answer to accept.
            DatabaseError: it cannot be written.
        """
        if wish.kind == "skip":
            session.note(Done("skipped", wish.ids))
            return f"{_clips(len(wish.ids))} skipped for now"
        with self._reader.begin() as read:
            cards = {card.id: card for card in read_cards(read, self._home, wish.ids)}
            meanwhile = _said_since(read, wish)
        said = [_said(wish, video, cards) for video in wish.ids]
        self._say(said, cards, session)
        what = {"accept": "accepted", "unsure": "unsure"}.get(wish.kind, wish.class_name)
        named = ", ".join(
            cards[video].name if video in cards else f"video {video}" for video in wish.ids[:NAMED]
        )
        more = f" and {_clips(len(wish.ids) - NAMED)} more" if len(wish.ids) > NAMED else ""
        return ". ".join([f"{named}{more}: {what}", *meanwhile])

    def take_back(self, session: Session) -> str:
        """Undo the last action of this session, but for videos of which more was said since; says what was done."""
        last = session.take_back()
        if last is None:
            return "there is nothing to undo in this session"
        if last.kind == "skipped":
            return f"{_clips(len(last.ids))} shown again"
        with self._reader.begin() as read:
            later = select(labels.c.video_id).where(
                labels.c.video_id.in_(last.ids), labels.c.id > last.newest
            )
            changed = set(read.scalars(later.where(stands())))
        ids = [video for video in last.ids if video not in changed]
        try:
            if ids:
                self._labels.undo(ids, "page", self._who, datetime.now(UTC))
        except DatabaseError:  # it may be done later
            session.note(last)
            raise
        kept = f"; {_clips(len(changed))} not, since more was said of it since" if changed else ""
        return f"{_clips(len(ids))} taken back{kept}"

    def _say(self, said: Sequence[Label], cards: Mapping[int, Card], session: Session) -> None:
        """In one transaction. Of the random share or not is what the database says, not the form."""
        drawn = [replace(one, sampled=_is_drawn(cards, one.video_id)) for one in said]
        self._labels.add(drawn, "page", self._who, datetime.now(UTC))
        with self._reader.begin() as read:
            session.note(Done("said", tuple(one.video_id for one in said), newest_label(read)))


def _said(wish: Wish, video: int, cards: Mapping[int, Card]) -> Label:
    if wish.kind == "unsure":
        return Label(video, "unsure")
    if wish.kind == "accept":
        if video not in cards:
            raise VidwatchError(f"video {video} has no answer that could be accepted")
        return Label(video, "labelled", cards[video].answer)
    return Label(video, "labelled", wish.class_name)


def _is_drawn(cards: Mapping[int, Card], video: int) -> bool:
    """Also where someone has reviewed it before: drawn clips never come among the uncertain ones."""
    return video in cards and cards[video].sampled


def _said_since(read: Connection, wish: Wish) -> list[str]:
    """What others said of these videos since the page was made."""
    query = select(labels, videos.c.name).join(videos, videos.c.id == labels.c.video_id)
    newer = query.where(labels.c.video_id.in_(wish.ids), labels.c.id > wish.seen).order_by(
        labels.c.id
    )
    return [
        f"Meanwhile {printable(row['who'])} said {printable(row['class'] or row['verdict'])} of"
        f" {printable(row['name'])} ({row['source']}): that stays in the table, and yours counts"
        for row in read.execute(newer).mappings()
    ]


def _clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count} clips"
