"""Reads `vidwatch.toml` and the variables `VIDWATCH_*` into one frozen, validated object.

They are read once, at the start. A command may write one setting for a person.
"""

import json
import os
import re
import tomllib
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from daemon.home import receivers
from daemon.home.address import parsed
from daemon.home.folders import Folders, below
from daemon.home.hours import WorkingHours
from daemon.home.left_alone import IGNORED, LeftAlone, compiled
from daemon.home.receivers import CommandLine, Mqtt, Notify, Webhook
from daemon.home.remove_rules import RemoveRule
from daemon.home.source_tables import SourceTable, why_not
from daemon.home.sources import OnFiled, Source
from daemon.home.wrong_settings import explained, where
from learner import files
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern
from learner.spec import ReadOptions
from learner.window_plan import WindowPlan


def _valid_pattern(text: str) -> str:
    try:
        compile_pattern(text)
    except VidwatchError as error:
        raise ValueError(str(error)) from error
    return text


def _valid_thresholds(thresholds: dict[str, float]) -> dict[str, float]:
    for name in thresholds:
        if not is_class_name(name):
            raise ValueError(f"{name!r}: {CLASS_NAME_RULE}")
    return thresholds


def _valid_ignore(patterns: tuple[str, ...]) -> tuple[str, ...]:
    compiled(patterns)
    return patterns


def _valid_windows(text: str) -> str:
    try:
        _window_plan(text)
    except VidwatchError as error:
        raise ValueError(f"{error}; 'off' for none") from error
    return text


def _window_plan(text: str) -> WindowPlan | None:
    return None if text in ("off", "") else WindowPlan.parse(text)


def _valid_hours(entries: tuple[str, ...]) -> tuple[str, ...]:
    WorkingHours.parse(entries)
    return entries


def _valid_database(url: str) -> str:
    try:
        _ = url and parsed(url)
    except VidwatchError as error:
        raise ValueError(str(error).removeprefix("setting database: ")) from error
    return url


Share = Annotated[float, Field(ge=0, le=1)]


