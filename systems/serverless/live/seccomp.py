"""A system-call filter in classic BPF: all is allowed but what an instance has no use for.

An instance talks over the one socket that it was given, reads files and computes. Whatever
reaches the network, another process or the kernel's own settings answers ``EPERM``; io_uring too,
since what is asked for through its ring passes no filter. x86-64 and aarch64, as in the kernel's
``arch/x86/entry/syscalls/syscall_64.tbl`` and ``include/uapi/asm-generic/unistd.h``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from systems.errors import ConfinementError

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000  # linux/seccomp.h
_NUMBER_AT, _MACHINE_AT, _ARGUMENT_AT = 0, 4, 16  # struct seccomp_data
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_X32_BIT = 0x40000000
_CLONE_THREAD, _CLONE_NEWUSER = 0x00010000, 0x10000000
_DENIED = _ERRNO | errno.EPERM
_MISSING = _ERRNO | errno.ENOSYS

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
"""Where a machine has them; on all of them, ``clone`` for anything but a thread."""
SCHEDULING = frozenset(
    {"setpriority", "ioprio_set", "sched_setscheduler", "sched_setparam", "sched_setattr"}
)
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


@dataclass(frozen=True, slots=True)
class Machine:
    """An instruction set: its ``AUDIT_ARCH`` (linux/audit.h) and its system calls' numbers."""

    audit: int
    numbers: Mapping[str, int]


_COMMON = {
    "clone3": 435, "process_madvise": 440, "pidfd_getfd": 438, "pidfd_send_signal": 424,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442, "memfd_secret": 447,
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
}  # fmt: skip
MACHINES = {
    "x86_64": Machine(0xC000003E, {**_COMMON, **_X86_64}),
    "aarch64": Machine(0xC00000B7, {**_COMMON, **_AARCH64}),
}


def install(
    denied: Iterable[str], *, families: frozenset[int] = frozenset(), forks: bool = False
) -> None:
    """Hold this process, all its threads and all that it forks, to the filter from here on:
    ``denied`` calls answer ``EPERM``, sockets are made of ``families`` alone, and where not
    ``forks``, threads are all that is started. Signals, resource limits and a choice of cores reach
    this process only. Raises :class:`ConfinementError`."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise ConfinementError(
            f"no system-call filter for {platform.machine()}; there is for {', '.join(MACHINES)}"
        )
    code = program(machine, denied, families, os.getpid(), forks=forks)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    )
    call = ctypes.CDLL(None, use_errno=True).syscall
    if call(machine.numbers["seccomp"], _SET_MODE_FILTER, _ALL_THREADS, header) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise ConfinementError(f"the kernel takes no system-call filter: {reason}")


def program(
    machine: Machine,
    denied: Iterable[str],
    families: frozenset[int],
    pid: int,
    *,
    forks: bool = False,
) -> bytes:
    """The filter as ``struct sock_filter``s, 8 bytes each."""
    number = machine.numbers
    steps = [_step(_LOAD, _MACHINE_AT), _step(_EQUAL, machine.audit, 1), _step(_RETURN, _KILL)]
    steps += [_step(_LOAD, _NUMBER_AT)]
    steps += [_step(_AT_LEAST, _X32_BIT, 0, 1), _step(_RETURN, _DENIED)]
    refused = set(denied) if forks else set(denied) | (FORKS & number.keys())
    for name in sorted(refused):
        steps += [_step(_EQUAL, number[name], 0, 1), _step(_RETURN, _DENIED)]
    # Its flags lie in memory, where no filter looks; the C library turns to clone without it.
    steps += [_step(_EQUAL, number["clone3"], 0, 1), _step(_RETURN, _MISSING)]
    steps += _where(number["socket"], [_step(_EQUAL, each, 0, 1) for each in sorted(families)])
    steps += _where(number["kill"], [_step(_EQUAL, pid, 0, 1)])
    steps += _where(number["tgkill"], [_step(_EQUAL, pid, 0, 1)])
    for name in ("prlimit64", "sched_setaffinity"):
        steps += _where(number[name], [_step(_EQUAL, each, 0, 1) for each in (0, pid)])
    steps += _where_flags(number["clone"], 0 if forks else _CLONE_THREAD, _CLONE_NEWUSER)
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _where(number: int, accepting: list[bytes]) -> list[bytes]:
    """Allow call ``number`` where one of ``accepting``, which skip a step if they do not accept,
    takes its first argument: the lower half, all that the kernel looks at in these calls."""
    tests = [step for each in accepting for step in (each, _step(_RETURN, _ALLOW))]
    body = [_step(_LOAD, _ARGUMENT_AT), *tests, _step(_RETURN, _DENIED)]
    return [_step(_EQUAL, number, 0, len(body)), *body]


def _where_flags(number: int, needed: int, refused: int) -> list[bytes]:
    """Allow call ``number`` where its first argument has the bit ``needed`` (0: none is) and not
    the bit ``refused``."""
    lacks = [_step(_ANY_BIT, needed, 1, 0), _step(_RETURN, _DENIED)] if needed else []
    has = [_step(_ANY_BIT, refused, 0, 1), _step(_RETURN, _DENIED)]
    body = [_step(_LOAD, _ARGUMENT_AT), *lacks, *has, _step(_RETURN, _ALLOW)]
    return [_step(_EQUAL, number, 0, len(body)), *body]


def _step(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)
