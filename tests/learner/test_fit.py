from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import QUICK, SPEC, WHOLE

from learner.batches import Data, mix, vary
from learner.dataset import LabelledClip
from learner.errors import PassingError
from learner.fit import Epoch, fit, judge
from learner.network import ClipNetwork
from learner.spec import Augment, NetworkArgs, TrainSettings
from learner.splits import folds

HEAD = NetworkArgs(backbone="test_efficientnet", hidden=4, dropout=0.0)
NOBODY = np.array([], np.intp)


def network(args: NetworkArgs = HEAD) -> ClipNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ClipNetwork(args, SPEC, 2)


def features(count: int = 12) -> Data:
    """Two classes that their features tell apart."""
    truth = torch.arange(count) % 2
    values = torch.randn(
        count, 4, 256, generator=torch.Generator().manual_seed(0)
    ) + 3 * truth.view(-1, 1, 1)
    return Data(list(values.half().numpy()), truth, Augment())


def frames(count: int, augment: Augment) -> Data:
    values = np.random.default_rng(0).integers(0, 256, (count, 4, 32, 32, 3), np.uint8)
    return Data(list(values), torch.arange(count) % 2, augment)


def test_a_head_learns_what_can_be_learned() -> None:
    own, data = network(), features()
    history = fit(own, data, np.arange(8), np.arange(8, 12), QUICK)
    assert [epoch.epoch for epoch in history] == list(range(1, QUICK.epochs + 1))
    assert history[-1].accuracy == history[-1].validation_accuracy == 1.0
    head, baseline = judge(own, data, np.arange(8, 12))
    assert (head.argmax(1) == data.truth[8:].numpy()).all()
    assert baseline.shape == head.shape


def test_loss_and_accuracy_are_weighted_by_clips_not_by_batches() -> None:
    """A last batch of one clip counts as one clip."""
    own, data = network(), features(9)
    history = fit(
        own, data, np.arange(9), np.arange(9), replace(QUICK, epochs=1, batch=8, learning_rate=1e-9)
    )
    (epoch,) = history
    assert epoch.accuracy * 9 == pytest.approx(round(epoch.accuracy * 9))
    assert epoch.accuracy == pytest.approx(epoch.validation_accuracy)
    assert epoch.loss == pytest.approx(epoch.validation_loss, rel=1e-3)


def test_a_frozen_backbone_stays_as_it_was_and_a_free_one_does_not() -> None:
    data = frames(4, Augment())
    for settings, stays in (
        (replace(WHOLE, freeze=True, epochs=1), True),
        (replace(WHOLE, epochs=1), False),
    ):
        own, before = network(), network().backbone.state_dict()
        fit(own, data, np.arange(4), NOBODY, settings)
        same = all(
            torch.equal(tensor, before[name]) for name, tensor in own.backbone.state_dict().items()
        )
        assert same == stays


def test_the_baseline_teaches_the_backbone_nothing() -> None:
    own = network()
    own(frames(2, Augment()).batch(np.arange(2)))[1].sum().backward()
    assert all(parameter.grad is None for parameter in own.backbone.parameters())
    assert own.baseline.linear.weight.grad is not None


def test_training_leaves_torch_as_it_was() -> None:
    """No seed and no number of threads leaks into the caller's program."""
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(network(), features(), np.arange(12), NOBODY, replace(QUICK, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_an_epoch_has_as_many_steps_as_the_settings_state() -> None:
    """The report's: 100 over 80 batches, so the clips are dealt again when they run out."""
    steps: list[int] = []
    settings = replace(QUICK, epochs=2, batch=4, steps=5, schedule="constant")
    fit(
        network(),
        features(),
        np.arange(12),
        NOBODY,
        settings,
        after_step=lambda step, of, loss: steps.append(step),
    )
    assert steps == list(range(1, 11))


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({"schedule": "constant"}, [0.02] * 6),
        (
            {"schedule": "cosine_restarts"},
            [0.5 * 0.02 * (1 + np.cos(np.pi * epoch / 20)) for epoch in range(6)],
        ),
    ],
    ids=["constant", "cosine"],
)
def test_the_rate_follows_its_schedule(changes: dict[str, object], rates: list[float]) -> None:
    settings = replace(QUICK, epochs=6, **changes)  # type: ignore[arg-type]
    history = fit(network(), features(), np.arange(12), NOBODY, settings)
    assert [epoch.learning_rate for epoch in history] == pytest.approx(rates, rel=1e-2)


def test_cosine_begins_anew_after_twenty_epochs() -> None:
    settings = replace(QUICK, epochs=22, schedule="cosine_restarts")
    rates = [
        epoch.learning_rate for epoch in fit(network(), features(), np.arange(12), NOBODY, settings)
    ]
    assert rates[20] == rates[0] > rates[21] > rates[19]


