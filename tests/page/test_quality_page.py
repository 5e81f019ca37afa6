"""Quality: which classes are taken for which, and what the page shows of it."""

from pathlib import Path

import pytest
from homes import MadeHome
from reviewed import Browser

from daemon.database.predictions import Predictions
from daemon.home.settings import load
from daemon.labels.labels import Label
from daemon.page.key import kept_key
from daemon.page.reviewers import Reviewers
from daemon.page.site import Site
from daemon.report import confusion
from daemon.report.confusion import HISTOGRAM, Share
from daemon.training.decisions import Decisions


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    return MadeHome(tmp_path / "home", review_share=1.0)


def add(home: MadeHome, class_name: str, label: str | None, *, sampled: bool = True) -> int:
    """A predicted video with a label."""
    video = home.arrive(f"{len(home.rows())}.avi")
    home.predictions = Predictions(home.engine, float(sampled))
    home.predict_and_file(home.model_prediction(class_name))
    if label:
        home.labels.add([Label(video, "labelled", label, sampled)], "page", "ann", home.now)
    return video


def test_the_random_share_and_all_other_labels_are_never_mixed(home: MadeHome) -> None:
    add(home, "Biking", "Biking")
    add(home, "Biking", "Skiing")
    add(home, "Skiing", None)
    add(home, "Skiing", "Biking", sampled=False)
    with home.engine.begin() as connection:
        fair = confusion.of_random_share(connection, "starter")
        other = confusion.of_other_labels(connection, "starter")
    assert fair.counts == {("Biking", "Biking"): 1, ("Skiing", "Biking"): 1}
    assert other.counts == {("Biking", "Skiing"): 1}
    assert (fair.precision("Biking"), fair.recall("Biking")) == (Share(1, 2), Share(1, 1))
    assert (fair.precision("Skiing"), fair.recall("Skiing")) == (Share(0, 0), Share(0, 1))


def test_a_probability_of_one_is_in_the_last_bin(home: MadeHome) -> None:
    home.predictions = Predictions(home.engine, review_share=0.0)
    for probability in (0.0, 0.51, 1.0):
        home.arrive(f"{probability}.avi")
        home.predict_and_file(home.model_prediction("Biking", probability))
    with home.engine.begin() as connection:
        bins = confusion.histogram(connection, "starter")
    assert (bins[0], bins[HISTOGRAM // 2], bins[-1], sum(bins)) == (1, 1, 1, 3)


@pytest.mark.parametrize(
    ("share", "reason"),
    [(0.0, "<code>review_share</code> in vidwatch.toml is 0"), (0.1, "has been drawn for")],
)
def test_without_a_random_share_the_page_says_why(
    home: MadeHome, share: float, reason: str
) -> None:
    add(home, "Biking", None, sampled=False)
    reviewers = Reviewers(kept_key(home.home.review_key), ())
    settings = load(home.home.settings).model_copy(update={"review_share": share})
    page = Browser(Site.on(home.home, settings, 8765, reviewers)).counted("/quality")
    assert reason in page
    assert "has been reviewed yet" not in page


@pytest.mark.slow
def test_the_page_shows_both_with_links_to_their_clips(home: MadeHome) -> None:
    add(home, "Biking", "Skiing")
    add(home, "Skiing", "Biking", sampled=False)
    Decisions(home.engine).apply_setting("starter", home.now)
    reviewers = Reviewers(kept_key(home.home.review_key), ())
    site = Site.on(home.home, load(home.home.settings), 8765, reviewers)
    page = Browser(site).counted("/quality")
    assert "/clips?label=Skiing&amp;predicted=Biking" in page
    assert "Other labels, which are no fair sample: 1" in page
    assert 'class="chart live"' in page


def test_a_clip_that_awaits_its_review_is_in_no_list_and_no_figure_that_tells(
    home: MadeHome,
) -> None:
    home.predictions = Predictions(home.engine, review_share=1.0)
    video = home.arrive("secret zebra.avi")
    home.predict_and_file(home.model_prediction("Biking"))
    for who, name in (("bob", "Skiing"), ("eve", "Biking")):
        home.labels.add([Label(video, "labelled", name)], "command", who, home.now)
    Decisions(home.engine).apply_setting("starter", home.now)
    reviewers = Reviewers(kept_key(home.home.review_key), ())
    site = Site.on(home.home, load(home.home.settings), 8765, reviewers)
    browser = Browser(site)
    page = browser.counted("/quality")
    assert "zebra" not in page
    assert "It has predicted nothing yet" in page
    assert "No video yet" in page
    home.labels.add([Label(video, "labelled", "Skiing", True)], "page", "ann", home.now)
    site.kept.forget()
    site.kept.patience = 60
    assert "zebra" in browser.counted("/quality")
