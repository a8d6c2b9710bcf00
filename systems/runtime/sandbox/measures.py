"""The measures that :mod:`.confine` applies to a process. Each is irrevocable."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Iterable
from pathlib import Path

from systems.errors import ConfinementError

from . import nvidia, seccomp, system_calls

MAX_DESCRIPTORS = 256
"""Its socket, a backbone, and what its libraries and a driver open and close."""

LIBRARY_SPACE = 6 << 30
"""Address space, not memory: for libraries that are mapped later, thread stacks and heaps."""

_SET_DUMPABLE, _SET_NO_NEW_PRIVS = 4, 38  # linux/prctl.h
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h


def hide_memory() -> None:
    """Hide this process's memory, descriptors and environment from all unprivileged processes, even
    of the same user (ptrace(2), "Ptrace access mode checking"). Forked processes inherit this,
    executed programs do not."""
    prctl(_SET_DUMPABLE, 0)


def gain_nothing() -> None:
    """Deny additional privileges to programs that this process executes."""
    prctl(_SET_NO_NEW_PRIVS, 1)


def leave_no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def bound_descriptors() -> None:
    _bound(resource.RLIMIT_NOFILE, MAX_DESCRIPTORS)


def keep_capabilities(kept: Iterable[int] = ()) -> None:
    """Drop all capabilities of the calling thread but ``kept``. It must be the only thread, as at
    the start of a process."""
    bits = sum(1 << each for each in kept)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    # Effective, permitted, inheritable, of the lower and then the upper 32.
    data = ctypes.create_string_buffer(struct.pack("=6I", bits, bits, 0, 0, 0, 0))
    if ctypes.CDLL(None, use_errno=True).capset(header, data) != 0:
        raise ConfinementError(f"capset: {os.strerror(ctypes.get_errno())}")


def bound_addresses(nbytes: int) -> None:
    """Bound the address space, the only memory bound of Linux without a control group, to
    ``nbytes`` beyond what is mapped and what libraries need."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    _bound(resource.RLIMIT_AS, pages * resource.getpagesize() + LIBRARY_SPACE + nbytes)


def filter_calls() -> None:
    seccomp.allow_only(system_calls.ALLOWED, seccomp.Rules(system_calls.COMMANDS))


def filter_calls_before_programs() -> None:
    """Allow executing programs, which the import of libraries does on a card, and Unix sockets."""
    rules = seccomp.Rules(families=seccomp.UNIX, forks=True)
    seccomp.deny(system_calls.PROCESSES | system_calls.KERNEL, rules)


def filter_calls_beside_a_driver() -> None:
    """Deny what the start of a context does without; a client of MPS connects to its daemon."""
    rules = seccomp.Rules(system_calls.COMMANDS, seccomp.UNIX)
    seccomp.deny(system_calls.BEFORE_A_CONTEXT - _of_mps(), rules)


def filter_calls_of_a_driver() -> None:
    """Allow what computing with a context needs: no more than on cores, but for a client of MPS,
    which may connect again."""
    families = seccomp.UNIX if nvidia.uses_mps() else frozenset[int]()
    rules = seccomp.Rules(system_calls.COMMANDS, families)
    seccomp.allow_only(system_calls.ALLOWED | _of_mps(), rules)


def _of_mps() -> frozenset[str]:
    return frozenset({"connect"}) if nvidia.uses_mps() else frozenset()


def prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise ConfinementError(f"prctl({option}): {os.strerror(ctypes.get_errno())}")


def _bound(limit: int, most: int) -> None:
    hard = resource.getrlimit(limit)[1]
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (bound, bound))


def bound_threads(most: int) -> None:
    """Bound the threads of this process's user, who must have no other process."""
    _bound(resource.RLIMIT_NPROC, most)
