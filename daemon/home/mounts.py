"""Which kind of file system a path lies on, from the kernel's list of mounts."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

# Other machines write to these file systems, or the host of a virtual machine does. The kernel
# reports no events of what they write, and memory is not shared with them.
NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p", "ceph", "glusterfs",
    "lustre", "beegfs", "gpfs", "orangefs", "pvfs2", "gfs2", "ocfs2", "moosefs", "vboxsf",
    "vmhgfs", "prl_fs", "virtiofs",
}  # fmt: skip
# Those of FUSE, whose kinds are written as "fuse.sshfs". The other ones of FUSE belong to this
# machine alone (ntfs-3g, encfs).
NETWORK_FUSE = {
    "sshfs", "glusterfs", "ceph", "ceph-fuse", "rclone", "s3fs", "gcsfuse", "davfs", "curlftpfs",
    "smbnetfs", "mfs", "juicefs", "seaweedfs", "goofys", "mount-s3", "blobfuse", "blobfuse2",
    "vmhgfs-fuse", "grpcfuse", "gvfsd-fuse", "portal", "osxfs", "fakeowner", "hdfs", "fuse_dfs",
    "lizardfs", "jfs",
}  # fmt: skip


def filesystem_of(path: Path, mounts: str | None = None) -> str:
    """The kind of file system that `path` lies on, such as "ext4".

    Args:
        path: It need not exist.
        mounts: Text in the form of /proc/self/mountinfo (proc(5)). None: read that file.

    Returns:
        The kind; "unknown" if the kernel does not say.
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return "unknown"
    found = "unknown"
    depth = -1
    place = Path(path).resolve()
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        kind = after.split(" ")[0]
        if len(fields) < 5 or not kind:
            continue
        point = Path(_unescaped(fields[4]))
        # If two are mounted at the same place, the later one hides the earlier one.
        if place.is_relative_to(point) and len(point.parts) >= depth:
            found = kind
            depth = len(point.parts)
    return found


def is_network(kind: str) -> bool:
    """Whether other machines write to such a file system.

    The kernel reports no events of theirs, and SQLite's WAL mode does not work there.
    """
    if kind in NETWORK:
        return True
    family, _, inner = kind.partition(".")
    return family in ("fuse", "fuseblk") and inner.rpartition("/")[2] in NETWORK_FUSE


def _unescaped(text: str) -> str:
    r"""The text with its escapes resolved: a blank is written as `\040`, its byte in octal."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
