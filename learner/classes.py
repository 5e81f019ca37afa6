"""Which names can be a class, and which class a name means."""

import unicodedata
from collections.abc import Collection
from functools import lru_cache

EMPTY = "_empty"
"""The class of clips in which nothing is. It is a class like any other."""

CLASS_NAME_RULE = (
    "a class must be a folder's name: "
    f"printable, no '/', no '.' or '_' at its start (but for '{EMPTY}'), 200 bytes at most"
)

# Folders that file servers and operating systems make for themselves, in lower case: bins,
# thumbnails, snapshots, what a file system check has found.
SYSTEM_FOLDERS = frozenset(
    {
        "#recycle", "#snapshot", "#sharesnap", "@eadir", "@recycle", "@recently-snapshot", "@tmp",
        "@sharebin", "@sharesnap", "@snapshot", "@__thumb", "$recycle.bin", "recycler", "recycled",
        "system volume information", "lost+found", "lost.dir", "found.000", "~snapshot",
        "network trash folder", "temporary items", "__macosx",
    }
)  # fmt: skip
# Files that they make, in lower case.
SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})
# Endings of the files that a camera writes beside a clip, under the clip's name. A person never
# brings one of the first kind for itself.
ONLY_SIDECARS = frozenset({".thm", ".lrv", ".lrf", ".ctg", ".srt", ".vtt", ".gpx", ".xmp"})
SIDECARS = ONLY_SIDECARS | {".jpg", ".jpeg", ".xml", ".wav"}
SHORTEST_MISSPELT = 4  # letters: of shorter names, too many differ by one letter


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name was made by a file server or an operating system."""
    return normal_name(name).lower() in SYSTEM_FOLDERS


def is_no_class(folder: str) -> bool:
    """Whether a folder among class folders is none, by its name: hidden, or a system's."""
    return folder.startswith(".") or is_system_folder(folder)


def is_no_clip(name: str) -> bool:
    """Whether a file among clips is none, by its name: hidden, a system's, or a sidecar."""
    name = name.lower()
    ending = name[name.rfind(".") :] if "." in name else ""
    is_of_system = name in SYSTEM_FILES or name.endswith("zone.identifier")
    return name.startswith(".") or is_of_system or ending in SIDECARS


def normal_name(name: str) -> str:
    """The one form of a class name: without spaces around it, and composed (Unicode's NFC).

    macOS writes the "ö" of a file's name as two characters, other systems as one.
    """
    return unicodedata.normalize("NFC", name).strip()


def is_class_name(name: object) -> bool:
    """Whether `name` can be a class: a folder's name, not a path, not hidden and not reserved."""
    if not isinstance(name, str) or not name or (name[0] in "._" and name != EMPTY):
        return False
    # Lone surrogates stand for bytes that are not UTF-8: sqlite3 does not take them, and other
    # programs do not take them in JSON.
    encoded = name.encode(errors="replace")
    return len(encoded) <= 200 and name.isprintable() and "/" not in name


def class_named(name: str, existing: Collection[str] = ()) -> str:
    """The class that a name means: one that there is, else the name in its normal form.

    A model or a database that has a class of another form already keeps it.

    Args:
        name: The name, in whatever form.
        existing: The classes that there are.
    """
    if name in existing:
        return name
    normal = normal_name(name)
    if normal in existing:
        return normal
    return next((other for other in sorted(existing) if normal_name(other) == normal), normal)


def why_not_a_class(
    name: str, existing: Collection[str] = (), *, is_folder: bool = False
) -> str | None:
    """Why a class cannot have this name, as `class_named` gives it; None if it can.

    Two names that look the same to people would be two classes, each with half of the clips.

    Args:
        name: The name.
        existing: The classes that there are.
        is_folder: Whether it is the name of a folder, and not what a person writes.
    """
    if is_system_folder(name):
        return f"{name!r} is a folder that a file server or the system makes, and never a class"
    if not is_class_name(name):
        return CLASS_NAME_RULE
    if name in existing:
        return None
    if same := same_but_for_case(name, existing):
        hint = f"give {same!r}"
        if is_folder:
            hint = f"rename the folder to {same!r}, or move its clips into that one"
        return f"there is a class {same!r}, which differs in case only; {hint}"
    return None


def likely_meant(name: str, existing: Collection[str]) -> str | None:
    """The class that a person probably meant by a new name; None if there is none.

    It differs in case only, or by one slip: a letter that is wrong, missing or too many, or two
    neighbours that are swapped.
    """
    if name in existing:
        return None
    if same := same_but_for_case(name, existing):
        return same
    return next((other for other in sorted(existing) if is_misspelt(name, other)), None)


def same_but_for_case(name: str, others: Collection[str]) -> str | None:
    """The one of the other names that differs from `name` in case or in its encoding only.

    None if there is none. File systems that write "é" as two characters count as the same.
    """
    key = _key(name)
    return next((other for other in sorted(others) if other != name and _key(other) == key), None)


def is_misspelt(name: str, other: str) -> bool:
    """Whether two names differ by one slip in typing, apart from case.

    Numbers, and letters that stand alone, are no slips: "Team 1" and "Team 2", "Team A" and "Team
    B" are two classes.
    """
    short, long = sorted((_key(name), _key(other)), key=len)
    if len(short) < SHORTEST_MISSPELT or short == long or len(long) > len(short) + 1:
        return False
    pairs = zip(short, long, strict=False)
    at = next((at for at, (one, two) in enumerate(pairs) if one != two), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :] and not _stands_for_itself(long, at)
    if short[at + 1 :] == long[at + 1 :]:
        return not (_stands_for_itself(long, at) or _stands_for_itself(short, at))
    is_swapped = short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return is_swapped and not (short[at].isdigit() or long[at].isdigit())


def _stands_for_itself(name: str, at: int) -> bool:
    """Whether the character at a place is a digit, or a word of its own."""
    before = name[at - 1 : at]
    after = name[at + 1 : at + 2]
    return name[at].isdigit() or not (before.isalnum() or after.isalnum())


@lru_cache(maxsize=4096)  # of many classes, each is compared with each other one
def _key(name: str) -> str:
    return normal_name(name).casefold()
