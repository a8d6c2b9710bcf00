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

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from systems.errors import ConfinementError

from . import control_group, landlock, measures, nvidia, paths, users


@dataclass(frozen=True, slots=True)
class Own:
    """What the process of a function may use: files to read, and bytes of memory beyond what
    libraries need (None: unbounded)."""

    files: Collection[Path]
    memory_bytes: int | None


def _bound_addresses(own: Own) -> None:
    if own.memory_bytes is not None:
        measures.bound_addresses(own.memory_bytes)


def _bound_host_memory(own: Own) -> None:
    if own.memory_bytes is not None:
        control_group.bound(measures.LIBRARY_SPACE + own.memory_bytes)


def _narrow_files(own: Own) -> None:
    paths.narrow_to(own.files, {})


def _narrow_files_beside_a_driver(own: Own) -> None:
    paths.narrow_to(own.files, nvidia.rules())


def _filter_calls_beside_a_driver(own: Own) -> None:  # noqa: ARG001
    measures.filter_calls_beside_a_driver()


_ALWAYS, _HIDDEN, _GROUP = "environment scrubbed", "memory hidden", "a control group of its own"
_USER, _NO_CAPABILITIES = "a user of its own", "no capabilities"
_REACH, _SIGHT = "no network, programs or other processes", "files of its own only"
_HOST_SPACE, _NO_OTHERS = "host memory bounded", "no network or other processes"
_BASIC = "cuda-basic"
CHOICE = "SLBENCH_CARD_CONFINEMENT"

_EVERYWHERE: Mapping[str, Callable[[], None]] = {
    _NO_CAPABILITIES: measures.keep_capabilities,
    "no new privileges": measures.gain_nothing,
    _HIDDEN: measures.hide_memory,
    "no core files": measures.leave_no_core,
    "descriptors bounded": measures.bound_descriptors,
}
MEASURES: Mapping[str, Mapping[str, Callable[[], None]]] = {
    "cpu": {_USER: users.become_one, **_EVERYWHERE, _REACH: measures.filter_calls},
    "cuda": {
        _GROUP: control_group.enter,
        **_EVERYWHERE,
        _NO_OTHERS: measures.filter_calls_before_programs,
    },
    _BASIC: {
        "no new privileges": measures.gain_nothing,
        "no core files": measures.leave_no_core,
        _NO_OTHERS: measures.filter_calls_before_programs,
    },
}
"""By kind of device, in order of application. On a card where the variable :data:`CHOICE` is
``basic``, for a driver that needs more than those seen, they are ``cuda-basic``. On no card does a
process have a user of its own: the driver's cache below ``~/.nv`` belongs to the platform's."""

MEASURES_OF_A_FUNCTION: Mapping[str, Mapping[str, Callable[[Own], None]]] = {
    "cpu": {"memory bounded": _bound_addresses, _SIGHT: _narrow_files},
    _BASIC: {},
    "cuda": {
        _HOST_SPACE: _bound_host_memory,
        _SIGHT: _narrow_files_beside_a_driver,
        "no programs or forks": _filter_calls_beside_a_driver,
    },
}
"""Applied when a process knows its function, before it reads any of the function's files."""

MEASURES_OF_AN_ENGINE: Mapping[str, Mapping[str, Callable[[], None]]] = {
    "cpu": {},
    _BASIC: {},
    "cuda": {_REACH: measures.filter_calls_of_a_driver},
}
"""Applied when a process has built its engine, before it serves."""


def _has_landlock() -> bool:
    return landlock.version() > 0


_POSSIBLE: Mapping[str, Mapping[str, Callable[[], bool]]] = {
    "cpu": {
        _USER: users.available,
        _NO_CAPABILITIES: lambda: not users.available(),  # a user of its own keeps one, to read
        _SIGHT: _has_landlock,
    },
    _BASIC: {},
    "cuda": {
        _GROUP: control_group.available,
        _HOST_SPACE: control_group.available,
        _SIGHT: _has_landlock,
    },
}
"""Measures that depend on the machine, with what decides."""


def _chosen(kind: str) -> str:
    """Return the name of the tables for a kind of device."""
    return _BASIC if kind == "cuda" and os.environ.get(CHOICE) == "basic" else kind


def names(kind: str) -> tuple[str, ...]:
    """Return the measures for instances on a kind of device that are possible on this machine."""
    tables = _chosen(kind)
    return tuple(name for name in all_names(tables) if _is_possible(tables, name))


def all_names(tables: str) -> tuple[str, ...]:
    """Return the measures of one key of :data:`MEASURES`, possible here or not."""
    steps = (MEASURES, MEASURES_OF_A_FUNCTION, MEASURES_OF_AN_ENGINE)
    return (_ALWAYS, *(name for table in steps for name in table[tables]))


def _is_possible(tables: str, name: str) -> bool:
    decides = _POSSIBLE[tables].get(name)
    return decides is None or decides()


def check_files(kind: str, folders: Iterable[Path]) -> None:
    """Raise ``DeploymentError`` if an instance on this kind of device could not read one of its
    own files."""
    if _SIGHT in MEASURES_OF_A_FUNCTION[_chosen(kind)]:
        for folder in folders:
            paths.check_links(folder)


def confine(kind: str) -> None:
    """Apply the first measures irrevocably to this process. Raises :class:`ConfinementError`."""
    _apply(_chosen(kind), MEASURES[_chosen(kind)])


def settle_in(kind: str, files: Collection[Path], memory_bytes: int | None = None) -> None:
    """Apply the measures that depend on a function: restrict file access to libraries and
    ``files``, and memory to ``memory_bytes`` beyond what libraries need (None: unbounded). On a
    card, the process must not have started CUDA. Raises :class:`ConfinementError`."""
    own = Own(files, memory_bytes)
    later = MEASURES_OF_A_FUNCTION[_chosen(kind)]
    _apply(_chosen(kind), {name: partial(measure, own) for name, measure in later.items()})


def complete(kind: str) -> None:
    """Apply the last measures, once the engine is built: CUDA has a context and its libraries.
    Raises :class:`ConfinementError`."""
    _apply(_chosen(kind), MEASURES_OF_AN_ENGINE[_chosen(kind)])


def _apply(tables: str, step: Mapping[str, Callable[[], None]]) -> None:
    for name, measure in step.items():
        try:
            if _is_possible(tables, name):
                measure()
        except (OSError, ValueError) as error:
            raise ConfinementError(f"{name}: {error}") from error


def shelter(kind: str) -> None:
    """Hide a process that instances are forked from, if the measures hide instances from each
    other."""
    if _HIDDEN in MEASURES[_chosen(kind)]:
        measures.hide_memory()
