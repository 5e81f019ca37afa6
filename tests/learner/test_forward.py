import copy
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from learner.backbone import Backbone
from learner.classifier import Classifier
from learner.forward import Forward, ready
from learner.gpu import AT_ONCE
from learner.precision import fast_precision
from learner.spec import ClipSpec, NetworkArgs

CPU = torch.device("cpu")
SPEC = ClipSpec(frames=2, size=32)


def trained(name: str, spec: ClipSpec = SPEC, **args: Any) -> Backbone:
    """A backbone with random batch norms: new ones do nothing, so a wrong fold would not show."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Backbone(NetworkArgs(name, **args), spec)
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
                layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
                nn.init.uniform_(layer.weight, 0.5, 1.5)
                nn.init.normal_(layer.bias, 0, 0.1)
    return net.eval()


def frames(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    return list(
        torch.randint(0, 256, (count, 2, 32, 32, 3), dtype=torch.uint8, generator=generator)
    )


def norms(net: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("test_efficientnet", {}),
        ("test_efficientnet", {"stage": 2, "pooled": True}),
        ("test_resnet", {"stage": 1}),
        ("tf_efficientnet_lite0", {"stage": 3, "pooled": True}),
        ("compact", {"differences": True}),
        ("custom_3conv", {}),
    ],
)
def test_what_is_ready_gives_the_same_features_without_its_batch_norms(
    name: str, args: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a processor that is fast at bf16, too: its rounding would hide a wrong fold.
    monkeypatch.setattr(
        "learner.precision.fast_precision", lambda device, training=False: torch.float32
    )
    net = trained(name, **args)
    made = ready(net, torch.float32)
    assert norms(made) == (
        name == "test_resnet"
    )  # its first one comes after a stack of convolutions
    with torch.inference_mode():
        clips = torch.stack(frames(2))
        before = net(clips)
        torch.testing.assert_close(
            made(clips), before, atol=1e-4 * float(before.abs().max()), rtol=1e-3
        )


class NormsFirst(nn.Module):
    """A convolution and a batch norm side by side, of which the norm comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(self.norm(images)).mean((2, 3))  # type: ignore[no-any-return]


def test_a_norm_that_does_not_follow_its_neighbour_is_left_where_it_is() -> None:
    net = trained("compact")
    net.body = NormsFirst().eval()
    net.body.norm.running_mean.fill_(0.5)
    net.features = 3
    made = ready(net, torch.float32)
    assert norms(made) == 1
    with torch.inference_mode():
        clips = torch.stack(frames(1))
        torch.testing.assert_close(made(clips), net(clips))


def test_the_network_it_was_made_of_stays_as_it_was() -> None:
    """Its weights tell whose features they are, and a training may begin with it."""
    net = trained("test_efficientnet")
    before = copy.deepcopy(net.state_dict())
    ready(net, torch.bfloat16)
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_products_are_in_the_precision_that_was_asked_for_and_features_agree() -> None:
    net = trained("test_efficientnet")
    made = ready(net, torch.bfloat16)
    kinds = {layer.weight.dtype for layer in made.modules() if isinstance(layer, nn.Conv2d)}
    assert kinds == {torch.bfloat16}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        images = torch.randn(2, *net.image)
        before, now = net.extract(images).float(), made.extract(images).float()
        assert (before - now).abs().max() < 0.03 * before.abs().max()  # bf16 has three digits


@pytest.mark.parametrize("count", [1, 3])
def test_features_are_of_half_precision_and_a_clips_own(count: int) -> None:
    forward = Forward(trained("test_efficientnet"), CPU)
    clips = frames(count)
    features = forward(clips)
    assert features.dtype == torch.float16
    assert features.shape == (count, 2, 256)
    for clip, own in zip(clips, features, strict=True):
        torch.testing.assert_close(forward([clip])[0], own, atol=2e-2, rtol=0)


