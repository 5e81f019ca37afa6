from pathlib import Path

import pytest
import timm
import torch
from tiny import cache as cache
from tiny import class_folders

from learner import Classifier, hub, recipe
from learner.backbone import CUSTOM
from learner.errors import VidwatchError
from learner.splits import Sources
from learner.train import Start, train

# From the course report: accuracy, loss, batches of 4 trained and evaluated a second.
REPORT = {
    "custom-base": (0.76, 0.806, 7.9, 13.2),
    "custom-3-layers": (0.75, 0.787, 8.0, 13.9),
    "custom-4conv": (0.75, 0.964, 5.3, 10.8),
    "custom-2conv": (0.78, 0.874, 3.3, 6.7),
    "custom-100-epochs": (0.68, 1.108, 7.4, 14.1),
    "custom-cosine": (0.81, 0.679, 7.6, 13.2),
    "custom-64": (0.73, 1.047, 33.5, 43.1),
    "custom-5e-5": (0.79, 0.888, 7.9, 13.5),
    "custom-2e-4": (0.81, 0.670, 7.9, 13.4),
    "pretrained-base": (0.89, 0.353, 3.7, 5.7),
    "pretrained-3-layers": (0.85, 0.499, 3.7, 5.6),
    "pretrained-256": (0.82, 0.676, 4.5, 5.7),
    "pretrained-64": (0.89, 0.290, 13.0, 15.9),
    "pretrained-100-epochs": (0.87, 0.553, 3.6, 5.6),
}


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_loads_and_reads_back_the_same(name: str) -> None:
    loaded = recipe.load(name)
    assert loaded.name == name
    assert loaded.network.backbone in {*CUSTOM, *hub.RECIPES}
    assert recipe.Recipe(**loaded.to_json()) == loaded


def test_all_lines_of_the_report_are_there_with_its_figures() -> None:
    said = {name: recipe.load(name).report for name in REPORT}
    assert {
        name: tuple(vars(line).values()) if line else None for name, line in said.items()
    } == REPORT


@pytest.mark.parametrize("name", REPORT)
def test_what_the_reports_code_did_instead_is_a_recipe_of_its_own(name: str) -> None:
    """100 steps an epoch, training loss for the schedule, last weights kept, a rate of 1e-4."""
    says, did = recipe.load(name), recipe.load(f"{name}-as-run")
    assert (says.training.steps, says.training.watch, says.training.keep) == (
        None,
        "validation",
        "lowest_loss",
    )
    assert (did.training.steps, did.training.watch, did.training.keep) == (100, "training", "last")
    assert did.training.learning_rate == 1e-4
    assert did.training.schedule == ("constant" if name == "custom-cosine" else "plateau")
    assert (did.clip, did.network, did.training.epochs) == (
        says.clip,
        says.network,
        says.training.epochs,
    )


def test_the_changes_are_those_of_the_report() -> None:
    base = recipe.load("custom-base")
    assert (base.clip.frames, base.clip.size, base.training.batch, base.training.epochs) == (
        40,
        128,
        4,
        50,
    )
    assert (base.training.optimizer, base.training.learning_rate, base.training.schedule) == (
        "adam",
        1e-4,
        "plateau",
    )
    assert (base.network.layers, base.network.hidden, base.network.pooling, base.network.skip) == (
        2,
        128,
        "last",
        False,
    )
    assert recipe.load("custom-3-layers").network.layers == 3
    assert recipe.load("custom-100-epochs").training.epochs == 100
    assert recipe.load("custom-cosine").training.schedule == "cosine_restarts"
    assert recipe.load("custom-64").clip == recipe.Frames(frames=30, size=64)
    assert (
        recipe.load("custom-5e-5").training.learning_rate,
        recipe.load("custom-2e-4").training.learning_rate,
    ) == (
        5e-5,
        2e-4,
    )
    assert (
        recipe.load("pretrained-base").network.stage,
        recipe.load("pretrained-256").network.stage,
    ) == (2, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends = 'default'\nrate = 1", "key 'rate' is unknown"),
        ("extends = 'default'\n[training]\nepoch = 3", "key 'training.epoch' is unknown"),
        (
            "extends = 'default'\n[network]\nlayers = 0",
            "network.layers is 0: input should be greater",
        ),
        ("extends = 'default'\n[training]\nschedule = 'step'", "training.schedule is 'step'"),
        (
            "extends = 'scratch'\n[augment]\nsegments = 25",
            "augment.segments is 25: more than the 24 inputs",
        ),
        (
            "extends = 'scratch'\n[clip]\nframes = 47",
            "clip.frames is 47: with differences it must be even",
        ),
        ("extends = 'default'\n[augment]\nflip = true", "augment needs freeze = false"),
        ("extends = 'scratch'\n[clip]\nmotion = true", "clip.motion needs freeze = true"),
        ("extends = 'default'\n[training]\npatience = 3", "patience and plateau need folds = 0"),
        (
            "extends = 'default'\n[training]\nschedule = 'plateau'",
            "patience and plateau need folds = 0",
        ),
        ("extends = 'default'\nname = 'team/one'", "name is 'team/one'"),
        ("extends = 'nothing'", "no recipe 'nothing'; `vidwatch recipes` lists them"),
        ("extends = 'mine'", "extends itself"),
        ("[training", "not valid TOML"),
        ("about = 'x'", "field required"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_in_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(VidwatchError) as caught:
        recipe.load(str(tmp_path / "mine.toml"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_ones_own_extends_ours_and_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text("extends = 'default'\n[training]\nepochs = 7\n")
    (tmp_path / "mine.toml").write_text("extends = 'ours'\nabout = 'mine'\n[training]\nbatch = 3\n")
    mine = recipe.load(str(tmp_path / "mine.toml"))
    assert (mine.name, mine.about, mine.training.epochs, mine.training.batch) == (
        "mine",
        "mine",
        7,
        3,
    )
    assert mine.clip == recipe.load("default").clip


def test_the_name_of_a_recipe_may_be_misspelled() -> None:
    with pytest.raises(
        VidwatchError, match=r"no recipe 'custm-64'; did you mean 'custom-64'\? `vidwatch"
    ):
        recipe.load("custm-64")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report's weights cannot be fetched without a network: a file of the same shapes is."""
    path = tmp_path_factory.mktemp("weights") / "resnet101.pth"
    torch.save(timm.create_model("resnet101").state_dict(), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [*REPORT, *(f"{name}-as-run" for name in ("custom-64", "custom-cosine"))]
)
def test_every_line_of_the_report_runs(
    tmp_path: Path, cache: Path, resnet: Path, name: str
) -> None:
    """One epoch on a few clips, at the report's size; three of those of 100 steps an epoch."""
    chosen = recipe.load(name)
    chosen = chosen.changed({"epochs": 1} | ({"steps": 3} if chosen.training.steps else {}))
    start = Start(weights=resnet if chosen.start == "imagenet" else None)
    result = train(
        Sources(class_folders(tmp_path / "data", groups=3)), tmp_path / name, chosen, start
    )
    assert result.score.n == result.baseline.n == 2
    assert Classifier.load(result.path).manifest.clip.size == chosen.clip.size


@pytest.mark.slow
def test_a_small_network_of_our_own_learns_from_nothing(tmp_path: Path, cache: Path) -> None:
    chosen = recipe.load("scratch").changed({"epochs": 30, "batch": 4})
    result = train(Sources(class_folders(tmp_path / "data", groups=6)), tmp_path / "m", chosen)
    assert result.score.accuracy == 1.0
