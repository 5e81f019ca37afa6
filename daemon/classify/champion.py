"""Which model answers: loads the champion, and the challenger in its shadow, and notices when another takes over."""

import logging
import os
from contextlib import suppress
from datetime import datetime

import torch

from daemon.classify.decoding import Decoders
from daemon.classify.inference import Inference, Thresholds
from daemon.classify.pipeline import Engine
from daemon.database.queue import Store
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.training.decisions import BY_ITSELF, History
from learner.cache import Cache
from learner.classifier import Classifier
from learner.errors import VidwatchError

log = logging.getLogger(__name__)


class Engines:
    """Makes the engine of the champion, and a new one when there is a reason; `close` ends the decoders."""

    def __init__(self, home: Home, settings: Settings, store: Store, history: History) -> None:
        if settings.device == "cuda" and not torch.cuda.is_available():
            hint = "set it to 'auto' or 'cpu'"
            raise VidwatchError(
                f"setting 'device' is 'cuda', but this machine has no usable GPU; {hint}"
            )
        self._home, self._settings, self._store, self._history = home, settings, store, history
        self.cache = Cache(round(settings.cache_gigabytes * GIGABYTE))
        self._models: tuple[str, str | None] | None = None
        self._decoders: list[Decoders] = []
        self.champion: Classifier

    def first(self, now: datetime) -> Engine:
        """The engine to begin with.

        Raises:
            VidwatchError: no model can be loaded: neither the one that `model` names nor one before it.
        """
        try:
            if self._history.is_news(self._settings.model):
                self._load(
                    self._settings.model
                )  # a slip of the pen must not end the reign of the model that answers
        except VidwatchError as error:
            raise self._refusal(error) from error
        name = self._history.obey(self._settings.model, now)
        while True:
            try:
                return self._engine(name, self._challenger(), now)
            except VidwatchError as error:
                if name == self._settings.model:
                    raise self._refusal(error) from error
                name = self._give_back(str(error), now)

    def _refusal(self, error: VidwatchError) -> VidwatchError:
        return VidwatchError(
            f"setting 'model' is {self._settings.model!r}: {error}; 'vidwatch models' lists them"
        )

    def changed(self, now: datetime) -> Engine | None:
        """A new engine where another model answers now, or another is in its shadow; None where all is as it was."""
        name = self._history.champion()
        if name is None or (name, self._challenger()) == self._models:
            return None
        try:
            return self._engine(name, self._challenger(), now)
        except VidwatchError as error:
            self._models = (name, self._challenger())  # not tried again at every round
            with suppress(
                VidwatchError
            ):  # the one that is loaded goes on where there is none before it
                self._give_back(str(error), now)
            return None

    def close(self) -> None:
        """End all decoders."""
        for decoders in self._decoders:
            decoders.close()

    def close_old(self) -> None:
        """End the decoders that no engine uses any more."""
        for decoders in self._decoders[:-1]:
            decoders.close()
        del self._decoders[:-1]

    def _give_back(self, problem: str, now: datetime) -> str:
        back, bad = self._history.roll_back(now, problem + BY_ITSELF)
        log.error("model %s cannot be used (%s): %s answers again", bad, problem, back)
        return back

    def _challenger(self) -> str | None:
        row = self._history.undecided()
        return row.challenger if row else None

    def _engine(self, name: str, challenger: str | None, now: datetime) -> Engine:
        # The one in use needs no file any more.
        stays = self._models is not None and self._models[0] == name
        classifier = self.champion = self.champion if stays else self._load(name)
        shadow = None
        try:
            if challenger and (other := self._load(challenger)).digest != classifier.digest:
                shadow = (self._register(other, now), other)
        except VidwatchError as error:
            log.warning("challenger %s cannot be loaded: %s", challenger, error)
        if not self._decoders or self._decoders[-1].spec != classifier.spec:
            workers = self._settings.decoders or os.cpu_count() or 1
            limits = (self._settings.decode_seconds, self._settings.decode_gigabytes)
            decoders = Decoders(classifier.spec, workers, *limits, self._settings.reading)
            self._decoders.append(decoders)
        if unknown := self._settings.without_class(classifier.classes):
            log.warning(
                "setting 'thresholds': model %s knows no class %s",
                classifier.name,
                ", ".join(unknown),
            )
        thresholds = Thresholds(self._settings.unsure_below, self._settings.thresholds)
        inference = Inference(classifier, thresholds, self.cache, shadow)
        engine = Engine(self._decoders[-1], inference, self._register(classifier, now))
        self._models = (name, challenger)
        in_shadow = f", {challenger} in its shadow" if shadow else ""
        log.info("model %s answers on %s%s", classifier.name, classifier.device, in_shadow)
        return engine

    def _register(self, model: Classifier, now: datetime) -> int:
        return self._store.register_model(
            model.name, model.digest, model.classes, model.manifest.measured, now
        )

    def _load(self, name: str) -> Classifier:
        path = self._home.model_or_starter(name)
        return Classifier.load(path, self._settings.device, self._settings.reading)
