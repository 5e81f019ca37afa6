"""A label depends on which class folder a file lies in, not on how its path begins or ends."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome
from sqlalchemy import delete, select

from daemon.database.root import follow_home
from daemon.database.tables import home as home_table
from daemon.home.folder import Home
from daemon.home.folders import files_below
from daemon.labels.lookup import find_videos, import_csv
from daemon.maintenance.doctor import examine
from daemon.report.status import read_status
from learner.errors import VidwatchError


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


def search(home: MadeHome) -> int:
    """What a search of the class folders makes of all that a person did."""
    done = 0
    for name in ("labelled", "classified"):
        for files in files_below(home.root / name):
            done += home.class_folders.notice(files, home.tick())
    return done


def start(root: Path) -> MadeHome:
    """The home at `root`, as a daemon finds it when it starts."""
    home = MadeHome(root)
    follow_home(home.engine, home.root)
    return home


def forget_root(home: MadeHome) -> None:
    """An older vidwatch did not note where the home lies."""
    with home.writing() as connection:
        connection.execute(delete(home_table))


def test_a_tree_of_the_inbox_that_is_called_as_a_class_folder_is_labelled_by_its_move(
    home: MadeHome,
) -> None:
    video = home.arrive("labelled/Skiing/a.avi")
    (home.root / "inbox/labelled/Skiing").rename(home.root / "labelled/Skiing")
    assert search(home) == 1
    assert home.given_labels() == [(video, "labelled", "Skiing", "moved")]
    home.predict_and_file()
    assert home.place(video) == "labelled/Skiing/a.avi"


@pytest.mark.parametrize("above", ["labelled", "classified", "duplicates"])
@pytest.mark.parametrize("is_noted", [True, False])
def test_a_home_that_is_moved_out_of_a_folder_called_as_one_of_ours_labels_nothing(
    tmp_path: Path, above: str, is_noted: bool
) -> None:
    old = start(tmp_path / above / "me")
    ids = [old.arrive(f"{name}.avi") for name in "abc"]
    old.predict_and_file()
    old.give_label(ids[2], "Skiing")
    old.file()
    copy = old.arrive("copy.avi", "a.avi")
    old.predict_and_file()
    if not is_noted:
        forget_root(old)
    old.close()
    shutil.copytree(old.root, tmp_path / "new")
    shutil.rmtree(old.root)
    new = start(tmp_path / "new")
    search(new)  # the copies have other inodes
    assert [row[2] for row in new.given_labels()] == ["Skiing"]
    assert [new.place(video) for video in (*ids, copy)] == [
        "classified/Biking/a.avi",
        "classified/Biking/b.avi",
        "labelled/Skiing/c.avi",
        "duplicates/copy.avi",
    ]
    assert all(new.path(video).exists() for video in (*ids, copy))
    new.close()


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_home_that_is_moved_into_or_out_of_its_own_former_folder_keeps_its_rows(
    tmp_path: Path, is_noted: bool
) -> None:
    home = start(tmp_path / "a")
    video = home.arrive("x.avi")
    home.predict_and_file()
    for root in (tmp_path / "a/b", tmp_path / "a"):
        if not is_noted:
            forget_root(home)
        home.close()
        home.root.rename(tmp_path / "between")
        shutil.rmtree(tmp_path / "a", ignore_errors=True)
        root.parent.mkdir(exist_ok=True)
        (tmp_path / "between").rename(root)
        home = start(root)
        assert home.path(video).exists()
        assert search(home) == 0
    assert home.given_labels() == []
    home.close()


def test_a_home_whose_clips_are_all_away_is_still_found_by_its_rows(tmp_path: Path) -> None:
    old = start(tmp_path / "labelled/me")
    video = old.arrive("a.avi")
    old.predict_and_file()
    old.path(video).unlink()
    forget_root(old)
    old.close()
    old.root.rename(tmp_path / "new")
    new = start(tmp_path / "new")
    assert new.place(video) == "classified/Biking/a.avi"
    new.close()


def test_a_home_is_one_by_whatever_links_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "disk/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/deep/home")
    (tmp_path / "other").symlink_to("disk/deep")
    names = [tmp_path / "disk/deep/home", tmp_path / "link", tmp_path / "other/home"]
    assert {Home.at(name).root for name in names} == {names[0]}
    first = start(names[1])
    video = first.arrive("a.avi")
    first.predict_and_file()
    first.give_label(video, "Skiing")
    first.file()
    first.close()
    for name in names:
        again = start(name)
        assert search(again) == 0
        again.close()
    again = start(names[2])
    assert len(again.rows()) == 1
    assert len(again.given_labels()) == 1
    again.labels.undo([video], "command", "ann", again.tick())
    again.file()
    assert search(again) == 0
    assert again.place(video) == "classified/Biking/a.avi"
    assert [row[1] for row in again.given_labels()] == ["labelled", "withdrawn"]
    again.close()


@pytest.mark.of_sqlite
def test_rows_of_an_older_vidwatch_by_two_names_of_one_home_come_together(tmp_path: Path) -> None:
    home = start(tmp_path / "real")
    first = home.arrive("a.avi")
    second = home.arrive("b.avi")
    home.predict_and_file()
    forget_root(home)
    (tmp_path / "link").symlink_to("real")
    by_link = bytes(tmp_path / "link/classified/Biking/a.avi")
    with home.writing() as connection:
        connection.exec_driver_sql("UPDATE videos SET path = ? WHERE id = ?", (by_link, first))
    follow_home(home.engine, home.root)
    assert [home.place(video) for video in (first, second)] == [
        "classified/Biking/a.avi",
        "classified/Biking/b.avi",
    ]
    with home.engine.begin() as connection:
        assert connection.scalar(select(home_table.c.root)) == bytes(home.root)
    home.close()


def test_a_path_means_the_file_that_lies_there_today(home: MadeHome, tmp_path: Path) -> None:
    before = home.arrive("a.avi", "yesterday's")
    home.predict_and_file()
    home.path(before).rename(tmp_path / "archived.avi")
    today = home.arrive("a.avi", "today's, and longer")
    home.predict_and_file()
    path = home.root / "classified/Biking/a.avi"
    assert path.read_text() == "today's, and longer"
    assert find_videos([str(path)], tmp_path, home.engine) == [today]
    table = home.put("table.csv", "file,label\nclassified/Biking/a.avi,Skiing\n")
    assert [label.video_id for label in import_csv(table, home.engine)] == [today]
    path.unlink()
    with pytest.raises(VidwatchError, match="2 videos"):
        find_videos([str(path)], tmp_path, home.engine)


def test_a_path_to_a_clip_that_no_daemon_has_seen_means_no_earlier_clip(home: MadeHome) -> None:
    video = home.arrive("a.avi", "yesterday's")
    home.predict_and_file()
    path = home.path(video)
    path.unlink()
    path.write_text("today's, and longer")
    with pytest.raises(VidwatchError, match="put a new file into labelled/<class>/"):
        find_videos([str(path)], home.root, home.engine)


def test_a_path_may_lead_through_links(home: MadeHome, tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    home.inbox.rmdir()
    home.inbox.symlink_to(share)
    (tmp_path / "link").symlink_to("home")
    waiting = home.arrive("a.avi")
    for name in ("home/inbox/a.avi", "link/inbox/a.avi", "share/a.avi"):
        assert find_videos([name], tmp_path, home.engine) == [waiting]
    home.predict_and_file()
    assert find_videos(["Biking/a.avi"], tmp_path / "link/classified", home.engine) == [waiting]


def test_links_are_left_alone_and_said_once_wherever_they_lie(
    home: MadeHome, tmp_path: Path
) -> None:
    assert read_status(home.home, home.now).links == []
    outside = tmp_path / "outside"
    for name in ("inbox", "labelled", "classified"):
        (outside / name).mkdir(parents=True)
        (outside / name / "a.avi").write_text(name)
        (home.root / name / "Skiing").symlink_to(outside / name)
    for number in range(5):
        (home.inbox / f"{number}.avi").symlink_to(outside / "inbox/a.avi")
    assert search(home) == 0
    assert home.rows() == []
    lines = read_status(home.home, home.now).links
    assert [line.partition("/ has ")[0] for line in lines] == ["inbox", "labelled", "classified"]
    assert "6 links (0.avi, 1.avi, 2.avi and 3 more)" in lines[0]
    assert "1 link (Skiing)" in lines[1]
    assert [line.text for line in examine(home.home) if line.subject == "links"] == lines


def test_a_whole_folder_of_a_home_may_be_a_link_and_is_said_nowhere(
    home: MadeHome, tmp_path: Path
) -> None:
    (home.root / "labelled").rename(tmp_path / "share")
    (home.root / "labelled").symlink_to(tmp_path / "share")
    home.put("labelled/Skiing/a.avi")
    search(home)
    assert [row[2] for row in home.given_labels()] == ["Skiing"]
    assert read_status(home.home, home.now).links == []
