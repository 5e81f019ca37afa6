"""A home whose clips have predictions of a real small model, and the review page on it."""

import re
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome
from starlette.testclient import TestClient
from tiny import ARGS, SPEC, write_weights

from daemon.database.predictions import Predictions
from daemon.database.tables import labels
from daemon.home.calibration import Calibration, probabilities
from daemon.home.settings import load
from daemon.page.app import make_app
from daemon.page.key import kept_key
from daemon.page.reviewers import Reviewers, typed_cookie_name
from daemon.page.site import Site
from daemon.training.decisions import Decisions
from learner import checkpoint
from learner.classifier import Classifier
from learner.video import read_clip

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CLASSES = ("bright", "dark", "grey", "red")
TEMPERATURE = 2.0
COUNTING = "This page loads again by itself"
ADDRESS = "http://127.0.0.1:8765"


class ReviewedHome(MadeHome):
    """Clips are predicted at once; `sampled` ones are drawn for the random share."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "home", now=NOW, model="tiny", classes=CLASSES)
        self.calibration = Calibration(TEMPERATURE)
        self.model = self.save_model("tiny", root)
        Decisions(self.engine).apply_setting("tiny", NOW)
        self.count = 0

    def save_model(self, name: str, root: Path, classes: tuple[str, ...] = CLASSES) -> int:
        """An untrained model in `models/`, known to the database; gives its id."""
        weights = write_weights(root / "weights.pth")
        made = Classifier.untrained(
            ARGS, SPEC, classes, 0, lambda network: network.backbone.load_weights(weights)
        )
        manifest = checkpoint.Manifest(
            classes, SPEC, ARGS, (), temperature=TEMPERATURE, created="2026-01-01"
        )
        checkpoint.save(self.home.model(name), manifest, made.network.state_dict())
        return self.register(name, classes)

    def clip(
        self,
        name: str = "",
        *,
        logits: Sequence[float] = (4, 2, 0, -1),
        unsure: str | None = None,
        sampled: bool = False,
        group: str | None = None,
    ) -> int:
        """A new clip, predicted and filed; gives its id."""
        self.count += 1
        name = name or f"clip{self.count}.avi"
        path = self.put_video(f"inbox/{name}", frames=4 + self.count)
        return self._predict(path, logits, unsure, sampled, group)

    def copy_of(self, video: int) -> int:
        """The same content once more; gives its id."""
        path = self.inbox / f"copy of {video}.avi"
        path.write_bytes(self.path(video).read_bytes())
        return self._predict(path)

    def _predict(
        self,
        path: Path,
        logits: Sequence[float] = (4, 2, 0, -1),
        unsure: str | None = None,
        sampled: bool = False,
        group: str | None = None,
    ) -> int:
        self.now = NOW + timedelta(minutes=self.count)
        self.predictions = Predictions(self.engine, review_share=float(sampled))
        self.enqueue(path, group=group or f"scene {self.count}")
        clip = read_clip(path, SPEC)
        odds = probabilities(logits, self.calibration)
        best = odds.index(max(odds))
        predicted = self.model_prediction(CLASSES[best], max(odds), logits)
        (video,) = self.predict_and_file(
            predicted,
            sha256=clip.sha256,
            frames_asked=clip.frames_asked,
            frames_read=clip.frames_read,
            decoder=clip.decoder,
            unsure=unsure,
        )
        return video

    def who(self) -> list[str]:
        return [row.who for row in self.rows(labels)]

    def site(self, port: int = 8765, users: tuple[str, ...] = ()) -> Site:
        reviewers = Reviewers(kept_key(self.home.review_key), users)
        site = Site.on(self.home, load(self.home.settings), port, reviewers)
        site.kept.patience = 60  # a busy machine counts slowly, and what is shown is tested
        return site


class Browser(TestClient):
    """One that keeps its cookies, and sends forms as the page has them.

    It has the name of `reviewer`, if there is one.
    """

    def __init__(
        self,
        site: Site,
        host: str = "127.0.0.1",
        token: str | None = None,
        address: str = ADDRESS,
        reviewer: str | None = "rita",
    ) -> None:
        super().__init__(make_app(site, host, token), base_url=address)
        if reviewer is not None:
            cookie = site.reviewers.typed_cookie(reviewer)
            self.cookies.set(typed_cookie_name(site.port), cookie)

    def submit(self, video: int | list[int], path: str = "/say", **fields: Any) -> Any:
        page = self.get("/review").text
        form = {
            "secret": hidden(page, "secret"),
            "seen": hidden(page, "seen"),
            "id": video,
            **fields,
        }
        return self.post(path, data={name: value for name, value in form.items() if value != []})

    def counted(self, path: str) -> str:
        """A page whose figures are counted in the background, when they are there."""
        while COUNTING in (page := self.get(path).text):
            time.sleep(0.05)
        return page

    def undo(self) -> str:
        return message_on(self.submit([], "/undo").text)


def hidden(page: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found
    return found[1]


def message_on(page: str) -> str:
    found = re.search('<p id="message" role="status">([^<]*)</p>', page)
    assert found
    return found[1]


def cards_on(page: str) -> list[int]:
    return [int(number) for number in re.findall('id="clip-([0-9]+)"', page)]


@pytest.fixture
def site(home: ReviewedHome) -> Iterator[Site]:
    site = home.site()
    yield site
    site.close()


@pytest.fixture
def browser(site: Site) -> Browser:
    return Browser(site)
