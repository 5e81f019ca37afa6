"""What axe-core finds on all pages, with clips in all states: wide, narrow and dark."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from long_reviewed import LongReviewedHome
from sqlalchemy import update
from test_classes_models_problems_in_a_browser import fill
from test_review_page import chromium as chromium
from test_review_page import come, playwright, served
from tiny import cache

from daemon.database.tables import videos
from daemon.page.searches import keep

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright",
    reason="needs axe-core: pip install axe-playwright-python",
)
pytestmark = pytest.mark.slow
__all__ = ["cache"]

PAGES = (
    "",
    "review",
    "review?what=random",
    "review?what=doubtful",
    "review?class=grey",
    "grid?class=bright",
    "grid?like={predicted}",
    "clips",
    "clips?view=table",
    "clips?class=dark",
    "clips?name=nothing+such",
    "clips?least=x",
    "activity?by=came",
    "quality",
    "classes",
    "classes/merge?class=dark&into=grey",
    "classes/retire?class=dark",
    "models",
    "models/promote?name=auto-1",
    "problems",
    "name",
    "evidence/{predicted}",
    "nothing-such",
)


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> Iterator[LongReviewedHome]:
    """A home with clips in all states; `clips` has their ids."""
    home = LongReviewedHome(tmp_path)
    clips = {"long": home.long(), "predicted": home.clip("cam1 a.avi", group="scene")}
    clips["unsure"] = home.clip("b.avi", logits=(1, 0.9, 0, 0), unsure="unknown", group="scene")
    clips["blind"] = home.clip("v_Biking.avi", sampled=True)
    clips["reviewed"] = home.clip("reviewed.avi", sampled=True)
    home.give_label(clips["reviewed"], "dark", source="page", sampled=True)
    clips["copy"] = home.copy_of(clips["predicted"])
    clips["gone"] = home.clip("gone.avi")
    home.path(clips["gone"]).unlink()
    clips["labelled twice"] = home.clip("twice.avi", logits=(9, 0, 0, 0))
    home.give_label(clips["labelled twice"], "grey", who="bob")
    home.give_label(clips["labelled twice"], "dark")
    home.labels.undo([clips["labelled twice"]], "command", "ann", home.now)
    clips["failed"] = home.fail("no video.mp4")
    fill(home, tmp_path)
    clips["queued"] = home.arrive("later.mp4")
    with home.writing() as connection:
        this = update(videos).where(videos.c.id == clips["predicted"])
        connection.execute(this.values(source="cam1", recorded_at=home.now, recorded_by="name"))
    keep(home.engine, "the dark ones", "class=dark", "ann", home.now)
    home.clips = clips
    yield home
    home.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")])
def test_axe_finds_nothing_on_any_page(
    chromium: Any, home: LongReviewedHome, tmp_path: Path, width: int, scheme: str
) -> None:
    found = dict[str, str]()
    with served(home.site()) as address:
        page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        come(page, address)
        of_clips = [f"clip/{video}" for video in home.clips.values()]
        for path in (*PAGES, *of_clips, f"clip/{home.clips['long']}?window=1"):
            page.goto(address + path.format(**home.clips))
            counting = page.get_by_text("loads again by itself")
            playwright.expect(counting).to_have_count(0)
            name = re.sub(r"\W+", "-", path) or "today"
            page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found[path] = "it is wider than the screen"
                continue
            report = axe.Axe().run(page)
            if report.violations_count:
                found[path] = report.generate_report()
        page.close()
    assert not found, "\n".join(f"{path}: {text}" for path, text in found.items())
