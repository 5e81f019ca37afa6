"""Which classes a person is offered as buttons on a card, and in what order. Only reads."""

from collections.abc import Collection, Sequence

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

    The likeliest classes come first, then those that people label most, then those that they
    labelled last. On a blind card all come in alphabetical order: that tells nothing.

    Args:
        connection: To the database.
        cards: The cards.
        classes: All classes that are offered, in alphabetical order.
    """
    common = commonest_classes(connection, MOST)
    often = [*common[: MOST // 3], *_recent(connection), *common]
    own = [name for name in dict.fromkeys(often) if name in classes or name == EMPTY]
    blind = [Choice(name, None) for name in classes] if len(classes) <= MOST_BLIND else []
    return {card.id: blind if card.is_blind else _with(card.choices, own) for card in cards}


def _with(likeliest: Sequence[Choice], own: Collection[str]) -> list[Choice]:
    known = {choice.class_name for choice in likeliest}
    more = [Choice(name, None) for name in own if name not in known]
    return [*likeliest, *more][:MOST]


def _recent(connection: Connection) -> list[str]:
    """The classes of the newest labels, the newest first."""
    newest = select(labels.c["class"]).order_by(labels.c.id.desc()).limit(RECENT)
    return [name for name in dict.fromkeys(connection.scalars(newest)) if name is not None]
