"""Labels of every source, with real files, a real database and the real rules of filing."""

import getpass
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from disks import Mount, numbers, pad
from disks import mount as mount
from homes import MadeHome
from sqlalchemy import event, select, update

from daemon.database.predictions import Predictions
from daemon.database.records import Move, Moved
from daemon.database.tables import labels, predictions, videos
from daemon.home.folders import Folders, Found
from daemon.home.identity import Identity
from daemon.labels.class_folders import ClassFolders
from daemon.labels.labels import Label
from daemon.labels.lookup import find_videos, import_csv, require_class
from daemon.labels.queries import newest
from learner.errors import VidwatchError

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Desk(MadeHome):
    """A home whose clips are predicted "Biking", and labelled by hand."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, review_share=1.0)

    def move(self, source: Path, folder: str) -> Path:
        target = self.root / folder / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        return source.rename(target)

    def notice(self, *paths: Path) -> int:
        return self.class_folders.notice([self.found(path) for path in paths], self.tick())

    def not_put_by_us(self, path: Path) -> bool:
        return self.class_folders.not_put_by_us([self.found(path)]) == [self.found(path)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def test_a_clip_moved_from_one_class_folder_to_another_is_labelled_and_rests_in_labelled(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    moved = desk.move(desk.root / "classified/Biking/a.avi", "classified/Skiing")
    assert desk.notice(moved) == 1
    desk.file()
    assert desk.given_labels() == [(video, "labelled", "Skiing", "moved")]
    assert desk.place(video) == "labelled/Skiing/a.avi"


def test_a_file_where_we_put_it_is_no_label(desk: Desk) -> None:
    desk.arrive("a.avi")
    desk.predict_and_file()
    path = desk.root / "classified/Biking/a.avi"
    assert not desk.not_put_by_us(path)
    assert desk.notice(path) == 0
    assert desk.given_labels() == []


def test_a_file_that_is_on_its_way_to_a_class_folder_was_not_moved_by_a_person(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.queue.claim(1, NOW)
    desk.record(desk.prediction(video))
    moved = desk.move(
        desk.root / "inbox/a.avi", "classified/Biking"
    )  # and the row does not say so yet
    assert desk.notice(moved) == 0
    assert desk.given_labels() == []


def test_a_rename_within_a_class_folder_is_no_label(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    renamed = (desk.root / "classified/Biking/a.avi").rename(desk.root / "classified/Biking/b.avi")
    assert desk.notice(renamed) == 0
    assert (desk.given_labels(), desk.place(video)) == ([], "classified/Biking/b.avi")


def test_a_clip_never_seen_is_classified_too_and_stays_where_it_was_put(desk: Desk) -> None:
    path = desk.put("labelled/Zebra/cam1/a.avi")
    assert desk.notice(path) == 1
    video = int(desk.row(path)["id"])
    desk.predict_and_file()
    assert desk.given_labels() == [(video, "labelled", "Zebra", "folder")]
    assert (desk.row(video)["state"], desk.place(video)) == ("filed", "labelled/Zebra/cam1/a.avi")
    assert not desk.row(video)["sampled"]
    with desk.engine.begin() as read:
        assert read.execute(select(predictions.c["class"])).scalars().all() == ["Biking"]


def test_a_copy_in_labelled_is_a_label_of_its_content_never_a_duplicate(desk: Desk) -> None:
    video = desk.arrive("a.avi", "same")
    desk.predict_and_file()
    copy = desk.put("labelled/Skiing/copy.avi", "same")
    desk.notice(copy)
    desk.predict_and_file()
    assert desk.given_labels() == [(video, "labelled", "Skiing", "moved")]
    assert desk.row(copy)["duplicate_of"] == video
    assert copy.exists()
    assert desk.place(video) == "labelled/Skiing/a.avi"  # the first one rests with its label, too


def test_a_clip_moved_while_it_is_queued_finishes_its_prediction_and_is_not_filed(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi")
    moved = desk.move(desk.root / "inbox/a.avi", "labelled/Skiing")
    assert desk.notice(moved) == 1
    desk.predict_and_file()
    assert (desk.row(video)["state"], desk.place(video)) == ("filed", "labelled/Skiing/a.avi")
    assert desk.given_labels() == [(video, "labelled", "Skiing", "moved")]


def test_a_clip_moved_while_it_is_claimed_finishes_its_prediction_and_is_not_filed(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi")
    desk.queue.claim(1, NOW)
    desk.notice(desk.move(desk.root / "inbox/a.avi", "labelled/Skiing"))
    desk.record(desk.prediction(video))
    desk.file()
    assert (desk.row(video)["state"], desk.place(video)) == ("filed", "labelled/Skiing/a.avi")


def test_a_clip_moved_by_hand_between_prediction_and_filing_is_labelled_and_not_lost(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi")
    desk.queue.claim(1, NOW)
    desk.record(desk.prediction(video))
    (move,) = desk.queue.moves(NOW)
    moved = desk.move(desk.root / "inbox/a.avi", "labelled/Skiing")
    desk.queue.moved({video: Moved(None, move.destination)}, NOW)  # the pipeline found it gone
    desk.notice(moved)
    assert (desk.row(video)["state"], desk.row(video)["error"]) == ("filed", None)
    assert desk.place(video) == "labelled/Skiing/a.avi"


def test_the_newest_label_counts_and_older_ones_stay(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    desk.labels.add([Label(video, "labelled", "Skiing")], "command", "ann", NOW)
    desk.labels.add(
        [Label(video, "labelled", "Mixing")], "page", "bob", NOW
    )  # two people correct one clip
    desk.file()
    assert desk.place(video) == "labelled/Mixing/a.avi"
    assert [row[2] for row in desk.given_labels()] == ["Skiing", "Mixing"]


def test_a_label_taken_back_gives_way_to_the_one_before_or_to_the_prediction(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    for name in ("Skiing", "Mixing"):
        desk.labels.add([Label(video, "labelled", name)], "command", "ann", NOW)
    desk.labels.undo([video], "command", "ann", NOW)
    desk.file()
    assert desk.place(video) == "labelled/Skiing/a.avi"
    other = desk.arrive("b.avi")
    desk.predict_and_file()
    desk.labels.add([Label(other, "labelled", "Skiing")], "command", "ann", NOW)
    desk.file()
    desk.labels.undo([other], "command", "ann", NOW)
    desk.file()
    assert desk.place(other) == "classified/Biking/b.avi"
    third = desk.arrive("c.avi")
    desk.predict_and_file()
    with pytest.raises(VidwatchError, match=f"video {third} has no label"):
        desk.labels.undo([third], "command", "ann", NOW)


def test_an_accepted_prediction_is_a_label(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    with pytest.raises(VidwatchError, match=f"video {video} has no prediction yet"):
        desk.labels.accept([video], "accepted", "ann", NOW)
    desk.predict_and_file()
    desk.labels.accept([video], "accepted", "ann", NOW)
    assert desk.given_labels() == [(video, "labelled", "Biking", "accepted")]


def test_an_unsure_clip_goes_to_its_own_folder_and_moving_it_on_labels_it(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file(unsure="probability")
    assert desk.place(video) == "classified/_unsure/a.avi"
    desk.notice(desk.move(desk.root / "classified/_unsure/a.avi", "classified/Skiing"))
    desk.file()
    assert (desk.place(video), desk.given_labels()) == (
        "labelled/Skiing/a.avi",
        [(video, "labelled", "Skiing", "moved")],
    )


def test_a_clip_that_a_person_moves_among_the_unsure_is_unsure(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    desk.notice(desk.move(desk.root / "classified/Biking/a.avi", "classified/_unsure"))
    assert desk.given_labels() == [(video, "unsure", None, "moved")]


def test_a_label_for_an_unknown_or_failed_video_changes_nothing(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    bad = desk.arrive("b.avi")
    desk.queue.claim(1, NOW)
    desk.queue.fail(bad, "not a video", desk.folders.failed(b"b.avi"), desk.now)
    for wrong in (99, bad):
        with pytest.raises(VidwatchError, match=f"video {wrong}"):
            desk.labels.add(
                [Label(video, "labelled", "Skiing"), Label(wrong, "labelled", "Skiing")],
                "page",
                "ann",
                NOW,
            )
    with pytest.raises(VidwatchError, match=r"class '\.\./x': a class must be a folder's name"):
        desk.labels.add([Label(video, "labelled", "../x")], "page", "ann", NOW)
    assert desk.given_labels() == []


def test_a_clip_that_was_taken_away_from_elsewhere_can_be_labelled(desk: Desk) -> None:
    archived = desk.arrive("archived.avi", "one content")
    desk.predict_and_file()
    desk.path(archived).unlink()
    desk.give_label(archived, "Skiing")
    assert desk.given_labels() == [(archived, "labelled", "Skiing", "command")]


def test_a_failed_file_put_into_a_class_folder_is_tried_again(desk: Desk) -> None:
    bad = desk.arrive("b.avi")
    desk.queue.claim(1, NOW)
    desk.queue.fail(bad, "not a video", bytes(desk.root / "failed/b.avi"), desk.now)
    desk.file()
    assert desk.notice(desk.move(desk.root / "failed/b.avi", "labelled/Skiing")) == 1
    with desk.engine.begin() as read:
        assert read.execute(select(videos.c.state).order_by(videos.c.id)).scalars().all() == [
            "failed",
            "queued",
        ]


def test_files_in_folders_that_cannot_be_classes_are_left_alone(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    assert desk.notice(desk.put("labelled/a.avi"), desk.put("labelled/_x/b.avi")) == 0
    assert desk.given_labels() == []
    assert "a.avi: left alone: it is in no class folder" in caplog.text
    assert "b.avi: left alone: '_x' cannot be a class, a class must be" in caplog.text


def test_videos_are_found_by_id_path_or_name_and_every_unknown_one_is_named(desk: Desk) -> None:
    first, second = desk.arrive("a.avi"), desk.arrive("b.avi")
    desk.predict_and_file()
    words = [str(first), "classified/Biking/b.avi"]
    assert find_videos(words, desk.root, desk.engine) == [first, second]
    assert find_videos(["b.avi", "b.avi"], desk.root, desk.engine) == [second]
    with pytest.raises(VidwatchError, match=r"no video '7' .*no video 'c\.avi'"):
        find_videos(["7", "a.avi", "c.avi"], desk.root, desk.engine)
    desk.put("new.avi")
    with pytest.raises(VidwatchError, match="put a new file into labelled/<class>/"):
        find_videos(["new.avi"], desk.root, desk.engine)
    desk.arrive("cam2/a.avi", "another")
    with pytest.raises(VidwatchError, match=r"2 videos are named 'a\.avi'"):
        find_videos(["a.avi"], desk.root, desk.engine)


def test_a_csv_names_videos_in_each_way(desk: Desk) -> None:
    first, second = desk.arrive("a.avi"), desk.arrive("b.avi")
    desk.predict_and_file()
    table = desk.put("table.csv", f"file,label\n{first},Skiing\nb.avi,Mixing\n")
    assert import_csv(table, desk.engine) == [
        Label(first, "labelled", "Skiing"),
        Label(second, "labelled", "Mixing"),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name,label\na.avi,Skiing\n", "no column file"),
        ("", "no column file and no label"),
        ("file,label\n", "no labels in it"),
        (
            "file,label\na.avi,Skiing\nx.avi,Skiing\na.avi,../up\ny.avi,Skiing\n",
            "line 3: .*line 4: .*line 5: ",
        ),
        ("file,label\na.avi,Skiing,more\n", "line 2: more columns"),
        ('file,label\n"a.avi,Skiing\n', "cannot be read as CSV"),
    ],
)
def test_a_csv_with_anything_wrong_imports_nothing_and_names_every_line(
    desk: Desk, text: str, complaint: str
) -> None:
    desk.arrive("a.avi")
    desk.predict_and_file()
    path = desk.root / "table.csv"
    path.write_text(text)
    with pytest.raises(VidwatchError, match=complaint):
        import_csv(path, desk.engine)


def test_a_csv_that_cannot_be_read_is_named(desk: Desk) -> None:
    (desk.root / "latin.csv").write_bytes(b"file,label\n\xe9.avi,Skiing\n")
    for name in ("missing.csv", "latin.csv"):
        with pytest.raises(VidwatchError, match=f"{name}: cannot be read"):
            import_csv(desk.root / name, desk.engine)


def test_who_gave_a_label_by_moving_a_file_is_its_owner(desk: Desk) -> None:
    desk.notice(desk.put("labelled/Skiing/a.avi"))
    with desk.engine.begin() as read:
        assert read.execute(select(labels.c.who)).scalars().all() == [getpass.getuser()]


def test_a_copy_filed_as_a_duplicate_can_be_labelled_by_moving_it(desk: Desk) -> None:
    video = desk.arrive("a.avi", "same")
    desk.predict_and_file()
    copy = desk.arrive("b.avi", "same")
    desk.predict_and_file()
    desk.notice(desk.move(desk.root / "duplicates/b.avi", "labelled/Skiing"))
    assert desk.given_labels() == [(video, "labelled", "Skiing", "moved")]
    assert desk.place(copy) == "labelled/Skiing/b.avi"


def test_a_random_share_of_what_comes_is_drawn_and_nothing_that_was_labelled(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    assert desk.row(video)["sampled"]
    desk.predictions = Predictions(desk.engine, review_share=0.0)
    other = desk.arrive("b.avi")
    desk.predict_and_file()
    assert not desk.row(other)["sampled"]


def test_a_clip_labelled_while_it_is_being_moved_is_moved_on(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.queue.claim(1, NOW)
    desk.record(desk.prediction(video))
    (move,) = desk.queue.moves(NOW)
    moved = desk.move(desk.root / "inbox/a.avi", "classified/Biking")
    desk.labels.add([Label(video, "labelled", "Skiing")], "command", "ann", NOW)
    desk.queue.redirect(video, move.destination, bytes(moved))
    assert desk.notice(moved) == 0
    desk.queue.moved({video: Moved(bytes(moved), bytes(moved))}, NOW)
    desk.file()
    assert (desk.row(video)["state"], desk.place(video)) == ("filed", "labelled/Skiing/a.avi")


def test_a_labelled_file_that_changes_before_it_is_read_keeps_its_row_and_its_label(
    desk: Desk,
) -> None:
    path = desk.put("labelled/Skiing/a.avi", "half")
    desk.notice(path)
    (video,) = desk.queue.claim(1, NOW)
    path.write_text("the whole of it")
    desk.queue.wait(video.id, NOW)
    assert desk.notice(path) == 1
    desk.predict_and_file()
    assert desk.given_labels() == [(video.id, "labelled", "Skiing", "folder")]
    assert desk.row(video.id)["state"] == "filed"


def test_a_clip_moved_while_it_waits_to_be_whole_is_queued_again(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.queue.claim(1, NOW)
    desk.queue.wait(video, NOW)
    desk.notice(desk.move(desk.root / "inbox/a.avi", "labelled/Skiing"))
    desk.predict_and_file()
    assert (desk.row(video)["state"], desk.place(video)) == ("filed", "labelled/Skiing/a.avi")


def test_a_failed_file_moved_before_we_could_waits_for_us_to_notice(desk: Desk) -> None:
    bad = desk.arrive("b.avi")
    desk.queue.claim(1, NOW)
    desk.queue.fail(bad, "not a video", bytes(desk.root / "failed/b.avi"), desk.now)
    moved = desk.move(desk.root / "inbox/b.avi", "labelled/Skiing")
    desk.queue.moves(NOW)
    assert desk.notice(moved) == 0
    desk.queue.moved({bad: Moved(None, bytes(desk.root / "failed/b.avi"))}, NOW)
    assert desk.notice(moved) == 1


@pytest.mark.slow
def test_files_that_were_touched_or_restored_from_a_backup_are_still_ours(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    path = desk.root / "classified/Biking/a.avi"
    os.utime(path, (1, 1))
    assert desk.notice(path) == 0 or desk.given_labels() == []
    restored = path.with_name("copy")
    restored.write_bytes(path.read_bytes())
    restored.replace(path)  # the same content, with an inode of its own
    desk.notice(path)
    assert desk.given_labels() == []
    assert not desk.not_put_by_us(path)
    assert desk.row(video)["inode"] == path.stat().st_ino


def test_other_content_put_in_the_place_of_ours_is_a_label(desk: Desk) -> None:
    desk.arrive("a.avi")
    desk.predict_and_file()
    path = desk.put("other/a.avi", "something else, and longer").replace(
        desk.root / "classified/Biking/a.avi"
    )
    assert desk.notice(path) == 1
    assert [row[1:] for row in desk.given_labels()] == [("labelled", "Biking", "folder")]


def test_a_home_that_was_moved_as_a_whole_labels_none_of_its_clips(
    desk: Desk, tmp_path: Path
) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    for name in ("elsewhere", "elsewhere/classified"):
        (tmp_path / name).mkdir()
    (tmp_path / "classified/Biking").rename(tmp_path / "elsewhere/classified/Biking")
    path = tmp_path / "elsewhere/classified/Biking/a.avi"
    moved = ClassFolders(desk.engine, Folders(tmp_path / "elsewhere"))
    moved.notice([desk.found(path)], NOW)
    assert desk.given_labels() == []
    assert desk.row(video)["path"] == bytes(path)


def test_a_hard_link_in_another_class_folder_is_a_label_once(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    path, link = desk.root / "classified/Biking/a.avi", desk.root / "labelled/Skiing/b.avi"
    link.parent.mkdir(parents=True)
    link.hardlink_to(path)
    assert desk.notice(link) == 1
    desk.file()
    for _ in range(3):
        desk.notice(*(one for one in (link, path) if one.exists()))
    assert desk.given_labels() == [(video, "labelled", "Skiing", "moved")]
    assert desk.place(video) == "labelled/Skiing/b.avi"
    assert desk.files() == {"labelled/Skiing/b.avi", "duplicates/a.avi"}
    assert len(desk.rows()) == 1


def test_a_label_by_a_hard_link_is_followed_by_one_of_another_class(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    for name in ("classified/Skiing", "labelled/Running", "labelled/Biking"):
        (desk.root / name).mkdir(parents=True)
        link = desk.root / name / "a.avi"
        link.hardlink_to(desk.path(video))
        desk.notice(link)
        desk.file()
    given = [row[2] for row in desk.given_labels()]
    assert given == ["Skiing", "Running", "Biking"]
    assert desk.place(video) == "labelled/Biking/a.avi"
    spare = {"duplicates/a.avi", "duplicates/a-2.avi", "duplicates/a-3.avi"}
    assert desk.files() == {"labelled/Biking/a.avi", *spare}


def test_a_hard_link_in_the_same_class_folder_says_nothing_and_is_set_aside(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    link = desk.root / "classified/Biking/b.avi"
    link.hardlink_to(desk.path(video))
    assert desk.notice(link) == 0
    assert desk.given_labels() == []
    assert desk.files() == {"classified/Biking/a.avi", "duplicates/b.avi"}


def test_a_hard_link_of_a_clip_that_is_on_its_way_is_a_label_when_that_has_come_to_rest(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi")
    link = desk.root / "labelled/Skiing/a.avi"
    link.parent.mkdir(parents=True)
    link.hardlink_to(desk.path(video))
    assert desk.notice(link) == 0
    desk.predict()
    assert desk.notice(link) == 0
    desk.file()
    assert desk.notice(link) == 1
    assert desk.given_labels() == [(video, "labelled", "Skiing", "moved")]
    assert desk.files() == {"labelled/Skiing/a.avi", "duplicates/a.avi"}


def test_a_daemon_ended_between_the_name_and_the_row_takes_the_hard_link_for_the_label(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    link = desk.root / "labelled/Skiing/a.avi"
    link.parent.mkdir(parents=True)
    link.hardlink_to(desk.path(video))
    desk.path(video).rename(desk.root / "duplicates/a.avi")  # and then it was killed
    assert desk.notice(link) == 1
    assert desk.given_labels() == [(video, "labelled", "Skiing", "moved")]
    assert desk.place(video) == "labelled/Skiing/a.avi"


def test_files_that_lie_where_they_were_put_are_no_labels_if_their_disk_has_another_number(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    with desk.writing() as connection:
        connection.execute(update(videos).values(device=12345))
    assert not desk.not_put_by_us(desk.path(video))
    moved = desk.move(desk.path(video), "classified/Skiing")
    assert desk.notice(moved) == 1  # told by its content
    assert desk.given_labels() == [(video, "labelled", "Skiing", "moved")]
    assert desk.row(video)["device"] == moved.stat().st_dev


def test_a_file_with_the_numbers_of_another_one_is_a_video_of_its_own(
    desk: Desk, mount: Mount
) -> None:
    """A class folder may lie on another disk than the inbox."""
    skiing = mount(desk.root / "labelled/Skiing")
    biking = mount(desk.root / "classified/Biking")
    first = pad(desk.put("classified/Biking/a.avi", "one"))
    second = pad(desk.put("labelled/Skiing/b.avi", "two"))
    assert (biking / "a.avi", skiing / "b.avi") == (first, second)
    assert numbers(first) == numbers(second)
    assert [desk.notice(first), desk.notice(second)] == [1, 1]
    assert [row.path for row in desk.rows()] == [bytes(first), bytes(second)]
    assert [row[2] for row in desk.given_labels()] == ["Biking", "Skiing"]


def exchange_numbers(desk: Desk, before: Path, after: Path) -> None:
    """As if the disk of `after` had had another number, and its number had been that of `before`.

    The row of the file `before` stays as it was written.
    """
    with desk.writing() as connection:
        at_before = update(videos).where(videos.c.path == bytes(before))
        connection.execute(at_before.values(device=after.stat().st_dev))


@pytest.mark.of_sqlite
@pytest.mark.parametrize("known", ["new", "renewed", "moved"])
def test_labels_are_noted_if_disks_have_exchanged_their_numbers_meanwhile(
    desk: Desk, mount: Mount, known: str
) -> None:
    mount(desk.root / "labelled/Skiing")
    mount(desk.root / "classified/Biking")
    first = pad(desk.put("classified/Biking/a.avi", "one"))
    second = pad(desk.put("labelled/Skiing/b.avi", "two"))
    if known != "new":
        desk.notice(second)
    desk.notice(first)
    if known == "renewed":
        with desk.writing() as connection:
            at_second = update(videos).where(videos.c.path == bytes(second))
            connection.execute(at_second.values(inode=12345))
    elif known == "moved":
        second = second.rename(second.with_name("c.avi"))
        with desk.writing() as connection:
            at_second = update(videos).where(videos.c.name == "b.avi")
            connection.execute(at_second.values(device=None))
    exchange_numbers(desk, first, second)
    third = desk.put("labelled/Skiing/third.avi", "three")
    desk.notice(second, third)
    devices = {row.path: row.device for row in desk.rows()}
    assert devices[bytes(second)] == second.stat().st_dev
    assert devices[bytes(first)] is None
    assert bytes(third) in devices
    desk.queue.enqueue([desk.found(first)], NOW)  # found again
    assert desk.row(first)["device"] == first.stat().st_dev


def test_a_file_moved_over_another_one_that_is_queued_takes_its_place(desk: Desk) -> None:
    first, second = (
        desk.put("labelled/Skiing/a.avi"),
        desk.put("labelled/Skiing/b.avi", "longer content"),
    )
    desk.notice(first, second)
    second.replace(first)
    desk.notice(first)
    first.write_text("and now it has changed again")
    desk.notice(first)
    with desk.engine.begin() as read:
        states = read.execute(select(videos.c.state, videos.c.error).order_by(videos.c.id)).all()
    assert [tuple(row) for row in states] == [
        ("failed", "another file was put in its place"),
        ("queued", None),
    ]


def test_a_labelled_clip_that_comes_back_unchanged_is_queued_again(desk: Desk) -> None:
    path = desk.put("labelled/Skiing/a.avi")
    desk.notice(path)
    (video,) = desk.queue.claim(1, NOW)
    desk.queue.wait(video.id, NOW)  # it was gone for a moment
    assert desk.not_put_by_us(path)
    desk.notice(path)
    assert desk.row(video.id)["state"] == "queued"


def test_labelling_a_duplicate_moves_the_first_file_of_its_content(desk: Desk) -> None:
    video = desk.arrive("a.avi", "same")
    desk.predict_and_file()
    copy = desk.arrive("b.avi", "same")
    desk.predict_and_file()
    desk.labels.add([Label(copy, "labelled", "Skiing")], "command", "ann", NOW)
    desk.file()
    assert desk.place(video) == "labelled/Skiing/a.avi"


def test_an_older_label_that_comes_with_a_copy_does_not_move_the_file_against_a_newer_one(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi", "same")
    desk.predict_and_file()
    desk.notice(desk.put("labelled/Mixing/copy.avi", "same"))
    desk.labels.add([Label(video, "labelled", "Skiing")], "command", "ann", NOW)
    desk.predict_and_file()
    assert desk.place(video) == "labelled/Skiing/a.avi"


def test_a_label_taken_back_leaves_the_one_before_as_it_was(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    desk.labels.add([Label(video, "labelled", "Biking", sampled=True)], "page", "ann", NOW)
    desk.labels.add([Label(video, "labelled", "Skiing")], "command", "bob", NOW)
    desk.labels.undo([video], "command", "bob", NOW)
    with desk.engine.begin() as read:
        row = read.execute(newest()).mappings().one()
    assert (row["class"], row["source"], row["who"], row["sampled"]) == (
        "Biking",
        "page",
        "ann",
        True,
    )
    desk.labels.undo([video], "command", "bob", NOW)
    with desk.engine.begin() as read:
        assert read.execute(newest()).all() == []


def test_names_of_any_kind_are_looked_for(desk: Desk) -> None:
    for strange in ("9" * 5000, "caf\udce9.mp4", "٣"):
        with pytest.raises(VidwatchError, match="no video"):
            find_videos([strange], desk.root, desk.engine)


@pytest.mark.of_sqlite
def test_no_search_for_moved_files_reads_the_whole_table(desk: Desk) -> None:
    statements: list[str] = []
    event.listen(desk.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    desk.class_folders.not_put_by_us([Found(b"/a", Identity(1, 1, 2, 3))] * 3)
    with desk.engine.begin() as read:
        plans = [
            row[3]
            for statement in statements
            if statement.startswith("SELECT")
            for row in read.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {statement}", (b"/a",) * statement.count("?")
            )
        ]
    assert plans
    assert not [
        plan
        for plan in plans
        if plan.startswith("SCAN videos") and not plan.endswith(("_destination", "_moving_to"))
    ]


def test_a_table_with_semicolons_is_read_too(desk: Desk) -> None:
    first = desk.arrive("a.avi")
    desk.predict_and_file()
    table = desk.put("table.csv", f"file;label\n{first};Skiing\n")
    assert import_csv(table, desk.engine) == [Label(first, "labelled", "Skiing")]


def test_a_forgotten_class_is_no_class_by_the_name_of_the_last_video(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    require_class("Skiing", desk.root, desk.engine)
    for word in (str(video), "a.avi"):
        with pytest.raises(
            VidwatchError, match=f"means video {video}, not a class; give the class last"
        ):
            require_class(word, desk.root, desk.engine)


def test_a_file_that_got_a_number_is_found_by_the_name_it_has_now(desk: Desk) -> None:
    desk.arrive("cam1/a.avi", "one")
    desk.predict_and_file()
    other = desk.arrive("cam2/a.avi", "two")
    desk.queue.claim(1, NOW)
    desk.record(desk.prediction(other))
    desk.queue.moves(NOW)
    target = (desk.root / "inbox/cam2/a.avi").rename(desk.root / "classified/Biking/a-2.avi")
    desk.queue.moved(
        {other: Moved(bytes(target), bytes(desk.root / "classified/Biking/a.avi"))}, NOW
    )
    assert find_videos(["a-2.avi"], desk.root, desk.engine) == [other]


def test_a_clip_that_is_changed_after_it_was_filed_is_predicted_anew_and_not_labelled(
    desk: Desk,
) -> None:
    desk.arrive("a.avi", "the first half")
    desk.predict_and_file()
    filed = desk.root / "classified/Biking/a.avi"
    with filed.open("a") as file:
        file.write(" and the rest")
    assert desk.notice(filed) == 1
    assert desk.given_labels() == []
    desk.predict_and_file()
    assert filed.exists()
    assert not desk.not_put_by_us(filed)


def test_labels_of_one_content_are_undone_together_and_nothing_else(desk: Desk) -> None:
    video = desk.arrive("a.avi", "same")
    copy = desk.arrive("b.avi", "same")
    desk.predict_and_file()
    desk.give_label(video, "Mixing", who="bob")
    new = [Label(video, "labelled", "Skiing"), Label(copy, "labelled", "Skiing")]
    given = desk.labels.add(new, "page", "ann", NOW)
    desk.file()
    assert desk.labels.undo_given(given, "page", "ann", NOW) == set(given)
    assert desk.labels.undo_given(given, "page", "ann", NOW) == set()
    desk.file()
    assert desk.place(video) == "labelled/Mixing/a.avi"
    assert [row[1] for row in desk.given_labels()] == ["labelled"] * 3 + ["withdrawn"] * 2


def _on_its_way(desk: Desk) -> tuple[int, Move]:
    """A clip that is being moved to `classified/Biking`, and lies there already."""
    video = desk.arrive("a.avi")
    desk.predict()
    (move,) = desk.queue.moves(NOW)
    desk.move(desk.root / "inbox/a.avi", "classified/Biking")
    return video, move


def test_a_label_that_is_taken_back_while_the_file_is_moved_leaves_it_there(desk: Desk) -> None:
    video, move = _on_its_way(desk)
    desk.give_label(video, "Skiing")
    desk.labels.undo([video], "command", "ann", NOW)
    assert desk.notice(desk.root / "classified/Biking/a.avi") == 0
    desk.queue.moved({video: Moved(move.destination, move.destination)}, NOW)
    assert desk.queue.moves(NOW) == []
    assert desk.place(video) == "classified/Biking/a.avi"


def test_a_label_changed_back_while_its_file_is_moved_brings_it_back(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    desk.give_label(video, "Skiing")
    desk.file()
    desk.give_label(video, "Mixing")
    (move,) = desk.queue.moves(NOW)
    moved = desk.move(desk.root / "labelled/Skiing/a.avi", "labelled/Mixing")
    desk.give_label(video, "Skiing")
    desk.queue.moved({video: Moved(bytes(moved), move.destination)}, NOW)
    desk.file()
    assert desk.place(video) == "labelled/Skiing/a.avi"
    assert [row[2] for row in desk.given_labels()] == ["Skiing", "Mixing", "Skiing"]


def test_a_file_renamed_within_the_folder_we_are_moving_it_to_is_no_label(desk: Desk) -> None:
    video, move = _on_its_way(desk)
    renamed = (desk.root / "classified/Biking/a.avi").rename(desk.root / "classified/Biking/b.avi")
    desk.notice(renamed)
    desk.queue.moved({video: Moved(move.destination, move.destination)}, NOW)
    assert desk.given_labels() == []
    assert desk.place(video) == "classified/Biking/b.avi"


def test_a_second_name_made_while_a_file_is_moved_is_the_persons_label(desk: Desk) -> None:
    video, move = _on_its_way(desk)
    other = desk.root / "labelled/Skiing/a.avi"
    other.parent.mkdir(parents=True)
    os.link(desk.root / "classified/Biking/a.avi", other)
    desk.notice(other)
    desk.queue.moved({video: Moved(move.destination, move.destination)}, NOW)
    desk.notice(other)  # as each search does
    assert [row[:3] for row in desk.given_labels()] == [(video, "labelled", "Skiing")]


def test_a_file_that_moved_on_while_we_waited_for_the_database_is_no_label(desk: Desk) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    seen = desk.found(desk.root / "classified/Biking/a.avi")
    desk.give_label(video, "Skiing")
    desk.file()
    assert desk.class_folders.notice([seen], NOW) == 0
    assert [row[2:] for row in desk.given_labels()] == [("Skiing", "command")]


def test_a_clip_that_is_being_moved_is_labelled_by_the_path_it_has_now(desk: Desk) -> None:
    video, _ = _on_its_way(desk)
    assert find_videos(["classified/Biking/a.avi"], desk.root, desk.engine) == [video]


def test_the_first_video_of_a_copy_that_came_labelled_is_moved_before_it_was_filed(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi", "same")
    desk.predict()
    desk.notice(desk.put("labelled/Skiing/b.avi", "same"))
    desk.predict()
    desk.file()
    assert desk.place(video) == "labelled/Skiing/a.avi"


def test_a_file_renamed_within_its_folder_is_still_moved_to_where_its_label_puts_it(
    desk: Desk,
) -> None:
    video = desk.arrive("a.avi")
    desk.predict_and_file()
    desk.give_label(video, "Skiing")
    renamed = (desk.root / "classified/Biking/a.avi").rename(desk.root / "classified/Biking/b.avi")
    desk.notice(renamed)
    desk.file()
    assert [row[2:] for row in desk.given_labels()] == [("Skiing", "command")]
    assert desk.place(video) == "labelled/Skiing/a.avi"


@pytest.mark.slow
def test_a_number_is_an_id_and_the_name_of_a_file_if_no_video_has_that_id(desk: Desk) -> None:
    one, other = desk.arrive("a.avi"), desk.arrive("20240131")
    desk.predict_and_file()
    assert find_videos([str(one)], desk.root, desk.engine) == [one]
    assert find_videos(["20240131"], desk.root, desk.engine) == [other]
    folder = desk.path(other).parent
    for word in ("20240131", "./20240131"):
        assert find_videos([word], folder, desk.engine) == [other]


def test_a_number_that_is_an_id_and_a_file_here_labels_neither(desk: Desk) -> None:
    one, other = desk.arrive("a.avi"), desk.arrive("1")
    desk.predict_and_file()
    assert desk.place(other).endswith("/1")
    folder = desk.path(other).parent
    with pytest.raises(
        VidwatchError, match=r"'1' means video 1, and a file here, which is video 2: give \./1"
    ):
        find_videos(["1"], folder, desk.engine)
    assert find_videos(["./1"], folder, desk.engine) == [other]
    assert find_videos(["1"], desk.root, desk.engine) == [one]
    with pytest.raises(VidwatchError, match="not a class"):
        require_class("1", folder, desk.engine)


def test_a_name_that_several_videos_have_is_listed_with_their_folders_of_the_inbox(
    desk: Desk,
) -> None:
    for source in ("cam1", "cam2"):
        path = desk.put(f"inbox/{source}/00.avi", source)
        desk.queue.enqueue([desk.found(path)._replace(source=source)], desk.now)
        desk.predict()
    with pytest.raises(VidwatchError, match=r"\(cam1/00.avi is 1, cam2/00.avi is 2\)"):
        find_videos(["00.avi"], desk.root, desk.engine)
    assert find_videos(["cam2/00.avi"], desk.root, desk.engine) == [2]
    with pytest.raises(VidwatchError, match="no video"):
        find_videos(["cam3/00.avi"], desk.root, desk.engine)