class Settings(BaseSettings):
    """All settings. `vidwatch.toml` beside this file explains each key to people."""

    model_config = SettingsConfigDict(env_prefix="VIDWATCH_", extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)] = "starter"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 64
    settle_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 2.0
    rescan_seconds: Annotated[float, Field(ge=1, le=86400)] = 10.0
    ignore: Annotated[tuple[str, ...], AfterValidator(_valid_ignore)] = IGNORED
    watch: Literal["auto", "events", "polling"] = "auto"
    filed_as: Literal["flat", "tree"] = "flat"
    on_filed: Literal["move", "copy", "hardlink", "leave"] = "move"
    empty_folder_minutes: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    min_free_gigabytes: Annotated[float, Field(ge=0, le=1_000_000)] = 1.0
    duplicates: Literal["keep", "drop", "leave"] = "keep"
    working_hours: Annotated[tuple[str, ...], AfterValidator(_valid_hours)] = ()
    cores: Annotated[int, Field(ge=0, le=65536)] = 0
    decoders: Annotated[int, Field(ge=0, le=256)] = 0
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    decode_seconds: Annotated[float, Field(ge=1, le=86400)] = 300.0
    decode_gigabytes: Annotated[float, Field(ge=0.25, le=1000)] = 2.0
    exact_frames: bool = False
    min_read_share: Share = 0.5
    windows: Annotated[str, AfterValidator(_valid_windows)] = "4/2"
    windows_from_seconds: Annotated[float, Field(ge=1, le=1_000_000)] = 60.0
    unsure_below: Share = 0.5
    unsure_target: Share = 0.0
    thresholds: Annotated[dict[str, Share], AfterValidator(_valid_thresholds)] = {}
    review_share: Share = 0.1
    min_new_labels: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    min_class_clips: Annotated[int, Field(ge=2, le=1_000_000)] = 3
    holdout_share: Annotated[float, Field(ge=0.05, le=0.5)] = 0.3
    retrain: Annotated[str, Field(min_length=1)] = "head"
    retrain_check_minutes: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    training_minutes: Annotated[float, Field(gt=0, le=100_000)] = 120.0
    training_memory: Annotated[float, Field(gt=0, le=1)] = 0.4
    margin: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    class_loss: Annotated[float, Field(gt=0, le=1)] = 0.2
    new_class_recall: Annotated[float, Field(gt=0, le=1)] = 0.7
    cache_gigabytes: Annotated[float, Field(ge=0, le=100_000)] = 20.0
    database: Annotated[str, Field(repr=False), AfterValidator(_valid_database)] = ""
    database_password_file: str = ""
    backup_hours: Annotated[float, Field(ge=0, le=10_000)] = 24.0
    backups_kept: Annotated[int, Field(ge=1, le=10_000)] = 7
    keep_days: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    keep_videos: Annotated[int, Field(ge=0)] = 0
    trash_days: Annotated[float, Field(ge=0, le=100_000)] = 30.0
    remove: tuple[RemoveRule, ...] = ()
    group_pattern: Annotated[str, AfterValidator(_valid_pattern)] = GROUP_PATTERN
    on_classified: CommandLine = ""
    on_failed: CommandLine = ""
    on_labelled: CommandLine = ""
    on_promoted: CommandLine = ""
    on_training_failed: CommandLine = ""
    on_trouble: CommandLine = ""
    command_seconds: Annotated[float, Field(ge=0.1, le=86400)] = 60.0
    webhook: tuple[Webhook, ...] = ()
    mqtt: Mqtt = Mqtt()
    notify: tuple[Notify, ...] = ()
    source: tuple[SourceTable, ...] = ()

    @property
    def reading(self) -> ReadOptions:
        """How clips are read for a prediction."""
        return ReadOptions(self.min_read_share, self.exact_frames)

    @property
    def grace(self) -> timedelta:
        """How long a file that is gone or has changed may take to be found again."""
        return timedelta(seconds=self.rescan_seconds + 2 * self.settle_seconds)

    @property
    def window_plan(self) -> WindowPlan | None:
        """How long videos are cut into windows; None if they are not."""
        return _window_plan(self.windows)

    @property
    def receivers(self) -> dict[str, receivers.AnyReceiver]:
        """Who is told of events, by name.

        Raises:
            VidwatchError: two of them have the same name.
        """
        lines = {event: getattr(self, f"on_{event}") for event in receivers.EVENT_NAMES}
        mqtt = [self.mqtt] if self.mqtt.host else []
        commands = receivers.commands(lines, self.command_seconds)
        return receivers.named([*commands, *self.webhook, *mqtt, *self.notify])

    def folders(self, root: Path) -> Folders:
        """Where files belong in the home at `root`."""
        return Folders(
            root,
            tree=self.filed_as == "tree",
            sources=self.sources,
            on_filed=self.not_moved,
        )

    @property
    def not_moved(self) -> OnFiled | None:
        """What becomes of the files that are not moved; None if they are moved."""
        return None if self.on_filed == "move" else self.on_filed

    @property
    def sources(self) -> tuple[Source, ...]:
        """The folders that videos come from beside the inbox."""
        return tuple(
            Source(
                folder=os.fsencode(table.folder),
                name=table.name,
                on_filed="leave" if table.in_place else self.not_moved,
                tree=(table.filed_as or self.filed_as) == "tree",
                group=table.group,
                ignore=table.ignore,
                model=table.model,
            )
            for table in self.source
        )

    def unknown_thresholds(self, classes: Collection[str]) -> list[str]:
        """The names in `thresholds` that are none of these classes of a model.

        Such a name is misspelt, or the class of a later model.
        """
        return sorted(set(self.thresholds) - set(classes))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment counts more than the file, whose values are the arguments."""
        return env_settings, init_settings


def load(path: Path) -> Settings:
    """Read the settings file, which may be missing, and the environment.

    Raises:
        VidwatchError: it is not TOML, a key is unknown, or a value is wrong. The message names the
            key, the value and the rule.
    """
    try:
        settings = Settings(**_read(path))
    except SettingsError as error:
        raise VidwatchError(f"{error}: it must be JSON") from None
    except ValidationError as error:
        problems = [explained(path, problem, Settings.model_fields) for problem in error.errors()]
        raise VidwatchError("; ".join(problems)) from error
    try:
        _ = settings.receivers
    except VidwatchError as error:
        raise VidwatchError(f"settings {path}: {error}") from error
    folder = Path(os.path.realpath(path.parent))
    if reason := why_not(folder, settings.source):
        raise VidwatchError(f"{where(path, 'source')}: {reason}")
    of_sources = ((f"source.{at}.model", one.model) for at, one in enumerate(settings.source))
    for key, value in (("model", settings.model), ("retrain", settings.retrain), *of_sources):
        if value and "/" in value and below(folder, Path(value).expanduser().absolute()) is None:
            hint = "it must lie in the home; copy it there"
            if key != "retrain":
                hint = "it must lie in the home; 'vidwatch models promote' copies it there"
            raise VidwatchError(f"{where(path, key)} is {value!r}: {hint}")
    return settings


def load_folders(path: Path) -> Folders:
    """Where files belong in the home that this settings file lies in.

    Raises:
        VidwatchError: as `load`.
    """
    return load(path).folders(path.parent)


def load_left_alone(path: Path) -> LeftAlone:
    """What the settings file says is left alone; the default if the file cannot be used."""
    try:
        return LeftAlone(load(path).ignore)
    except VidwatchError:
        return LeftAlone()


def write_setting(path: Path, key: str, value: str) -> bool:
    """Write a text as the value of `key` into the settings file, and change nothing else in it.

    Gives whether that was done. It is not if the file says `key` in several places or where another
    value would change with it, is a link, or cannot be written.
    """
    if path.is_symlink():
        return False  # a new file would take the link's place
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        after = _with_value(before, key, value)
        if after is None:
            return False
        mode = path.stat().st_mode & 0o777 if before else 0o644
        files.write(path, after.encode(), mode=mode)
    except (OSError, UnicodeDecodeError):
        return False
    return True


def toml_text(value: str) -> str:
    """The text as a value in the settings file."""
    is_literal = "'" not in value and value.isprintable()
    return f"'{value}'" if is_literal else json.dumps(value)


def _with_value(text: str, key: str, value: str) -> str | None:
    """The text of a settings file with another value; None if a person should write that."""
    line = f"{key} = {toml_text(value)}"
    # A table may have a key of the same name.
    top = re.split(r"^[ \t]*\[", text, maxsplit=1, flags=re.MULTILINE)[0]
    active, shown = (
        list(re.finditer(rf"^{mark}[ \t]*{re.escape(key)}[ \t]*=.*$", top, re.MULTILINE))
        for mark in ("", "#")
    )
    places = active or shown
    if len(places) > 1:
        return None
    if places:
        changed = text[: places[0].start()] + line + text[places[0].end() :]
    else:
        changed = f"{line}\n{text}"
    try:
        is_right = tomllib.loads(changed) == {**tomllib.loads(text), key: value}
    except tomllib.TOMLDecodeError:
        return None
    return changed if is_right else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise VidwatchError(f"settings {path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        hint = "each setting may be given only once, and a text needs quotes"
        raise VidwatchError(f"settings {path}: not valid TOML ({error}); {hint}") from error
