"""The wheel: what people install who have no checkout."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest
from conftest import write_video
from deployed import ROOT, not_source

PACKAGES = ("daemon", "learner", "migrations")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN = "from daemon.cli.app import main; main()"


def built(kind: str, folder: Path) -> Path:
    """What is built of a copy of the checkout; `kind` is `wheel` or `sdist`."""
    if not importlib.util.find_spec("hatchling"):
        pytest.skip("needs hatchling")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=not_source)
    shutil.copy(ROOT / ".gitignore", source)
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder / "dist")]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (made,) = (folder / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    return built("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """What the wheel holds, where pip would put it."""
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    return tmp_path / "site"


def vidwatch(installed: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, from the wheel alone, outside of the checkout."""
    return subprocess.run(
        [sys.executable, "-P", "-c", RUN, "--home", home, *arguments],
        cwd=home.parent,
        env={**os.environ, "PYTHONPATH": str(installed), "VIDWATCH_DEVICE": "cpu"},
        capture_output=True,
        text=True,
    )


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    ours = {str(path.relative_to(ROOT)) for path in paths if path.is_file()}
    assert {name for name in ours if "__pycache__" not in name} <= names
    info = f"vidwatch-{PROJECT['version']}.dist-info"
    assert {f"{info}/licenses/{name}" for name in ("LICENSE", "NOTICE")} <= names
    assert {name.partition("/")[0] for name in names} == {*PACKAGES, info}


def test_the_source_archive_installs_a_service(tmp_path: Path) -> None:
    with tarfile.open(built("sdist", tmp_path)) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    deploy = {f"deploy/{path.name}" for path in (ROOT / "deploy").iterdir() if path.is_file()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff"} <= names
    assert deploy - {"deploy/database-password"} <= names


def test_the_wheel_alone_makes_keeps_and_restores_a_home(installed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    for words in (["init"], ["backup"], ["restore"], ["status"], ["recipes"], ["version"]):
        done = vidwatch(installed, home, *words)
        assert done.returncode == 0, done.stderr
    assert (home / "vidwatch.toml").read_text().startswith("#")


@pytest.mark.slow
def test_the_wheel_alone_classifies_and_serves_the_page(installed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert vidwatch(installed, home, "init").returncode == 0
    write_video(home / "inbox/a.mp4")
    done = vidwatch(installed, home, "run", "--once")
    assert done.returncode == 0, done.stderr
    assert '"filed": 1' in vidwatch(installed, home, "status", "--json").stdout
    server = subprocess.Popen(
        [sys.executable, "-P", "-c", RUN, "--home", home, "review", "--port", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        line = server.stdout.readline()
        address = line[line.index("http://") :].split()[0]
        for path in ("", "static/review.css", "static/review.js"):
            with urllib.request.urlopen(address + path) as answer:
                assert (answer.status, len(answer.read()) > 100) == (200, True)
    finally:
        server.terminate()
        server.wait(60)


def test_what_is_cited_is_what_is_packaged() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {PROJECT['version']}\n" in citation
    assert f"license: {PROJECT['license']}\n" in citation


def test_each_extra_is_described() -> None:
    text = (ROOT / "docs/install.md").read_text()
    extras = set(PROJECT["optional-dependencies"]) - {"test"}
    assert [name for name in sorted(extras) if f"| `{name}` |" not in text] == []
