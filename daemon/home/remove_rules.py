"""The tables `[[remove]]` of the settings: which files go into the trash, and when."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from daemon.home.folders import UNSURE_NAME
from learner.classes import CLASS_NAME_RULE, is_class_name


def _valid_classes(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name != UNSURE_NAME and not is_class_name(name):
            raise ValueError(f"{name!r}: {CLASS_NAME_RULE}, or {UNSURE_NAME!r}")
    return names


class RemoveRule(BaseModel):
    """Files of some classes, and what makes them go. `vidwatch.toml` explains it to people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_valid_classes)]
    after_days: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    at_most_gigabytes: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    keep_free_gigabytes: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if not (self.after_days or self.at_most_gigabytes or self.keep_free_gigabytes):
            raise ValueError("give after_days, at_most_gigabytes or keep_free_gigabytes")
        return self
