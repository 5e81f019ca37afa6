"""Which names can be a class."""

import unicodedata
from collections.abc import Collection

EMPTY = "_empty"
"""The class of clips in which nothing is. It is a class like any other."""

CLASS_NAME_RULE = (
    "a class must be a folder's name: "
    f"printable, no '/', no '.' or '_' at its start (but for '{EMPTY}'), 200 bytes at most"
)


def is_class_name(name: object) -> bool:
    """Whether `name` can be a class: a folder's name, not a path, not hidden and not reserved."""
    if not isinstance(name, str) or not name or (name[0] in "._" and name != EMPTY):
        return False
    # Lone surrogates stand for bytes that are not UTF-8: sqlite3 does not take them, and other
    # programs do not take them in JSON.
    encoded = name.encode(errors="replace")
    return len(encoded) <= 200 and name.isprintable() and "/" not in name


def why_not_a_class(name: str, existing: Collection[str] = ()) -> str | None:
    """Why a person may not give a class this name; None if they may.

    Two names that look the same to people would be two classes, each with half of the clips. A
    model or a database that has such a class already keeps it.

    Args:
        name: The name.
        existing: The classes that there are.
    """
    if not is_class_name(name):
        return CLASS_NAME_RULE
    if name in existing:
        return None
    if name != name.strip():
        return f"a class has no space at its start or end; give {name.strip()!r}"
    if same := same_but_for_case(name, existing):
        return f"there is a class {same!r}, which differs in case only; give {same!r}"
    return None


def same_but_for_case(name: str, others: Collection[str]) -> str | None:
    """The one of the other names that differs from `name` in case or in its encoding only.

    None if there is none. File systems that write "é" as two characters count as the same.
    """
    key = _key(name)
    return next((other for other in sorted(others) if other != name and _key(other) == key), None)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
