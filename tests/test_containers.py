"""The image, the compose file and the unit for several machines."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from deployed import ROOT, System
from deployed import system as system

DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def steps() -> list[tuple[str, str]]:
    """Each instruction with its words, in order."""
    joined = CONTAINERFILE.replace("\\\n", "")
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


@pytest.mark.slow
def test_the_steps_of_the_image_make_a_daemon_that_runs(system: System) -> None:
    """Without an engine, as a script: the same commands, in a system of its own."""
    ran = []
    environment = {}
    for word, rest in steps():
        if word == "COPY":
            source, target = rest.split()
            assert source == "."
            # What the environment of the tests has already is not installed again.
            rest = f"mkdir -p {target} && cp -r {shlex.quote(str(system.source))}/. {target}"
        elif word == "ENV":
            name, _, value = rest.partition("=")
            environment[name] = value
        if word in ("RUN", "COPY"):
            done = system.run(rest, **environment)
            if "apt-get" in rest and done.returncode:
                continue  # no network here; the image has one
            assert done.returncode == 0, f"{rest}: {done.stdout}{done.stderr}"
            ran.append(rest)
    assert len(ran) >= 6
    words = "runuser -u vidwatch --preserve-environment -- vidwatch"
    assert system.run(f"{words} run --once", **environment).returncode == 0
    shown = system.run(f"{words} status --json", **environment)
    assert shown.returncode == 0, shown.stderr
    assert system.mode("var/lib/vidwatch/inbox").endswith("vidwatch vidwatch")


def test_the_image_runs_as_a_user_and_stops_as_the_daemon_does() -> None:
    named = dict(steps())
    assert named["USER"] == "vidwatch"
    assert named["STOPSIGNAL"] == "SIGTERM"
    assert named["ENTRYPOINT"] == '["vidwatch"]'
    assert named["CMD"] == '["run"]'
    for name in named["VOLUME"].split():
        assert name in CONTAINERFILE.split("VOLUME")[0]


def test_the_compose_file_names_what_is_there() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"database", "daemon"}
    build = services["daemon"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    for service in services.values():
        assert set(service["secrets"]) <= set(COMPOSE["secrets"])
        named = {line.partition(":")[0] for line in service["volumes"]}
        assert {name for name in named if name.isalpha()} <= set(COMPOSE["volumes"])


def test_no_password_is_in_the_files() -> None:
    for name in ("Containerfile", "compose.yaml", "cluster.conf"):
        text = (DEPLOY / name).read_text()
        assert not re.search(r"://[^/\s@]*:[^/\s@]*@", text)
        assert "POSTGRES_PASSWORD:" not in text
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "deploy/database-password" in ignored


def test_the_compose_file_is_valid(tmp_path: Path) -> None:
    if not shutil.which("docker"):
        pytest.skip("needs docker compose")
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("needs docker compose")
    command = ["docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_systemd_takes_the_unit_of_several_machines(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    program = tmp_path / "vidwatch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = (DEPLOY / "vidwatch.service").read_text()
    unit = unit.replace("/opt/vidwatch/venv/bin/vidwatch", str(program))
    unit = unit.replace("User=vidwatch\nGroup=vidwatch\n", "")
    drop_in = tmp_path / "vidwatch@.service.d"
    drop_in.mkdir()
    (tmp_path / "vidwatch@.service").write_text(unit)
    (drop_in / "cluster.conf").write_text((DEPLOY / "cluster.conf").read_text())
    (tmp_path / "vidwatch@one.service").symlink_to("vidwatch@.service")
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "vidwatch@one.service")]
    done = subprocess.run(
        command,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    wrong = [line for line in done.stderr.splitlines() if "vidwatch" in line]
    assert wrong == []
