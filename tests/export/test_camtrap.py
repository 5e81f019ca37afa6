"""Camtrap DP packages, which the validator of the standard accepts: frictionless."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes
from zipfile import ZipFile

import pytest
from camtrap_standard import TABLES, official, with_local_schemas
from exported import BIKING, LATIN, SKIING, FullHome, run
from exported import home as home
from sqlalchemy import update

from daemon.database.root import follow_home
from daemon.database.tables import videos
from daemon.export import camtrap_columns
from learner.errors import VidwatchError

FRICTIONLESS = Path(sys.executable).with_name("frictionless")
PLACES = """
[deployment.cam1]
latitude = 52.7
longitude = 23.8
cameraHeight = 1.2
baitUse = false
deploymentStart = 2025-05-01T00:00:00Z
[deployment.cam2]
latitude = -52.8
longitude = -23.9
[deployment.inbox]
latitude = 0
longitude = 0
[deployment.cam10]
latitude = 1
longitude = 1
"""
FULL = f"""
name = "wood-2026"
title = "Cameras in the wood"
licenses = [{{ name = "CC0-1.0", scope = "data" }}, {{ name = "CC-BY-4.0", scope = "media" }}]
[[contributors]]
title = "Ann Example"
role = "contact"
[project]
title = "Bikes"
samplingDesign = "targeted"
acronym = "B"
[class.{BIKING}]
observationType = "vehicle"
[class.{SKIING}]
scientificName = "Homo sapiens"
observationType = "human"
taxonRank = "species"
vernacularNames = {{ eng = "human" }}
{PLACES}
"""


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    """A file of metadata."""
    path = tmp_path / "meta.toml"
    path.write_text(FULL)
    return path


def rows(package: Path, name: str) -> list[dict[str, str]]:
    with (package / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def of(home: FullHome, table: list[dict[str, str]], kind: str) -> list[dict[str, str]]:
    video = str(home.ids[kind])
    key = "observationID" if "observationID" in table[0] else "mediaID"
    return [row for row in table if row[key].split("-")[0] == video]


def validate(package: Path, schemas: Path | None = None) -> Any:
    """What the real validator says, with schemas of this machine."""
    if not FRICTIONLESS.exists():
        pytest.skip("needs frictionless: pip install 'vidwatch[test]'")
    with_local_schemas(package, schemas)
    command = [FRICTIONLESS, "validate", "datapackage.json", "--json"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["valid"] else 1)
    return report


@pytest.mark.slow
def test_the_validator_accepts_a_package(home: FullHome, tmp_path: Path, metadata: Path) -> None:
    home.export(tmp_path / "package", "camtrap", metadata=metadata)
    report = validate(tmp_path / "package")
    assert report["valid"], report
    assert [task["stats"]["rows"] for task in report["tasks"]] == [3, 4, 8]


@pytest.mark.slow
def test_the_validator_accepts_placeholders(home: FullHome, tmp_path: Path) -> None:
    (tmp_path / "meta.toml").write_text(PLACES)
    home.export(tmp_path / "package", "camtrap", metadata=tmp_path / "meta.toml")
    descriptor = json.loads((tmp_path / "package/datapackage.json").read_text())
    assert "placeholder" in descriptor["contributors"][0]["title"]
    assert "placeholder" in descriptor["project"]["title"]
    report = validate(tmp_path / "package")
    assert report["valid"], report


def test_the_schemas_of_the_standard_itself_accept_a_package(
    home: FullHome, tmp_path: Path, metadata: Path
) -> None:
    schemas = official()
    if schemas is None:
        pytest.skip("needs the standard's schemas in the folder VIDWATCH_CAMTRAP_SCHEMAS")
    home.export(tmp_path / "package", "camtrap", metadata=metadata)
    report = validate(tmp_path / "package", schemas)
    assert report["valid"], report


def test_another_implementation_of_the_standard_reads_a_package(
    home: FullHome, tmp_path: Path, metadata: Path
) -> None:
    pytest.importorskip("trap_schema", reason="needs trap-schema, for Python 3.12")
    from trap_schema.dataset import Dataset

    home.export(tmp_path / "package", "camtrap", metadata=metadata)
    read = Dataset.load(tmp_path / "package")
    assert (len(read.media), len(read.observations), len(read.deployments)) == (4, 8, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("media.csv", "file://", "/"),
        ("observations.csv", "vehicle", "bike"),
        ("deployments.csv", "52.7", "152.7"),
        ("observations.csv", ",cam2,", ",cam3,"),
        ("datapackage.json", "targeted", "random"),
        ("datapackage.json", '"taxonomic"', '"taxa"'),
    ],
)
def test_the_validator_refuses_what_is_wrong(
    home: FullHome, tmp_path: Path, metadata: Path, file: str, old: str, new: str
) -> None:
    home.export(tmp_path / "package", "camtrap", metadata=metadata)
    path = tmp_path / "package" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert not validate(tmp_path / "package")["valid"]


def test_our_columns_are_those_of_the_standard() -> None:
    assert {name: list(table) for name, table in TABLES.items()} == {
        name: list(table) for name, table in camtrap_columns.TABLES.items()
    }


def test_each_video_is_observed_by_its_label_else_its_prediction(
    home: FullHome, tmp_path: Path, metadata: Path
) -> None:
    # Those that arrived without a time of recording have one here.
    with home.writing() as connection:
        those = videos.c.recorded_at.is_(None) & (videos.c.id != home.ids["odd"])
        connection.execute(update(videos).where(those).values(recorded_at=videos.c.arrived_at))
    outcome = home.export(tmp_path / "package", "camtrap", metadata=metadata)
    assert outcome.left_out == (
        "; left out: 1 failed, 1 the same as another one, 1 without a time of recording"
    )
    seen = rows(tmp_path / "package", "observations")
    (sure,) = of(home, seen, "sure")
    assert (sure["observationType"], sure["observationLevel"]) == ("vehicle", "media")
    assert (sure["deploymentID"], sure["mediaID"]) == ("cam1", str(home.ids["sure"]))
    assert (sure["classificationMethod"], sure["classifiedBy"]) == (
        "machine",
        "vidwatch model starter",
    )
    assert float(sure["classificationProbability"]) == 0.9
    assert sure["eventStart"] == sure["eventEnd"] == "2025-06-01T12:30:15+00:00"
    (labelled,) = of(home, seen, "labelled")
    assert (labelled["scientificName"], labelled["observationType"]) == ("Homo sapiens", "human")
    assert (labelled["classificationMethod"], labelled["classifiedBy"]) == ("human", "=ann")
    # A folder in a folder of a camera belongs to the camera.
    assert labelled["deploymentID"] == "cam1"
    (unsure,) = of(home, seen, "unsure")
    assert (unsure["observationType"], unsure["observationTags"]) == ("unknown", "class:_unsure")
    assert unsure["observationComments"] == f"unsure, perhaps {BIKING}"
    (cannot_tell,) = of(home, seen, "cannot tell")
    assert (cannot_tell["observationType"], cannot_tell["classificationMethod"]) == (
        "unknown",
        "human",
    )
    (queued,) = of(home, seen, "queued")
    assert (queued["observationType"], queued["classificationMethod"]) == ("unclassified", "")


def test_the_events_of_a_long_video_are_observations(
    home: FullHome, tmp_path: Path, metadata: Path
) -> None:
    home.export(tmp_path / "package", "camtrap", metadata=metadata, sources=("cam2",))
    seen = rows(tmp_path / "package", "observations")
    assert [(row["eventStart"][11:19], row["eventEnd"][11:19]) for row in seen] == [
        ("12:30:15", "12:30:16"),
        ("12:30:16", "12:30:17"),
        ("12:30:17", "12:30:23"),
        ("12:30:23", "12:30:25"),
        ("12:30:25", "12:30:27"),
    ]
    assert {row["observationLevel"] for row in seen} == {"event"}
    assert {row["mediaID"] for row in seen} == {""}
    assert [row["classificationMethod"] for row in seen].index("human") == 1
    (deployment,) = rows(tmp_path / "package", "deployments")
    assert deployment["deploymentEnd"] == "2025-06-01T12:30:27+00:00"


def test_empty_clips_are_blank(home: FullHome, tmp_path: Path, metadata: Path) -> None:
    home.give_label(home.ids["sure"], "_empty")
    home.export(tmp_path / "package", "camtrap", metadata=metadata, sources=("cam1",))
    (sure,) = of(home, rows(tmp_path / "package", "observations"), "sure")
    assert (sure["observationType"], sure["scientificName"]) == ("blank", "")


@pytest.mark.slow
def test_each_file_can_be_found_by_its_address(
    home: FullHome, tmp_path: Path, metadata: Path
) -> None:
    home.change("latin", recorded_at=home.now, path=b"/videos/a..b/" + LATIN)
    home.export(tmp_path / "package", "camtrap", metadata=metadata)
    (latin,) = of(home, rows(tmp_path / "package", "media"), "latin")
    assert latin["filePath"] == "file:///videos/a.%2Eb/caf%E9.mp4"
    assert unquote_to_bytes(latin["filePath"]) == b"file:///videos/a..b/" + LATIN
    assert latin["fileMediatype"] == "video/mp4"
    assert validate(tmp_path / "package")["valid"]


def test_what_is_said_of_a_camera_stands_in_the_deployments(
    home: FullHome, tmp_path: Path, metadata: Path
) -> None:
    home.export(tmp_path / "package", "camtrap", metadata=metadata)
    first = next(
        row for row in rows(tmp_path / "package", "deployments") if row["deploymentID"] == "cam1"
    )
    assert (first["latitude"], first["longitude"], first["cameraHeight"]) == ("52.7", "23.8", "1.2")
    assert (first["baitUse"], first["deploymentStart"]) == ("false", "2025-05-01T00:00:00+00:00")
    descriptor = json.loads((tmp_path / "package/datapackage.json").read_text())
    assert descriptor["spatial"]["coordinates"][0] == [23.8, 52.7]
    assert descriptor["taxonomic"] == [
        {
            "scientificName": "Homo sapiens",
            "taxonRank": "species",
            "vernacularNames": {"eng": "human"},
        }
    ]
    assert descriptor["project"]["acronym"] == "B"


@pytest.mark.slow
def test_cameras_without_a_place_are_named(home: FullHome, tmp_path: Path) -> None:
    line = run(home, "export", tmp_path / "p", "--format", "camtrap", code=2).stderr
    assert line.count("\n") == 1
    assert "the place of 'cam1', 'cam1/sub', 'cam10', 'cam2'" in line
    assert "--metadata FILE" in line
    assert '[deployment."cam1"] with latitude = and longitude =' in line
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[deployment.cam1]\nlatitude = 91\nlongitude = 0", "deployment.cam1.latitude: "),
        ("[deployment.cam1]\nlatitude = 1", "deployment.cam1.longitude: Field required"),
        ("[deployment.cam1]\nlat = 1", "deployment.cam1.lat: "),
        ("[project]\nsamplingDesign = 'random'", "project.samplingDesign: "),
        ("[class.Fox]\nobservationType = 'fox'", "class.Fox.observationType: "),
        ("[deployments.cam1]", "deployments: "),
        ("[", "is not TOML"),
    ],
)
def test_wrong_metadata_are_one_line_that_names_the_key(
    home: FullHome, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "meta.toml").write_text(text)
    with pytest.raises(VidwatchError) as error:
        home.export(tmp_path / "p", "camtrap", metadata=tmp_path / "meta.toml")
    assert str(error.value).startswith(f"{tmp_path}/meta.toml: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_metadata_are_one_line(home: FullHome, tmp_path: Path) -> None:
    with pytest.raises(VidwatchError, match=r"no\.toml: cannot be read"):
        home.export(tmp_path / "p", "camtrap", metadata=tmp_path / "no.toml")


@pytest.mark.slow
def test_a_place_stands_for_all_its_folders_and_files_that_are_gone_need_none(
    home: FullHome, tmp_path: Path
) -> None:
    follow_home(home.engine, home.root)
    home.change("labelled", source="old archive/2010/site 1")
    home.change("long", source="far", trashed_at=home.now, removed_at=home.now)
    path = home.root / "trash/Biking/long.mp4"
    home.change("long", path=bytes(path))
    meta = tmp_path / "meta.toml"
    meta.write_text(PLACES.replace("[deployment.cam2]", "[deployment.other]"))
    line = run(
        home, "export", tmp_path / "p", "--format", "camtrap", "--metadata", meta, code=2
    ).stderr
    assert "the place of 'old archive/2010/site 1': add to" in line
    hint = (
        '[deployment."old archive"] with latitude = and longitude =; it stands for all its folders'
    )
    assert hint in line
    place = "latitude = 1\nlongitude = 1\n"
    with meta.open("a") as file:
        file.write(f'[deployment."old archive"]\n{place}')
    outcome = home.export(tmp_path / "p", "camtrap", metadata=meta)
    assert "1 whose file is deleted" in outcome.left_out
    media = of(home, rows(tmp_path / "p", "media"), "labelled")
    assert [row["deploymentID"] for row in media] == ["old archive"]
    assert of(home, rows(tmp_path / "p", "media"), "long") == []


@pytest.mark.slow
def test_a_zip_holds_the_package(home: FullHome, tmp_path: Path, metadata: Path) -> None:
    home.export(tmp_path / "p.zip", "camtrap", metadata=metadata)
    with ZipFile(tmp_path / "p.zip") as archive:
        archive.extractall(tmp_path / "p")
    assert validate(tmp_path / "p")["valid"]
    assert {path.name for path in tmp_path.iterdir()} == {"home", "meta.toml", "p", "p.zip"}


def test_only_a_package_of_ours_is_replaced(home: FullHome, tmp_path: Path, metadata: Path) -> None:
    package = tmp_path / "p"
    package.mkdir()
    home.export(package, "camtrap", metadata=metadata)
    home.export(package, "camtrap", metadata=metadata, sources=("cam2",))
    assert len(rows(package, "media")) == 1
    (package / "notes.txt").write_text("mine")
    with pytest.raises(VidwatchError, match="is no export of vidwatch"):
        home.export(package, "camtrap", metadata=metadata)
    assert (package / "notes.txt").read_text() == "mine"
    (package / "notes.txt").unlink()
    (package / "datapackage.json").write_text('{"sources": [{"title": "Agouti"}]}')
    with pytest.raises(VidwatchError, match="is no export of vidwatch"):
        home.export(package, "camtrap", metadata=metadata)
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(VidwatchError, match="is no export of vidwatch"):
        home.export(tmp_path / "a.csv", "camtrap", metadata=metadata)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "meta.toml", "p", "a.csv"}


def test_no_video_is_no_package(home: FullHome, tmp_path: Path, metadata: Path) -> None:
    with pytest.raises(VidwatchError, match="no video matches state 'failed' that fits a Camtrap"):
        home.export(tmp_path / "p", "camtrap", metadata=metadata, states=("failed",))
    assert not (tmp_path / "p").exists()