@pytest.mark.parametrize(("name", "differences"), [("test_efficientnet", 0), ("compact", 1)])
def test_a_frame_that_windows_share_is_computed_once_with_the_same_features(
    name: str, differences: int
) -> None:
    spec = ClipSpec(frames=4, size=32)
    forward = Forward(trained(name, spec, differences=bool(differences)), CPU)
    video = torch.randint(0, 256, (10, 32, 32, 3), dtype=torch.uint8)
    windows = [video[first : first + 4] for first in (0, 2, 4, 6)]
    computed = []
    body = forward._backbone.extract
    forward._backbone.extract = lambda images: computed.append(len(images)) or body(images)
    expected = forward(windows)
    alone = sum(computed)
    computed.clear()
    torch.testing.assert_close(forward.of_windows(windows), expected, atol=2e-2, rtol=0)
    assert alone == 16 // (1 + differences)
    assert sum(computed) == 12 // (1 + differences)  # 10 frames, filled up to whole clips


def test_a_cpu_without_instructions_for_bf16_computes_in_float32() -> None:
    """Emulated, it took four hundred times as long."""
    able = torch.cpu.get_capabilities()
    native = able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16")
    assert fast_precision(CPU) is (torch.bfloat16 if native else torch.float32)
    assert Classifier.load(device="cpu").precision == str(fast_precision(CPU)).removeprefix(
        "torch."
    )


@pytest.mark.slow
def test_where_a_gpu_was_promised_its_tests_fail_instead_of_skipping() -> None:
    run = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu", __file__]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    root = Path(__file__).parents[2]
    for promised, code, said in (
        ("0", 0, "skipped"),
        ("1", 1, "VIDWATCH_REQUIRE_GPU is 1, and there is no GPU"),
    ):
        environment = {**hidden, "VIDWATCH_REQUIRE_GPU": promised}
        done = subprocess.run(run, capture_output=True, text=True, env=environment, cwd=root)
        assert (done.returncode, said in done.stdout) == (code, True), done.stdout


@pytest.fixture
def gpu() -> torch.device:
    return torch.device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("name", "args"),
    [("test_efficientnet", {}), ("test_resnet", {"stage": 1}), ("custom_3conv", {})],
)
def test_a_gpu_gives_the_features_of_the_cpu(
    gpu: torch.device, name: str, args: dict[str, Any]
) -> None:
    """For clips that fill a graph, fewer and more, and again with others in its memory."""
    net = trained(name, **args)
    here, there = Forward(net, CPU), Forward(copy.deepcopy(net).to(gpu), gpu)
    for count in (AT_ONCE, 1, 3, AT_ONCE + 3, 1):
        expected = here(frames(count)).float()
        actual = there(frames(count)).float()
        assert (actual - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.gpu
def test_a_gpu_computes_in_bf16_where_it_can(gpu: torch.device) -> None:
    able = torch.cuda.is_bf16_supported(including_emulation=False)
    assert fast_precision(gpu) is (torch.bfloat16 if able else torch.float16)
    assert fast_precision(gpu, training=True) is (torch.bfloat16 if able else torch.float32)


@pytest.mark.gpu
def test_the_starter_predicts_the_same_on_a_gpu_and_on_the_cpu(
    gpu: torch.device, real_clips: Path
) -> None:
    paths = sorted((real_clips / "ucf10").glob("*/*.mp4"))[::10]
    here, there = (Classifier.load(device=device).classify(paths) for device in ("cpu", "cuda"))
    same = [
        one.prediction.class_name == other.prediction.class_name
        for one, other in zip(here, there, strict=True)
    ]
    assert sum(same) >= 0.995 * len(same)


@pytest.mark.gpu
def test_two_threads_share_a_model_on_a_gpu(gpu: torch.device) -> None:
    forward = Forward(trained("test_efficientnet").to(gpu), gpu)
    clips = [frames(count) for count in (1, 2, 3, AT_ONCE) * 4]
    alone = [forward(clip) for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(forward, clips), strict=True):
            torch.testing.assert_close(one, other)
