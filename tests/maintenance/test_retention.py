"""Which rows go, and what keeps them: real files, a real database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome
from sqlalchemy import func, insert, select

from daemon.database.contents import take_place
from daemon.database.integrity import SHOWN, broken_references
from daemon.database.tables import labels, predictions, videos
from daemon.home.settings import Settings
from daemon.maintenance.backup import Backups, backups_in
from daemon.maintenance.restore import restore
from daemon.maintenance.retention import REMOVED, Retention
from daemon.training.holdout import AROUND

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=40)


class Shelf(MadeHome):
    """A home with rows of many clips; those that are `kept` have their files still."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "home", now=OLD)
        self.notices: list[str | None] = []
        for name in ("classified", "labelled"):
            (self.root / name / "Biking").mkdir()

    def clips(self, count: int, *, kept: bool, at: datetime = OLD, **values: Any) -> list[int]:
        """Rows of clips, predicted and filed."""
        folder = "duplicates" if "duplicate_of" in values else "classified/Biking"
        model = self.model
        ids = []
        with self.writing() as connection:
            for _ in range(count):
                number = (connection.scalar(select(func.max(videos.c.id))) or 0) + 1
                path = self.put(f"{folder}/clip{number}.avi", f"clip {number}")
                row = {"name": path.name, "path": bytes(path), "sha256": f"{number}", **values}
                row |= self.found(path).identity._asdict()
                video = self.add_video(connection, arrived_at=at, finished_at=at, **row)
                if "duplicate_of" not in values:
                    self.add_prediction(connection, video, model, created_at=at)
                if not kept:
                    path.unlink()
                ids.append(video)
        return ids

    def label(self, video: int, source: str = "command") -> None:
        label = {
            "video_id": video,
            "verdict": "labelled",
            "class": "Biking",
            "source": source,
            "who": "ann",
        }
        with self.writing() as connection:
            connection.execute(insert(labels).values(**label, created_at=OLD))

    def retention(self, **settings: Any) -> Retention:
        loaded = Settings(**settings)
        backups = Backups(self.home, loaded, self.notices.append)
        return Retention(self.home, self.engine, loaded, backups.make, self.notices.append)

    def tend(self, **settings: Any) -> int:
        """Two looks, and what the second one removes."""
        retention = self.retention(**settings)
        assert retention.tend(NOW) == 0
        return retention.tend(NOW + timedelta(hours=1))

    def ids(self) -> list[int]:
        with self.engine.begin() as read:
            assert broken_references(read, SHOWN) == []
        return [row.id for row in self.rows()]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.close()


def test_old_rows_without_a_file_go_with_their_predictions_after_a_backup(shelf: Shelf) -> None:
    there = shelf.clips(10, kept=True)
    gone = shelf.clips(3, kept=False)
    young = shelf.clips(3, kept=False, at=NOW - timedelta(days=1))
    assert shelf.tend(keep_days=30) == 3
    assert shelf.ids() == there + young
    assert shelf.notices[-1] is None
    with shelf.engine.begin() as read:
        assert set(read.execute(select(predictions.c.video_id)).scalars()) == set(there + young)
    (backup,) = backups_in(shelf.home.backups, NOW + timedelta(days=1))
    shelf.engine.dispose()
    restore(shelf.home, backup, NOW + timedelta(days=1))
    assert set(gone) <= set(shelf.ids())


def test_of_the_rows_without_a_file_the_newest_are_kept(shelf: Shelf) -> None:
    there = shelf.clips(10, kept=True)
    gone = shelf.clips(6, kept=False)
    shelf.clips(1, kept=True)
    assert shelf.tend(keep_videos=4) == 2
    assert [video for video in shelf.ids() if video in gone] == gone[2:]
    assert set(there) < set(shelf.ids())


def test_a_first_row_from_a_time_when_the_clock_was_ahead_keeps_no_other(shelf: Shelf) -> None:
    shelf.clips(1, kept=True, at=NOW + timedelta(days=3650))
    shelf.clips(10, kept=True)
    shelf.clips(3, kept=False)
    shelf.clips(1, kept=True)
    assert shelf.tend(keep_days=30) == 3


def test_without_a_setting_nothing_goes(shelf: Shelf) -> None:
    shelf.clips(3, kept=False)
    assert shelf.tend() == 0


def test_labelled_videos_stay_and_those_that_came_around_them(shelf: Shelf) -> None:
    """Without its neighbours, a corrected clip would look as if all that came had been labelled,
    and judge models.
    """
    shelf.clips(80, kept=True)
    gone = shelf.clips(3 * AROUND, kept=False)
    labelled = gone[-2]
    shelf.label(labelled)
    shelf.clips(1, kept=True)
    assert shelf.tend(keep_days=30) == len(gone) - AROUND - 2
    assert [video for video in shelf.ids() if video in gone] == gone[-AROUND - 2 :]


