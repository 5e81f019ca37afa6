import subprocess
import sys
from pathlib import Path

import pytest

from daemon.database import integrity
from daemon.home import mounts
from daemon.home.mounts import filesystem_of, is_network
from learner.errors import VidwatchError

MOUNTS = r"""
22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 27 0:50 / /srv/inbox rw,relatime shared:7 master:3 - nfs4 nas:/clips rw,vers=4.2
41 27 0:51 / /srv/with\040blank rw - cifs //nas/clips rw
42 27 0:52 / /home/ann/mnt rw - fuse.sshfs ann@nas:/ rw
43 27 0:53 / /mnt/c rw - 9p drvfs rw
44 27 8:1 / /media/stick rw - fuseblk /dev/sdb1 rw
45 27 0:54 / /auto rw - autofs systemd-1 rw
46 45 0:55 / /auto rw - nfs nas:/auto rw
47 27 0:56 / /srv/inbox2 rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/", "ext4", False),
        ("/srv", "ext4", False),
        ("/srv/inbox", "nfs4", True),
        ("/srv/inbox/deep/er", "nfs4", True),
        ("/srv/inbox2", "tmpfs", False),
        ("/srv/inboxes", "ext4", False),
        ("/srv/with blank/a", "cifs", True),
        ("/home/ann/mnt/a", "fuse.sshfs", True),
        ("/mnt/c/Users", "9p", True),
        ("/media/stick", "fuseblk", False),
        ("/auto/a", "nfs", True),
    ],
)
def test_the_innermost_and_latest_mount_counts(path: str, kind: str, network: bool) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind
    assert is_network(kind) == network


def test_a_kind_that_is_not_known_is_called_unknown_and_is_no_network() -> None:
    assert filesystem_of(Path("/a"), "nonsense\n1 2 - \n") == "unknown"
    assert not is_network("unknown")


def test_the_mounts_of_this_machine_are_read() -> None:
    assert filesystem_of(Path("/proc/self")) == "proc"
    assert filesystem_of(Path("/dev/shm")) in ("tmpfs", filesystem_of(Path("/dev")))


def test_a_mount_is_seen(tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    code = (
        "import sys; from pathlib import Path; from daemon.home.mounts import filesystem_of;"
        "print(filesystem_of(Path(sys.argv[1]) / 'a'))"
    )
    mount = f'mount -t tmpfs none "{tmp_path}/mnt"'
    script = f'{mount} && exec {sys.executable} -c "{code}" "{tmp_path}/mnt"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True
    )
    if done.returncode:
        pytest.skip("needs user namespaces")
    assert done.stdout == b"tmpfs\n"


def test_a_home_on_a_network_file_system_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "mountinfo"
    made.write_text(
        f"27 1 254:0 / / rw - ext4 /dev/vda1 rw\n28 27 0:9 / {tmp_path} rw - nfs4 nas:/home rw\n"
    )
    monkeypatch.setattr(mounts, "MOUNTS", made)
    with pytest.raises(
        VidwatchError, match=r"network file system \(nfs4\).*put the home on a disk of this machine"
    ):
        integrity.require_whole(tmp_path / "vidwatch.db")
