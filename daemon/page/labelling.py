"""Labels that people give on the page: adds labels, takes them back, asks if others disagree.

Knows neither requests nor templates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, select

from daemon.database.expressions import shown_name
from daemon.database.tables import labels, videos
from daemon.home import settings
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.texts import printable
from daemon.labels.labels import Label, Labels, Origin, OtherLabel, OthersLabelledError
from daemon.labels.parts import PartLabel, PartLabels, last_part_given
from daemon.labels.queries import is_blind, newest, seen_by
from daemon.page.cards import Card, read_cards
from daemon.page.forms import Submission
from daemon.page.sessions import Question, Session, Skip
from daemon.page.undo import last_given
from learner.errors import VidwatchError
from learner.texts import counted, listed

NAMED = 3  # a message names so many clips at most
SEEN_BEFORE = "You had seen that before: this label is left out of how often the model is right"


class PageLabels:
    """Adds the labels that people give on the page. The daemon moves the files when it runs."""

    def __init__(self, home: Home, reader: Engine, writer: Engine) -> None:
        self._home = home
        self._reader = reader
        self._labels = Labels(writer, settings.load_folders(home.settings))
        self._parts = PartLabels(writer)

    def apply(self, submission: Submission, session: Session, who: str) -> str:
        """Do what a form asks for, all of it or nothing; gives a message for the person.

        If somebody else has labelled one of the videos otherwise since the form's page was made,
        nothing is done, and the session has a question more.

        Args:
            submission: What the form asks for.
            session: What the person's browser has done.
            who: The person.

        Raises:
            VidwatchError: a video does not exist, failed, or has no prediction to accept; or it is
                blind, and the person knows what was predicted.
            DidYouMeanError: the class is new, and nearly another one.
            DatabaseError: the database cannot be written.
        """
        if submission.kind == "skip":
            session.skip(Skip(submission.ids, now()))
            return f"{counted(len(submission.ids), 'clip')} skipped for now"
        with self._reader.begin() as connection:
            if submission.knows:
                _require_seen(connection, submission.ids)
            cards_read = read_cards(connection, self._home, submission.ids)
            meanwhile = _labels_since(connection, submission)
            seen_before = seen_by(connection, submission.ids, who)
        found = cards_read if submission.knows else [_as_shown(card) for card in cards_read]
        cards = {card.id: card for card in found}
        new = [_label(submission, video, cards.get(video)) for video in submission.ids]
        if submission.note:
            new = [replace(one, note=submission.note) for one in new]
        knows = set(submission.ids) if submission.knows else seen_before
        new = [replace(one, sampled=False) if one.video_id in knows else one for one in new]
        at = now()
        is_new = submission.new_class
        seen = submission.newest_label
        try:
            self._labels.add(new, "page", who, at, new_class=is_new, seen=seen)
        except OthersLabelledError as error:
            return _ask(submission, session, cards, error.others)
        session.count += len(submission.ids)
        revealed = [_reveal(card) for card in found if card.is_blind]
        names = {card.id: card.name for card in found}
        again = [SEEN_BEFORE] if any(card.is_blind and card.id in knows for card in found) else []
        return ". ".join([_summary(submission, names), *revealed, *again, *meanwhile])

    def answer(self, name: str, session: Session, who: str, *, insists: bool) -> str:
        """Do what the person answers to a question; gives a message for the person.

        Args:
            name: The question.
            session: What the person's browser has done.
            who: The person.
            insists: Whether to label in spite of what others say. If not, only the videos that
                nobody else has labelled get their labels.

        Raises:
            VidwatchError: as `apply`. The question stays open.
            DatabaseError: as `apply`. The question stays open.
        """
        question = session.questions.get(name)
        if question is None:
            return "this question is not open any more; nothing was labelled"
        submission = question.submission
        message = f"left as it is: {_listed(list(question.names.values()))}"
        if not insists:
            others = tuple(video for video in submission.ids if video not in question.names)
            submission = replace(submission, ids=others)
        if submission.ids:
            done = self.apply(submission, session, who)
            message = done if insists else f"{done}. {message[:1].upper()}{message[1:]}"
        session.questions.pop(name, None)
        return message

    def can_undo(self, connection: Connection, session: Session, who: str) -> bool:
        """Whether there is an action to undo."""
        if session.skips or last_given(connection, who, session.passed) is not None:
            return True
        return last_part_given(connection, who, "page") is not None

    def undo(self, session: Session, who: str) -> str:
        """Undo the last action of a person; gives a message for the person.

        The labels of that action are taken back, each for itself; so is the label of a part. If a
        label does not count any more, its video keeps its labels, and the message names it.

        Raises:
            DatabaseError: the database cannot be written. The action can still be undone.
        """
        with self._reader.begin() as connection:
            last = last_given(connection, who, session.passed)
            of_part = last_part_given(connection, who, "page")
        times = [one.at for one in (last, of_part) if one]
        if session.skips and all(at < session.skips[-1].at for at in times):
            again = session.undo_skip().ids
            session.first = list(again)
            return f"{counted(len(again), 'clip')} shown again"
        if of_part and (last is None or last.at < of_part.at):
            return self._undo_part(of_part, who)
        if last is None:
            return f"there is nothing to undo for {who}"
        undone = self._labels.undo_given(list(last.labels), "page", who, now())
        session.passed.add(last.at)
        session.count = max(0, session.count - len(undone))
        changed = {last.labels[label] for label in undone}
        session.first = sorted(changed)
        kept = [video for video in dict.fromkeys(last.labels.values()) if video not in changed]
        taken_back = f"{counted(len(undone), 'label')} taken back"
        if changed:
            taken_back += f": {self._named(sorted(changed))}"
        if len(changed) == 1 and (holds := self.in_force(*changed)):
            taken_back += f"; {holds}"
        if not kept:
            return taken_back
        reason = "someone has labelled it anew since then, or taken your label back"
        return f"{taken_back}. Left as it is, since {reason}: {self._named(kept)}"

    def take_back(self, label: int, who: str) -> bool:
        """Take one label back; gives whether it counted, and so was.

        Raises:
            DatabaseError: the database cannot be written.
        """
        return bool(self._labels.undo_given([label], "page", who, now()))

    def in_force(self, content: int) -> str:
        """Which label of a content counts now, in words; empty if none does, or if it is blind."""
        of_content = newest().where(labels.c.video_id == content)
        blind = select(videos.c.id).where(videos.c.id == content, is_blind())
        with self._reader.begin() as connection:
            row = connection.execute(of_content).mappings().first()
            if row is None or connection.scalar(blind):
                return ""
        given = printable(row["class"] or "cannot tell")
        return f"now {given} counts, by {printable(row['who'])} ({row['source']})"

    def _undo_part(self, given: PartLabel, who: str) -> str:
        origin = Origin("page", who, now())
        what = (
            f"label {printable(given.class_name)} of {self._named([given.video_id])}, {given.part}"
        )
        if self._parts.undo_given(given.id, origin):
            return f"{what}: taken back"
        return f"{what}: left as it is, since it was taken back meanwhile"

    def _named(self, ids: Sequence[int]) -> str:
        """The names of these videos."""
        query = select(videos.c.id, shown_name()).where(videos.c.id.in_(ids))
        with self._reader.begin() as connection:
            names = {row.id: printable(row.shown_name) for row in connection.execute(query)}
        return _listed([names.get(video, f"video {video}") for video in ids])


def _require_seen(connection: Connection, ids: Sequence[int]) -> None:
    """Check that none of these videos is blind.

    Raises:
        VidwatchError: one is; names each.
    """
    blind = select(videos.c.id).where(videos.c.id.in_(ids), is_blind()).order_by(videos.c.id)
    if found := [f"clip {video}" for video in connection.scalars(blind)]:
        reason = "of the random share: label it alone, on Review or on its own page"
        raise VidwatchError(f"{_listed(found)}: {reason}")


def _as_shown(card: Card) -> Card:
    """The card as this person saw it: a clip of the random share is only ever shown blind.

    It is not blind in the database any more if someone else has reviewed it since.
    """
    return replace(card, awaits_random_review=card.in_random_share)


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
    if card.is_blind:
        reason = "its prediction is shown when it is labelled"
        raise VidwatchError(f"{card.title}: {reason}; give its class")
    if card.by_outgrown_starter:
        reason = "was predicted by the starter, which knows none of your classes"
        raise VidwatchError(f"{card.name} {reason}: give its class")
    return Label(video, "labelled", card.predicted, in_random_share)


def _reveal(card: Card) -> str:
    """What was predicted for a clip that was labelled without knowing it."""
    predicted = f"{printable(card.predicted)} ({100 * card.probability:.1f} %)"
    return f"{printable(card.model)} had predicted {predicted} for {card.name}"


def _ask(
    submission: Submission,
    session: Session,
    cards: Mapping[int, Card],
    others: Mapping[int, OtherLabel],
) -> str:
    """Ask whether to label in spite of what others say; gives a message for the person.

    A blind clip stays blind: the question tells neither its name nor the class of others.
    """
    at = max(submission.newest_label, *(label.id for label in others.values()))
    titles = {video: card.title for video, card in cards.items()}
    reports = tuple(_report_to_ask(label, cards.get(video)) for video, label in others.items())
    question = Question(
        submission=replace(submission, newest_label=at),
        names={video: titles.get(video, printable(one.name)) for video, one in others.items()},
        cards=tuple(cards[video] for video in others if video in cards),
        reports=reports,
        wanted=_summary(submission, titles),
    )
    session.ask(question)
    return f"nothing is labelled yet, since meanwhile {_listed(reports)}: answer at the top"


def _summary(submission: Submission, names: Mapping[int, str]) -> str:
    """What was done, with the names of the first clips."""
    done = {"accept": "accepted", "unsure": "unsure"}.get(submission.kind, submission.class_name)
    shown = [names.get(video, f"video {video}") for video in submission.ids]
    return f"{_listed(shown)}: {done}"


def _listed(names: Sequence[str]) -> str:
    return listed(names, NAMED, "clip")


def _labels_since(connection: Connection, submission: Submission) -> list[str]:
    """A message for each label that these videos got since the form's page was made."""
    query = select(labels, shown_name()).join(videos, videos.c.id == labels.c.video_id)
    newer = query.where(
        labels.c.video_id.in_(submission.ids), labels.c.id > submission.newest_label
    )
    rows = connection.execute(newer.order_by(labels.c.id)).mappings().all()
    return [f"Meanwhile {_report(_other(row))}; that stays in the table" for row in rows]


def _other(row: Any) -> OtherLabel:
    """A row of `labels`, with the video's name."""
    columns = ("id", "shown_name", "verdict", "class", "source", "who")
    return OtherLabel(*(row[column] for column in columns))


def _report(label: OtherLabel) -> str:
    """What someone did by a label, such as "ann labelled a.avi dark (command)"."""
    who = printable(label.who)
    name = printable(label.name)
    if label.verdict == "withdrawn":
        return f"{who} took back a label of {name} ({label.source})"
    given = printable(label.class_name or label.verdict)
    return f"{who} labelled {name} {given} ({label.source})"


def _report_to_ask(label: OtherLabel, card: Card | None) -> str:
    """As `_report`; if the clip is blind, without its name and its class."""
    if card is None or not card.is_blind:
        return _report(label)
    return f"{printable(label.who)} labelled {card.title} otherwise ({label.source})"
