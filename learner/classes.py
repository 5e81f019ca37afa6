"""What can be a class: told from its name alone."""

CLASS_NAME_RULE = "a class must be a folder's name: printable, no '/', no '.' or '_' at its start, 200 bytes at most"


def is_class_name(name: object) -> bool:
    """Whether `name` can be a class: it is a folder's name, never a path, and hidden or reserved for no other use."""
    if not isinstance(name, str) or not name or name[0] in "._":
        return False
    # Lone surrogates stand for bytes that are not UTF-8: neither JSON for others nor sqlite3 takes them.
    encoded = name.encode(errors="replace")
    return len(encoded) <= 200 and name.isprintable() and "/" not in name
