"""Which names people may give to a class, by each way of giving it, and which they are offered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome
from sqlalchemy import insert

from daemon.database.tables import labels
from daemon.labels.classes import (
    alike_classes,
    offered_classes,
    refused_folders,
    starter_is_outgrown,
)
from daemon.labels.lookup import import_csv
from learner.classes import EMPTY, is_class_name, same_but_for_case, why_not_a_class
from learner.dataset import find_clips
from learner.errors import VidwatchError


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


@pytest.mark.parametrize("name", ["Cat ", " Cat", "\u00a0Cat"])
def test_a_name_with_a_space_around_it_is_refused_with_the_right_one(name: str) -> None:
    reason = why_not_a_class(name)
    assert reason
    assert not name.isprintable() or reason.endswith("give 'Cat'")


def test_a_class_that_an_older_home_has_stays_one_though_a_space_ends_it() -> None:
    assert why_not_a_class("Cat ", ["Cat ", "Dog"]) is None
    assert why_not_a_class("Cat ", ["Dog"])


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
    for name, hint in (("cat", "give 'Cat'"), ("Dog ", "give 'Dog'")):
        with pytest.raises(VidwatchError, match=hint):
            home.give_label(second, name)
    home.give_label(second, "skiing")  # the starter's names are offered no more: none is in the way
    assert [row[2] for row in home.given_labels()] == ["Cat", "skiing"]


def test_two_new_names_of_one_table_that_differ_in_case_only_are_refused_by_line(
    home: MadeHome, tmp_path: Path
) -> None:
    predicted(home, "a.avi")
    predicted(home, "b.avi")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.avi,Cat\nb.avi,cat\n")
    with pytest.raises(VidwatchError, match=r"line 3: label 'cat': .* give 'Cat'"):
        import_csv(table, home.engine)


def test_a_folder_whose_name_differs_in_case_only_is_left_alone_and_named(
    home: MadeHome, caplog: pytest.LogCaptureFixture
) -> None:
    home.class_folders.notice([home.found(home.put("labelled/Cat/a.avi"))], home.tick())
    wrong = home.put("labelled/cat/b.avi")
    home.class_folders.notice([home.found(wrong)], home.tick())
    spaced = home.put("labelled/Dog /c.avi")
    home.class_folders.notice([home.found(spaced)], home.tick())
    assert [row[2] for row in home.given_labels()] == ["Cat"]
    assert "give 'Cat'" in caplog.text
    with home.engine.begin() as connection:
        refused = refused_folders(connection, home.root / "labelled")
    assert set(refused) == {"cat", "Dog "}
    assert wrong.exists()


def test_a_class_folder_may_be_renamed_to_another_case(home: MadeHome) -> None:
    for name in ("a.avi", "b.avi"):
        home.class_folders.notice([home.found(home.put(f"labelled/cat/{name}"))], home.tick())
    home.predict_and_file()
    (home.root / "labelled/cat").rename(home.root / "labelled/Cat")
    files = [home.found(path) for path in sorted((home.root / "labelled/Cat").iterdir())]
    home.class_folders.notice(files, home.tick())
    assert [row[2] for row in home.given_labels()] == ["cat", "cat", "Cat", "Cat"]


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
        assert alike_classes(connection) == [("Cat", "cat")]


def test_a_training_folder_with_such_names_is_refused(tmp_path: Path) -> None:
    for name in ("Cat", "cat"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.avi").write_text(name)
    with pytest.raises(VidwatchError, match="folder 'cat': there is a class 'Cat'"):
        find_clips(tmp_path)