@pytest.mark.parametrize("watch", ["validation", "training"])
def test_plateau_divides_the_rate_by_ten_when_the_loss_it_watches_gets_no_better(
    watch: str,
) -> None:
    """Validation clips with the wrong labels: their loss rises while the other falls."""
    data = features()
    wrong = Data(data.values, torch.cat([data.truth[:8], 1 - data.truth[8:]]), Augment())
    settings = replace(QUICK, epochs=10, schedule="plateau", watch=watch)  # type: ignore[arg-type]
    rates = [
        epoch.learning_rate
        for epoch in fit(network(), wrong, np.arange(8), np.arange(8, 12), settings)
    ]
    fell = rates[-1] < rates[0] / 9
    assert fell == (watch == "validation")


def test_training_ends_after_so_many_epochs_without_a_better_validation_loss() -> None:
    data = features()
    wrong = Data(data.values, torch.cat([data.truth[:8], 1 - data.truth[8:]]), Augment())
    history = fit(
        network(), wrong, np.arange(8), np.arange(8, 12), replace(QUICK, epochs=50, patience=3)
    )
    losses: list[float] = [epoch.validation_loss or 0 for epoch in history]
    assert len(losses) - 1 - losses.index(min(losses)) == 3


@pytest.mark.slow
def test_class_weights_make_rare_classes_count_as_much() -> None:
    """Clips that are alike are predicted as the common class, unless classes are weighted."""
    values = [np.ones((4, 256), np.float16)] * 10
    data = Data(values, torch.tensor([0] * 8 + [1] * 2), Augment())
    margins = []
    for weighted in (False, True):
        own, settings = (
            network(),
            replace(QUICK, epochs=80, batch=10, schedule="constant", class_weights=weighted),
        )
        fit(own, data, np.arange(10), NOBODY, settings)
        logits, _ = judge(own, data, np.arange(1))
        margins.append(float(logits[0, 0] - logits[0, 1]))
    assert margins[0] > 0.5
    assert abs(margins[1]) < 0.3


def test_a_class_without_a_clip_to_learn_from_has_a_weight_too() -> None:
    fit(
        network(),
        features(),
        np.arange(0, 12, 2),
        NOBODY,
        replace(QUICK, epochs=1, class_weights=True),
    )


def test_clipping_holds_back_each_of_head_and_baseline_by_itself() -> None:
    """However the baseline begins, the head learns the same."""
    own, other = network(), network()
    other.baseline.linear.weight.data.mul_(100)
    for each in (own, other):
        fit(each, features(), np.arange(12), NOBODY, replace(QUICK, epochs=2, clip_norm=0.1))
    assert torch.equal(own.head.linear.weight, other.head.linear.weight)


def test_varied_frames_are_varied_alike_within_a_clip() -> None:
    torch.manual_seed(0)
    frame = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)
    varied = vary(frame.expand(5, -1, -1, -1), Augment(flip=True, crop=0.3, jitter=0.5))
    assert (varied.shape, varied.dtype) == ((5, 32, 32, 3), torch.uint8)
    assert all(torch.equal(varied[0], other) for other in varied[1:])
    assert not torch.equal(varied[0], frame[0])


@pytest.mark.parametrize(
    "augment", [Augment(flip=True), Augment(crop=0.5), Augment(jitter=0.5)], ids=str
)
def test_each_way_to_vary_changes_frames(augment: Augment) -> None:
    torch.manual_seed(1)
    clip = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    assert len({vary(clip, augment).numpy().tobytes() for _ in range(8)}) > 1


def test_a_flipped_clip_is_mirrored_left_to_right() -> None:
    clip = torch.zeros(1, 2, 4, 3, dtype=torch.uint8)
    clip[:, :, 0] = 255
    found = {tuple(vary(clip, Augment(flip=True))[0, 0, :, 0].tolist()) for _ in range(20)}
    assert found == {(255, 0, 0, 0), (0, 0, 0, 255)}


def test_a_frame_of_each_segment_is_drawn_and_all_frames_judge() -> None:
    """12 frames, 4 segments: each gives one of its own three."""
    values = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1).repeat(3, 3)
    data = Data([values], torch.tensor([0]), Augment(segments=4))
    assert data.batch(np.array([0]))[..., 0].flatten().tolist() == list(range(12))
    torch.manual_seed(0)
    drawn = torch.stack([data.varied(np.array([0]))[..., 0].flatten() for _ in range(50)])
    assert (drawn // 3 == torch.arange(4)).all()
    assert all(len(set(column.tolist())) == 3 for column in drawn.T)


def test_frames_that_belong_together_are_drawn_together() -> None:
    values = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1).repeat(3, 3)
    data = Data([values], torch.tensor([0]), Augment(segments=2), unit=2)
    torch.manual_seed(0)
    for _ in range(20):
        first, second, third, fourth = data.varied(np.array([0]))[..., 0].flatten().tolist()
        assert (first % 2, second, third % 2, fourth) == (0, first + 1, 0, third + 1)
        assert first < 6 <= third


