"""The seccomp filter: an interpreter runs it over every system call of both architectures, and a
real process runs under it. Names and numbers are stated here, independently of the module."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.errors import ConfinementError
from systems.runtime.sandbox import seccomp
from systems.runtime.sandbox.machines import MACHINES
from systems.runtime.sandbox.system_calls import ALLOWED as NAMES
from systems.runtime.sandbox.system_calls import BEFORE_A_CONTEXT, COMMANDS, KERNEL, PROCESSES

PID = 4711
X86_64, AARCH64 = 0xC000003E, 0xC00000B7  # AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64
AUDIT = {"x86_64": X86_64, "aarch64": AARCH64}
ALLOWED, KILLED = "allowed", "killed"

# Calls that a CPU instance is denied with any arguments: number on x86-64 and on aarch64 (None: no
# such call). From linux/unistd.h of both, Linux 6.17.
DENIED: dict[str, tuple[int, int | None]] = {
    "accept": (43, 202), "accept4": (288, 242), "acct": (163, 89), "add_key": (248, 217),
    "adjtimex": (159, 171), "bind": (49, 200), "bpf": (321, 280), "chmod": (90, None),
    "chown": (92, None), "chroot": (161, 51), "clock_adjtime": (305, 266),
    "clock_settime": (227, 112), "connect": (42, 203), "delete_module": (176, 106),
    "execve": (59, 221), "execveat": (322, 281), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "fchown": (93, 55), "fchownat": (260, 54), "file_setattr": (469, 469),
    "finit_module": (313, 273), "fork": (57, None), "fremovexattr": (199, 16),
    "fsconfig": (431, 431), "fsetxattr": (190, 7), "fsmount": (432, 432), "fsopen": (430, 430),
    "fspick": (433, 433), "futimesat": (261, None), "init_module": (175, 105),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_uring_setup": (425, 425),
    "ioprio_set": (251, 30), "kcmp": (312, 272), "kexec_file_load": (320, 294),
    "kexec_load": (246, 104), "keyctl": (250, 219), "lchown": (94, None), "listen": (50, 201),
    "lremovexattr": (198, 15), "lsetxattr": (189, 6), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "mount": (165, 40), "mount_setattr": (442, 442),
    "move_mount": (429, 429), "mq_open": (240, 180), "msgget": (68, 186),
    "open_by_handle_at": (304, 265), "open_tree": (428, 428), "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "pivot_root": (155, 41),
    "process_madvise": (440, 440), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "ptrace": (101, 117), "quotactl": (179, 60), "reboot": (169, 142), "removexattr": (197, 14),
    "removexattrat": (466, 466), "request_key": (249, 218), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "sched_setattr": (314, 274), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "semget": (64, 190), "setdomainname": (171, 162),
    "sethostname": (170, 161), "setns": (308, 268), "setpriority": (141, 140),
    "settimeofday": (164, 170), "setxattr": (188, 5), "setxattrat": (463, 463), "shmat": (30, 196),
    "shmget": (29, 194), "socketpair": (53, 199), "swapoff": (168, 225), "swapon": (167, 224),
    "syslog": (103, 116), "tkill": (200, 130), "truncate": (76, 45), "umount2": (166, 39),
    "unshare": (272, 97), "userfaultfd": (323, 282), "utime": (132, None), "utimensat": (280, 88),
    "utimes": (235, None), "vfork": (58, None),
}  # fmt: skip

# Those of them that are denied on a card from the start: they reach other processes or the kernel.
DENIED_AT_FIRST = (
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "pidfd_send_signal", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "perf_event_open",
    "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "keyctl",
    "add_key", "request_key", "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "unshare", "setns", "kexec_load",
    "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "swapon",
    "swapoff", "acct", "quotactl", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
    "sethostname", "setdomainname", "syslog", "open_by_handle_at",
)  # fmt: skip

# Calls that an instance makes without a question of arguments.
NEEDED = {
    "read": (0, 63), "write": (1, 64), "openat": (257, 56), "close": (3, 57), "mmap": (9, 222),
    "munmap": (11, 215), "mprotect": (10, 226), "brk": (12, 214), "futex": (202, 98),
    "recvmsg": (47, 212), "sendmsg": (46, 211), "sendto": (44, 206), "ppoll": (271, 73),
    "exit_group": (231, 94), "getrandom": (318, 278), "rt_sigreturn": (15, 139),
    "landlock_restrict_self": (446, 446), "seccomp": (317, 277),
}  # fmt: skip

# Calls whose arguments are inspected.
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
KILL, TGKILL, PRLIMIT, SET_AFFINITY = (62, 129), (234, 131), (302, 261), (203, 122)
FCNTL, IOCTL, PRCTL = (72, 25), (16, 29), (157, 167)
LOOKED_INTO = (CLONE, CLONE3, SOCKET, KILL, TGKILL, PRLIMIT, SET_AFFINITY, FCNTL, IOCTL, PRCTL)

# Denied uses of these calls: the call, the index of the argument, its value.
DENIED_COMMANDS = {
    "F_SETOWN": (FCNTL, 1, 8),
    "F_SETSIG": (FCNTL, 1, 10),
    "F_SETOWN_EX": (FCNTL, 1, 15),
    "F_SETLEASE": (FCNTL, 1, 1024),
    "FIOSETOWN": (IOCTL, 1, 0x8901),
    "SIOCSPGRP": (IOCTL, 1, 0x8902),
    "FS_IOC_SETFLAGS": (IOCTL, 1, 0x40086602),
    "FS_IOC_SETVERSION": (IOCTL, 1, 0x40087602),
    "FS_IOC_FSSETXATTR": (IOCTL, 1, 0x401C5820),
    "PR_SET_PDEATHSIG": (PRCTL, 0, 1),
}
ALLOWED_COMMANDS = {
    "F_DUPFD_CLOEXEC": (FCNTL, 1, 1030),
    "F_GETFL": (FCNTL, 1, 3),
    "F_SETFL": (FCNTL, 1, 4),
    "FIOCLEX": (IOCTL, 1, 0x5451),
    "FIONBIO": (IOCTL, 1, 0x5421),
    "PR_SET_NAME": (PRCTL, 0, 15),
}

machines = st.sampled_from(["x86_64", "aarch64"])


def verdict(code: bytes, machine: int, number: int, *arguments: int) -> str:
    """The kernel's result: classic BPF as in its Documentation/networking/filter.rst."""
    given = [each & (2**64 - 1) for each in (*arguments, 0, 0)][:2]
    data = struct.pack("=IIQQQ", number, machine, 0, *given)
    steps = list(struct.iter_unpack("=HBBI", code))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, k = steps[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x15:
                at += if_true if accumulator == k else if_false
            case 0x35:
                at += if_true if accumulator >= k else if_false
            case 0x45:
                at += if_true if accumulator & k else if_false
            case 0x06:
                kind = {0x7FFF0000: ALLOWED, 0x80000000: KILLED}.get(k)
                return kind or errno.errorcode[k & 0xFFFF]


def answer(machine: str, call: tuple[int, int | None], *arguments: int, **changes: Any) -> str:
    """The result of a CPU instance's filter, with ``changes``, for a call of an architecture."""
    number = call[list(AUDIT).index(machine)]
    assert number is not None
    rules = seccomp.Rules(**{"commands": COMMANDS, **changes})
    code = seccomp.allowing(MACHINES[machine], NAMES, rules, PID)
    return verdict(code, AUDIT[machine], number, *arguments)


def answer_at_first(machine: str, call: tuple[int, int | None], *arguments: int) -> str:
    """The result of the filter under which an instance on a card imports its libraries."""
    number = call[list(AUDIT).index(machine)]
    assert number is not None
    rules = seccomp.Rules(families=seccomp.UNIX, forks=True)
    code = seccomp.denying(MACHINES[machine], PROCESSES | KERNEL, rules, PID)
    return verdict(code, AUDIT[machine], number, *arguments)


def answer_beside_a_driver(machine: str, call: tuple[int, int | None], *arguments: int) -> str:
    """The result of the filter under which an instance on a card starts its context."""
    number = call[list(AUDIT).index(machine)]
    assert number is not None
    rules = seccomp.Rules(COMMANDS, seccomp.UNIX)
    code = seccomp.denying(MACHINES[machine], BEFORE_A_CONTEXT, rules, PID)
    return verdict(code, AUDIT[machine], number, *arguments)


def numbers(machine: str) -> set[int]:
    """Numbers of all calls that this test lists as denied or inspected."""
    at = list(AUDIT).index(machine)
    found = {each[at] for each in (*DENIED.values(), *LOOKED_INTO)}
    return {number for number in found if number is not None}


@pytest.mark.parametrize("name", DENIED)
@pytest.mark.parametrize("machine", AUDIT)
def test_what_is_denied_is_denied_whatever_it_is_given(machine: str, name: str) -> None:
    call = DENIED[name]
    if call[list(AUDIT).index(machine)] is not None:
        for first in (0, 1, PID, 17, 2**32, 2**64 - 1):
            assert answer(machine, call, first) == "EPERM"


@given(machines, st.integers(0, 600), st.integers(0, 2**64 - 1))
def test_only_what_is_named_is_allowed(machine: str, number: int, first: int) -> None:
    named = {MACHINES[machine].numbers.get(name) for name in NAMES}
    if number not in numbers(machine) | {call[list(AUDIT).index(machine)] for call in LOOKED_INTO}:
        expected = ALLOWED if number in named else "EPERM"
        assert answer(machine, (number, number), first) == expected


@pytest.mark.parametrize("machine", AUDIT)
def test_what_an_instance_needs_is_allowed(machine: str) -> None:
    for name, call in NEEDED.items():
        assert answer(machine, call) == ALLOWED, name


@given(machines, st.integers(0, 600), st.integers(0, 2**64 - 1))
def test_at_first_on_a_card_what_is_not_named_is_allowed(
    machine: str, number: int, first: int
) -> None:
    if number not in numbers(machine):
        assert answer_at_first(machine, (number, number), first) == ALLOWED


@pytest.mark.parametrize("machine", AUDIT)
def test_at_first_on_a_card_programs_start_and_other_processes_are_out_of_reach(
    machine: str,
) -> None:
    for name in DENIED_AT_FIRST:
        assert answer_at_first(machine, DENIED[name]) == "EPERM", name
    assert answer_at_first(machine, DENIED["execve"]) == ALLOWED
    assert answer_at_first(machine, CLONE, 17) == ALLOWED
    assert answer_at_first(machine, KILL, PID + 1) == "EPERM"
    assert answer_at_first(machine, SOCKET, int(socket.AF_UNIX)) == ALLOWED
    assert answer_at_first(machine, SOCKET, int(socket.AF_INET)) == "EPERM"


@pytest.mark.parametrize("machine", AUDIT)
def test_the_start_of_a_context_may_bind_a_unix_socket_and_make_no_other_denied_call(
    machine: str,
) -> None:
    there = {name for name, call in DENIED.items() if call[list(AUDIT).index(machine)] is not None}
    allowed = {n for n in there if answer_beside_a_driver(machine, DENIED[n]) == ALLOWED}
    assert allowed == {"bind", "listen"}
    assert answer_beside_a_driver(machine, SOCKET, int(socket.AF_UNIX)) == ALLOWED
    assert answer_beside_a_driver(machine, SOCKET, int(socket.AF_INET)) == "EPERM"
    assert answer_beside_a_driver(machine, CLONE, 17) == "EPERM"


@pytest.mark.parametrize("machine", AUDIT)
def test_commands_that_reach_others_are_denied_and_others_are_not(machine: str) -> None:
    for commands, expected in ((DENIED_COMMANDS, "EPERM"), (ALLOWED_COMMANDS, ALLOWED)):
        for name, (call, at, value) in commands.items():
            # The kernel reads only the lower half.
            for told in (value, value | 7 << 32):
                arguments = (told,) if at == 0 else (0, told)
                assert answer(machine, call, *arguments) == expected, name


@given(machines, st.sampled_from([KILL, TGKILL, PRLIMIT, SET_AFFINITY]), st.integers(-1, 2**22))
def test_signals_and_limits_reach_the_process_itself_alone(
    machine: str, call: tuple[int, int], pid: int
) -> None:
    own = {PID} if call in (KILL, TGKILL) else {PID, 0}
    assert answer(machine, call, pid) == (ALLOWED if pid in own else "EPERM")


@given(machines, st.integers(0, 45))
def test_sockets_are_of_the_families_told(machine: str, family: int) -> None:
    expected = ALLOWED if family == socket.AF_UNIX else "EPERM"
    unix = frozenset({int(socket.AF_UNIX)})
    assert answer(machine, SOCKET, family, families=unix) == expected
    assert answer(machine, SOCKET, family) == "EPERM"


@pytest.mark.parametrize("machine", AUDIT)
def test_threads_start_and_user_namespaces_do_not(machine: str) -> None:
    thread = 0x3D0F00  # CLONE_VM and all other flags that the C library sets for a thread
    assert answer(machine, CLONE, thread) == ALLOWED
    assert answer(machine, CLONE, thread | 0x10000000) == "EPERM"
    assert answer(machine, CLONE3) == "ENOSYS", "so the C library turns to clone"


@pytest.mark.parametrize("machine", AUDIT)
def test_processes_start_only_where_they_may(machine: str) -> None:
    assert answer(machine, CLONE, 17) == "EPERM"
    assert answer(machine, CLONE, 17, forks=True) == ALLOWED
    assert answer(machine, CLONE, 17 | 0x10000000, forks=True) == "EPERM"
    if machine == "x86_64":
        for name in ("fork", "vfork"):
            assert answer(machine, DENIED[name]) == "EPERM"
            assert answer_at_first(machine, DENIED[name]) == ALLOWED


@given(machines, st.integers(0, 600))
def test_no_other_door_of_the_kernel_is_open(machine: str, number: int) -> None:
    """Calls of the 32-bit architectures, which have other numbers, and of x32."""
    i386 = 0x40000003
    rules = seccomp.Rules(COMMANDS)
    for build, names in ((seccomp.allowing, NAMES), (seccomp.denying, PROCESSES | KERNEL)):
        code = build(MACHINES[machine], names, rules, PID)
        assert verdict(code, i386, number) == KILLED
        assert verdict(code, AUDIT[machine], number | 0x40000000) == "EPERM"


def from_a_child(work: Callable[[], Any]) -> Any:
    """The result of ``work`` in a separate process."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(said)


def error_of(call: int, *arguments: int) -> int:
    """The kernel's error number, 0 on success; the other arguments are meaningless."""
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(each) for each in (*arguments, *[-1] * (6 - len(arguments)))]
    return ctypes.get_errno() if libc.syscall(call, *given) == -1 else 0


@pytest.mark.skipif(platform.machine() not in AUDIT, reason="there is no filter for this machine")
def test_the_kernel_holds_a_process_to_it() -> None:
    at = list(AUDIT).index(platform.machine())
    commands = {
        name: (call[at], *((value,) if where == 0 else (-1, value)))
        for name, (call, where, value) in DENIED_COMMANDS.items()
    }
    calls = {name: call[at] for name, call in DENIED.items() if call[at] is not None}

    def work() -> dict[str, int]:
        seccomp.allow_only(NAMES, seccomp.Rules(COMMANDS))
        found = {name: error_of(call) for name, call in calls.items() if call is not None}
        return {**found, **{name: error_of(*command) for name, command in commands.items()}}

    assert from_a_child(work) == dict.fromkeys([*calls, *commands], errno.EPERM)


def test_a_machine_without_a_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(ConfinementError, match="no system-call filter for riscv64"):
        seccomp.allow_only(NAMES, seccomp.Rules(COMMANDS))
