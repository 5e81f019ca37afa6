"""Activity: what is counted, by which time, and what the page shows of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from homes import MadeHome
from reviewed import Browser
from sqlalchemy import update

from daemon.database.tables import videos
from daemon.home.settings import load
from daemon.labels.labels import Label
from daemon.page.activity_drawing import OTHERS, UNSURE_KIND, Asked, draw
from daemon.page.charts import HEIGHT, SHADES, rose, shade, spark, stacks
from daemon.page.key import kept_key
from daemon.page.reviewers import Reviewers
from daemon.page.site import Site
from daemon.report.activity import UNSURE, Activity, By, Slot, begin_of, read_activity

NOON = datetime(2026, 3, 4, 12, 3, tzinfo=UTC)  # a Wednesday


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    return MadeHome(tmp_path / "home", now=NOON)


def add(home: MadeHome, name: str, class_name: str = "Biking", **columns: object) -> int:
    """A predicted video, with these values in its row."""
    video = home.arrive(name)
    home.predict_and_file(home.model_prediction(class_name))
    if columns:
        with home.writing() as connection:
            connection.execute(update(videos).where(videos.c.id == video).values(**columns))
    return video


def say(home: MadeHome, label: Label) -> None:
    home.labels.add([label], "command", "ann", home.now)


def activity(home: MadeHome, by: By = "came") -> Activity:
    with home.engine.begin() as connection:
        return read_activity(connection, by, UTC)


def test_each_source_has_its_own_figures(home: MadeHome) -> None:
    for source in ("cam1", "cam2", "cam2"):
        add(home, f"{len(home.rows())}.avi", source=source)
    assert [(slot.source, slot.n) for slot in activity(home).slots] == [("cam1", 1), ("cam2", 2)]


def test_a_label_counts_more_than_the_prediction(home: MadeHome) -> None:
    video = add(home, "a.avi")
    add(home, "b.avi", "Skiing", source="cam1")
    say(home, Label(video, "labelled", "Skiing"))
    at = NOON.replace(minute=0)
    assert activity(home).slots == [Slot(at, "", "Skiing", 1), Slot(at, "cam1", "Skiing", 1)]


def test_what_nobody_can_tell_is_of_no_class(home: MadeHome) -> None:
    video = add(home, "a.avi")
    say(home, Label(video, "unsure"))
    assert [slot.class_name for slot in activity(home).slots] == [UNSURE]


def test_videos_that_do_not_say_when_they_were_recorded_are_counted_apart(home: MadeHome) -> None:
    at = NOON - timedelta(days=30)
    add(home, "a.avi", recorded_at=at, recorded_by="container")
    add(home, "b.avi", recorded_at=at, recorded_by="file")
    found = activity(home, "recorded")
    assert ([slot.n for slot in found.slots], found.unknown) == ([1], 1)
    assert found.slots[0].at == at.replace(minute=0)
    assert sum(slot.n for slot in activity(home, "came").slots) == 2


def test_what_waits_for_a_blind_review_is_not_counted_by_its_class(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home", now=NOON, review_share=1.0)
    video = add(home, "a.avi")
    assert (activity(home).slots, activity(home).waiting) == ([], 1)
    say(home, Label(video, "labelled", "Skiing", sampled=True))
    assert ([slot.class_name for slot in activity(home).slots], activity(home).waiting) == (
        ["Skiing"],
        0,
    )


def test_hours_are_those_of_the_zone_also_of_one_that_is_not_whole_hours_away(
    home: MadeHome,
) -> None:
    add(home, "a.avi")
    with home.engine.begin() as connection:
        found = read_activity(connection, "came", ZoneInfo("Asia/Kathmandu"))  # 5:45 ahead
    assert (found.slots[0].at.hour, found.slots[0].at.minute) == (17, 45)


@pytest.mark.parametrize(
    ("days", "begin"), [(1, "2026-03-04"), (7, "2026-03-02"), (30, "2026-03-01")]
)
def test_a_column_begins_with_its_day_week_or_month(days: int, begin: str) -> None:
    assert begin_of(NOON.date(), days).isoformat() == begin


def test_classes_without_a_colour_of_their_own_are_others() -> None:
    slots = [Slot(NOON, "", f"class{n}", 20 - n) for n in range(12)] + [Slot(NOON, "", UNSURE, 1)]
    shown = draw(slots, Asked("all", "came", NOON.date(), NOON.date()))
    assert shown.kinds[-2:] == [OTHERS, UNSURE_KIND]
    assert len(shown.kinds) == 10
    assert sum(block.n for block, *_ in shown.blocks) == sum(slot.n for slot in slots)


def test_a_picture_has_a_column_for_a_day_without_videos() -> None:
    days = [NOON, NOON + timedelta(days=2)]
    slots = [Slot(day, "", "Biking", 1) for day in days]
    shown = draw(slots, Asked("all", "came", days[0].date(), days[1].date()))
    assert [figures["Biking"] for _, figures, _ in shown.columns] == [1, 0, 1]


def test_stacked_blocks_fill_the_height_of_the_highest_column() -> None:
    blocks = stacks([{"a": 1, "b": 3}, {"a": 2}], ["a", "b"])
    assert [round(block.height / HEIGHT, 3) for block in blocks] == [0.25, 0.75, 0.5]
    assert min(block.y for block in blocks) == pytest.approx(0)


def test_the_area_of_a_sector_is_proportional_to_its_figure() -> None:
    lengths = [float(sector.path.split("A")[1].split()[0]) for sector in rose([1, 4, 0])]
    assert lengths[1] / lengths[0] == pytest.approx(2)
    assert lengths[2] == 0


def test_nothing_has_the_lightest_shade_and_the_most_the_darkest() -> None:
    assert [shade(n, 10) for n in (0, 1, 10)] == [0, 1, SHADES]
    assert spark([0, 0]) == "0.0,28.0 120.0,28.0"


@pytest.fixture
def browser(home: MadeHome) -> Browser:
    site = Site.on(
        home.home, load(home.home.settings), 8765, Reviewers(kept_key(home.home.review_key), ())
    )
    return Browser(site)


def test_the_page_draws_each_picture_with_its_table_and_csv(
    home: MadeHome, browser: Browser
) -> None:
    add(home, "a.avi", source="cam1")
    add(home, "b.avi", "Skiing")
    page = browser.counted("/activity?by=came")
    assert "2 videos from 2026-03-04 to 2026-03-04" in page
    for chart in ("time", "weekday", "hour", "source"):
        assert f"/activity/{chart}.csv?" in page
    assert '<rect class="k0"' in page
    csv = browser.get("/activity/source.csv?by=came").text
    assert csv == "source,Biking,Skiing,unsure\r\ninbox,0,1,0\r\ncam1,1,0,0\r\n"


def test_only_what_is_asked_for_is_shown(home: MadeHome, browser: Browser) -> None:
    add(home, "a.avi", source="cam1")
    add(home, "b.avi", "Skiing")
    for query in ("class=Skiing", "source=", "source=&class=Skiing"):
        assert "1 video from" in browser.counted(f"/activity?by=came&{query}")
    for query in ("span=nonsense", "from=nonsense", "class=nonsense", "from=9999-12-31"):
        assert browser.get(f"/activity?by=came&{query}").status_code == 200


def test_a_class_that_spreadsheets_would_run_is_no_formula_in_a_csv(
    home: MadeHome, browser: Browser
) -> None:
    video = add(home, "a.avi")
    say(home, Label(video, "labelled", "=1+1"))
    browser.counted("/activity?by=came")
    assert "'=1+1" in browser.get("/activity/time.csv?by=came").text


def test_an_unknown_picture_has_no_csv(home: MadeHome, browser: Browser) -> None:
    add(home, "a.avi")
    browser.counted("/activity?by=came")
    assert browser.get("/activity/other.csv?by=came").status_code == 404
