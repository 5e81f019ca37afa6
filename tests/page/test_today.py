"""Today, requested as by a browser, while its figures are counted and when they are there."""

from pathlib import Path

import pytest
from reviewed import COUNTING, Browser, ReviewedHome, cards_on
from reviewed import site as site
from tiny import cache

from daemon.page.site import Site

__all__ = ["cache"]


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    return ReviewedHome(tmp_path)


def test_the_page_is_there_before_its_figures(
    home: ReviewedHome, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = home.clip("a.avi")
    home.give_label(home.clip("b.avi"), "red")
    browser = Browser(site)
    site.kept.patience = 0.0
    with monkeypatch.context() as patched:
        patched.setattr(site.kept, "soon", lambda *_, **__: None)
        page = browser.get("/").text
    assert COUNTING in page
    assert "the state is being read" in page
    assert cards_on(page) == [video + 1, video]
    assert page.count("<b>red</b>") == 1  # each clip has its own label, or none
    assert "No video has come yet" not in page
    site.kept.patience = 60
    page = browser.counted("/")
    assert "<b>0</b> came today" in page
    assert "1 to review" in page


def test_a_home_without_videos_says_where_to_put_them(home: ReviewedHome, site: Site) -> None:
    page = Browser(site).counted("/")
    assert "No video has come yet" in page
