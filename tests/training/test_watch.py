"""The watch of a champion that took over as counted, with real predictions and labels."""

import json
from datetime import timedelta

import pytest
from lab import Lab
from lab import champion as champion
from lab import lab as lab

from daemon.training import watch
from daemon.training.decisions import BY_ITSELF, Decision
from learner.catalogue import manifest_path, weights_path

COUNTED = Decision("promoted", "It is not worse as counted.", {"risk": 0.12, "look": 1})


@pytest.fixture
def watched(lab: Lab) -> Lab:
    """`auto-1` has taken over from `tiny`, as counted."""
    for path in (weights_path, manifest_path):
        tiny = path(lab.home.model("tiny"))
        path(lab.home.model("auto-1")).write_bytes(tiny.read_bytes())
    lab.history.conclude(
        "auto-1", "tiny", watch.begin(COUNTED, "auto-1", "tiny", lab.home), lab.now
    )
    return lab


def came(lab: Lab, number: int, new: str, former: str, *, biased: bool = False) -> None:
    """A bright clip that both models predicted, and its label."""
    path = lab.put_video(f"inbox/v_new_g{number:03}_c01.avi", frames=6, shade=100 + number)
    lab.enqueue(path, group=f"g{number}")
    predicted = lab.model_prediction(new, model=lab.register("auto-1"))
    shadow = lab.model_prediction(former, model=lab.register("tiny"))
    (video,) = lab.predict_and_file(predicted, shadow=shadow)
    if biased:
        lab.clip("dark", 1000 + number)  # without a label
    lab.give_label(video, "bright", "page", sampled=not biased)


@pytest.mark.slow
def test_a_takeover_as_counted_states_the_watch_and_its_end(watched: Lab) -> None:
    row = watched.history.newest_first()[0]
    assert row.reason.endswith(
        "tiny predicts beside it, and comes back by itself if labels show that it was right more "
        "often: for 50 clips with labels, or 30 days."
    )
    assert row.figures["watch"] == {"former": "tiny", "clips": 50, "days": 30}
    assert watched.history.shadow() == "tiny"
    better = Decision("promoted", "It is better, beyond chance.", {})
    assert watch.begin(better, "auto-1", "tiny", watched.home) == better


@pytest.mark.slow
def test_no_watch_is_promised_if_the_models_take_different_frames(watched: Lab) -> None:
    manifest = manifest_path(watched.home.model("auto-1"))
    document = json.loads(manifest.read_text())
    document["clip"]["frames"] += 1
    manifest.write_text(json.dumps(document))
    decision = watch.begin(COUNTED, "auto-1", "tiny", watched.home)
    assert watch.WATCH not in decision.figures
    assert "predicts beside it" not in decision.reason
    assert "tiny takes other frames" in decision.reason
    assert "'vidwatch models rollback' takes it back" in decision.reason


def test_a_champion_that_is_worse_on_the_clips_that_follow_is_taken_back(watched: Lab) -> None:
    for number in range(6):
        came(watched, number, "dark", "bright")
        assert watch.tend(watched.history, watched.home, watched.now) is None
    came(watched, 6, "dark", "bright")
    assert watch.tend(watched.history, watched.home, watched.now)
    assert (watched.history.champion(), watched.history.shadow()) == ("tiny", None)
    row = watched.history.newest_first()[0]
    assert row.reason == (
        "auto-1 was worse than tiny, beyond chance: of 7 labelled clips since then auto-1 "
        f"predicted 0 right, tiny 7{BY_ITSELF}"
    )


def test_corrections_take_nothing_back(watched: Lab) -> None:
    for number in range(8):
        came(watched, number, "dark", "bright", biased=True)
    assert watch.tend(watched.history, watched.home, watched.now) is None
    assert watched.history.champion() == "auto-1"


def test_the_watch_ends_after_its_clips(watched: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "CLIPS", 3)
    for number in range(3):
        came(watched, number, "bright", "bright" if number else "dark")
    assert watch.tend(watched.history, watched.home, watched.now) == (
        "The watch of auto-1 has ended: of 3 labelled clips since then auto-1 predicted 3 right, "
        "tiny 2; it stays."
    )
    assert (watched.history.champion(), watched.history.shadow()) == ("auto-1", None)
    end = watched.history.newest_first()[0]
    assert (end.challenger, end.verdict, end.outcome) == ("tiny", "refused", "stays behind")
    assert watch.tend(watched.history, watched.home, watched.now) is None


def test_the_watch_ends_after_its_days(watched: Lab) -> None:
    late = watched.now + timedelta(days=watch.DAYS)
    assert watch.tend(watched.history, watched.home, late - timedelta(hours=1)) is None
    assert watch.tend(watched.history, watched.home, late)
    assert watched.history.shadow() is None


def test_a_watch_that_began_while_the_clock_was_ahead_counts_and_ends(lab: Lab) -> None:
    for path in (weights_path, manifest_path):
        path(lab.home.model("auto-1")).write_bytes(path(lab.home.model("tiny")).read_bytes())
    today = lab.now
    lab.now = today + timedelta(days=3650)
    promotion = watch.begin(COUNTED, "auto-1", "tiny", lab.home)
    lab.history.conclude("auto-1", "tiny", promotion, lab.now)
    came(lab, 0, "bright", "bright")
    lab.now = today
    came(lab, 1, "bright", "bright")
    lab.now = today + timedelta(days=29)
    assert watch.tend(lab.history, lab.home, lab.now) is None
    lab.now = today + timedelta(days=31)
    ended = watch.tend(lab.history, lab.home, lab.now)
    assert ended
    assert "The watch of auto-1 has ended: of 2 labelled clips" in ended
