"""The tables `[[source]]` of the settings. Loads pydantic, which decoders have no need of."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from daemon.home.answering import Answers
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError


def _valid_name(name: str) -> str:
    if not is_class_name(name):
        raise ValueError(f"{name!r}: {CLASS_NAME_RULE}")
    return name


def _valid_folder(folder: Path) -> Path:
    path = Path(os.path.normpath(folder.expanduser()))
    if not path.is_absolute():
        raise ValueError(f"'{folder}': give the whole path, from / on")
    return path


class SourceTable(BaseModel):
    """A table `[[source]]` of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(_valid_name)]
    folder: Annotated[Path, AfterValidator(_valid_folder)]
    in_place: bool = False
    group: Annotated[str, Field(min_length=1)] | None = None
    filed_as: Literal["flat", "tree"] | None = None
    ignore: tuple[str, ...] | None = None
    model: Annotated[str, Field(min_length=1)] | None = None


def why_not(
    home: Path, tables: Sequence[SourceTable], real: Callable[[Path], Path] = lambda path: path
) -> str | None:
    """Why these sources cannot be used in a home; None if they can.

    Args:
        home: The home's folder.
        tables: The sources.
        real: Where a folder is; by following links, which looks at disks that may be away.
    """
    seen: dict[str, Path] = {}
    for table in tables:
        if table.name in seen:
            return f"two of them are named {table.name!r}; give each its own name"
        here = real(table.folder)
        for name, folder in (("this home", home), *seen.items()):
            if here.is_relative_to(folder) or folder.is_relative_to(here):
                what = f"folder {here} of {table.name!r} and {folder} of {name!r} overlap"
                return f"{what}: each file may have one source alone"
        seen[table.name] = here
    return None


def require_apart(home: Path, tables: Sequence[SourceTable]) -> None:
    """Check that no source leads by links into another one or into the home.

    Raises:
        VidwatchError: one does.
    """
    answers = Answers()

    def real(path: Path) -> Path:
        try:
            return Path(answers.of(os.fsencode(path), lambda: os.path.realpath(path)))
        except TimeoutError:  # a share that is away must not hold up the start
            return path

    if reason := why_not(home, tables, real):
        raise VidwatchError(f"setting 'source': {reason}")
