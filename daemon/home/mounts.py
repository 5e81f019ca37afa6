"""What kind of file system a path lies on. Only reads what the kernel says of its mounts."""

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

# Other machines write here, or the host of a virtual one: the kernel tells nothing of what they do, and memory is not
# shared with them.
NETWORK = {
    *(
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "coda",
        "9p",
        "ceph",
        "glusterfs",
        "lustre",
        "beegfs",
    ),
    *(
        "gpfs",
        "orangefs",
        "pvfs2",
        "gfs2",
        "ocfs2",
        "moosefs",
        "vboxsf",
        "vmhgfs",
        "prl_fs",
        "virtiofs",
    ),
}
# "fuse.sshfs" and the like; of FUSE, only these. Others are of this machine (ntfs-3g, encfs).
NETWORK_FUSE = {
    *(
        "sshfs",
        "glusterfs",
        "ceph",
        "ceph-fuse",
        "rclone",
        "s3fs",
        "gcsfuse",
        "davfs",
        "curlftpfs",
        "smbnetfs",
    ),
    *(
        "mfs",
        "juicefs",
        "seaweedfs",
        "goofys",
        "mount-s3",
        "blobfuse",
        "blobfuse2",
        "vmhgfs-fuse",
        "grpcfuse",
    ),
    *("gvfsd-fuse", "portal", "osxfs", "fakeowner", "hdfs", "fuse_dfs", "lizardfs", "jfs"),
}


def filesystem_of(path: Path, mounts: str | None = None) -> str:
    """The kind of file system that `path` lies on, such as "ext4"; "unknown" where the kernel does not tell.

    `mounts` is text as in /proc/self/mountinfo (proc(5)), which is read if it is not given. The path need not exist.
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return "unknown"
    found, depth = "unknown", -1
    place = Path(path).resolve()
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")[0]
        if len(fields) < 5 or not kind:
            continue
        point = Path(_unescaped(fields[4]))
        # Of two that are mounted over each other the later one is seen.
        if place.is_relative_to(point) and len(point.parts) >= depth:
            found, depth = kind, len(point.parts)
    return found


def is_network(kind: str) -> bool:
    """Whether other machines write to such a file system: events of them are not told, and WAL does not work."""
    family, _, inner = kind.partition(".")
    return kind in NETWORK or (
        family in ("fuse", "fuseblk") and inner.rpartition("/")[2] in NETWORK_FUSE
    )


def _unescaped(text: str) -> str:
    r"""Blanks and the like are written as `\040`; the digits are those of one byte."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
