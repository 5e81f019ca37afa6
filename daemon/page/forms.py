"""What a person asks for by sending a form of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from starlette.datastructures import FormData

from learner.classes import class_named, why_not_a_class
from learner.errors import VidwatchError

LONGEST_ID = 18  # digits
LONGEST_NOTE = 300  # characters


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
    knows: bool = False
    """Whether the person has seen what was predicted. Such a label tells nothing of how often the
    model is right, and blind clips get none."""
    note: str = ""
    """What the person wrote beside the label."""


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
    note = _note(fields.get("note", ""))
    if action in ("accept", "unsure", "skip"):
        kind: Any = action
        return Submission(kind, videos_once, newest_label=newest, note=note)
    is_new = "new" in fields
    name = fields.get("other", "").strip() if action == "other" else fields.get("class", "")
    name = fields.get("new", name)
    if not name:
        raise VidwatchError("no class is given")
    if reason := why_not_a_class(class_named(name)):
        raise VidwatchError(f"{name!r} cannot be a class: {reason}")
    return Submission("label", videos_once, name, newest, is_new, note=note)


def _note(text: str) -> str:
    note = " ".join(text.split())
    if len(note) > LONGEST_NOTE:
        raise VidwatchError(f"a note has {LONGEST_NOTE} characters at most, this has {len(note)}")
    return note


def text_fields(form: FormData) -> dict[str, str]:
    """The fields of a form that are texts, each once."""
    return {name: value for name, value in form.items() if isinstance(value, str)}


def texts(form: FormData, name: str) -> list[str]:
    """All texts that a form has under one name."""
    return [value for value in form.getlist(name) if isinstance(value, str)]


def is_id(text: str) -> bool:
    """Whether a text can be the id of a row."""
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_ID
