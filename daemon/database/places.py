"""Where the file of a predicted video belongs, by its label, its content and its prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from daemon.database.records import Copy, VideoPrediction
from daemon.database.tables import class_names
from daemon.home.folders import Folders
from daemon.home.sources import OnFiled
from learner.classes import normal_name

BY_FOLDER = ("folder", "moved")  # sources of labels

Label = Any
"""A row of `labels`, with its class as `class_name`."""


@dataclass(frozen=True)
class Places:
    """The places of one home."""

    folders: Folders
    new_names: Mapping[str, str]
    """The new names of renamed classes, by the old ones."""
    leave_duplicates: bool
    """Whether a file in the inbox stays there if its content was predicted before."""

    def rests(
        self,
        found: VideoPrediction | Copy,
        original: int | None,
        label: Label | None,
        on_filed: OnFiled | None,
    ) -> bool:
        """Whether a file stays where it is: a person has put it there, or it is left as a copy.

        Args:
            found: The prediction, or that it is a copy.
            original: The first video with the same content; None if there is none.
            label: The video's newest label; None if there is none.
            on_filed: What becomes of its file if it is not moved.
        """
        if on_filed == "leave":
            return True
        folder = self.folders.class_folder(found.path)
        if folder is not None:
            return self._stays(folder[1], label)
        is_labelled = label is not None and label.verdict == "labelled"
        is_copy = original is not None and not is_labelled
        return self.leave_duplicates and is_copy and self.folders.is_in_inbox(found.path)

    def destination(
        self, found: VideoPrediction | Copy, original: int | None, label: Label | None
    ) -> bytes | None:
        """Where a file is to be moved that does not rest; None if it lies in that class folder."""
        predicted = ""
        is_unsure = label is not None and label.verdict == "unsure"
        if isinstance(found, VideoPrediction):
            predicted = found.prediction.class_name
            is_unsure |= found.unsure is not None
        return self.folders.resting_place(
            found.path,
            predicted=self.new_names.get(predicted, predicted),
            unsure=is_unsure,
            label=label.class_name if label is not None and label.verdict == "labelled" else None,
            is_duplicate=original is not None,
        )

    def _stays(self, folder: str, label: Label | None) -> bool:
        """Whether a file stays in the class folder where a person has put it.

        It does not if the label that this gave was taken back, if it has another label by now, or
        if its class was renamed meanwhile. If a person has renamed the folder, that alone moves
        nothing.
        """
        if label is None:
            return False
        if label.verdict != "labelled":
            return True
        if normal_name(folder) == normal_name(label.class_name):
            return True
        return label.source in BY_FOLDER and self.new_names.get(folder) != label.class_name


def new_names(connection: Connection) -> dict[str, str]:
    """The new names of renamed classes, by the old ones."""
    renamed = select(class_names.c.old, class_names.c.new).where(class_names.c.new.is_not(None))
    return {row.old: row.new for row in connection.execute(renamed)}
