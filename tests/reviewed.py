"""A home whose clips have answers of a real small model, and the review page on it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from conftest import write_video
from homes import Store, predicted
from sqlalchemy import select
from starlette.testclient import TestClient
from tiny import ARGS, SPEC, write_weights

from daemon.database.connection import connect
from daemon.database.records import Moved
from daemon.database.tables import labels, videos
from daemon.database.upgrade import upgrade
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found
from daemon.home.identity import identify
from daemon.home.settings import load
from daemon.labels.labels import Label, Labels
from daemon.review.app import make_app
from daemon.review.cards import probabilities
from daemon.review.site import Site
from daemon.training.decisions import Decisions
from learner import checkpoint
from learner.classifier import Classifier
from learner.video import read_clip

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CLASSES = ("bright", "dark", "grey", "red")
TEMPERATURE = 2.0
ADDRESS = "http://127.0.0.1:8765"


class ReviewedHome:
    """Clips are answered at once; `sampled` ones are drawn for the random share."""

    def __init__(self, root: Path) -> None:
        self.home = Home.at(root / "home")
        self.home.create()
        upgrade(self.home.database)
        self.folders = Folders(self.home.root)
        self.engine = connect(self.home.database)
        self.labels = Labels(self.engine, self.folders)
        self.model = self.save_model("tiny", root)
        Decisions(self.engine).follow_setting("tiny", NOW)
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
        return self.store().register_model(name, f"digest of {name}", classes, {}, NOW)

    def store(self, sampled: bool = False) -> Store:
        return Store(self.engine, "me", sampled=float(sampled))

    def clip(
        self,
        name: str = "",
        *,
        logits: Sequence[float] = (4, 2, 0, -1),
        doubt: str | None = None,
        sampled: bool = False,
        group: str | None = None,
    ) -> int:
        """A new clip, answered and filed; gives its id."""
        self.count += 1
        path = write_video(
            self.home.inbox / (name or f"clip{self.count}.avi"), frames=4 + self.count
        )
        return self._answer(path, logits, doubt, sampled, group)

    def copy_of(self, video: int) -> int:
        """The same content once more; gives its id."""
        path = self.home.inbox / f"copy of {video}.avi"
        path.write_bytes(self.path(video).read_bytes())
        return self._answer(path)

    def _answer(
        self,
        path: Path,
        logits: Sequence[float] = (4, 2, 0, -1),
        doubt: str | None = None,
        sampled: bool = False,
        group: str | None = None,
    ) -> int:
        store, now = self.store(sampled), NOW + timedelta(minutes=self.count)
        store.enqueue(
            [Found(bytes(path), self.identity(path), group or f"scene {self.count}")], now
        )
        (claimed,) = store.claim(1, now)
        clip, odds = read_clip(path, SPEC), probabilities(logits, TEMPERATURE)
        best = odds.index(max(odds))
        answer = (CLASSES[best], best, max(odds), list(logits))
        known = (clip.frames_asked, clip.frames_read, clip.decoder, doubt)
        store.record(
            [predicted(claimed.id, bytes(path), clip.sha256, *answer, *known)],
            self.model,
            self.folders,
            now,
        )
        self.file(store, now)
        return claimed.id

    def fail(self, name: str, reason: str) -> int:
        """A file without an answer."""
        path, store = self.home.inbox / name, self.store()
        path.write_text(f"text {name}")
        store.enqueue([Found(bytes(path), self.identity(path), None)], NOW)
        (claimed,) = store.claim(1, NOW)
        store.fail(claimed.id, reason, self.folders.failed(bytes(path)))
        self.file(store, NOW)
        return claimed.id

    def file(self, store: Store, now: datetime) -> None:
        for move in store.moves(now + timedelta(days=1)):
            source, target = Path(move.path.decode()), Path(move.destination.decode())
            target.parent.mkdir(parents=True, exist_ok=True)
            store.moved({move.id: Moved(bytes(source.rename(target)), move.destination)}, now)

    def say(self, video: int, class_name: str, sampled: bool = False) -> None:
        """As someone else, by command."""
        self.labels.add([Label(video, "labelled", class_name, sampled)], "command", "ann", NOW)

    def said(self) -> list[tuple[int, str, str | None, str, bool]]:
        columns = (
            labels.c.video_id,
            labels.c.verdict,
            labels.c["class"],
            labels.c.source,
            labels.c.sampled,
        )
        with self.engine.begin() as read:
            return [tuple(row) for row in read.execute(select(*columns).order_by(labels.c.id))]

    def who(self) -> list[str]:
        with self.engine.begin() as read:
            return list(read.scalars(select(labels.c.who).order_by(labels.c.id)))

    def path(self, video: int) -> Path:
        with self.engine.begin() as read:
            return Path(read.scalar(select(videos.c.path).where(videos.c.id == video)).decode())  # type: ignore[union-attr]

    def site(self, port: int = 8765) -> Site:
        return Site.on(self.home, load(self.home.settings), port)

    @staticmethod
    def identity(path: Path) -> Any:
        return identify(bytes(path))


class Browser(TestClient):
    """One that keeps its cookies, and sends forms as the page has them."""

    def __init__(
        self, site: Site, host: str = "127.0.0.1", token: str | None = None, address: str = ADDRESS
    ) -> None:
        super().__init__(make_app(site, host, token), base_url=address)

    def say(self, video: int | list[int], path: str = "/say", **fields: Any) -> Any:
        page = self.get("/").text
        form = {
            "secret": hidden(page, "secret"),
            "seen": hidden(page, "seen"),
            "id": video,
            **fields,
        }
        return self.post(path, data={name: value for name, value in form.items() if value != []})

    def undo(self) -> str:
        return said_on(self.say([], "/undo").text)


def hidden(page: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found
    return found[1]


def said_on(page: str) -> str:
    found = re.search('<p id="message" role="status">([^<]*)</p>', page)
    assert found
    return found[1]


def cards_on(page: str) -> list[int]:
    return [int(number) for number in re.findall('id="clip-([0-9]+)"', page)]
