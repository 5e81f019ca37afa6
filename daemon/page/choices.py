"""Which classes a person is offered as buttons on a card, and in what order. Only reads."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from daemon.database.tables import labels
from daemon.labels.classes import commonest_classes
from daemon.page.cards import Card, Choice
from learner.classes import EMPTY

MOST = 9  # buttons: each has a key
MOST_BLIND = 40  # buttons of a blind card; if there are more classes, the class is typed
RECENT = 100  # labels


def read_choices(
    connection: Connection, cards: Sequence[Card], classes: Sequence[str]
) -> dict[int, list[Choice]]:
    """The choices of each card, by its id.

    The likeliest classes come first, then those that people label most or labelled last, in
    alphabetical order: a key must not mean another class on the next card. On a card of a starter
    that knows none of the classes, and on a blind one, all are in alphabetical order.

    Args:
        connection: To the database.
        cards: The cards.
        classes: All classes that are offered, in alphabetical order.
    """
    common = commonest_classes(connection, MOST)
    often = [*common[: MOST // 3], *_recent(connection), *common]
    own = [name for name in dict.fromkeys(often) if name in classes or name == EMPTY]
    blind = [Choice(name, None) for name in classes] if len(classes) <= MOST_BLIND else []
    return {card.id: blind if card.is_blind else _choices(card, own) for card in cards}


def _choices(card: Card, own: Sequence[str]) -> list[Choice]:
    likeliest = [] if card.by_outgrown_starter else card.choices
    known = {choice.class_name for choice in likeliest}
    more = [name for name in own if name not in known][: MOST - len(likeliest)]
    return [*likeliest, *(Choice(name, None) for name in sorted(more, key=str.casefold))]


def _recent(connection: Connection) -> list[str]:
    """The classes of the newest labels, the newest first."""
    newest = select(labels.c["class"]).order_by(labels.c.id.desc()).limit(RECENT)
    return [name for name in dict.fromkeys(connection.scalars(newest)) if name is not None]
