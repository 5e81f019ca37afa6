"""The system calls that a decoder may not make, by their numbers on the machines that we know."""

from typing import NamedTuple

# For each machine: the kernel's number of its architecture, and the place of its numbers below.
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

Numbers = tuple[int | None, int | None]
"""Of a call on x86_64 and on aarch64; None if there is no such call."""

SECCOMP = (317, 277)

REFUSED: tuple[Numbers, ...] = (
    # socket, socketpair; io_uring_setup, because io_uring opens sockets, too.
    *((41, 198), (53, 199), (425, 425)),
    # execve, execveat.
    *((59, 221), (322, 281)),
    # fork, vfork: what they make would outlive the decoder.
    *((57, None), (58, None)),
    # Other processes of the same user, such as the daemon, their memory and their open files:
    # ptrace, process_vm_readv, process_vm_writev, pidfd_open, pidfd_getfd, pidfd_send_signal,
    # process_madvise, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, perf_event_open, kcmp.
    *((101, 117), (310, 270), (311, 271), (434, 434), (438, 438), (424, 424), (440, 440)),
    *((200, 130), (129, 138), (297, 240), (298, 241), (312, 272)),
    # Their shares of the processor and the memory: setpriority, sched_setparam,
    # sched_setscheduler, sched_setattr, sched_setaffinity, ioprio_set, migrate_pages, move_pages.
    *(
        (141, 140),
        (142, 118),
        (144, 119),
        (314, 274),
        (203, 122),
        (251, 30),
        (256, 238),
        (279, 239),
    ),
    # Files to write: creat, openat2 (whose flags a filter cannot see), open_by_handle_at, truncate,
    # ftruncate, fallocate.
    *((85, None), (437, 437), (304, 265), (76, 45), (77, 46), (285, 47)),
    # Names of files: rename, renameat, renameat2, link, linkat, symlink, symlinkat, unlink,
    # unlinkat, mkdir, mkdirat, rmdir, mknod, mknodat.
    *((82, None), (264, 38), (316, 276), (86, None), (265, 37), (88, None), (266, 36)),
    *((87, None), (263, 35), (83, None), (258, 34), (84, None), (133, None), (259, 33)),
    # Their modes and owners: chmod, fchmod, fchmodat, fchmodat2, chown, fchown, fchownat, lchown.
    *((90, None), (91, 52), (268, 53), (452, 452), (92, None), (93, 55), (260, 54), (94, None)),
    # Their dates: utime, utimes, futimesat, utimensat; file_setattr.
    *((132, None), (235, None), (261, None), (280, 88), (469, 469)),
    # Their other attributes: setxattr, lsetxattr, fsetxattr, setxattrat, removexattr, lremovexattr,
    # fremovexattr, removexattrat.
    *((188, 5), (189, 6), (190, 7), (463, 463), (197, 14), (198, 15), (199, 16), (466, 466)),
    # Locks, which would hold up the database: flock.
    (73, 32),
    # Another view of the system, keys, and more of the kernel: unshare, setns, mount, umount2,
    # keyctl, add_key, request_key, bpf, userfaultfd.
    *((272, 97), (308, 268), (165, 40), (166, 39)),
    *((250, 219), (248, 217), (249, 218), (321, 280), (323, 282)),
)

# clone3, whose flags a filter cannot see. The C library takes clone if there is no clone3.
MISSING: tuple[Numbers, ...] = ((435, 435),)


class Condition(NamedTuple):
    """A call that is allowed only with some arguments."""

    numbers: Numbers
    argument: int
    """The place of the argument that counts, from 0."""
    allowed: tuple[int, ...] = ()
    """The values that it may have; if there are none here, the bits count."""
    without: int = 0
    """Bits of which none may be set."""
    only_with: int = 0
    """Bits of which one has to be set."""


_WRITING = 0o1 | 0o2 | 0o100 | 0o1000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC
_THREAD = 0x00010000  # CLONE_THREAD


def conditions(process: int) -> tuple[Condition, ...]:
    """The calls that a process may make only with some arguments."""
    return (
        # open, openat: to read.
        Condition((2, None), 1, without=_WRITING),
        Condition((257, 56), 2, without=_WRITING),
        # kill, tgkill: itself, as abort() does.
        Condition((62, 129), 0, (process,)),
        Condition((234, 131), 0, (process,)),
        # prlimit64: its own limits.
        Condition((302, 261), 0, (0, process)),
        # clone: threads.
        Condition((56, 220), 0, only_with=_THREAD),
        # fcntl: F_DUPFD to F_SETFL, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ. No locks, leases
        # or signals.
        Condition((72, 25), 1, (0, 1, 2, 3, 4, 1030, 1031, 1032)),
        # ioctl: TCGETS, FIONREAD, FIONCLEX, FIOCLEX. It can neither type into a terminal nor have
        # signals sent.
        Condition((16, 29), 1, (0x5401, 0x541B, 0x5450, 0x5451)),
        # prctl: PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME. With PR_SET_PDEATHSIG it could outlive
        # the daemon.
        Condition((157, 167), 0, (3, 15, 16)),
    )