def test_mixed_clips_have_targets_in_proportion() -> None:
    torch.manual_seed(0)
    clips = torch.zeros(4, 2, 8, 8, 3, dtype=torch.uint8)
    clips[2:] = 200
    kinds = set()
    for _ in range(20):
        shown, aims = mix(clips, torch.tensor([0, 0, 1, 1]), 2, 1.0)
        assert shown.shape == clips.shape
        torch.testing.assert_close(aims.sum(1), torch.ones(4))
        brightness = shown.float().mean((1, 2, 3, 4)) / 200
        torch.testing.assert_close(brightness, aims[:, 1], atol=1e-4, rtol=1e-4)
        kinds.add(len(shown.unique()) > 2)
    assert kinds == {True, False}  # blended, and with a rectangle of another


def test_clips_are_mixed_as_often_as_the_settings_state() -> None:
    torch.manual_seed(0)
    clips, targets = torch.zeros(2, 1, 4, 4, 3, dtype=torch.uint8), torch.tensor([0, 1])
    assert sum(mix(clips, targets, 2, 0.5)[1].dim() == 2 for _ in range(200)) == pytest.approx(
        100, abs=30
    )
    assert mix(clips, targets, 2, 0.0)[1] is targets


@pytest.mark.slow
def test_accuracy_comes_from_unseen_groups_alone() -> None:
    """Features of the group alone: learned by heart they give 1.0, by groups only chance."""
    truth = torch.arange(60) // 3 % 2
    values = np.zeros((60, 2, 256), np.float16)
    values[np.arange(60), :, np.arange(60) // 3] = 1
    data, settings = (
        Data(list(values), truth, Augment()),
        TrainSettings(epochs=30, learning_rate=0.01),
    )
    clips = [
        LabelledClip(None, str(int(label)), str(i // 3), str(i)) for i, label in enumerate(truth)
    ]  # type: ignore[arg-type]
    own = network()
    fit(own, data, np.arange(60), NOBODY, settings)
    assert (judge(own, data, np.arange(60))[0].argmax(1) == truth.numpy()).all()
    right = 0
    for known, held_out in folds(clips, 5, 0):
        own = network()
        fit(own, data, known, NOBODY, settings)
        right += (judge(own, data, held_out)[0].argmax(1) == truth[held_out].numpy()).sum()
    assert right / 60 < 0.75


def test_a_history_says_which_model_of_a_cross_validation_it_is_of() -> None:
    history = fit(network(), features(), np.arange(12), NOBODY, replace(QUICK, epochs=1), 3)
    assert isinstance(history[0], Epoch)
    assert history[0].fold == 3


class Short(ClipNetwork):
    """On a device with memory for `room` clips."""

    room = 3

    def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if len(clips) > self.room:
            raise torch.OutOfMemoryError("no room")
        return super().forward(clips)


def short(room: int) -> Short:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Short(HEAD, SPEC, 2)
    made.room = room
    return made


@pytest.mark.parametrize(
    "settings", [QUICK, replace(QUICK, class_weights=True, label_smoothing=0.1), WHOLE]
)
def test_a_device_short_of_memory_learns_the_same_in_parts(settings: TrainSettings) -> None:
    data = features(11)
    settings = replace(settings, epochs=2, batch=8, freeze=True)
    histories = []
    networks = [short(8), short(3)]
    for own in networks:
        histories.append(fit(own, data, np.arange(11), np.arange(11), settings))
    for one, other in zip(*histories, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-3)
        assert other.accuracy == one.accuracy
        assert other.validation_loss == pytest.approx(one.validation_loss, rel=1e-3)
    for one, other in zip(*(own.parameters() for own in networks), strict=True):
        torch.testing.assert_close(other, one, atol=1e-3, rtol=1e-2)


def test_no_memory_for_a_single_clip_says_what_can_be_done() -> None:
    with pytest.raises(PassingError, match=r"no memory to train 1 clip at a time \(no room\); end"):
        fit(short(0), features(), np.arange(8), NOBODY, QUICK)


def test_a_copy_of_a_network_has_its_lstm_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a GPU gathers its weights at every step, with a warning."""
    own = network()
    flattened: list[object] = []
    monkeypatch.setattr(torch.nn.LSTM, "flatten_parameters", lambda layer: flattened.append(layer))
    copied = own.copied()
    assert flattened == [copied.head.lstm]
    assert copied.head.lstm is not own.head.lstm
