"""Which names can be a class."""

CLASS_NAME_RULE = (
    "a class must be a folder's name: "
    "printable, no '/', no '.' or '_' at its start, 200 bytes at most"
)


def is_class_name(name: object) -> bool:
    """Whether `name` can be a class: a folder's name, not a path, not hidden and not reserved."""
    if not isinstance(name, str) or not name or name[0] in "._":
        return False
    # Lone surrogates stand for bytes that are not UTF-8: sqlite3 does not take them, and other
    # programs do not take them in JSON.
    encoded = name.encode(errors="replace")
    return len(encoded) <= 200 and name.isprintable() and "/" not in name
