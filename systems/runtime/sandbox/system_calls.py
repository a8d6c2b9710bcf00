"""System calls that an instance does not need, by purpose, and their numbers by architecture.

Numbers from the kernel's ``arch/x86/entry/syscalls/syscall_64.tbl`` and
``include/uapi/asm-generic/unistd.h`` (aarch64). A call without a number on an architecture does not
exist there: aarch64 has ``fchmodat`` but no ``chmod``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NETWORK = frozenset({"socketpair", "connect", "bind", "listen", "accept", "accept4"})
PROGRAMS = frozenset({"execve", "execveat"})
PROCESSES = frozenset(
    {
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "process_madvise",
        "kcmp",
        "pidfd_getfd",
        "pidfd_send_signal",
        "tkill",
        "rt_sigqueueinfo",
        "rt_tgsigqueueinfo",
        "perf_event_open",
        "userfaultfd",
    }
)
FORKS = frozenset({"fork", "vfork"})
"""On architectures that have them; on all, ``clone`` is denied for anything but a thread."""
SCHEDULING = frozenset(
    {"setpriority", "ioprio_set", "sched_setscheduler", "sched_setparam", "sched_setattr"}
)
FILES = frozenset(
    {
        "chmod",
        "fchmod",
        "fchmodat",
        "fchmodat2",
        "chown",
        "fchown",
        "lchown",
        "fchownat",
        "utime",
        "utimes",
        "utimensat",
        "futimesat",
        "setxattr",
        "lsetxattr",
        "fsetxattr",
        "setxattrat",
        "removexattr",
        "lremovexattr",
        "fremovexattr",
        "removexattrat",
        "file_setattr",
        "truncate",
    }
)
"""Mode, owner, times and attributes of files, which Landlock does not cover; also their length,
which it covers from version 3 on."""
SHARING = frozenset(
    {"memfd_create", "memfd_secret", "shmget", "shmat", "semget", "msgget", "mq_open"}
)
"""Memory that no limit counts, and channels that have a name."""
KERNEL = frozenset(
    {
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "bpf",
        "keyctl",
        "add_key",
        "request_key",
        "mount",
        "umount2",
        "pivot_root",
        "chroot",
        "move_mount",
        "open_tree",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "unshare",
        "setns",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
        "delete_module",
        "reboot",
        "swapon",
        "swapoff",
        "acct",
        "quotactl",
        "settimeofday",
        "clock_settime",
        "clock_adjtime",
        "adjtimex",
        "sethostname",
        "setdomainname",
        "syslog",
        "open_by_handle_at",
    }
)
UNUSED = NETWORK | PROGRAMS | PROCESSES | KERNEL | SCHEDULING | SHARING | FILES
"""Calls that an instance on the CPU never makes."""
OF_A_DRIVER = NETWORK | SCHEDULING | SHARING | FILES
"""Calls that a GPU's driver may make while it starts a context."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Denied values of one argument (counted from 0) of a call."""

    argument: int
    denied: frozenset[int]


COMMANDS: Mapping[str, Commands] = {
    # F_SETOWN, F_SETSIG, F_SETOWN_EX: send a chosen signal to a chosen process; F_SETLEASE: makes
    # others wait before they can open a file.
    "fcntl": Commands(1, frozenset({8, 10, 15, 1024})),
    # FIOSETOWN, SIOCSPGRP: like F_SETOWN; FS_IOC_SETFLAGS, FS_IOC_SETVERSION, FS_IOC_FSSETXATTR:
    # like file_setattr.
    "ioctl": Commands(1, frozenset({0x8901, 0x8902, 0x40086602, 0x40087602, 0x401C5820})),
    # PR_SET_PDEATHSIG: would outlive the platform. ``process.settle`` sets it before the filter.
    "prctl": Commands(0, frozenset({1})),
}
"""linux/fcntl.h, asm-generic/sockios.h, linux/fs.h, linux/prctl.h."""


@dataclass(frozen=True, slots=True)
class Machine:
    """An architecture: its ``AUDIT_ARCH`` (linux/audit.h) and its system-call numbers."""

    audit: int
    numbers: Mapping[str, int]


_COMMON = {
    "clone3": 435, "process_madvise": 440, "pidfd_getfd": 438, "pidfd_send_signal": 424,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442, "memfd_secret": 447, "fchmodat2": 452, "setxattrat": 463,
    "removexattrat": 466, "file_setattr": 469,
}  # fmt: skip
_X86_64 = {
    "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "socketpair": 53,
    "clone": 56, "execve": 59, "kill": 62, "ptrace": 101, "syslog": 103, "pivot_root": 155,
    "adjtimex": 159, "chroot": 161,
    "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
    "reboot": 169, "sethostname": 170, "setdomainname": 171, "init_module": 175,
    "delete_module": 176, "quotactl": 179, "tkill": 200, "clock_settime": 227, "tgkill": 234,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272,
    "accept4": 288, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "perf_event_open": 298,
    "prlimit64": 302, "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "fork": 57, "vfork": 58, "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144,
    "sched_setaffinity": 203, "ioprio_set": 251, "sched_setattr": 314, "memfd_create": 319,
    "shmget": 29, "shmat": 30, "semget": 64, "msgget": 68, "mq_open": 240,
    "seccomp": 317, "kexec_file_load": 320, "bpf": 321, "execveat": 322, "userfaultfd": 323,
    "ioctl": 16, "fcntl": 72, "truncate": 76, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93,
    "lchown": 94, "utime": 132, "prctl": 157, "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190,
    "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199, "utimes": 235, "fchownat": 260,
    "futimesat": 261, "fchmodat": 268, "utimensat": 280,
}  # fmt: skip
_AARCH64 = {
    "umount2": 39, "mount": 40, "pivot_root": 41, "chroot": 51, "quotactl": 60, "acct": 89,
    "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106,
    "clock_settime": 112, "syslog": 116, "ptrace": 117, "kill": 129, "tkill": 130, "tgkill": 131,
    "rt_sigqueueinfo": 138, "reboot": 142, "sethostname": 161, "setdomainname": 162,
    "settimeofday": 170, "adjtimex": 171, "socket": 198, "socketpair": 199, "bind": 200,
    "listen": 201, "accept": 202,
    "connect": 203, "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221,
    "swapon": 224, "swapoff": 225, "rt_tgsigqueueinfo": 240, "perf_event_open": 241, "accept4": 242,
    "prlimit64": 261, "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268,
    "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273,
    "setpriority": 140, "sched_setparam": 118, "sched_setscheduler": 119,
    "sched_setaffinity": 122, "ioprio_set": 30, "sched_setattr": 274, "memfd_create": 279,
    "shmget": 194, "shmat": 196, "semget": 190, "msgget": 186, "mq_open": 180,
    "seccomp": 277, "bpf": 280, "execveat": 281, "userfaultfd": 282, "kexec_file_load": 294,
    "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
    "fremovexattr": 16, "fcntl": 25, "ioctl": 29, "truncate": 45, "fchmod": 52, "fchmodat": 53,
    "fchownat": 54, "fchown": 55, "utimensat": 88, "prctl": 167,
}  # fmt: skip
MACHINES = {
    "x86_64": Machine(0xC000003E, {**_COMMON, **_X86_64}),
    "aarch64": Machine(0xC00000B7, {**_COMMON, **_AARCH64}),
}
