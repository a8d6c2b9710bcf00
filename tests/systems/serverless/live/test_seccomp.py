"""The filter as a program: run here, step by step, over every call of both machines."""

from __future__ import annotations

import errno
import platform
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systems.errors import ConfinementError
from systems.serverless.live import seccomp
from systems.serverless.live.seccomp import MACHINES, Machine

PID = 4711
EVERYTHING = (
    seccomp.NETWORK
    | seccomp.PROGRAMS
    | seccomp.PROCESSES
    | seccomp.KERNEL
    | seccomp.SCHEDULING
    | seccomp.SHARING
)
ALLOWED, KILLED = "allowed", "killed"

machines = st.sampled_from(list(MACHINES.values()))


def verdict(code: bytes, machine: int, number: int, first: int = 0) -> str:
    """What the kernel would answer: classic BPF as in its Documentation/networking/filter.rst."""
    data = struct.pack("=IIQQ", number, machine, 0, first & (2**64 - 1))
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


def filtered(machine: Machine, families: frozenset[int] = frozenset()) -> bytes:
    return seccomp.program(machine, EVERYTHING, families, PID)


@given(machines, st.sampled_from(sorted(EVERYTHING)), st.integers(0, 2**64 - 1))
def test_what_is_denied_is_denied_whatever_it_is_given(
    machine: Machine, name: str, first: int
) -> None:
    assert verdict(filtered(machine), machine.audit, machine.numbers[name], first) == "EPERM"


@given(machines, st.integers(0, 600), st.integers(0, 2**64 - 1))
def test_what_is_not_named_is_allowed(machine: Machine, number: int, first: int) -> None:
    if number not in machine.numbers.values():
        assert verdict(filtered(machine), machine.audit, number, first) == ALLOWED


@given(
    machines,
    st.sampled_from(["kill", "tgkill", "prlimit64", "sched_setaffinity"]),
    st.integers(-1, 2**22),
)
def test_signals_and_limits_reach_the_process_itself_alone(
    machine: Machine, name: str, pid: int
) -> None:
    own = {PID} if "kill" in name else {PID, 0}
    expected = ALLOWED if pid in own else "EPERM"
    assert verdict(filtered(machine), machine.audit, machine.numbers[name], pid) == expected


@given(machines, st.integers(0, 45))
def test_sockets_are_of_the_families_told(machine: Machine, family: int) -> None:
    number = machine.numbers["socket"]
    unix = filtered(machine, frozenset({int(socket.AF_UNIX)}))
    expected = ALLOWED if family == socket.AF_UNIX else "EPERM"
    assert verdict(unix, machine.audit, number, family) == expected
    assert verdict(filtered(machine), machine.audit, number, family) == "EPERM"


@pytest.mark.parametrize("machine", MACHINES.values(), ids=list(MACHINES))
def test_threads_start_and_user_namespaces_do_not(machine: Machine) -> None:
    code, number = filtered(machine), machine.numbers
    thread = 0x3D0F00  # CLONE_VM and what else the C library sets for a thread
    assert verdict(code, machine.audit, number["clone"], thread) == ALLOWED
    assert verdict(code, machine.audit, number["clone"], thread | 0x10000000) == "EPERM"
    assert verdict(code, machine.audit, number["clone3"]) == "ENOSYS", "so it turns to clone"


@pytest.mark.parametrize("machine", MACHINES.values(), ids=list(MACHINES))
def test_processes_start_only_where_they_may(machine: Machine) -> None:
    number = machine.numbers
    calls = [(number["clone"], 17), *((number[n], 0) for n in seccomp.FORKS & number.keys())]
    may = seccomp.program(machine, EVERYTHING, frozenset(), PID, forks=True)
    for call, flags in calls:
        assert verdict(filtered(machine), machine.audit, call, flags) == "EPERM"
        assert verdict(may, machine.audit, call, flags) == ALLOWED
    assert verdict(may, machine.audit, number["clone"], 17 | 0x10000000) == "EPERM"


@given(machines, st.integers(0, 600))
def test_no_other_door_of_the_kernel_is_open(machine: Machine, number: int) -> None:
    """Calls of the 32-bit machines, which have other numbers, and of x32."""
    i386 = 0x40000003
    assert verdict(filtered(machine), i386, number) == KILLED
    assert verdict(filtered(machine), machine.audit, number | 0x40000000) == "EPERM"


@pytest.mark.parametrize("machine", MACHINES.values(), ids=list(MACHINES))
def test_no_two_calls_of_a_machine_have_a_number_in_common(machine: Machine) -> None:
    assert len(set(machine.numbers.values())) == len(machine.numbers)


def test_a_machine_without_a_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(ConfinementError, match="no system-call filter for riscv64"):
        seccomp.install(EVERYTHING)
