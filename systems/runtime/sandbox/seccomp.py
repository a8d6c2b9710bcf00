"""System-call filters in classic BPF.

An instance communicates over its one socket, reads files and computes. Its filter allows the calls
that do this and no other, by their names in ``system_calls``. While libraries are imported and a
driver starts, which need more, a filter denies what reaches other processes or kernel settings.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from systems.errors import ConfinementError

from .machines import MACHINES, Machine
from .system_calls import FORKS, Commands

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000  # linux/seccomp.h
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16  # struct seccomp_data
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_X32_BIT = 0x40000000
_CLONE_THREAD, _CLONE_NEWUSER = 0x00010000, 0x10000000
_DENIED = _ERRNO | errno.EPERM
_MISSING = _ERRNO | errno.ENOSYS
UNIX = frozenset({int(socket.AF_UNIX)})


@dataclass(frozen=True, slots=True)
class Rules:
    """What a filter decides by arguments, whichever calls it allows. ``commands`` of calls fail;
    sockets must be of ``families``; without ``forks`` only threads can be started. Signals,
    resource limits and core affinity apply to this process only."""

    commands: Mapping[str, Commands] = field(default_factory=dict)
    families: frozenset[int] = frozenset()
    forks: bool = False

    def steps(self, number: Mapping[str, int], pid: int) -> list[bytes]:
        # Its flags are in memory, which a filter cannot read; the C library falls back to clone.
        steps = [_step(_EQUAL, number["clone3"], 0, 1), _step(_RETURN, _MISSING)]
        families = [_step(_EQUAL, each, 0, 1) for each in sorted(self.families)]
        steps += _where(number["socket"], families)
        steps += _where(number["kill"], [_step(_EQUAL, pid, 0, 1)])
        steps += _where(number["tgkill"], [_step(_EQUAL, pid, 0, 1)])
        for name in ("prlimit64", "sched_setaffinity"):
            steps += _where(number[name], [_step(_EQUAL, each, 0, 1) for each in (0, pid)])
        for name, command in self.commands.items():
            steps += _unless(number[name], command)
        return steps + _where_flags(
            number["clone"], 0 if self.forks else _CLONE_THREAD, _CLONE_NEWUSER
        )


def allow_only(names: Iterable[str], rules: Rules) -> None:
    """Apply a filter to this process, all its threads and all it forks: only the calls ``names``,
    and what ``rules`` allow, do not fail with ``EPERM``. Raises :class:`ConfinementError`."""
    _install(allowing(_machine(), names, rules, os.getpid()))


def deny(names: Iterable[str], rules: Rules) -> None:
    """Apply a filter as :func:`allow_only`: the calls ``names``, and what ``rules`` refuse, fail
    with ``EPERM``. Raises :class:`ConfinementError`."""
    _install(denying(_machine(), names, rules, os.getpid()))


def allowing(machine: Machine, names: Iterable[str], rules: Rules, pid: int) -> bytes:
    """Return the filter of :func:`allow_only` as ``struct sock_filter``s of 8 bytes each."""
    steps = rules.steps(machine.numbers, pid) + _all(machine, names, _ALLOW)
    return b"".join([*_beginning(machine), *steps, _step(_RETURN, _DENIED)])


def denying(machine: Machine, names: Iterable[str], rules: Rules, pid: int) -> bytes:
    """Return the filter of :func:`deny`."""
    refused = set(names) if rules.forks else set(names) | FORKS
    steps = _all(machine, refused, _DENIED) + rules.steps(machine.numbers, pid)
    return b"".join([*_beginning(machine), *steps, _step(_RETURN, _ALLOW)])


def _machine() -> Machine:
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise ConfinementError(
            f"no system-call filter for {platform.machine()}; supported: {', '.join(MACHINES)}"
        )
    return machine


def _install(code: bytes) -> None:
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer))
    )
    call = ctypes.CDLL(None, use_errno=True).syscall
    if call(_machine().numbers["seccomp"], _SET_MODE_FILTER, _ALL_THREADS, header) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise ConfinementError(f"the kernel rejected the system-call filter: {reason}")


def _beginning(machine: Machine) -> list[bytes]:
    """Kill a process that calls as another architecture, and refuse the calls of x32."""
    return [
        _step(_LOAD, _MACHINE_AT), _step(_EQUAL, machine.audit, 1), _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT), _step(_AT_LEAST, _X32_BIT, 0, 1), _step(_RETURN, _DENIED),
    ]  # fmt: skip


def _all(machine: Machine, names: Iterable[str], verdict: int) -> list[bytes]:
    numbers = sorted(machine.numbers[name] for name in names if name in machine.numbers)
    return [
        step for each in numbers for step in (_step(_EQUAL, each, 0, 1), _step(_RETURN, verdict))
    ]


def _where(number: int, accepting: list[bytes]) -> list[bytes]:
    """Allow call ``number`` if one of the tests ``accepting`` matches its first argument; a test
    that fails skips a step. Compares the lower half, all that the kernel uses in these calls."""
    tests = [step for each in accepting for step in (each, _step(_RETURN, _ALLOW))]
    body = [_step(_LOAD, _ARGUMENTS_AT), *tests, _step(_RETURN, _DENIED)]
    return [_step(_EQUAL, number, 0, len(body)), *body]


def _unless(number: int, commands: Commands) -> list[bytes]:
    """Allow call ``number`` except for ``commands``, by the lower half of their argument."""
    tests = [_step(_EQUAL, each, 0, 1) for each in sorted(commands.denied)]
    denying = [step for each in tests for step in (each, _step(_RETURN, _DENIED))]
    load = _step(_LOAD, _ARGUMENTS_AT + 8 * commands.argument)
    body = [load, *denying, _step(_RETURN, _ALLOW)]
    return [_step(_EQUAL, number, 0, len(body)), *body]


def _where_flags(number: int, needed: int, refused: int) -> list[bytes]:
    """Allow call ``number`` if its first argument has the bit ``needed`` (0: no such bit) and lacks
    the bit ``refused``."""
    lacks = [_step(_ANY_BIT, needed, 1, 0), _step(_RETURN, _DENIED)] if needed else []
    has = [_step(_ANY_BIT, refused, 0, 1), _step(_RETURN, _DENIED)]
    body = [_step(_LOAD, _ARGUMENTS_AT), *lacks, *has, _step(_RETURN, _ALLOW)]
    return [_step(_EQUAL, number, 0, len(body)), *body]


def _step(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)
