"""Labels that were given elsewhere: each format, with real files beside a real home."""

import json
import os
import shutil
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import write_video
from homes import MadeHome
from sqlalchemy import insert

from daemon.database.tables import outbox, receivers
from daemon.home.settings import Settings
from daemon.home.sources import OnFiled
from daemon.labels.importing.applying import Imported
from daemon.labels.importing.formats import read_tables
from daemon.labels.importing.importing import Import, WrongLinesError
from daemon.labels.labels import Label
from daemon.training.holdout import labelled_videos
from learner.errors import VidwatchError


class Shelf(MadeHome):
    """A home, and an archive beside it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "home")
        self.archive = root / "archive"
        self.archive.mkdir()

    def film(self, name: str | bytes, shade: int = 0) -> Path:
        path = self.archive / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_video(self.archive / "made.avi", shade=shade).rename(path)

    def text(self, name: str, text: str | bytes) -> Path:
        path = self.archive / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def bring(
        self,
        *paths: Path,
        files: Path | None = None,
        column: str | None = None,
        on_filed: OnFiled = "leave",
        **more: bool,
    ) -> Imported:
        settings = Settings()
        tables = read_tables(paths, files, column, settings.ignore)
        one = Import(self.engine, self.root, settings, on_filed, lambda done, total: None)
        return one.add(tables, "ann", self.tick(), **more)

    def wrong(self, *paths: Path, **more: Any) -> list[str]:
        """What is wrong with the lines of tables; checks that nothing was changed."""
        before = (self.rows(), self.given_labels())
        with pytest.raises(WrongLinesError) as error:
            self.bring(*paths, **more)
        assert (self.rows(), self.given_labels()) == before
        return list(error.value.lines)

    def given(self) -> dict[str, str]:
        """The class that was noted last for each file, by its name."""
        names = {row.id: row.name for row in self.rows()}
        return {names[video]: name for video, _, name, _ in self.given_labels()}


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.close()


def test_a_table_queues_files_where_they_lie_with_their_labels(shelf: Shelf) -> None:
    shelf.film("cam1/a.avi")
    shelf.film("b.avi", shade=90)
    table = shelf.text("labels.csv", "file,label\ncam1/a.avi,Fox\nb.avi,Deer\n")
    done = shelf.bring(table)
    assert (done.n_videos, done.n_labels, done.n_known) == (2, 2, 0)
    assert shelf.given_labels("who") == [
        (1, "labelled", "Fox", "csv", "ann"),
        (2, "labelled", "Deer", "csv", "ann"),
    ]
    row = shelf.row(1)
    assert (row["state"], row["on_filed"], row["background"]) == ("queued", "leave", True)
    assert row["path"] == bytes(shelf.archive / "cam1/a.avi")
    assert (row["source"], row["group"]) == ("archive/cam1", "archive/cam1")
    assert shelf.row(2)["group"] is None
    again = shelf.bring(table)
    assert (again.n_videos, again.n_labels, again.n_known) == (0, 0, 2)
    assert len(shelf.rows()) == len(shelf.given_labels()) == 2


def test_a_dry_run_says_the_same_and_writes_nothing(shelf: Shelf) -> None:
    shelf.film("a.avi")
    table = shelf.text("labels.csv", "file,label\na.avi,Fox\n")
    done = shelf.bring(table, dry_run=True)
    assert (done.n_videos, done.n_labels) == (1, 1)
    assert shelf.rows() == shelf.given_labels() == []


def test_all_wrong_lines_are_named_and_nothing_is_applied(shelf: Shelf) -> None:
    shelf.film("a.avi")
    shelf.film("b.avi", shade=90)
    lines = [
        "file,label",
        "a.avi,Fox",
        "missing.avi,Fox",
        "b.avi,../up",
        "b.avi,Fox,more",
        "a.avi,Deer",
        "b.avi,Deers",
        "b.avi,",
        ",Fox",
        "https://example.org/c.avi,Fox",
        "note.txt,Fox",
        "nothere.jpg,Fox",
        "empty.avi,Fox",
    ]
    shelf.text("note.txt", "text")
    shelf.text("empty.avi", "")
    table = shelf.text("labels.csv", "\n".join(lines))
    wrong = shelf.wrong(table)
    assert [line.partition(":")[0] for line in wrong] == [f"line {n}" for n in range(3, 14)]
    assert "no file 'missing.avi', and no video of that name" in wrong[0]
    assert "a class must be a folder's name" in wrong[1]
    assert "more columns" in wrong[2]
    assert "is of class 'Deer' here, and 'Fox' in line 2" in wrong[3]
    assert "no class 'Deers': did you mean 'Deer'" in wrong[4]
    assert "has no class" in wrong[5]
    assert "names no file" in wrong[6]
    assert "is an address" in wrong[7]
    assert "'note.txt' is no video, by its name" in wrong[8]
    assert "'nothere.jpg' is no video, by its name" in wrong[9]
    assert "'empty.avi' is empty" in wrong[10]


def test_a_name_that_is_nearly_a_class_is_a_class_if_that_is_said(shelf: Shelf) -> None:
    shelf.film("a.avi")
    shelf.film("b.avi", shade=90)
    table = shelf.text("labels.csv", "file,label\na.avi,Foxes\nb.avi,Foxed\n")
    assert "line 3" in shelf.wrong(table)[0]
    shelf.bring(table, new_class=True)
    assert shelf.given() == {"a.avi": "Foxes", "b.avi": "Foxed"}


@pytest.mark.parametrize(
    "data",
    [
        "\ufefffile;label\r\nä.avi;Füchse\r\n".encode(),
        "file\tlabel\r\nä.avi\tFüchse\r\n".encode("utf-16"),
        'label,file\n"Füchse","ä.avi"\n'.encode(),
        "File,LABEL\na\u0308.avi,Fu\u0308chse\n".encode(),
        "file,label\n.\\ä.avi,Füchse\n".encode(),
    ],
    ids=["semicolons", "utf-16", "quoted", "decomposed", "backslash"],
)
def test_tables_as_programs_write_them(shelf: Shelf, data: bytes) -> None:
    shelf.film("ä.avi")
    shelf.bring(shelf.text("labels.csv", data))
    assert shelf.given() == {"ä.avi": "Füchse"}


def test_a_file_name_as_macos_writes_it_is_found(shelf: Shelf) -> None:
    name = unicodedata.normalize("NFD", "ä.avi")
    shelf.film(name)
    shelf.bring(shelf.text("labels.csv", "file,label\nä.avi,Fox\n"))
    assert shelf.given() == {name: "Fox"}


def test_a_name_that_is_not_utf8_is_found_if_the_file_has_it_and_else_named(shelf: Shelf) -> None:
    shelf.film(b"b\xe4r.avi")
    table = shelf.text("labels.csv", b"file,label\nb\xe4r.avi,Bear\n")
    shelf.bring(table)
    assert shelf.given() == {r"b\xe4r.avi": "Bear"}
    table = shelf.text("other.csv", b"file,label\nl\xf6we.avi,B\xe4r\nl\xf6we.avi,Bear\n")
    wrong = shelf.wrong(table)
    assert len(wrong) == 2
    assert all("it is not in UTF-8: save the table as UTF-8" in line for line in wrong)


def test_two_names_of_one_file_contradict_each_other(shelf: Shelf) -> None:
    path = shelf.film("a.avi")
    (shelf.archive / "b.avi").hardlink_to(path)
    (shelf.archive / "c.avi").symlink_to(path)
    lines = "file,label\na.avi,Fox\nb.avi,Deer\nc.avi,Deer\n./a.avi,Fox\n"
    wrong = shelf.wrong(shelf.text("labels.csv", lines))
    assert [line[:7] for line in wrong] == ["line 3:", "line 4:"]


def test_what_a_person_said_is_kept_and_what_a_table_said_is_corrected(shelf: Shelf) -> None:
    names = ["by_hand", "taken_back", "unsure", "by_table"]
    for number, name in enumerate(names):
        shelf.film(f"{name}.avi", shade=20 * number)
    rows = "".join(f"{name}.avi,Fox\n" for name in names)
    shelf.bring(shelf.text("labels.csv", f"file,label\n{rows}"))
    shelf.give_label(1, "Hare")
    shelf.labels.undo([2], "command", "ann", shelf.now)
    shelf.labels.add([Label(3, "unsure")], "page", "bob", shelf.now)
    n_labels = len(shelf.given_labels())
    table = shelf.text("labels.csv", f"file,label\n{rows.replace('Fox', 'Deer')}")
    done = shelf.bring(table)
    assert (done.n_labels, done.n_known) == (1, 0)
    assert sorted(done.kept) == [
        "archive/by_hand.avi (it is Hare, here Deer)",
        "archive/taken_back.avi (its label was taken back, here Deer)",
        "archive/unsure.avi (it is unsure, here Deer)",
    ]
    assert shelf.given_labels()[n_labels:] == [(4, "labelled", "Deer", "csv")]


def test_videos_of_the_home_get_their_labels_by_path_name_and_content(shelf: Shelf) -> None:
    for number, name in enumerate(["cam1/a.avi", "b.avi", "c.avi"]):
        shelf.put_video(f"inbox/{name}", shade=30 * number)
    for name, source in (("cam1/a.avi", "cam1"), ("b.avi", None), ("c.avi", None)):
        found = shelf.found(shelf.inbox / name)
        shelf.queue.enqueue([found._replace(source=source)], shelf.now)
    shelf.predict_and_file()
    copy = shelf.archive / "copied.avi"
    shutil.copy(shelf.path(3), copy)
    lines = f"file,label\ncam1/a.avi,Fox\n{shelf.path(2)},Deer\ncopied.avi,Hare\n"
    done = shelf.bring(shelf.text("labels.csv", lines))
    assert (done.n_videos, done.n_labels) == (0, 3)
    assert sorted(label[:3] for label in shelf.given_labels()) == [
        (1, "labelled", "Fox"),
        (2, "labelled", "Deer"),
        (3, "labelled", "Hare"),
    ]
    shelf.file()
    assert shelf.place(1) == "labelled/Fox/a.avi"
    assert copy.is_file()


def test_names_of_several_videos_and_files_of_the_home_are_wrong_lines(shelf: Shelf) -> None:
    for folder in ("cam1", "cam2"):
        shelf.put_video(f"inbox/{folder}/a.avi", shade=len(folder) + int(folder[-1]))
        shelf.enqueue(shelf.inbox / folder / "a.avi")
    new = shelf.put_video("labelled/Fox/new.avi", shade=99)
    wrong = shelf.wrong(shelf.text("labels.csv", f"file,label\na.avi,Fox\n{new},Fox\n"))
    assert "several videos are named 'a.avi': 1, 2; give the path" in wrong[0]
    assert "lies in the home, and vidwatch does not know it yet" in wrong[1]


def test_a_moved_archive_is_known_and_a_file_that_could_not_be_read_is_no_error(
    shelf: Shelf,
) -> None:
    shelf.film("a.avi")
    shelf.text("broken.avi", "no video")
    rows = "file,label\na.avi,Fox\nbroken.avi,Fox\n"
    shelf.bring(shelf.text("labels.csv", rows))
    first, second = shelf.claim()
    shelf.record(shelf.prediction(first.id))
    shelf.queue.fail(second.id, "no video", None, shelf.now)
    moved = shelf.archive.rename(shelf.archive.with_name("moved"))
    done = shelf.bring(moved / "labels.csv")
    assert (done.n_videos, done.n_labels, done.n_known) == (0, 0, 1)
    assert done.unread == ["moved/broken.avi"]
    names = ("a.avi", "broken.avi")
    assert [row.path for row in shelf.rows()] == [bytes(moved / name) for name in names]


def test_a_tree_of_class_folders(shelf: Shelf) -> None:
    shelf.film("Biking/v_Biking_g01_c01.avi")
    shelf.film("Biking/rec7/x.avi", shade=40)
    shelf.film("Skiing/y.avi", shade=80)
    shelf.film("loose.avi", shade=120)
    shelf.text("Biking/notes.txt", "text")
    shelf.text("Skiing/cut.avi", "")
    shelf.text("@eaDir/z.avi", "of a file server")
    done = shelf.bring(shelf.archive)
    assert shelf.given() == {
        "v_Biking_g01_c01.avi": "Biking",
        "x.avi": "Biking",
        "y.avi": "Skiing",
    }
    assert {row.name: row.group for row in shelf.rows()} == {
        "v_Biking_g01_c01.avi": "v_Biking_g01",
        "x.avi": "archive/rec7",
        "y.avi": None,
    }
    assert dict(done.skipped) == {
        "in no class folder": ["loose.avi"],
        "no videos by their names (.txt)": ["Biking/notes.txt"],
        "empty": ["Skiing/cut.avi"],
    }
    (shelf.archive / "_wrong").mkdir()
    shelf.film("_wrong/a.avi")
    assert shelf.wrong(shelf.archive)[0].startswith("_wrong/a.avi: ")


@pytest.mark.slow
def test_split_files_of_ucf101(shelf: Shelf) -> None:
    for name in ("Biking/v_a.avi", "Skiing/v_b.avi", "Skiing/v_c.avi"):
        shelf.film(f"UCF-101/{name}", shade=len(shelf.rows()) + ord(name[-5]))
    shelf.text("lists/classInd.txt", "1 Biking\n2 Skiing\n")
    shelf.text("lists/trainlist01.txt", "Biking/v_a.avi 1\r\nSkiing/v_b.avi 2\r\n")
    shelf.text("lists/testlist01.txt", "Skiing/v_c.avi\n")
    shelf.text("lists/trainlist02.txt", "Skiing/v_c.avi 2\n")
    files = shelf.archive / "UCF-101"
    done = shelf.bring(shelf.archive / "lists", files=files)
    assert (done.n_videos, done.n_labels) == (3, 3)
    assert shelf.given() == {"v_a.avi": "Biking", "v_b.avi": "Skiing", "v_c.avi": "Skiing"}
    assert {row.group for row in shelf.rows()} == {None}
    shelf.text(
        "lists/trainlist03.txt", "Biking/v_a.avi 2\nno path\nBiking/v_x.avi\nBiking/v_a.avi 9\n"
    )
    wrong = shelf.wrong(shelf.archive / "lists/trainlist03.txt", files=files)
    assert "its folder is 'Biking', but class 2 is 'Skiing'" in wrong[0]
    assert "line 2" in wrong[1]
    assert "no file 'Biking/v_x.avi'" in wrong[2]
    assert wrong[3:] == ["line 4: no class 9 in classInd.txt"]
    with pytest.raises(VidwatchError, match="it names classes alone"):
        shelf.bring(shelf.archive / "lists/classInd.txt")


def test_the_table_of_ucf101_as_kaggle_has_it(shelf: Shelf) -> None:
    shelf.film("train/Swing/v_Swing_g05_c02.avi")
    row = "v_Swing_g05_c02,/train/Swing/v_Swing_g05_c02.avi,Swing"
    shelf.bring(shelf.text("train.csv", f"clip_name,clip_path,label\n{row}\n"))
    assert shelf.given() == {"v_Swing_g05_c02.avi": "Swing"}


def test_a_table_of_zamba_may_give_a_file_several_labels(shelf: Shelf) -> None:
    for number, name in enumerate("abc"):
        shelf.film(f"{name}.avi", shade=40 * number)
    rows = "a.avi,duiker\na.avi,elephant\nb.avi,blank\nc.avi,duiker\nc.avi,duiker\n"
    done = shelf.bring(shelf.text("labels.csv", f"filepath,label\n{rows}"))
    assert shelf.given() == {"b.avi": "_empty", "c.avi": "duiker"}
    assert done.several == ["a.avi (duiker, elephant)"]


def test_a_table_of_timelapse_asks_for_its_column(shelf: Shelf) -> None:
    shelf.film("st1/day1/a.avi")
    header = "RootFolder,File,RelativePath,DateTime,DeleteFlag,Species,Comment\n"
    rows = "archive,a.avi,st1\\day1,2026-01-02 03:04:05,false,Fox,\n"
    rows += "archive,b.avi,st1,2026-01-02 03:04:05,false,,later\n"
    rows += "archive,p.jpg,st1,2026-01-02 03:04:05,false,Fox,\n"
    table = shelf.text("TimelapseData.csv", header + rows)
    with pytest.raises(VidwatchError, match="give --column NAME; the table has: Species, Comment"):
        shelf.bring(table)
    with pytest.raises(VidwatchError, match="no column 'Art'"):
        shelf.bring(table, column="Art")
    done = shelf.bring(table, column="Species")
    assert shelf.given() == {"a.avi": "Fox"}
    assert dict(done.skipped) == {
        "without a class": ["st1/b.avi"],
        "no videos by their names (.jpg)": ["st1/p.jpg"],
    }


MEDIA = """mediaID,deploymentID,timestamp,filePath,filePublic,fileMediatype
m1,d1,2026-01-01T10:00:00Z,clips/a.avi,true,video/avi
m2,d1,2026-01-01T11:00:00Z,clips/b.avi,true,video/avi
m3,d1,2026-01-01T12:00:00Z,clips/c.avi,true,video/avi
m4,d1,2026-01-01T13:00:00Z,clips/p.jpg,true,image/jpeg
m5,d1,2026-01-01T14:00:00Z,clips/d.avi,true,video/avi
"""
OBSERVATIONS = """observationID,deploymentID,mediaID,eventID,eventStart,eventEnd,observationLevel,observationType,scientificName
o1,d1,m1,e1,2026-01-01T10:00:00Z,2026-01-01T10:00:10Z,media,animal,Vulpes vulpes
o2,d1,m2,e2,2026-01-01T11:00:00Z,2026-01-01T11:00:10Z,media,blank,
o3,d1,,e3,2026-01-01T12:00:00Z,2026-01-01T12:10:00Z,event,human,
o4,d1,,e4,2026-01-01T10:00:00Z,2026-01-01T12:00:00Z,event,animal,Cervus elaphus
o5,d1,m4,e5,2026-01-01T13:00:00Z,2026-01-01T13:00:00Z,media,animal,Vulpes vulpes
o6,d1,m5,e6,2026-01-01T14:00:00Z,2026-01-01T14:00:00Z,media,unclassified,
"""


def package(shelf: Shelf) -> None:
    for number, name in enumerate("abcd"):
        shelf.film(f"pack/clips/{name}.avi", shade=40 * number)
    shelf.text("pack/media.csv", MEDIA)
    shelf.text("pack/observations.csv", OBSERVATIONS)
    resources = [
        {"name": name, "path": f"{name}.csv"} for name in ("deployments", "media", "observations")
    ]
    shelf.text("pack/datapackage.json", json.dumps({"resources": resources}))


@pytest.mark.parametrize("name", ["", "media.csv", "observations.csv", "datapackage.json", "zip"])
def test_the_tables_of_camtrap_dp(shelf: Shelf, name: str) -> None:
    package(shelf)
    path = shelf.archive / "pack" / name
    if name == "zip":
        path = shelf.archive / "pack/pack.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for inner in ("media.csv", "observations.csv", "datapackage.json"):
                archive.write(shelf.archive / "pack" / inner, inner)
    done = shelf.bring(path)
    assert shelf.given() == {"a.avi": "Vulpes vulpes", "b.avi": "_empty", "c.avi": "human"}
    assert dict(done.skipped) == {
        "media of the type image/jpeg": ["clips/p.jpg"],
        "observations of events with several media, or none": ["observations.csv, line 5"],
        "observations of the type 'unclassified' without a class": ["observations.csv, line 7"],
    }


def test_a_package_of_our_own_is_read_and_what_machines_said_is_no_label(shelf: Shelf) -> None:
    path = shelf.film("two words.avi")
    shelf.text("pack/media.csv", f"mediaID,filePath\n1,{path.as_uri()}\n")
    rows = "mediaID,observationType,classificationMethod,observationTags\n"
    rows += "1,unknown,human,state:filed | class:Biking\n1,unknown,machine,class:Skiing\n"
    shelf.text("pack/observations.csv", rows)
    done = shelf.bring(shelf.archive / "pack")
    assert shelf.given() == {"two words.avi": "Biking"}
    assert dict(done.skipped) == {"observations by machines": ["observations.csv, line 3"]}


def test_wrong_lines_of_camtrap_dp(shelf: Shelf) -> None:
    package(shelf)
    media = MEDIA.replace("clips/a.avi", "https://example.org/a.avi").replace("c.avi", "x.avi")
    shelf.text("pack/media.csv", media)
    shelf.text("pack/observations.csv", OBSERVATIONS.replace(",m2,", ",m9,"))
    wrong = shelf.wrong(shelf.archive / "pack")
    assert [line[:24] for line in wrong] == [f"observations.csv, line {n}" for n in (2, 3, 4)]
    assert "is an address" in wrong[0]
    assert "no media 'm9'" in wrong[1]
    assert "clips/x.avi" in wrong[2]
    shelf.text("pack/media.csv", "mediaID,path\n")
    with pytest.raises(VidwatchError, match=r"media\.csv has no column filePath"):
        shelf.bring(shelf.archive / "pack")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", b"name,species\nx.avi,Fox\n", "its first line is 'name,species'"),
        ("a.csv", b"", "it is empty"),
        ("a.json", b"{}", "no known table of labels"),
        ("a.avi", b"RIFF\0\0\0\0AVI ", "no table"),
        ("a.zip", b"PK\3\4 and no more", "a ZIP that cannot be read"),
        ("missing.csv", None, "cannot be read"),
    ],
)
def test_what_is_no_table_is_named(shelf: Shelf, name: str, data: bytes | None, words: str) -> None:
    if data is not None:
        shelf.text(name, data)
    with pytest.raises(VidwatchError, match=words):
        shelf.bring(shelf.archive / name)


def test_a_folder_that_holds_no_labels_is_named(shelf: Shelf) -> None:
    with pytest.raises(VidwatchError, match="no known table of labels"):
        shelf.bring(shelf.archive)
    with pytest.raises(VidwatchError, match="there is no such folder"):
        shelf.bring(shelf.archive, files=shelf.archive / "missing")


def test_imported_labels_judge_and_corrections_by_table_do_not(shelf: Shelf) -> None:
    for number in range(4):
        shelf.film(f"{number}.avi", shade=40 * number)
    shelf.bring(shelf.text("labels.csv", "file,label\n0.avi,Fox\n1.avi,Fox\n"))
    for number in range(2, 30):
        shelf.arrive(f"other{number}.avi")
    shelf.predict()
    shelf.bring(shelf.text("labels.csv", "file,label\n0.avi,Deer\nother2.avi,Deer\n"))
    with shelf.engine.begin() as connection:
        found = {clip.video_id: clip.biased for clip in labelled_videos(connection)}
    assert found == {1: True, 2: False, 3: True}


def test_receivers_are_told_of_imported_labels(shelf: Shelf) -> None:
    shelf.film("a.avi")
    shelf.film("b.avi", shade=90)
    with shelf.writing() as connection:
        row = {"name": "hook", "events": ["labelled"], "classes": [], "since": shelf.now}
        connection.execute(insert(receivers).values(row))
    shelf.bring(shelf.text("labels.csv", "file,label\na.avi,Fox\nb.avi,Deer\n"))
    assert [(one.event, one.subject) for one in shelf.rows(outbox)] == [
        ("labelled", 1),
        ("labelled", 2),
    ]
