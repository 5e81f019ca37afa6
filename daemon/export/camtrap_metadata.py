# ruff: noqa: N815 (the keys are the standard's)
"""What a person says of a project, its cameras and its classes, for a Camtrap DP package: TOML.

What is missing gets a placeholder that says so; only places have none.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from learner.classes import EMPTY
from learner.errors import VidwatchError
from learner.texts import listed

Type = Literal["animal", "human", "vehicle", "blank", "unknown", "unclassified"]
PLACEHOLDER = "placeholder, since no metadata were given to vidwatch export"
NAMED = 5  # sources that a message names
# Keys of the package that are copied as they are.
PACKAGE = (
    "name", "id", "title", "description", "version", "keywords", "image", "homepage", "licenses",
    "bibliographicCitation", "coordinatePrecision", "relatedIdentifiers", "references",
)  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Deployment(_Part):
    """A camera at its place: the columns of the table `deployments` that vidwatch cannot know."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    locationID: str | None = None
    locationName: str | None = None
    coordinateUncertainty: Annotated[int, Field(ge=1)] | None = None
    deploymentStart: datetime | None = None
    deploymentEnd: datetime | None = None
    setupBy: str | None = None
    cameraID: str | None = None
    cameraModel: str | None = None
    cameraDelay: Annotated[int, Field(ge=0)] | None = None
    cameraHeight: Annotated[float, Field(ge=0)] | None = None
    cameraDepth: Annotated[float, Field(ge=0)] | None = None
    cameraTilt: Annotated[int, Field(ge=-90, le=90)] | None = None
    cameraHeading: Annotated[int, Field(ge=0, le=360)] | None = None
    detectionDistance: Annotated[float, Field(ge=0)] | None = None
    timestampIssues: bool | None = None
    baitUse: bool | None = None
    featureType: str | None = None
    habitat: str | None = None
    deploymentGroups: str | None = None
    deploymentTags: str | None = None
    deploymentComments: str | None = None


class ClassMeaning(_Part):
    """What a class is to Camtrap DP; the rest of its taxon stands in `taxonomic`."""

    observationType: Type | None = None
    scientificName: str | None = None
    lifeStage: Literal["adult", "subadult", "juvenile"] | None = None
    sex: Literal["female", "male"] | None = None
    behavior: str | None = None
    taxonID: str | None = None
    taxonRank: str | None = None
    vernacularNames: dict[str, str] = {}

    @property
    def type(self) -> Type:
        """The type of an observation of the class."""
        return self.observationType or ("animal" if self.scientificName else "unknown")

    def taxon(self) -> dict[str, Any] | None:
        """Its entry in `taxonomic`; None if it has no scientific name."""
        if not self.scientificName:
            return None
        fields = ("scientificName", "taxonID", "taxonRank", "vernacularNames")
        return {name: getattr(self, name) for name in fields if getattr(self, name)}


class Project(BaseModel):
    """The study; keys that are not here are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)
    title: str = f"Project without a title ({PLACEHOLDER})"
    samplingDesign: Literal[
        "simpleRandom",
        "systematicRandom",
        "clusteredRandom",
        "experimental",
        "targeted",
        "opportunistic",
    ] = "opportunistic"
    captureMethod: list[Literal["activityDetection", "timeLapse"]] = Field(
        default=["activityDetection"], min_length=1
    )
    individualAnimals: bool = False


class Contributor(BaseModel):
    """Who is behind the package; keys that are not here are kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True)
    title: str
    role: (
        Literal["contact", "principalInvestigator", "rightsHolder", "publisher", "contributor"]
        | None
    ) = None


class Metadata(_Part):
    """The whole file. Keys of the package that are only copied are not looked into."""

    package: dict[str, Any] = {}
    contributors: tuple[Contributor, ...] = (Contributor(title=f"Unknown ({PLACEHOLDER})"),)
    project: Project = Project()
    deployment: dict[str, Deployment] = {}
    classes: dict[str, ClassMeaning] = Field(default={}, alias="class")

    def meaning(self, class_name: str) -> ClassMeaning:
        """What a class is."""
        if class_name in self.classes:
            return self.classes[class_name]
        if class_name == EMPTY:
            return ClassMeaning(observationType="blank")
        return ClassMeaning()


@dataclass(frozen=True)
class Places:
    """Which deployment a video belongs to, by its source."""

    metadata: Metadata
    path: Path | None
    """The file of the metadata."""
    known: Mapping[str | None, str]

    @classmethod
    def of(cls, metadata: Metadata, path: Path | None, sources: Collection[str | None]) -> "Places":
        """Those of the sources of all videos to export.

        Raises:
            VidwatchError: a source has no deployment; names all that have none.
        """
        known = {source: _deployment(metadata, source) for source in sources}
        missing = sorted(source or INBOX for source, found in known.items() if found is None)
        if missing:
            where = str(path) if path else "a TOML file, given by --metadata FILE,"
            shown = listed([repr(one) for one in missing], NAMED)
            top = missing[0].partition("/")[0]
            first = f'[deployment."{top}"] with latitude = and longitude ='
            if any("/" in one for one in missing):
                first += "; it stands for all its folders"
            raise VidwatchError(f"Camtrap DP needs the place of {shown}: add to {where} {first}")
        return cls(metadata, path, {source: found for source, found in known.items() if found})


INBOX = "inbox"
"""The deployment of videos that came from no folder of the inbox."""


def _deployment(metadata: Metadata, source: str | None) -> str | None:
    """The deployment of a source: its own, or that of a folder that it lies in."""
    name = source or INBOX
    while name and name not in metadata.deployment:
        name = name.rpartition("/")[0]
    return name or None


def read_metadata(path: Path | None) -> Metadata:
    """The file at `path`; placeholders if it is None.

    Raises:
        VidwatchError: it cannot be read, or a key of it is wrong; names each.
    """
    if path is None:
        return Metadata()
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VidwatchError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise VidwatchError(f"{path}: is not TOML ({error})") from error
    given["package"] = {name: given.pop(name) for name in PACKAGE if name in given}
    try:
        return Metadata.model_validate(given)
    except ValidationError as error:
        wrong = [f"{_key(each['loc'])}: {each['msg']}" for each in error.errors()]
        raise VidwatchError(f"{path}: {'; '.join(wrong)}") from error


def _key(place: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in place)


def as_json(value: Any) -> Any:
    """A value of TOML as JSON has it: dates and times in ISO 8601."""
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_json(each) for each in value]
    return value.isoformat() if isinstance(value, date) else value
