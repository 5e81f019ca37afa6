"""Who may import whom, and what must not be loaded where it would be waited for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A room imports only rooms of later lines; those of one line do not import each other.
ORDER = [
    ["cli"],
    ["service", "backfill", "client", "demo"],
    ["maintenance", "page", "notify"],
    ["export"],
    ["classify", "report"],
    ["training"],
    ["labels"],
    ["database", "inbox"],
    ["home"],
]
LONGEST_MODULE = 350  # lines
VIDWATCH = Path(sys.executable).with_name("vidwatch")
HEAVY = {
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "torch",
    "timm",
    "cv2",
    "av",
    "scipy",
    "sklearn",
    "torchvision",
    "matplotlib",
    "openvino",
}
HEAVY_DAEMON = {
    "backfill/cluster.py",
    "backfill/features.py",
    "backfill/remote.py",
    "backfill/steps.py",
    "demo/clips.py",
    "service/daemon.py",
    "classify/champion.py",
    "classify/inference.py",
    "classify/decoding.py",
    "classify/decoder.py",
    "classify/decoder_process.py",
    "classify/head.py",
    "classify/reading.py",
    "classify/reply.py",
    "training/choosing.py",
    "training/trainer.py",
    "training/evidence.py",
    "classify/rescoring.py",
    "cli/classify.py",
    "cli/models.py",
    "cli/recipes.py",
    "cli/training.py",
    "cli/shared.py",
    "maintenance/stored.py",
    "maintenance/doctor.py",
    "maintenance/machine.py",
    "cli/progress.py",
}
LIGHT_LEARNER = {
    "learner.errors",
    "learner.files",
    "learner.folders",
    "learner.groups",
    "learner.likeness",
    "learner.prediction",
    "learner.process",
    "learner.catalogue",
    "learner.recipe",
    "learner.recording",
    "learner.sequential",
    "learner.classes",
    "learner.spec",
    "learner.texts",
    "learner.window_plan",
}
# What decoders and models exchange, in modules that also decode.
DATA = {"learner.video", "learner.video.Clip", "learner.cutting", "learner.cutting.Window"}
DATA |= {"learner.windows", "learner.windows.Long", "learner.windows.Piece"}

Import = ast.Import | ast.ImportFrom


def imports(path: Path) -> set[str]:
    return named(ast.parse(path.read_text()))


def named(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def within(names: set[str], package: str) -> set[str]:
    return {name for name in names if name == package or name.startswith(package + ".")}


def arrows(root: Path) -> set[tuple[str, str]]:
    """The rooms of `daemon/` below `root` that import each other, as (importer, imported)."""
    found = set()
    for path in (root / "daemon").rglob("*.py"):
        room = path.relative_to(root / "daemon").parts[0].removesuffix(".py")
        for name in within(imports(path), "daemon"):
            imported = name.split(".")[1] if "." in name else ""
            if imported != room:
                found.add((room, imported))
    return found


def wrong_arrows(root: Path) -> list[str]:
    """The imports that break the order of rooms."""
    wrong = []
    for room, imported in sorted(arrows(root)):
        level = {name: place for place, names in enumerate(ORDER) for name in names}
        if room not in level or imported not in level or level[room] >= level[imported]:
            wrong.append(f"{room} imports {imported or 'daemon'}")
    return wrong


def test_a_room_imports_only_rooms_that_come_after_it() -> None:
    rooms = {path.name for path in (ROOT / "daemon").iterdir() if (path / "__init__.py").is_file()}
    assert rooms | {"client"} == {name for names in ORDER for name in names}
    modules = {path.name for path in (ROOT / "daemon").glob("*.py")}
    assert modules == {"__init__.py", "client.py"}
    found = arrows(ROOT)
    for room in [name for names in ORDER for name in names]:
        print(f"{room}: {', '.join(sorted(to for source, to in found if source == room))}")
    assert wrong_arrows(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "wrong"),
    [
        ("home/space.py", "from daemon.database.queue import Queue", "home imports database"),
        ("labels/deep/er.py", "import daemon.cli.app", "labels imports cli"),
        (
            "inbox/watcher.py",
            "def f():\n    from daemon.database import tables",
            "inbox imports database",
        ),
        ("review/app.py", "from daemon.maintenance import check", "review imports maintenance"),
        ("attic/old.py", "from daemon.home import clock", "attic imports home"),
    ],
)
def test_a_wrong_import_is_found_wherever_it_stands(
    tmp_path: Path, file: str, line: str, wrong: str
) -> None:
    path = tmp_path / "daemon" / file
    path.parent.mkdir(parents=True)
    path.write_text(line + "\n")
    assert wrong_arrows(tmp_path) == [wrong]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "daemon"))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "learner").rglob("*.py")), ids=lambda path: path.name
)
def test_the_learner_knows_no_daemon_no_database_and_no_watcher(path: Path) -> None:
    forbidden = ("daemon", "migrations", "sqlalchemy", "watchdog", "apscheduler", "alembic")
    assert set().union(*(within(imports(path), package) for package in forbidden)) == set()


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "daemon").rglob("*.py")) if path.parent.name != "page"],
    ids=name_of,
)
def test_the_daemon_uses_the_heavy_learner_only_where_it_decodes_and_classifies(path: Path) -> None:
    used = {name for name in within(imports(path), "learner") if name != "learner"}
    heavy = {name for name in used if not any(within({name}, light) for light in LIGHT_LEARNER)}
    if name_of(path) not in HEAVY_DAEMON:
        assert heavy - DATA == set()


@pytest.mark.parametrize(
    "path",
    # That one is a program of its own, which the page starts.
    sorted({*(ROOT / "daemon/page").glob("*.py")} - {ROOT / "daemon/page/film_program.py"}),
    ids=lambda path: path.name,
)
def test_the_review_page_loads_the_heavy_learner_in_functions_alone(path: Path) -> None:
    outside = ast.Module(
        [node for node in ast.parse(path.read_text()).body if isinstance(node, Import)], []
    )
    used = {name for name in within(named(outside), "learner") if name != "learner"}
    assert {
        name for name in used if not any(within({name}, light) for light in LIGHT_LEARNER)
    } == set()
    assert (
        within(named(outside), "daemon.classify.decoding")
        | within(named(outside), "daemon.service.daemon")
        == set()
    )


def test_what_is_pure_stays_so() -> None:
    settling = imports(ROOT / "daemon/inbox/settling.py")
    assert within(settling, "watchdog") | within(settling, "threading") == set()


def test_no_module_is_too_long_to_be_read_at_once() -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for top in ("daemon", "learner", "migrations")
        for path in (ROOT / top).rglob("*.py")
    }
    assert {path: count for path, count in lines.items() if count > LONGEST_MODULE} == {}


def test_migrations_import_the_tables_alone() -> None:
    for path in (ROOT / "migrations").rglob("*.py"):
        assert within(imports(path), "learner") == set()
        assert within(imports(path), "daemon") <= {
            "daemon.database.tables",
            "daemon.database.tables.metadata",
        }


SLOW_FOR_STATUS = {"typer", "pydantic", "alembic", "watchdog", "sqlalchemy.orm"}


@pytest.mark.parametrize(
    ("arguments", "forbidden"),
    [
        (["--help"], HEAVY | {"sqlalchemy", "pydantic_settings", "alembic"}),
        (["--version"], HEAVY | {"sqlalchemy", "pydantic_settings", "alembic"}),
        (["run", "--help"], HEAVY | {"sqlalchemy", "pydantic_settings", "alembic"}),
        (["status"], HEAVY | SLOW_FOR_STATUS),
        (["status", "--json"], HEAVY | SLOW_FOR_STATUS),
        (["models"], HEAVY | {"pydantic_settings", "alembic", "sqlalchemy.orm"}),
        (["recipes"], HEAVY | {"sqlalchemy", "pydantic_settings", "alembic"}),
        (["version"], (HEAVY - {"av"}) | {"sqlalchemy", "pydantic_settings", "alembic"}),
        (["backbones"], HEAVY | {"sqlalchemy", "pydantic_settings", "alembic"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_answers_at_once_loads_nothing_heavy(
    tmp_path: Path, arguments: list[str], forbidden: set[str]
) -> None:
    subprocess.run([VIDWATCH, "init", tmp_path], check=True, capture_output=True)
    command = [sys.executable, "-X", "importtime", VIDWATCH, "--home", tmp_path, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "daemon.cli.ending" in loaded
    assert loaded & forbidden == set()
