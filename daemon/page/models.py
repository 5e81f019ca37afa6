"""Models: why the newest did or did not take over, how good each is, and all decisions."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from daemon.home.folder import Home
from daemon.page.charts import shade
from daemon.page.site import Site
from daemon.report.training import TrainingStatus, read_training
from daemon.training.decisions import Decisions
from daemon.training.records import DecisionRow
from learner.catalogue import Entry, find_models, model_name
from learner.errors import VidwatchError

PATH = "/models"
SHOWN = 200  # decisions
MOST_CLASSES = 30  # of a matrix that is shown as a table
# The files of a training run that are for people, and their media types.
RUN_FILES = {
    "report.html": "text/html; charset=utf-8",
    "curves.svg": "image/svg+xml",
    "confusion.svg": "image/svg+xml",
    "history.csv": "text/csv; charset=utf-8",
}
# These files have styles and pictures inside. Whatever is in them, they can do nothing else.
RUN_POLICY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'none'; sandbox"
}


@dataclass(frozen=True)
class Matrix:
    """Which classes a model took for which, on clips that it had not seen."""

    classes: tuple[str, ...]
    counts: list[list[int]]
    """A row for each true class, a column for each prediction."""

    @property
    def most(self) -> int:
        """The largest figure."""
        return max(max(row) for row in self.counts)


def page(request: Request, refusal: str = "") -> Response:
    """The newest decision, the models with the reports of their training, and all decisions.

    `refusal` says why no training was requested.
    """
    site = Site.of(request)
    session = site.session(request)
    message = session.message
    session.message = ""
    found = find_models(site.home.models)
    champion = model_name(site.champion())
    reports = {
        entry.name: [name for name in RUN_FILES if _run_file(site.home, entry.name, name)]
        for entry in found
    }
    with site.reader.begin() as connection:
        training = read_training(connection, None)
    decisions = Decisions(site.reader).newest_first()[:SHOWN]
    return site.render(
        request,
        "models.html",
        422 if refusal else 200,
        models=_champion_first(found, champion),
        reports=reports,
        decisions=decisions,
        newest=newest_in_words(training, decisions),
        champion=champion,
        before=model_before(site),
        matrix=_matrix(site, next((one for one in found if one.name == champion), None)),
        shade=shade,
        most=SHOWN,
        message=message,
        refusal=refusal,
    )


def newest_in_words(training: TrainingStatus, decisions: Sequence[DecisionRow]) -> str:
    """What became of the newest training, why, and what to do, in a sentence or two."""
    name = training.name
    if name is None:
        return "No model was trained here yet."
    if training.state == "asked":
        return f"{name} is trained next."
    if training.state == "training":
        progress = f": {training.progress}" if training.progress else ""
        return f"{name} is being trained{progress}."
    if training.state in ("failed", "stopped"):
        return f"The training of {name} ended without a model: {training.error}"
    mine = next((one for one in decisions if model_name(one.challenger) == name), None)
    if mine is None:
        return f"{name} was trained, and is not compared yet."
    took_over = mine.verdict == "promoted"
    did = "took over" if took_over else "did not take over"
    if mine.verdict in ("chosen", "rolled back"):
        did = "was made the champion"
    elif mine.verdict == "undecided":
        did = "has not taken over yet"
    following = "" if took_over else str(mine.figures.get("next") or "")
    return f"{name} {did}: {mine.reason} {following}".strip()


def model_before(site: Site) -> str | None:
    """The champion before this one; None if there is none to go back to."""
    try:
        return model_name(Decisions(site.reader).previous()[0])
    except VidwatchError:
        return None


def _champion_first(found: Sequence[Entry], champion: str) -> list[Entry]:
    """The champion, then the others, the newest first, and the starter last."""
    newest = sorted(found, key=lambda entry: entry.created, reverse=True)
    return sorted(newest, key=lambda one: (one.name != champion, one.name == "starter"))


def _matrix(site: Site, entry: Entry | None) -> Matrix | None:
    """The confusion matrix of a model's run, if it is there and small enough for a table."""
    path = _run_file(site.home, entry.name, "results.json") if entry else None
    if entry is None or path is None:
        return None
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["model"]["confusion"]
        counts = [[int(n) for n in row] for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    n = len(entry.classes)
    is_of_classes = len(counts) == n and all(len(row) == n for row in counts)
    return Matrix(entry.classes, counts) if is_of_classes and 0 < n <= MOST_CLASSES else None


def run_file(request: Request) -> Response:
    """A file of a model's training run: only known files of known models."""
    site = Site.of(request)
    name = request.path_params["name"]
    file = request.path_params["file"]
    names = {entry.name for entry in find_models(site.home.models)}
    path = _run_file(site.home, name, file) if file in RUN_FILES and name in names else None
    if path is None:
        raise HTTPException(404, "There is no such file of a model.")
    return FileResponse(path, media_type=RUN_FILES[file], headers=RUN_POLICY)


def _run_file(home: Home, name: str, file: str) -> Path | None:
    """The path of a run's file; None if there is none, or it is a link to another folder."""
    folder = home.models / f"{name}.run"
    path = (folder / file).resolve()
    is_inside = path.parent == folder.resolve()
    return path if is_inside and path.is_file() else None
