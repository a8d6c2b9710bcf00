"""Confinement of an instance, by kind of device, in three steps.

An instance parses a tenant's adapter. These measures limit what it can do if the adapter takes it
over; SECURITY.md has the threat model and the attack that tests each measure. :func:`confine`
applies the first when a process starts, :func:`settle_in` those that depend on its function, before
it reads any of the function's files, and :func:`complete` the rest when its engine is built: the
driver of a GPU needs more while it starts. If a measure cannot be applied, the process ends with
:class:`ConfinementError`: no measure is ever missing silently, so the measures listed for a kind of
device are in force.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from systems.errors import ConfinementError

from . import landlock, nvidia, paths, seccomp, system_calls

MAX_DESCRIPTORS = 256
"""For an instance on the CPU: its socket, a backbone, and what its libraries open and close."""

LIBRARY_SPACE = 6 << 30
"""Address space, not memory: for libraries that are mapped later, thread stacks and heaps."""

_SET_DUMPABLE, _SET_NO_NEW_PRIVS = 4, 38  # linux/prctl.h
_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h

ENVIRONMENT = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LANG",
        "LANGUAGE",
        "TZ",
        "TMPDIR",
        "VIRTUAL_ENV",
        "XDG_CACHE_HOME",
        "SLBENCH_CACHE",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "CC",
        "CXX",
        "CPATH",
        "LIBRARY_PATH",
        "TOKENIZERS_PARALLELISM",
        "ARROW_DEFAULT_MEMORY_POOL",
        "JE_ARROW_MALLOC_CONF",
    }
)
"""Variables passed to processes of the platform; any other variable may contain a credential."""

_PREFIXES = (
    "LC_", "LD_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "TORCH",
    "PYTORCH_", "TRITON_", "CUDA_", "NVIDIA_", "CUBLAS_",
)  # fmt: skip
_SECRET = ("TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "_KEY")


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the ``variables`` that an instance needs."""
    return {name: value for name, value in variables.items() if _is_needed(name)}


def _is_needed(name: str) -> bool:
    if name in ENVIRONMENT:
        return True
    return name.startswith(_PREFIXES) and not any(word in name for word in _SECRET)


def hide_memory() -> None:
    """Hide this process's memory, descriptors and environment from all unprivileged processes, even
    of the same user (ptrace(2), "Ptrace access mode checking"). Forked processes inherit this,
    executed programs do not."""
    _prctl(_SET_DUMPABLE, 0)


def gain_nothing() -> None:
    """Deny additional privileges to programs that this process executes."""
    _prctl(_SET_NO_NEW_PRIVS, 1)


def _leave_no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_descriptors() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    bound = MAX_DESCRIPTORS if most == resource.RLIM_INFINITY else min(MAX_DESCRIPTORS, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (bound, bound))


