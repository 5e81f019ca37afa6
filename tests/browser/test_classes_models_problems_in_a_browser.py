"""Classes, Models and Problems in a real browser: forms, questions, and their size."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from reviewed import ReviewedHome
from sqlalchemy import insert, update
from test_review_page import chromium as chromium
from test_review_page import come, playwright, served
from tiny import cache

from daemon.database.tables import receivers, videos
from daemon.home.reasons import write_reason
from daemon.labels.class_changes import ClassChanges
from daemon.labels.class_descriptions import describe
from daemon.labels.labels import Label
from daemon.training.decisions import Decisions
from daemon.training.records import Decision

pytestmark = pytest.mark.slow
__all__ = ["cache"]

LONG = "the camera of the northern fence, which looks to the river and the old oak"
REASON = (
    "It was right on 31 of 40 clips, tiny on 36: it would be wrong more often on dark, beyond "
    "chance (the margin is 2 percentage points)."
)


@pytest.fixture
def home(tmp_path: Path, cache: Path) -> ReviewedHome:
    home = ReviewedHome(tmp_path)
    fill(home, tmp_path)
    return home


def fill(home: ReviewedHome, folder: Path) -> None:
    """Give a home some of everything that Classes, Models and Problems show.

    Args:
        home: The home.
        folder: For the files of a second model.
    """
    for n in range(6):
        home.give_label(home.clip(shade_name(n)), ("dark", "bright", "grey")[n % 3])
        home.tick()
    slip = Label(home.clip("seventh clip.avi"), "labelled", "brigth")
    home.labels.add([slip], "folder", "ann", home.now, new_class=True)
    home.give_label(home.clip(), "old")
    ClassChanges(home.engine, home.folders, "ann").retire("old", home.now)
    describe(home.engine, "dark", "The lamp is off: nobody can be seen.", "ann", home.now)
    measured = {
        "accuracy": 0.9,
        "interval_95": [0.77, 0.96],
        "chance": 0.3,
        "baseline_accuracy": 0.82,
        "method": "cross-validation of 40 clips, in 5 parts by their groups",
    }
    for name, accuracy in (("tiny", 0.9), ("auto-1", 0.775)):
        if name != "tiny":
            home.save_model(name, folder)
        path = home.home.models / f"{name}.json"
        document = json.loads(path.read_text())
        document["measured"] = {**measured, "accuracy": accuracy}
        if name == "auto-1":
            document["measured"]["interval_95"] = [0.62, 0.88]
        path.write_text(json.dumps(document))
    run = home.home.models / "tiny.run"
    run.mkdir()
    rows = [[9, 1, 0, 0], [0, 12, 0, 0], [1, 0, 8, 1], [0, 0, 1, 7]]
    (run / "results.json").write_text(json.dumps({"model": {"confusion": rows}}))
    decisions = Decisions(home.engine)
    name = decisions.request_training("20 new labels", home.now, ["auto-0"])
    training = decisions.requested_training()
    assert training
    assert name == "auto-1"
    figures = {"next": "Label 12 more clips of dark: then it is compared again.", "label": {}}
    refused = Decision("refused", REASON, figures)
    decisions.conclude("auto-1", "tiny", refused, home.now, training)
    for n in range(7):
        fail(home, f"note {n}.txt", "not a video: it is a text")
    fail(home, f"{LONG} {LONG}.mp4", "cut short: 31% of it is there")
    troubled, waiting = home.arrive("share.mp4"), home.arrive("young.mp4")
    with home.writing() as connection:
        this = update(videos).where(videos.c.id == troubled)
        connection.execute(this.values(trouble="cannot be read (Stale file handle)", tries=2))
        later = {"held": "it was changed while it was read", "retry_at": home.now}
        connection.execute(update(videos).where(videos.c.id == waiting).values(**later))
        receiver = {"name": "hall", "events": [], "classes": [], "since": home.now}
        failing = {"failure": "the address does not answer", "failing_since": home.now}
        connection.execute(insert(receivers).values(**receiver, **failing, given_up=3))
    home.put("labelled/loose.mp4")
    home.home.logs.mkdir(parents=True)
    lines = [f"2026-01-02 10:00:{n:02}+0000 INFO line {n} <of> {LONG}" for n in range(30)]
    (home.home.logs / "vidwatch.log").write_text("\n".join(lines) + "\n")


def shade_name(n: int) -> str:
    return f"clip of a camera with a long name {n}.avi" if n % 2 else f"c{n}.avi"


def fail(home: ReviewedHome, name: str, reason: str) -> int:
    # What waits in the queue would be claimed in its stead.
    video = home.fail(name, reason)
    write_reason(bytes(home.path(video)), reason, bytes(home.root))
    home.now += timedelta(minutes=1)
    return video


@pytest.fixture
def address(home: ReviewedHome) -> Iterator[str]:
    with served(home.site()) as address:
        yield address


def opened(page: Any, address: str, path: str) -> Any:
    """Open a page, and wait until its figures are there."""
    page.goto(address + path)
    playwright.expect(page.locator("main [role=status]")).to_have_count(0)
    return page


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (390, "dark")])
def test_the_pages_are_whole(
    chromium: Any, address: str, tmp_path: Path, width: int, scheme: str
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    come(page, address)
    paths = ("classes", "models", "problems", "models/promote?name=auto-1")
    for path in (*paths, "classes/merge?class=dark&into=grey", "classes/retire?class=dark"):
        opened(page, address, path)
        name = re.sub(r"\W+", "-", path)
        page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}-open.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        small = page.evaluate(
            "[...document.querySelectorAll('main button, main .button')]"
            ".filter(one => one.getBoundingClientRect().height < 44).map(one => one.outerHTML)"
        )
        assert small == [], path
    page.close()


def test_a_person_renames_a_class_tries_a_video_again_and_goes_back(
    chromium: Any, address: str, home: ReviewedHome
) -> None:
    """Without JavaScript, as everything on these pages works."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + "review")
    page.fill("#name", "rita")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    opened(page, address, "classes")
    card = page.locator("#class-brigth")
    card.get_by_text("change", exact=True).click()
    card.get_by_label("new name").fill("grey")
    card.get_by_role("button", name="rename").click()
    playwright.expect(page.locator("#class-brigth [role=alert]")).to_contain_text("there is a")
    page.locator("#class-brigth").get_by_role("button", name="merge").click()
    page.get_by_role("button", name="make brigth part of bright").click()
    playwright.expect(page.locator("#message")).to_contain_text("brigth is part of bright")
    opened(page, address, "problems")
    page.get_by_role("button", name="try again: note 6.txt").click()
    playwright.expect(page.locator("#message")).to_contain_text("1 video tried again")
    assert (home.inbox / "note 6.txt").exists()
    page.get_by_role("button", name=re.compile("forget all 6")).click()
    playwright.expect(page.locator("#message")).to_contain_text("6 failures forgotten")
    playwright.expect(page.locator(".state")).to_contain_text("1 failed")
    opened(page, address, "models")
    page.get_by_role("link", name="promote auto-1").click()
    page.get_by_role("button", name="make auto-1 the champion").click()
    playwright.expect(page.locator("#message")).to_contain_text("auto-1 is the champion")
    page.get_by_role("link", name="go back to tiny").click()
    page.get_by_role("button", name="go back to tiny").click()
    playwright.expect(page.locator("#message")).to_contain_text("instead of auto-1")
    context.close()
