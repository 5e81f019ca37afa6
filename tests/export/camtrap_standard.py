"""What Camtrap DP 1.0.2 asks of a package, for a validator without network.

Written down from the standard (https://camtrap-dp.tdwg.org/metadata, /data): names, types, allowed
values, what is required. The schemas themselves are not here. To validate with them, put them into
a folder under their own names, and name it by VIDWATCH_CAMTRAP_SCHEMAS.
"""

import json
import os
from pathlib import Path
from typing import Any

URL = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2"
LOCAL = "schemas-1.0.2"  # the standard wants the version in the name
TIME = {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S%z"}
SAMPLING = "simpleRandom systematicRandom clusteredRandom experimental targeted opportunistic"
ROLES = "contact principalInvestigator rightsHolder publisher contributor"
FEATURES = (
    "roadPaved roadDirt trailHiking trailGame roadUnderpass roadOverpass roadBridge culvert burrow"
    " nestSite carcass waterSource fruitingTree"
)
RANKS = "kingdom phylum class order family genus species subspecies"
TYPES = "animal human vehicle blank unknown unclassified"

Field = dict[str, Any]


def text(*, required: bool = False, **constraints: Any) -> Field:
    return {"type": "string", "constraints": {"required": required, **constraints}}


def number(low: float | None = None, high: float | None = None, **more: Any) -> Field:
    bounds = {"minimum": low, "maximum": high, **more}
    constraints = {key: value for key, value in bounds.items() if value is not None}
    return {"type": "number", "constraints": constraints}


def whole(low: int, high: int | None = None) -> Field:
    return {**number(low, high), "type": "integer"}


def one_of(words: str, *, required: bool = False) -> Field:
    return text(required=required, enum=words.split())


def time(*, required: bool = False) -> Field:
    return {**TIME, "constraints": {"required": required}}


def key() -> Field:
    return text(required=True, unique=True)


TRUTH: Field = {"type": "boolean"}
DEPLOYMENTS = {
    "deploymentID": key(),
    "locationID": text(),
    "locationName": text(),
    "latitude": number(-90, 90, required=True),
    "longitude": number(-180, 180, required=True),
    "coordinateUncertainty": whole(1),
    "deploymentStart": time(required=True),
    "deploymentEnd": time(required=True),
    "setupBy": text(),
    "cameraID": text(),
    "cameraModel": text(),
    "cameraDelay": whole(0),
    "cameraHeight": number(0),
    "cameraDepth": number(0),
    "cameraTilt": whole(-90, 90),
    "cameraHeading": whole(0, 360),
    "detectionDistance": number(0),
    "timestampIssues": TRUTH,
    "baitUse": TRUTH,
    "featureType": one_of(FEATURES),
    "habitat": text(),
    "deploymentGroups": text(),
    "deploymentTags": text(),
    "deploymentComments": text(),
}
MEDIA = {
    "mediaID": key(),
    "deploymentID": text(required=True),
    "captureMethod": one_of("activityDetection timeLapse"),
    "timestamp": time(required=True),
    "filePath": text(required=True, pattern=r"^(?=^[^./~])(^((?!\.{2}).)*$).*$"),
    "filePublic": {**TRUTH, "constraints": {"required": True}},
    "fileName": text(),
    "fileMediatype": text(required=True, pattern="^(image|video|audio)/.*$"),
    "exifData": {"type": "any"},
    "favorite": TRUTH,
    "mediaComments": text(),
}
OBSERVATIONS = {
    "observationID": key(),
    "deploymentID": text(required=True),
    "mediaID": text(),
    "eventID": text(),
    "eventStart": time(required=True),
    "eventEnd": time(required=True),
    "observationLevel": one_of("media event", required=True),
    "observationType": one_of(TYPES, required=True),
    "cameraSetupType": one_of("setup calibration"),
    "scientificName": text(),
    "count": whole(1),
    "lifeStage": one_of("adult subadult juvenile"),
    "sex": one_of("female male"),
    "behavior": text(),
    "individualID": text(),
    "individualPositionRadius": number(0),
    "individualPositionAngle": number(-90, 90),
    "individualSpeed": number(0),
    "bboxX": number(0, 1),
    "bboxY": number(0, 1),
    "bboxWidth": number(1e-15, 1),
    "bboxHeight": number(1e-15, 1),
    "classificationMethod": one_of("human machine"),
    "classifiedBy": text(),
    "classificationTimestamp": time(),
    "classificationProbability": number(0, 1),
    "observationTags": text(),
    "observationComments": text(),
}
KEYS = {"deployments": [], "media": ["deployments"], "observations": ["deployments", "media"]}
IDS = {"deployments": "deploymentID", "media": "mediaID", "observations": "observationID"}
TABLES = {"deployments": DEPLOYMENTS, "media": MEDIA, "observations": OBSERVATIONS}


def table_schema(name: str) -> dict[str, Any]:
    """The Table Schema of a table."""
    return {
        "fields": [{"name": field, **about} for field, about in TABLES[name].items()],
        "missingValues": ["", "NA", "NaN", "nan"],
        "primaryKey": IDS[name],
        "foreignKeys": [
            {"fields": IDS[other], "reference": {"resource": other, "fields": IDS[other]}}
            for other in KEYS[name]
        ],
    }


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


def _words(words: str) -> dict[str, Any]:
    return {"type": "string", "enum": words.split()}


def profile() -> dict[str, Any]:
    """The JSON Schema of `datapackage.json`."""
    string = {"type": "string"}
    resource = _object(
        "name path profile schema",
        name=_words("deployments media observations"),
        profile=_words("tabular-data-resource"),
        schema={"type": "string", "pattern": r"1\.0"},
    )
    project = _object(
        "title samplingDesign captureMethod individualAnimals observationLevel",
        title=string,
        samplingDesign=_words(SAMPLING),
        captureMethod={
            "type": "array",
            "items": _words("activityDetection timeLapse"),
            "uniqueItems": True,
            "minItems": 1,
        },
        individualAnimals={"type": "boolean"},
        observationLevel={"type": "array", "items": _words("media event")},
    )
    taxon = _object(
        "scientificName",
        scientificName=string,
        taxonID=string,
        taxonRank=_words(RANKS),
        vernacularNames={
            "type": "object",
            "patternProperties": {"^[a-z]{3}$": string},
            "additionalProperties": False,
        },
    )
    license_ = _object("scope", scope=_words("data media"))
    area = _object(
        "type coordinates",
        type=_words("Point MultiPoint LineString Polygon MultiPolygon"),
        coordinates={"type": "array", "minItems": 1},
    )
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **_object(
            "resources profile created contributors project spatial temporal taxonomic",
            resources={"type": "array", "minItems": 3, "items": resource},
            profile={"type": "string", "format": "uri"},
            created={"type": "string", "format": "date-time"},
            contributors={
                "type": "array",
                "minItems": 1,
                "items": _object("title", title=string, role=_words(ROLES)),
            },
            licenses={"type": "array", "minItems": 2, "items": license_},
            project=project,
            spatial=area,
            temporal=_object(
                "start end",
                start={"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
                end={"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
            ),
            taxonomic={"type": "array", "items": taxon},
        ),
    }


def official() -> Path | None:
    """The folder of the standard's own schemas; None if there is none on this machine."""
    folder = os.environ.get("VIDWATCH_CAMTRAP_SCHEMAS")
    return Path(folder) if folder else None


def with_local_schemas(package: Path, schemas: Path | None) -> Path:
    """Let the descriptor of a package name local schemas, as a validator without network needs.

    Args:
        package: The folder of the package; its descriptor is changed.
        schemas: The standard's own; those of this file if None.
    """
    path = package / "datapackage.json"
    descriptor = json.loads(path.read_text())
    assert descriptor["profile"] == f"{URL}/camtrap-dp-profile.json"
    (package / LOCAL).mkdir()
    made = {"camtrap-dp-profile.json": profile()}
    made |= {f"{name}-table-schema.json": table_schema(name) for name in TABLES}
    for name, content in made.items():
        text = (schemas / name).read_text() if schemas else json.dumps(content)
        (package / LOCAL / name).write_text(text)
    descriptor["profile"] = f"{LOCAL}/camtrap-dp-profile.json"
    for resource in descriptor["resources"]:
        name = f"{resource['name']}-table-schema.json"
        assert resource["schema"] == f"{URL}/{name}"
        resource["schema"] = f"{LOCAL}/{name}"
    path.write_text(json.dumps(descriptor))
    return path