def _drop_capabilities() -> None:
    """Drop root's powers over other processes and files for the calling thread. It must be the only
    thread, as at the start of a process."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION_3, 0))
    none = ctypes.create_string_buffer(bytes(24))
    if ctypes.CDLL(None, use_errno=True).capset(header, none) != 0:
        raise ConfinementError(f"capset: {os.strerror(ctypes.get_errno())}")


def _filter_calls() -> None:
    seccomp.install(system_calls.UNUSED, system_calls.COMMANDS)


def _filter_calls_before_programs() -> None:
    """Allow executing programs, which the import of libraries does on a card, and Unix sockets."""
    denied = system_calls.PROCESSES | system_calls.KERNEL
    seccomp.install(denied, {}, families=seccomp.UNIX, forks=True)


def _filter_calls_beside_a_driver() -> None:
    """Deny what the start of a context does without."""
    denied = system_calls.UNUSED - system_calls.OF_A_DRIVER
    seccomp.install(denied, {}, families=seccomp.UNIX)


def _filter_calls_of_a_driver() -> None:
    """Deny what computing with a context does without. A client of MPS keeps its socket."""
    families = seccomp.UNIX if nvidia.uses_mps() else frozenset[int]()
    seccomp.install(system_calls.UNUSED, system_calls.COMMANDS, families=families)


_ALWAYS, _HIDDEN = "environment scrubbed", "memory hidden"
_REACH = "no network, programs or other processes"

MEASURES: Mapping[str, Mapping[str, Callable[[], None]]] = {
    "cpu": {
        "no new privileges": gain_nothing,
        _HIDDEN: hide_memory,
        "no core files": _leave_no_core,
        "descriptors bounded": _bound_descriptors,
        "no capabilities": _drop_capabilities,
        _REACH: _filter_calls,
    },
    "cuda": {
        "no new privileges": gain_nothing,
        _HIDDEN: hide_memory,
        "no core files": _leave_no_core,
        "descriptors bounded": _bound_descriptors,
        "no capabilities": _drop_capabilities,
        "no network or other processes": _filter_calls_before_programs,
    },
}
"""By kind of device, in order of application."""

_SIGHT, _SPACE, _PROGRAMS = "files of its own only", "memory bounded", "no programs or forks"
MEASURES_OF_A_FUNCTION = {"cpu": (_SIGHT, _SPACE), "cuda": (_SIGHT, _PROGRAMS)}
"""Applied when a process knows its function, before it reads any of the function's files."""

MEASURES_OF_AN_ENGINE: Mapping[str, Mapping[str, Callable[[], None]]] = {
    "cpu": {},
    "cuda": {_REACH: _filter_calls_of_a_driver},
}
"""Applied when a process has built its engine, before it serves."""


def names(kind: str) -> tuple[str, ...]:
    """Return the measures for instances on a kind of device; without Landlock if the kernel lacks
    it."""
    later = (each for each in MEASURES_OF_A_FUNCTION[kind] if each != _SIGHT or _sees_less())
    return (_ALWAYS, *MEASURES[kind], *later, *MEASURES_OF_AN_ENGINE[kind])


def _sees_less() -> bool:
    return landlock.version() > 0


def check_files(kind: str, folders: Iterable[Path]) -> None:
    """Raise ``DeploymentError`` if an instance on this kind of device could not read one of its
    own files."""
    if _SIGHT in MEASURES_OF_A_FUNCTION[kind]:
        for folder in folders:
            paths.check_links(folder)


def settle_in(kind: str, own: Collection[Path], memory_bytes: int | None = None) -> None:
    """Restrict file access to libraries and ``own``, and memory to ``memory_bytes`` beyond what
    libraries need (None: unbounded), if the kind of device has these measures. On a card, the
    process must not have started CUDA. Raises :class:`ConfinementError`."""
    later = MEASURES_OF_A_FUNCTION[kind]
    if _SPACE in later and memory_bytes is not None:
        _bound_memory(memory_bytes)
    if _SIGHT in later and _sees_less():
        paths.narrow_to(own, nvidia.rules() if kind == "cuda" else {})
    if _PROGRAMS in later:
        _filter_calls_beside_a_driver()


def _bound_memory(nbytes: int) -> None:
    """Bound the address space, the only memory bound of Linux without a control group."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + LIBRARY_SPACE + nbytes
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def confine(kind: str) -> None:
    """Apply the first measures irrevocably to this process. Raises :class:`ConfinementError`."""
    _apply(MEASURES[kind])


def complete(kind: str) -> None:
    """Apply the last measures, once the engine is built: CUDA has a context and its libraries.
    Raises :class:`ConfinementError`."""
    _apply(MEASURES_OF_AN_ENGINE[kind])


def _apply(measures: Mapping[str, Callable[[], None]]) -> None:
    for name, measure in measures.items():
        try:
            measure()
        except (OSError, ValueError) as error:
            raise ConfinementError(f"{name}: {error}") from error


def shelter(kind: str) -> None:
    """Hide a process that instances are forked from, if the measures hide instances from each
    other."""
    if _HIDDEN in MEASURES[kind]:
        hide_memory()


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise ConfinementError(f"prctl({option}): {os.strerror(ctypes.get_errno())}")
