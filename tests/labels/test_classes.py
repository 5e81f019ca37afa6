"""Which names people may give to a class, by each way of giving it, and which they are offered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from daemon.database.tables import labels
from daemon.labels.class_changes import ClassChanges
from daemon.labels.classes import (
    DidYouMeanError,
    labelled_classes,
    offered_classes,
    starter_is_outgrown,
)
from daemon.labels.labels import Label
from daemon.labels.lookup import import_csv
from daemon.labels.odd_names import alike_classes, odd_names, refused_folders
from daemon.report.status import read_status
from learner.classes import (
    EMPTY,
    class_named,
    is_class_name,
    is_misspelt,
    likely_meant,
    same_but_for_case,
    why_not_a_class,
)
from learner.dataset import find_clips
from learner.errors import VidwatchError

NFC = "H\u00f6hle"
NFD = "Ho\u0308hle"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


def offered(home: MadeHome) -> list[str]:
    with home.engine.begin() as connection:
        return offered_classes(connection)


def predicted(home: MadeHome, name: str) -> int:
    video = home.arrive(name)
    home.predict_and_file()
    return video


@pytest.mark.parametrize("name", ["Cat ", " Cat", "\u00a0Cat", "Cat"])
def test_a_space_around_a_name_is_no_part_of_it(name: str) -> None:
    assert class_named(name) == "Cat"
    assert class_named(name, ["Cat", "Dog"]) == "Cat"


def test_the_two_encodings_of_one_name_mean_one_class() -> None:
    assert class_named(NFD) == NFC
    assert class_named(NFC, [NFD]) == NFD  # a model that has this name keeps it
    assert class_named(NFD, [NFC, NFD]) == NFD


def test_a_class_that_an_older_home_has_stays_one_though_a_space_ends_it() -> None:
    assert class_named("Cat ", ["Cat ", "Dog"]) == "Cat "
    assert class_named("Cat", ["Cat ", "Dog"]) == "Cat "
    assert why_not_a_class("Cat ", ["Cat ", "Dog"]) is None


@pytest.mark.parametrize(
    "name",
    ["#recycle", "#Recycle", "@eaDir", "@Recycle", "#snapshot", "$RECYCLE.BIN", "lost+found",
     "System Volume Information"],
)  # fmt: skip
def test_a_folder_of_a_file_server_is_never_a_class(name: str, home: MadeHome) -> None:
    assert why_not_a_class(name, [name])
    video = predicted(home, "a.avi")
    with pytest.raises(VidwatchError, match="never a class"):
        home.give_label(video, name)
    for kind in ("labelled", "classified"):
        found = home.found(home.put(f"{kind}/{name}/b.avi"))
        assert home.class_folders.notice([found], home.tick()) == 0
    assert home.given_labels() == []
    with home.engine.begin() as connection:
        assert odd_names(connection, home.root) == []


@pytest.mark.parametrize("other", ["Sking", "Skiiing", "Skling", "Skiign", "skiign", "kSiing"])
def test_a_name_that_differs_by_one_slip_probably_means_the_other(other: str) -> None:
    assert likely_meant(other, ["Biking", "Skiing"]) == "Skiing"
    assert likely_meant("Skiing", [other, "Skiing"]) is None


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Cat", "Bat"),  # too short
        ("Skiing", "Skating"),
        ("Biking", "Baking a"),
        ("Camera 1", "Camera 2"),
        ("Camera1", "Camera12"),
        ("Team A", "Team B"),
        ("jump_l", "jump_r"),
        ("Skiing", "Skgiin"),
    ],
)
def test_names_that_differ_more_or_in_a_number_are_two_classes(name: str, other: str) -> None:
    assert likely_meant(name, [other]) is None
    assert likely_meant(other, [name]) is None


@pytest.mark.slow
@given(st.text("abcdeö1 ", min_size=4, max_size=12), st.data())
def test_every_single_slip_is_seen_from_both_names(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(name) - 1))
    slips = [
        name[:at] + name[at + 1 :],
        name[:at] + "x" + name[at + 1 :],
        name[:at] + "x" + name[at:],
    ]
    slips.append(name[: at - 1] + name[at - 1 : at + 1][::-1] + name[at + 1 :] if at else name)
    for slip in slips:
        assert is_misspelt(name, slip) == is_misspelt(slip, name)
    plain = "qwertz" + name.strip().replace("1", "").replace(" ", "") + "qwertz"
    assert is_misspelt(plain, plain[:3] + plain[4:])
    assert is_misspelt(plain, plain[:3] + "x" + plain[4:])
    assert is_misspelt(plain, plain[:3] + "x" + plain[3:])
    assert is_misspelt(plain, plain[:2] + plain[3] + plain[2] + plain[4:])
    assert not is_misspelt(plain, plain)


@pytest.mark.parametrize("other", ["cat", "CAT", "caT"])
def test_a_name_that_differs_in_case_only_is_refused_with_the_existing_one(other: str) -> None:
    assert why_not_a_class(other, ["Cat"]) == (
        "there is a class 'Cat', which differs in case only; give 'Cat'"
    )
    assert why_not_a_class(other, ["Cat", other]) is None  # an older home may have both


def test_a_name_in_another_encoding_of_the_same_letters_is_the_same() -> None:
    assert same_but_for_case("Caf\u00e9", ["Cafe\u0301"]) == "Cafe\u0301"
    assert same_but_for_case("Cafe", ["Caf\u00e9"]) is None


def test_the_class_of_empty_scenes_is_a_class_and_no_other_reserved_name_is() -> None:
    assert is_class_name(EMPTY)
    assert why_not_a_class(EMPTY) is None
    assert not any(is_class_name(name) for name in ("_unsure", "_Empty", "_", "_empty2", "._empty"))


def test_a_command_with_such_a_name_labels_nothing(home: MadeHome) -> None:
    first = predicted(home, "a.avi")
    second = predicted(home, "b.avi")
    home.give_label(first, "Cat")
    with pytest.raises(DidYouMeanError, match="did you mean 'Cat'") as caught:
        home.give_label(second, "cat")
    assert caught.value.meant == {"cat": "Cat"}
    home.give_label(second, "skiing")  # the starter's names are offered no more: none is in the way
    assert [row[2] for row in home.given_labels()] == ["Cat", "skiing"]


def test_two_new_names_of_one_table_that_differ_in_case_only_are_refused_by_line(
    home: MadeHome, tmp_path: Path
) -> None:
    predicted(home, "a.avi")
    predicted(home, "b.avi")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.avi,Cat\nb.avi,cat\n")
    with pytest.raises(VidwatchError, match=r"line 3: .*'cat': did you mean 'Cat'"):
        import_csv(table, home.engine)
    names = [label.class_name for label in import_csv(table, home.engine, new_class=True)]
    assert names == ["Cat", "cat"]


def test_all_names_of_a_table_that_are_nearly_others_are_named_and_nothing_is_imported(
    home: MadeHome, tmp_path: Path
) -> None:
    ids = [predicted(home, f"{name}.avi") for name in "abcd"]
    home.give_label(ids[0], "Skiing")
    table = tmp_path / "labels.csv"
    lines = [f"{ids[0]},Skiign", f"{ids[1]}, Skiing ", f"{ids[2]},skiing", f"{ids[3]},{NFD}"]
    table.write_text("\n".join(["file,label", *lines]))
    with pytest.raises(DidYouMeanError) as caught:
        import_csv(table, home.engine)
    assert caught.value.meant == {"Skiign": "Skiing", "skiing": "Skiing"}
    assert "line 2" in str(caught.value)
    assert "line 4" in str(caught.value)
    names = [label.class_name for label in import_csv(table, home.engine, new_class=True)]
    assert names == ["Skiign", "Skiing", "skiing", NFC]


def test_one_class_by_folder_command_and_table_whatever_the_form_of_its_name(
    home: MadeHome, tmp_path: Path
) -> None:
    for name in (NFD, f"{NFC} ", NFC):
        home.class_folders.notice([home.found(home.put(f"labelled/{name}/{name}.avi"))], home.now)
    home.predict_and_file()
    home.give_label(predicted(home, "b.avi"), NFD)
    home.give_label(predicted(home, "c.avi"), f" {NFC}")
    (tmp_path / "labels.csv").write_text(f"file,label\n{predicted(home, 'd.avi')},{NFD}\n")
    home.labels.add(import_csv(tmp_path / "labels.csv", home.engine), "csv", "ann", home.now)
    assert [row[2] for row in home.given_labels()] == [NFC] * 6
    home.file()
    moved = home.root / f"labelled/{NFD}/b.avi"
    (home.root / f"labelled/{NFC}/b.avi").rename(moved)
    assert home.class_folders.notice([home.found(moved)], home.tick()) == 0
    assert len(home.given_labels()) == 6
    with home.engine.begin() as connection:
        assert odd_names(connection, home.root) == []


def test_a_misspelt_folder_is_a_class_and_a_question_until_a_person_says_so(
    home: MadeHome,
) -> None:
    for name in ("Skiing/a", "Skiing/b", "Skiign/c"):
        home.class_folders.notice([home.found(home.put(f"labelled/{name}.avi"))], home.tick())
    home.predict_and_file()
    assert [row[2] for row in home.given_labels()] == ["Skiing", "Skiing", "Skiign"]

    def questions() -> list[str]:
        with home.engine.begin() as connection:
            return odd_names(connection, home.root)

    assert [line for line in questions() if "'Skiign' is new: did you mean 'Skiing'" in line]
    assert read_status(home.home, home.now).to_json()["odd_names"] == questions()
    video = predicted(home, "d.avi")
    home.labels.add([Label(video, "labelled", "Skiign")], "command", "ann", home.now)
    assert questions() == []


def test_two_classes_of_an_older_home_that_look_the_same_stay_two(home: MadeHome) -> None:
    ids = [predicted(home, f"{number}.avi") for number in range(2)]
    with home.writing() as connection:
        for video, name in zip(ids, ("Cat", "Cat "), strict=True):
            row = {"video_id": video, "verdict": "labelled", "class": name, "source": "csv"}
            connection.execute(insert(labels).values(**row, who="ann", created_at=home.now))
    for name in ("Cat", "Cat "):
        home.class_folders.notice([home.found(home.put(f"labelled/{name}/n.avi", name))], home.now)
    moved = home.root / "labelled/Cat/m.avi"
    (home.root / "labelled/Cat /n.avi").rename(moved)
    home.class_folders.notice([home.found(moved)], home.tick())
    assert [row[2] for row in home.given_labels()] == ["Cat", "Cat ", "Cat", "Cat ", "Cat"]


def test_a_folder_whose_name_differs_in_case_only_is_left_alone_and_named(
    home: MadeHome, caplog: pytest.LogCaptureFixture
) -> None:
    home.class_folders.notice([home.found(home.put("labelled/Cat/a.avi"))], home.tick())
    wrong = home.put("labelled/cat/b.avi")
    home.class_folders.notice([home.found(wrong)], home.tick())
    spaced = home.put("labelled/Dog /c.avi")
    home.class_folders.notice([home.found(spaced)], home.tick())
    assert [row[2] for row in home.given_labels()] == ["Cat", "Dog"]
    assert "rename the folder to 'Cat'" in caplog.text
    with home.engine.begin() as connection:
        refused = refused_folders(connection, home.root / "labelled", labelled_classes(connection))
    hint = "rename the folder to 'Cat', or move its clips into that one"
    assert refused == {"cat": f"there is a class 'Cat', which differs in case only; {hint}"}
    assert wrong.exists()


def test_a_class_folder_may_be_renamed_to_another_case(home: MadeHome) -> None:
    for name in ("a.avi", "b.avi"):
        home.class_folders.notice([home.found(home.put(f"labelled/cat/{name}"))], home.tick())
    home.predict_and_file()
    (home.root / "labelled/cat").rename(home.root / "labelled/Cat")
    files = [home.found(path) for path in sorted((home.root / "labelled/Cat").iterdir())]
    home.class_folders.notice(files, home.tick())
    assert [row[2] for row in home.given_labels()] == ["cat", "cat"]
    with home.engine.begin() as connection:
        (question,) = [line for line in odd_names(connection, home.root) if "renamed" in line]
    assert "vidwatch classes rename cat Cat" in question
    ClassChanges(home.engine, home.folders, "ann").rename("cat", "Cat", home.tick())
    assert offered(home) == ["Cat"]
    assert {home.place(video) for video in (1, 2)} == {"labelled/Cat/a.avi", "labelled/Cat/b.avi"}
    with home.engine.begin() as connection:
        assert odd_names(connection, home.root) == []


def test_empty_scenes_are_labelled_by_their_folder(home: MadeHome) -> None:
    home.class_folders.notice([home.found(home.put(f"labelled/{EMPTY}/a.avi"))], home.tick())
    home.predict_and_file()
    assert [row[2] for row in home.given_labels()] == [EMPTY]
    video = predicted(home, "b.avi")
    home.give_label(video, EMPTY)
    home.file()
    assert home.place(video) == f"labelled/{EMPTY}/b.avi"


def test_the_starters_names_are_offered_until_classes_of_ones_own_are_labelled(
    home: MadeHome,
) -> None:
    first = predicted(home, "a.avi")
    second = predicted(home, "b.avi")
    assert offered(home) == ["Biking", "Skiing"]
    home.give_label(first, "Zebra")
    assert offered(home) == ["Zebra"]
    home.give_label(second, "Skiing")  # the starter's classes are wanted, too
    assert offered(home) == ["Biking", "Skiing", "Zebra"]
    home.labels.undo([second], "command", "ann", home.now)
    assert offered(home) == ["Zebra"]
    with home.engine.begin() as connection:
        assert starter_is_outgrown(connection)


def test_classes_of_an_older_home_that_look_the_same_are_found(home: MadeHome) -> None:
    ids = [predicted(home, f"{number}.avi") for number in range(3)]
    with home.writing() as connection:
        for video, name in zip(ids, ("Cat", "cat", "Dog"), strict=True):
            row = {"video_id": video, "verdict": "labelled", "class": name, "source": "csv"}
            connection.execute(insert(labels).values(**row, who="ann", created_at=home.now))
    with home.engine.begin() as connection:
        assert alike_classes(labelled_classes(connection)) == [("Cat", "cat")]


def test_a_training_folder_with_such_names_is_refused(tmp_path: Path) -> None:
    for name in ("Cat", "cat"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.avi").write_text(name)
    with pytest.raises(VidwatchError, match="folder 'cat': there is a class 'Cat'"):
        find_clips(tmp_path)


def test_a_training_folder_joins_forms_of_one_name_and_skips_a_servers_folders(
    tmp_path: Path,
) -> None:
    for name in (NFC, NFD, "Dog ", "@eaDir", "#recycle/Dog", "lost+found", "Dog /@eaDir"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.avi").write_text(name)
    clips = find_clips(tmp_path)
    assert sorted(clip.label for clip in clips) == ["Dog", NFC, NFC]
