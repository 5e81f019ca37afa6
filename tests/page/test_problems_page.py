"""Problems: what is shown, and what becomes of files and rows when a person acts on them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome
from reviewed import COUNTING, Browser, hidden, message_on
from sqlalchemy import update

from daemon.database.arrivals import queue_again
from daemon.database.tables import happenings, videos
from daemon.home.reasons import write_reason
from daemon.home.settings import load
from daemon.page.failures import HIDDEN, SHOWN_LATER
from daemon.page.key import kept_key
from daemon.page.reviewers import Reviewers
from daemon.page.site import Site
from daemon.report.counts import counts
from daemon.report.status import read_status

REASON = "not a video: a text"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


@pytest.fixture
def site(home: MadeHome) -> Iterator[Site]:
    reviewers = Reviewers(kept_key(home.home.review_key), ())
    site = Site.on(home.home, load(home.home.settings), 8765, reviewers)
    yield site
    site.close()


@pytest.fixture
def browser(site: Site) -> Browser:
    return Browser(site)


def send(browser: Browser, path: str, video: int, **fields: str) -> str:
    """Send a form of the page; gives the message that the page shows then."""
    secret = hidden(browser.get("/name").text, "secret")
    form = {"secret": secret, "id": str(video), **fields}
    response = browser.post(path, data=form)
    if response.status_code == 422:
        return str(response.text)
    page = response.text
    return message_on(browser.counted("/problems") if COUNTING in page else page)


def failed(home: MadeHome, name: str, reason: str = REASON) -> int:
    video = home.fail(name, reason)
    write_reason(bytes(home.path(video)), reason, bytes(home.root))
    return video


def test_failures_are_grouped_by_reason_with_the_newest_reason_first(
    home: MadeHome, browser: Browser
) -> None:
    for name in ("a.txt", "b.txt"):
        failed(home, name)
    failed(home, "c.avi", "cut short <b>")
    page = browser.counted("/problems")
    assert "3 failed" in page
    assert page.index("cut short &lt;b&gt;") < page.index(REASON)
    assert "forget all 2" in page
    assert "try all 2 again" in page


def test_a_video_is_tried_again_with_its_row_and_its_sidecars(
    home: MadeHome, browser: Browser
) -> None:
    video = failed(home, "a.avi")
    home.put("failed/a.srt", "positions")
    assert "1 video tried again" in send(browser, "/problems/again", video)
    assert home.files() - {".review-key"} == {"inbox/a.avi", "inbox/a.srt"}
    row = home.row(video)
    assert (row["state"], row["error"], home.place(video)) == ("queued", None, "inbox/a.avi")
    befell = {row.what: row.text for row in home.rows(happenings)}
    assert befell == {"failed": REASON, "moved": None, "again": "by rita"}
    assert len(home.rows()) == 1
    # The daemon finds the file, and knows it.
    assert home.enqueue(home.path(video)) == 0
    assert home.predict_and_file(home.model_prediction("Biking")) == [video]


def test_no_file_in_the_inbox_is_overwritten(home: MadeHome, browser: Browser) -> None:
    video = failed(home, "a.avi")
    home.put("inbox/a.avi", "another one")
    send(browser, "/problems/again", video)
    assert home.place(video) == "inbox/a-2.avi"
    assert (home.inbox / "a.avi").read_text() == "another one"


def test_a_video_goes_back_into_the_folder_that_it_came_from(
    home: MadeHome, browser: Browser
) -> None:
    video = failed(home, "a.avi")
    with home.writing() as connection:
        connection.execute(update(videos).values(source="cam1/day 2", group="cam1/day 2"))
    send(browser, "/problems/again", video)
    assert home.place(video) == "inbox/cam1/day 2/a.avi"
    assert (home.row(video)["source"], home.row(video)["group"]) == ("cam1/day 2",) * 2


def test_all_of_a_reason_are_tried_again_and_no_other(home: MadeHome, browser: Browser) -> None:
    failed(home, "a.avi")
    seen = failed(home, "b.avi")
    other = failed(home, "c.avi", "cut short")
    later = failed(home, "d.avi")  # the person has not seen it
    message = send(browser, "/problems/again", seen, all="yes")
    assert "2 videos tried again" in message
    assert [row.state for row in home.rows()] == ["queued", "queued", "failed", "failed"]
    assert (home.place(other), home.place(later)) == ("failed/c.avi", "failed/d.avi")


def test_a_file_that_is_gone_or_another_one_is_left_alone(home: MadeHome, browser: Browser) -> None:
    video = failed(home, "a.avi")
    home.path(video).write_text("something else")
    page = send(browser, "/problems/again", video)
    assert "is not there any more, or has changed" in page
    assert page.index("is not there any more") < page.index("<h2>Log</h2>")
    assert home.place(video) == "failed/a.avi"
    assert home.row(video)["state"] == "failed"
    assert "failed/a.avi" in home.files()


def test_a_link_in_the_place_of_a_file_is_not_followed(
    home: MadeHome, browser: Browser, tmp_path: Path
) -> None:
    video = failed(home, "a.avi")
    path = home.path(video)
    outside = path.rename(tmp_path / "outside.avi")
    path.symlink_to(outside)
    assert "is not there any more" in send(browser, "/problems/again", video)
    assert (path.is_symlink(), outside.exists(), list(home.inbox.iterdir())) == (True, True, [])


@pytest.mark.slow
def test_a_link_in_the_inbox_is_not_followed(
    home: MadeHome, browser: Browser, tmp_path: Path
) -> None:
    video = failed(home, "a.avi")
    with home.writing() as connection:
        connection.execute(update(videos).values(source="cam1"))
    (tmp_path / "elsewhere").mkdir()
    (home.inbox / "cam1").symlink_to(tmp_path / "elsewhere")
    assert "cannot be moved into inbox/" in send(browser, "/problems/again", video)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (home.place(video), home.row(video)["state"]) == ("failed/a.avi", "failed")


def test_a_file_that_the_daemon_has_found_first_stays_its_video(
    home: MadeHome, site: Site, browser: Browser
) -> None:
    """As if the daemon had queued the file between the move and the change of the row."""
    video = failed(home, "a.avi")
    path = home.path(video).rename(home.inbox / "a.avi")
    home.enqueue(path)
    assert "1 video tried again" in send(browser, "/problems/again", video)
    assert [row.state for row in home.rows()] == ["failed", "queued"]
    assert "Nothing has failed" in browser.counted("/problems")


def test_a_file_that_stays_where_it_came_from_is_read_there_again(
    home: MadeHome, browser: Browser
) -> None:
    video = failed(home, "a.avi")
    with home.writing() as connection:
        connection.execute(update(videos).values(on_filed="leave"))
    send(browser, "/problems/again", video)
    assert (home.place(video), home.row(video)["state"]) == ("failed/a.avi", "queued")


def test_what_is_forgotten_is_counted_nowhere_and_no_file_is_touched(
    home: MadeHome, browser: Browser
) -> None:
    video = failed(home, "a.avi")
    failed(home, "b.avi")
    before = home.files()
    assert "1 failure forgotten" in send(browser, "/problems/forget", video)
    assert home.files() == before
    page = browser.counted("/problems")
    assert "1 failed" in page
    assert "a.avi" not in page
    status = read_status(home.home, home.now)
    assert (status.counts["failed"], status.counts["forgotten"]) == (1, 1)
    assert [one.name for one in status.failed] == ["b.avi"]
    assert [row.error for row in home.rows()] == [REASON, REASON]
    befell = [row.text for row in home.rows(happenings)]
    assert befell == [f"{REASON}; forgotten by rita", REASON]


def test_what_was_forgotten_counts_again_if_it_is_queued_and_fails_again(
    home: MadeHome, browser: Browser
) -> None:
    video = failed(home, "a.avi")
    with home.writing() as connection:
        connection.execute(update(videos).values(forgotten_at=home.now))
        queue_again(connection, video, home.found(home.path(video)))
    (claimed,) = home.claim()
    home.queue.fail(video, REASON, home.folders.failed(claimed.path), home.now)
    with home.engine.begin() as connection:
        assert (counts(connection)["failed"], counts(connection)["forgotten"]) == (1, 0)


def test_a_stale_form_changes_nothing(home: MadeHome, browser: Browser) -> None:
    video = failed(home, "a.avi")
    send(browser, "/problems/again", video)
    assert "not among the failures any more" in send(browser, "/problems/again", video)
    assert "not among the failures any more" in send(browser, "/problems/forget", video)
    response = browser.post("/problems/forget", data={"secret": "guessed", "id": str(video)})
    assert response.status_code == 403


def test_who_has_no_name_sees_the_problems_and_changes_nothing(home: MadeHome, site: Site) -> None:
    video = failed(home, "a.avi")
    nobody = Browser(site, reviewer=None)
    page = nobody.counted("/problems")
    assert REASON in page
    assert "/problems/again" not in page
    secret = hidden(nobody.get("/name").text, "secret")
    form = {"secret": secret, "id": str(video)}
    assert nobody.post("/problems/forget", data=form).status_code == 403
    assert home.row(video)["forgotten_at"] is None


def test_the_trouble_of_a_blind_clip_tells_neither_its_name_nor_its_class(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "blind", review_share=1.0)
    video = home.arrive("Biking 1.avi")
    home.predict(home.model_prediction("Biking"))
    home.queue.moves(home.now)
    trouble = f"cannot be moved to {home.root}/classified/Biking (No space left on device)"
    home.queue.postpone_move(video, trouble, home.now, is_begun=False)
    home.home.logs.mkdir(parents=True)
    lines = "    in Biking/\n"  # the end of an entry whose begin is in another file
    lines += f"2026-01-02 10:00:00+0000 INFO Biking 1.avi: Biking 90.0 % (id={video})\n"
    lines += f"2026-01-02 10:00:00+0000 INFO moved (id={video})\n    into Biking/\n"
    lines += "2026-01-02 10:00:01+0000 INFO stopping <now>\n"
    (home.home.logs / "vidwatch.log").write_text(lines)
    reviewers = Reviewers(kept_key(home.home.review_key), ())
    site = Site.on(home.home, load(home.home.settings), 8765, reviewers)
    site.kept.patience = 60  # a busy machine counts slowly
    page = Browser(site).counted("/problems")
    assert HIDDEN in page
    assert f"clip {video}: {SHOWN_LATER}" in page
    assert "stopping &lt;now&gt;" in page
    assert "Biking" not in page
    home.give_label(video, "Biking", sampled=True)
    site.kept.forget()
    assert "Biking 1.avi: Biking 90.0 %" in Browser(site).counted("/problems")
    site.close()
    home.close()


def test_a_text_of_somebody_else_beside_a_video_stays(home: MadeHome, browser: Browser) -> None:
    video = home.fail("a.avi", REASON)
    home.put("failed/a.avi.txt", "my notes")
    write_reason(bytes(home.path(video)), REASON, bytes(home.root))
    assert len([name for name in home.files() if name.startswith("failed/")]) == 3
    send(browser, "/problems/again", video)
    assert [name for name in home.files() if name.startswith("failed/")] == ["failed/a.avi.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may move everything")
def test_a_file_that_may_not_be_moved_is_refused(home: MadeHome, browser: Browser) -> None:
    video = failed(home, "a.avi")
    (home.root / "failed").chmod(0o500)
    assert "cannot be moved into inbox/" in send(browser, "/problems/again", video)
    (home.root / "failed").chmod(0o700)