def test_an_original_goes_after_its_duplicates_only(shelf: Shelf) -> None:
    shelf.clips(10, kept=True)
    (original,) = shelf.clips(1, kept=False)
    (alone,) = shelf.clips(1, kept=False)
    (copy,) = shelf.clips(1, kept=True, duplicate_of=original)
    (other_copy,) = shelf.clips(1, kept=False, duplicate_of=alone)
    shelf.clips(1, kept=True)
    assert shelf.tend(keep_days=30) == 2
    assert {original, copy} <= set(shelf.ids())
    assert not {alone, other_copy} & set(shelf.ids())


def test_rows_of_dropped_duplicates_go_though_they_are_most_of_all(shelf: Shelf) -> None:
    (original,) = shelf.clips(1, kept=True)
    shelf.clips(20, kept=True, duplicate_of=original, dropped_at=OLD)
    (newest,) = shelf.clips(1, kept=True)
    assert shelf.tend(keep_days=30) == 20
    assert shelf.ids() == [original, newest]


def test_a_video_whose_place_another_one_took_goes_with_its_prediction(shelf: Shelf) -> None:
    shelf.clips(10, kept=True)
    (former,) = shelf.clips(1, kept=False)
    (first,) = shelf.clips(1, kept=True)
    shelf.clips(1, kept=True)
    with shelf.writing() as connection:
        take_place(connection, former, first)
    assert shelf.tend(keep_days=30) == 1
    assert former not in shelf.ids()


def test_a_file_that_was_gone_for_a_moment_keeps_its_row(shelf: Shelf) -> None:
    there = shelf.clips(10, kept=True)
    path = shelf.home.root / "classified" / "Biking" / "clip3.avi"
    retention = shelf.retention(keep_days=30)
    path.rename(shelf.home.root / "elsewhere.avi")
    assert retention.tend(NOW) == 0
    (shelf.home.root / "elsewhere.avi").rename(path)
    assert retention.tend(NOW) == 0
    assert shelf.ids() == there


def test_the_newest_row_stays_since_its_id_would_be_given_again(shelf: Shelf) -> None:
    shelf.clips(10, kept=True)
    *_, newest = shelf.clips(3, kept=False)
    assert shelf.tend(keep_days=30) == 2
    assert newest in shelf.ids()


def test_more_than_half_never_goes(shelf: Shelf) -> None:
    shelf.clips(10, kept=True)
    shelf.clips(14, kept=False)
    assert shelf.tend(keep_days=30) == 0
    assert len(shelf.ids()) == 24
    assert "13 of 24 would go, which is more than half" in str(shelf.notices[-1])


def test_from_a_new_database_nothing_goes(shelf: Shelf) -> None:
    shelf.clips(10, kept=True, at=NOW - timedelta(days=6))
    shelf.clips(3, kept=False, at=NOW - timedelta(days=6))
    assert shelf.tend(keep_days=1) == 0
    assert len(shelf.ids()) == 13


def test_while_a_folder_is_away_nothing_goes(shelf: Shelf) -> None:
    shelf.clips(10, kept=True)
    shelf.clips(3, kept=False)
    folder = shelf.home.root / "classified"
    folder.rename(shelf.home.root / "away")
    assert shelf.tend(keep_days=30) == 0
    assert "classified cannot be accessed" in str(shelf.notices[-1])
    folder.mkdir()
    assert shelf.tend(keep_days=30) == 0
    assert "is its disk away?" in str(shelf.notices[-1])
    assert len(shelf.ids()) == 13


def test_without_a_backup_nothing_goes(shelf: Shelf) -> None:
    shelf.clips(10, kept=True)
    shelf.clips(3, kept=False)
    shelf.home.backups.write_text("in the way")
    assert shelf.tend(keep_days=30) == 0
    assert "no old rows are removed: backup" in str(shelf.notices[-1])
    assert len(shelf.ids()) == 13


def test_a_row_that_is_labelled_between_two_visits_stays(shelf: Shelf) -> None:
    shelf.clips(10, kept=True)
    gone = shelf.clips(3, kept=False)
    shelf.clips(1, kept=True)
    retention = shelf.retention(keep_days=30)
    retention.tend(NOW)
    shelf.label(gone[1])
    assert retention.tend(NOW) < 3
    assert gone[1] in shelf.ids()


def test_many_go_in_several_transactions(shelf: Shelf) -> None:
    shelf.clips(2 * REMOVED + 60, kept=True)
    gone = shelf.clips(REMOVED + 50, kept=False)
    shelf.clips(1, kept=True)
    assert shelf.tend(keep_days=30) == len(gone)
    assert not set(gone) & set(shelf.ids())


def test_no_file_is_ever_removed(shelf: Shelf) -> None:
    shelf.clips(10, kept=True)
    shelf.clips(3, kept=False)
    before = sorted(shelf.home.root.rglob("*.avi"))
    shelf.tend(keep_days=30, keep_videos=1)
    assert sorted(shelf.home.root.rglob("*.avi")) == before
