"""install.sh in a system of its own."""

import shlex
import shutil
import sqlite3
import stat
import subprocess
import sysconfig
from collections.abc import Callable
from contextlib import closing

import pytest
from conftest import write_video
from deployed import PROGRAM, PYTHON, ROOT, System
from deployed import system as system

HOME, UNIT = "var/lib/vidwatch", "etc/systemd/system/vidwatch.service"


@pytest.mark.slow
def test_it_installs_upgrades_keeps_and_removes(system: System) -> None:
    done = system.install()
    assert done.returncode == 0, done.stdout + done.stderr
    assert system.mode(HOME) == "750 vidwatch vidwatch"
    assert system.mode(f"{HOME}/inbox") == "2770 vidwatch vidwatch"
    assert system.mode(f"{HOME}/vidwatch.toml") == "640 vidwatch vidwatch"
    assert system.mode(f"{HOME}/vidwatch.db") == "640 vidwatch vidwatch"
    assert system.mode(f"{HOME}/models") == "700 vidwatch vidwatch"
    assert system.run(f"cat /{UNIT}").stdout == (ROOT / "deploy/vidwatch.service").read_text()
    assert system.run("systemctl is-enabled vidwatch").stdout == "enabled\n"
    assert (
        system.run(
            "runuser -u vidwatch -- vidwatch --home /var/lib/vidwatch status --json"
        ).returncode
        == 0
    )

    settings = system.root / HOME / "vidwatch.toml"
    settings.write_text("batch_size = 3\n")
    write_video(system.root / HOME / "inbox/a.avi")
    share = system.root / "srv/share"
    share.mkdir(parents=True)
    (system.root / HOME / "duplicates").rmdir()
    (system.root / HOME / "duplicates").symlink_to("/srv/share")
    # A share may refuse to have its owner changed; one that cannot be written at all refuses it
    # surely.
    inbox = f"/{HOME}/inbox"
    is_share = f"mount --bind {inbox} {inbox}; mount -o remount,bind,ro {inbox}; "
    script = shlex.quote(str(system.source / "deploy/install.sh"))
    again = system.run(f"{is_share} sh {script}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "duplicates" not in again.stderr
    assert (share.stat().st_uid, stat.S_IMODE(share.stat().st_mode)) == (0, 0o755)
    assert settings.read_text() == "batch_size = 3\n"
    assert list((system.root / HOME / "backups").glob("before-upgrade-*.db"))
    assert (system.root / HOME / "inbox/a.avi").exists()

    gone = system.install("--uninstall")
    assert gone.returncode == 0, gone.stderr
    assert not (system.root / PROGRAM).exists()
    assert system.run(f"ls -d /{UNIT} /usr/local/bin/vidwatch").stdout == ""
    assert (system.root / HOME / "inbox/a.avi").exists()

    unsure = system.install("--uninstall", "--purge")
    assert (unsure.returncode, "stays" in unsure.stderr) == (1, True)
    assert (system.root / HOME / "inbox/a.avi").exists()

    purged = system.install("--uninstall", "--purge", "--yes")
    assert purged.returncode == 0, purged.stderr
    assert not (system.root / HOME).exists()
    assert system.run("id vidwatch").returncode == 1


@pytest.mark.slow
def test_a_failed_upgrade_says_how_to_go_back_and_one_that_was_disabled_stays_so(
    system: System,
) -> None:
    assert system.install().returncode == 0
    system.run("systemctl disable vidwatch")
    project = system.source / "pyproject.toml"
    whole = project.read_text()
    project.write_text(whole.replace('version = "0.1.0"', "version = 0"))
    failed = system.install()
    assert failed.returncode == 1
    assert "the upgrade failed" in failed.stderr
    assert f"restore /{HOME}/backups/before-upgrade-" in failed.stderr
    project.write_text(whole)
    assert system.install().returncode == 0
    assert system.run("systemctl is-enabled vidwatch").stdout == "disabled\n"


def upgrade_python(system: System) -> None:
    """As after an upgrade of the system: `python3` is another Python now, without our libraries."""
    venv = system.root / PROGRAM / "venv"
    (library,) = (venv / "lib").glob("python3.*")
    library.rename(library.with_name("python3.8"))


def remove_python(system: System) -> None:
    """The Python that the environment was made with is not there any more."""
    for name in ("python", "python3"):
        python = system.root / PROGRAM / "venv/bin" / name
        python.unlink()
        python.symlink_to("/usr/bin/python3.8")


@pytest.mark.slow
@pytest.mark.parametrize("harm", [upgrade_python, remove_python])
def test_an_environment_that_died_with_its_python_is_made_anew(
    system: System, harm: Callable[[System], None]
) -> None:
    assert system.install().returncode == 0
    write_video(system.root / HOME / "inbox/a.avi")
    harm(system)
    status = "runuser -u vidwatch -- vidwatch --home /var/lib/vidwatch status --json"
    libraries = sysconfig.get_path("purelib")
    assert system.run(status, PYTHONPATH=libraries).returncode != 0
    script = shlex.quote(str(system.source / "deploy/install.sh"))
    done = system.run(f"sh {script}", PYTHONPATH=libraries)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"the environment /{PROGRAM}/venv cannot be used" in done.stdout
    assert "making it anew" in done.stdout
    (copy,) = (system.root / HOME / "backups").glob("before-upgrade-*.db")
    assert system.mode(f"{HOME}/backups/{copy.name}") == "640 vidwatch vidwatch"
    with closing(sqlite3.connect(copy)) as database:
        assert database.execute("SELECT count(*) FROM videos").fetchone() == (0,)
    assert system.run(status, PYTHONPATH=libraries).returncode == 0
    assert (system.root / HOME / "inbox/a.avi").exists()


@pytest.mark.slow
def test_a_home_that_was_carried_here_is_installed(system: System) -> None:
    """Its database is there, and the user is not."""
    assert system.install().returncode == 0
    assert system.install("--uninstall").returncode == 0
    system.run("userdel vidwatch")
    assert system.run(f"{PYTHON} -m venv /{PROGRAM}/venv").returncode == 0
    (packages,) = (system.root / PROGRAM / "venv/lib").glob("python*/site-packages")
    (packages / "of-the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    done = system.install()
    assert done.returncode == 0, done.stdout + done.stderr
    assert system.mode(f"{HOME}/vidwatch.db").endswith("vidwatch vidwatch")


@pytest.mark.slow
def test_an_environment_is_put_back_if_the_new_one_cannot_be_made(system: System) -> None:
    assert system.install().returncode == 0
    remove_python(system)
    before = (system.root / PROGRAM / "venv/bin/python").readlink()
    script = shlex.quote(str(system.source / "deploy/install.sh"))
    done = system.run(
        f"echo broken > {shlex.quote(str(system.source))}/pyproject.toml; sh {script}"
    )
    assert done.returncode == 1
    assert (system.root / PROGRAM / "venv/bin/python").readlink() == before
    assert not (system.root / PROGRAM / "venv.before").exists()


@pytest.mark.slow
def test_what_it_cannot_use_is_named_before_anything_is_changed(system: System) -> None:
    pythons = {
        "old": 'case "$*" in *print*) echo 3.8;; *) exit 1;; esac',
        "novenv": f'case "$*" in *venv*) exit 1;; *) exec {PYTHON} "$@";; esac',
        "nosqlite": f'case "$*" in *sqlite3*) exit 1;; *) exec {PYTHON} "$@";; esac',
        "tmp/python": f'exec {PYTHON} "$@"',
    }
    for name, script in pythons.items():
        (system.root / name).write_text(f"#!/bin/sh\n{script}\n")
        (system.root / name).chmod(0o755)
    script = shlex.quote(str(system.source / "deploy/install.sh"))
    for harm, named in (
        ("PYTHON=/no/python", "/no/python is not there"),
        ("PYTHON=/bin/true", "/bin/true does not run as Python"),
        ("PYTHON=/old", "/old is Python 3.8, and 3.11 or newer is needed"),
        ("PYTHON=/novenv", "cannot make environments: install python3-venv"),
        ("PYTHON=/nosqlite", "was built without sqlite3 or ssl"),
        ("PYTHON=/tmp/python", "which the service cannot read"),
        ("setpriv --reuid=1000 --clear-groups", "run it as root"),
        ("rm /usr/bin/systemd-sysusers;", "systemd-sysusers is not on this machine"),
        (f"rm {shlex.quote(str(system.source))}/pyproject.toml;", "is not the project's folder"),
    ):
        done = system.run(f"{harm} sh {script}")
        assert (done.returncode, named in done.stderr) == (1, True), done.stdout + done.stderr
        assert not (system.root / HOME).exists()
        assert not (system.root / UNIT).exists()


@pytest.mark.slow
def test_it_says_that_nothing_runs_and_keeps_a_command_of_somebody_else(system: System) -> None:
    own = system.root / "usr/local/bin/vidwatch"
    system.run("mkdir -p /usr/local/bin; echo mine > /usr/local/bin/vidwatch")
    done = system.install()
    assert done.returncode == 0, done.stderr
    assert "systemd does not run here, so the service was not started" in done.stdout
    assert "/usr/local/bin/vidwatch is not of this script" in done.stdout
    assert system.run(f"cat /{own.relative_to(system.root)}").stdout == "mine\n"
    assert system.install("--uninstall").returncode == 0
    assert system.run(f"cat /{own.relative_to(system.root)}").stdout == "mine\n"


@pytest.mark.parametrize(
    ("option", "code"), [("--help", 0), ("--purge", 1), ("--yes", 1), ("--upgrade", 2)]
)
def test_options_that_make_no_sense_change_nothing(option: str, code: int) -> None:
    done = subprocess.run(
        ["sh", ROOT / "deploy/install.sh", option], capture_output=True, text=True
    )
    assert done.returncode == code
    assert "--uninstall" in done.stdout + done.stderr


def test_the_script_can_be_run_and_a_shell_of_any_kind_reads_it() -> None:
    script = ROOT / "deploy/install.sh"
    assert script.stat().st_mode & stat.S_IXUSR
    if not shutil.which("shellcheck"):
        pytest.skip("needs shellcheck")
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
