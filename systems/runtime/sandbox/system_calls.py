"""System calls by purpose: what an instance makes, and what it does not need."""

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
BEFORE_A_CONTEXT = (
    (NETWORK - {"bind", "listen"}) | PROGRAMS | PROCESSES | KERNEL | SCHEDULING | SHARING | FILES
)
"""Calls that the start of a context does without (driver 580). Of these it makes only ``connect``.
Without ``bind`` and ``listen`` on a Unix socket it ends in error 304 or SIGSEGV, and so it does if
only the calls of :data:`ALLOWED` and these are left."""

_READING = frozenset(
    {
        "open", "openat", "openat2", "read", "pread64", "readv", "preadv", "preadv2", "write",
        "pwrite64", "writev", "pwritev", "pwritev2", "close", "close_range", "lseek", "stat",
        "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat",
        "faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "dup", "dup2",
        "dup3", "pipe", "pipe2", "fadvise64", "readahead", "flock", "fcntl", "ioctl",
    }
)  # fmt: skip
"""Read files that are open or that Landlock lets be opened; write to what is open."""
_WRITING = frozenset(
    {
        "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "rename", "renameat", "renameat2",
        "ftruncate",
    }
)  # fmt: skip
"""The import of libraries looks for a folder in which it can write. Later Landlock denies that."""
_MEMORY = frozenset(
    {
        "mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "msync", "mincore", "mlock",
        "munlock", "mbind", "get_mempolicy", "set_mempolicy", "membarrier",
    }
)  # fmt: skip
"""Own memory."""
_THREADS = frozenset(
    {
        "futex", "futex_waitv", "futex_wait", "futex_wake", "futex_requeue", "set_robust_list",
        "get_robust_list", "rseq", "set_tid_address", "exit", "exit_group", "sched_yield",
        "sched_getaffinity", "sched_getparam", "sched_getscheduler", "sched_get_priority_max",
        "sched_get_priority_min", "getcpu", "gettid", "arch_prctl", "prctl", "getpriority",
    }
)  # fmt: skip
"""Own threads. What ``clone`` may start is decided apart."""
_SIGNALS = frozenset(
    {
        "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
        "rt_sigsuspend", "sigaltstack", "pause", "restart_syscall", "wait4", "waitid",
    }
)  # fmt: skip
"""Own signals and children. Whom a signal may reach is decided apart."""
_TIME = frozenset(
    {
        "clock_gettime", "clock_getres", "gettimeofday", "time", "nanosleep", "clock_nanosleep",
        "times", "setitimer", "getitimer", "alarm", "timerfd_create", "timerfd_settime",
        "timerfd_gettime",
    }
)  # fmt: skip
_WAITING = frozenset(
    {
        "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
        "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2",
    }
)  # fmt: skip
_MESSAGES = frozenset(
    {
        "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg", "shutdown",
        "getsockopt", "setsockopt", "getsockname", "getpeername",
    }
)  # fmt: skip
"""Over the sockets that it was started with."""
_IDENTITY = frozenset(
    {
        "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid",
        "getresgid", "getpgrp", "getpgid", "getsid", "uname", "sysinfo", "getrlimit", "setrlimit",
        "getrusage", "capget", "getrandom",
    }
)  # fmt: skip
"""What it is, which changes nothing."""
_SANDBOX = frozenset(
    {
        "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
    }
)  # fmt: skip
"""To narrow itself further."""
ALLOWED = (
    _READING
    | _WRITING
    | _MEMORY
    | _THREADS
    | _SIGNALS
    | _TIME
    | _WAITING
    | _MESSAGES
    | _IDENTITY
    | _SANDBOX
)
"""All that an instance computes, reads and says with. A filter looks into the arguments of those of
:data:`COMMANDS` and of those that start threads or name a process, which are not listed here."""


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
