"""The commands that try a model on files: `classify`, `evaluate`.

Slow imports stand in the commands that need them.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.shared import (
    Device,
    Json,
    Model,
    console,
    described,
    examples,
    load_model,
    open_cache,
    print_skipped,
)
from daemon.home.folder import Home
from daemon.home.texts import familiarity_in_words, printable
from learner.errors import VidwatchError
from learner.texts import counted
from learner.window_plan import WindowPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from learner.classifier import Classifier
    from learner.evaluate import Unknowns
    from learner.prediction import Classified, Prediction, Unread
    from learner.windowed import PredictedWindow

app = typer.Typer()


@app.command(
    epilog=examples(
        "vidwatch classify clip.mp4", "vidwatch classify ~/clips --json > predictions.jsonl"
    )
)
def classify(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATHS…", help="Video files, and folders: all videos in them."),
    ],
    model: Model = None,
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    logits: Annotated[
        bool, typer.Option("--logits", help="Print the class and the logits of all classes.")
    ] = False,
    windows: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS[/STEP]",
            help="Cut each video into windows of so many seconds, one every STEP seconds, and "
            "predict each; the video's own prediction is drawn from them.",
        ),
    ] = None,
) -> None:
    """Classify video files and folders of them, without daemon or database.

    Exit status 1 if a file could not be read.
    """
    if as_json and logits:
        raise VidwatchError("classify: --json has the logits already; leave --logits out")
    from daemon.cli.progress import reading

    plan = None if windows is None else WindowPlan.parse(windows)
    files = _files(context.obj, paths, model)  # before what takes seconds to import
    from learner.prediction import Unread
    from learner.process import keep_freed_memory
    from learner.windowed import PredictedWindow

    keep_freed_memory()
    has_unread = False
    done = 0
    classifier = load_model(context.obj, model, device)
    if not as_json:
        print(f"model {printable(classifier.name)}", file=sys.stderr)
    results = classifier.results(files) if plan is None else _in_windows(classifier, files, plan)
    with reading("classifying", beside_output=True) as show:
        for result in results:
            has_unread |= isinstance(result, Unread)
            _print(result, as_json=as_json, logits=logits)
            if not isinstance(result, PredictedWindow):
                done += 1
                show(done, len(files))
    if has_unread:
        raise typer.Exit(1)


def _print(result: "Classified | PredictedWindow | Unread", *, as_json: bool, logits: bool) -> None:
    """Print what became of a file, or the prediction of a window."""
    from learner.prediction import Unread
    from learner.windowed import PredictedWindow

    if isinstance(result, Unread):
        print(f"{printable(result.file)}: {result.error}", file=sys.stderr)
        return
    if as_json:
        print(json.dumps(result.to_json()), flush=True)
        return
    line = _logits(result.prediction) if logits else _described(result.prediction)
    where = printable(result.file)
    if isinstance(result, PredictedWindow):
        where += f" {_clock(result.start)}-{_clock(result.end)}"
    print(f"{where}: {line}", flush=True)


def _files(home: Home, paths: list[str], model: str | None) -> list[str]:
    """The files to classify; checks that the model is there, too."""
    from daemon.home import settings
    from daemon.home.left_alone import LeftAlone
    from daemon.home.models import require_model
    from daemon.home.named_files import named_files

    if model:
        require_model(home, model)
    return named_files(paths, LeftAlone(settings.load(home.settings).ignore))


def _in_windows(
    classifier: "Classifier", files: list[str], plan: WindowPlan
) -> "Iterator[PredictedWindow | Classified | Unread]":
    """The windows of each file, as they come, then the file's own prediction."""
    from learner.prediction import Unread
    from learner.windowed import joined, predict_windows

    for file in files:
        found = []
        try:
            for window in predict_windows(classifier, file, plan):
                found.append(window)
                yield window
            yield joined(classifier, found)
        except OSError as error:
            yield Unread(file, f"cannot be read ({error.strerror})")
        except VidwatchError as error:
            yield Unread(file, str(error))


def _clock(seconds: float) -> str:
    """A time in a video: hours, minutes, seconds, and tenths if there are any."""
    tenths = round(10 * seconds)
    text = f"{tenths // 36000}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}"
    return f"{text}.{tenths % 10}" if tenths % 10 else text


def _described(prediction: "Prediction") -> str:
    note = familiarity_in_words(prediction.familiarity)
    if not prediction.known:
        note = "perhaps of no class that the model knows"
    remark = f" ({note})" if note else ""
    return f"{prediction.class_name} {prediction.probability:.1%}{remark}"


def _logits(prediction: "Prediction") -> str:
    """The index and the name of the class, and the logits of all classes."""
    logits = ", ".join(f"{name} {logit:.4f}" for name, logit in prediction.logits.items())
    return f"class {prediction.class_index} {prediction.class_name}; logits: {logits}"


@app.command(
    epilog=examples(
        "vidwatch evaluate ~/tested", "vidwatch evaluate ~/tested --model auto-1 --unknown ~/others"
    )
)
def evaluate(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")
    ],
    model: Model = None,
    unknown: Annotated[
        Path | None,
        typer.Option(
            help="Class folders of unknown classes: how many clips are recognized as unknown?"
        ),
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Measure a model on a folder of class folders, with its baseline beside it."""
    from daemon.cli import progress
    from learner.evaluate import evaluate as measure
    from learner.process import keep_freed_memory

    keep_freed_memory()
    with progress.reading() as bar:
        classifier = load_model(context.obj, model, device)
        found = measure(folder, classifier, unknown, open_cache(context.obj), bar)
    print_skipped(found.skipped)
    if as_json:
        print(json.dumps(found.to_json()))
        return
    scores = {f"model {found.model}": found.score, "baseline": found.baseline}
    for name, score in scores.items():
        print(f"{name + ':':<24}{described(score)}, loss {score.loss:.3f}")
    before, after = found.score.calibration_error
    scaled = f"by {after:.3f} after calibration"
    print(f"a prediction's probability is off by {before:.3f} on average, {scaled}")
    if found.unknowns:
        _print_unknowns(found.unknowns)
    if found.seen:
        reason = f"{found.seen} of the clips were among those it was trained on"
        print(f"{reason}: the figures flatter it")
    console().print(_class_table(found.score.per_class))


def _print_unknowns(found: "Unknowns") -> None:
    low, high = found.interval
    share = f"{found.told:.1%} (95 % interval {low:.1%} to {high:.1%})"
    print(f"of {counted(found.n, 'clip')} of unknown classes, {share} are recognized as unknown")
    print(f"of the clips of known classes, {found.known_kept:.1%} are recognized as known")


def _class_table(per_class: dict[str, dict[str, float]]) -> Any:
    from daemon.report.fitting import Column, FittingTable

    names = ("right", "clips", "precision", "recall")
    numbers = (Column(name, justify="right") for name in names)
    table = FittingTable("", [Column("class"), *numbers])
    for name, row in per_class.items():
        table.add_row(
            name,
            f"{row['correct']:.0f}",
            f"{row['n']:.0f}",
            f"{row['precision']:.1%}",
            f"{row['recall']:.1%}",
        )
    return table
