"""Loads the champion, and the challenger that predicts beside it.

Notices when another model becomes the champion.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from daemon.classify.decoding import Decoders, DecoderSettings
from daemon.classify.inference import Inference, Thresholds
from daemon.classify.predictor import Predictor
from daemon.database.predictions import Predictions
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.home.unsure import SUBJECT, unsure_rule
from daemon.training.decisions import BY_ITSELF, Decisions
from learner.cache import Cache
from learner.classifier import Classifier
from learner.errors import PassingError, VidwatchError
from learner.precision import AUTOMATIC, choose_device, gpu_problem, named_device
from learner.process import usable_cores
from learner.spec import ClipSpec

Note = Callable[[str, str | None], None]

log = logging.getLogger(__name__)

UNLOADED = "champion"
DEVICE = "device"
RETRY = 5.0  # seconds


class ChampionLoader:
    """Loads the champion, and loads anew when another model becomes the champion.

    `close` ends the decoders.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        predictions: Predictions,
        decisions: Decisions,
        note: Note = lambda subject, text: None,
        may_roll_back: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make a loader; it loads nothing yet.

        Args:
            home: The home.
            settings: Its settings.
            predictions: Where the models in use are registered.
            decisions: Says which model is the champion.
            note: Shows a notice under a subject, or takes it back (None).
            may_roll_back: Whether a champion that cannot be loaded here is none for the other
                daemons either. If not, it is tried again: its files may still be on their way.
        """
        choose_device(settings.device)  # a GPU that is missing is an error now, not of a model
        note(DEVICE, _why_not_on_gpu(settings.device))
        self._home = home
        self._settings = settings
        self._predictions = predictions
        self._decisions = decisions
        self._note = note
        self._may_roll_back = may_roll_back
        self._try_at = 0.0  # by the monotonic clock
        self.cache = Cache(round(settings.cache_gigabytes * GIGABYTE))
        self._models: tuple[str, str | None] | None = None  # champion and challenger
        self._spec: ClipSpec | None = None  # of the frames that they take
        self._decoders: dict[ClipSpec, Decoders] = {}
        self._of_sources: set[ClipSpec] = set()
        self.champion: Classifier

    def first(self, now: datetime) -> Predictor:
        """The predictor to begin with.

        Raises:
            VidwatchError: neither the model that `model` names nor any earlier champion can be
                loaded.
        """
        setting = self._settings.model
        try:
            if self._decisions.is_new_setting(setting):
                # Before the decision is noted: a misspelt name must not replace the champion.
                self._load(setting)
        except PassingError:
            raise
        except VidwatchError as error:
            raise self._refusal(error) from error
        name = self._decisions.apply_setting(setting, now)
        while True:
            try:
                return self._predictor(name, self._decisions.shadow(), now)
            except PassingError:
                raise  # the model is whole: nothing is rolled back
            except VidwatchError as error:
                # Each rollback goes one champion further back, and the first champion since the
                # setting was changed is its model. The champions before that contradict the
                # setting, so a person has to decide.
                if name == setting:
                    raise self._refusal(error) from error
                if not self._may_roll_back():
                    raise PassingError(f"the champion cannot be loaded: {error}") from error
                name = self._roll_back(str(error), now)

    def _refusal(self, error: VidwatchError) -> VidwatchError:
        setting = f"setting 'model' is {self._settings.model!r}"
        return VidwatchError(f"{setting}: {error}; 'vidwatch models' lists them")

    def in_use(self) -> tuple[str, str]:
        """The name of the champion that is loaded, and what it runs on."""
        return self.champion.name, self.champion.runs_on

    def predictor_if_changed(self, now: datetime) -> Predictor | None:
        """A new predictor if champion or challenger changed; else None."""
        name = self._decisions.champion()
        challenger = self._decisions.shadow()
        if name is None or (name, challenger) == self._models or time.monotonic() < self._try_at:
            return None
        try:
            predictor = self._predictor(name, challenger, now)
            self._note(UNLOADED, None)
            return predictor
        except VidwatchError as error:
            if isinstance(error, PassingError) or not self._may_roll_back():
                self._try_at = time.monotonic() + RETRY
                self._note(UNLOADED, f"model {name} cannot be loaded yet, is tried again: {error}")
                return None
            self._models = (name, challenger)  # it is not tried again in every round
            # If there is no earlier champion, keep the model that is loaded.
            with suppress(VidwatchError):
                self._roll_back(str(error), now)
            return None

    def of_source(self, name: str, now: datetime) -> Predictor:
        """The predictor of a model that sources have for themselves; it does not change.

        Raises:
            VidwatchError: it cannot be loaded.
        """
        try:
            return self.alone(name, now)
        except VidwatchError as error:
            hint = "'vidwatch models' lists the models"
            raise VidwatchError(f"setting 'source': model {name!r}: {error}; {hint}") from error

    def alone(self, name: str, now: datetime) -> Predictor:
        """The predictor of a model that does not change, without a challenger beside it.

        Raises:
            VidwatchError: it cannot be loaded.
        """
        classifier = self._load(name)
        self._of_sources.add(classifier.spec)
        return self._made(classifier, classifier.spec, None, now)

    def close(self) -> None:
        """End all decoders."""
        for decoders in self._decoders.values():
            decoders.close()

    def close_old(self) -> None:
        """End the decoders that no predictor uses any more."""
        for spec in self._decoders.keys() - {self._spec, *self._of_sources}:
            self._decoders.pop(spec).close()

    def _roll_back(self, problem: str, now: datetime) -> str:
        back, bad = self._decisions.roll_back(now, problem + BY_ITSELF)
        log.error("model %s cannot be used (%s): %s is the champion again", bad, problem, back)
        return back

    def _predictor(self, name: str, challenger: str | None, now: datetime) -> Predictor:
        is_loaded = self._models is not None and self._models[0] == name
        # If it is loaded already, its file may be gone.
        if not is_loaded:
            self.champion = self._load(name)
        classifier = self.champion
        shadow = self._shadow(challenger, classifier, now)
        spec = classifier.spec
        if shadow and shadow[1].spec.motion:
            spec = replace(spec, motion=True)
        if unknown := self._settings.unknown_thresholds(classifier.classes):
            text = "setting 'thresholds': model %s has no class %s"
            log.warning(text, classifier.name, ", ".join(unknown))
        predictor = self._made(classifier, spec, shadow, now)
        self._spec = spec
        self._models = (name, challenger)
        if shadow:
            log.info("challenger %s predicts beside it", challenger)
        return predictor

    def _made(
        self,
        classifier: Classifier,
        spec: ClipSpec,
        shadow: tuple[int, Classifier] | None,
        now: datetime,
    ) -> Predictor:
        """A predictor of a loaded model, with decoders that give frames as `spec` says."""
        decoders = self._decoders_for(spec)
        inference = Inference(classifier, self.thresholds(classifier), self.cache, shadow)
        model_id = self._register(classifier, now)
        log.info("model %s runs on %s", classifier.name, classifier.runs_on)
        return Predictor(
            reader=decoders,
            predict=inference,
            model_id=model_id,
            join=inference.join,
            plan=self._settings.window_plan,
            min_read_share=self._settings.min_read_share,
            workers=decoders.settings.workers,
        )

    def thresholds(self, classifier: Classifier) -> Thresholds:
        """Below which a model's predictions are unsure. A problem with that is noted."""
        settings = self._settings
        measured = classifier.manifest.measured
        rule = unsure_rule(settings.unsure_below, settings.unsure_target, measured, classifier.name)
        self._note(SUBJECT, rule.problem)
        return Thresholds(rule.below, settings.thresholds, only_raised=bool(rule.target))

    def _shadow(
        self, challenger: str | None, champion: Classifier, now: datetime
    ) -> tuple[int, Classifier] | None:
        """The challenger's id, and the challenger; None if there is none or it is the champion."""
        if challenger is None:
            return None
        try:
            model = self._load(challenger)
        except VidwatchError as error:
            log.warning("challenger %s cannot be loaded: %s", challenger, error)
            return None
        if model.digest == champion.digest:
            return None
        return self._register(model, now), model

    def _decoders_for(self, spec: ClipSpec) -> Decoders:
        """The decoders of these frames, or new ones."""
        if spec not in self._decoders:
            workers = self._settings.decoders or usable_cores()
            settings = DecoderSettings.of(spec, workers, self._settings)
            self._decoders[spec] = Decoders(settings)
        return self._decoders[spec]

    def _register(self, model: Classifier, now: datetime) -> int:
        return self._predictions.register_model(
            model.name, model.digest, model.classes, model.manifest.measured, now
        )

    def _load(self, name: str) -> Classifier:
        """A model that is ready to predict: its first batch takes no longer than the next ones."""
        path = self._home.model_or_starter(name)
        model = Classifier.load(path, self._settings.device, self._settings.reading)
        model.prepare()
        return model


def _why_not_on_gpu(setting: str) -> str | None:
    """A notice if there is a GPU, and the processor has to be used instead."""
    device = named_device(setting)
    problem = gpu_problem(device) if device.type == "cuda" and setting in AUTOMATIC else None
    if problem is None:
        return None
    hint = "install a PyTorch for it, or set device to 'cpu'"
    return f"the GPU cannot compute ({problem}), so the processor is used; {hint}"
