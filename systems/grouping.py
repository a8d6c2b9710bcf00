"""Isolation levels: which functions may share an instance.

The *group* of a function is the set of functions that may share an instance with it. All functions
of a group have the same backbone. A group of a single function that shares with no other has the
function's own id; ids of shared groups contain an ``@``, which no function's id does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .interface import Function, Isolation


@dataclass(frozen=True, slots=True)
class Level:
    """An isolation level. ``group_of``: returns the group id of a function. ``promise``: what
    separates two functions, in one line. ``gaps``: what it gives up compared with ``function``, a
    line each; SECURITY.md has more about them."""

    group_of: Callable[[Function], str]
    promise: str
    gaps: tuple[str, ...] = ()


def _by_function(function: Function) -> str:
    return function.id


def _by_tenant(function: Function) -> str:
    """A function without a tenant is its own tenant, so it shares with no other."""
    return f"{function.tenant}@{function.backbone}" if function.tenant else function.id


def _by_backbone(function: Function) -> str:
    return f"*@{function.backbone}"


def _gaps_among(sharers: str) -> tuple[str, ...]:
    return (
        f"one process holds the adapters, prompts, keys and values of {sharers}; the engine's"
        " bookkeeping alone separates them",
        f"a flaw in the engine or a kernel that one of {sharers} exploits reaches the others",
        f"a process that ends fails the running requests of {sharers}",
        f"limits of memory, threads and processor time hold for {sharers} together",
        f"latency shows one of {sharers} what runs beside it in a batch",
    )


LEVELS: Mapping[Isolation, Level] = {
    "function": Level(
        _by_function,
        "an instance serves one function; processes and sandboxes separate any two functions",
    ),
    "tenant": Level(
        _by_tenant,
        "an instance serves one tenant's functions over one backbone; processes and sandboxes"
        " separate tenants, the engine alone the functions of one",
        _gaps_among("a tenant's functions over one backbone"),
    ),
    "backbone": Level(
        _by_backbone,
        "an instance serves all functions over one backbone; the engine alone separates them, and"
        " a confined parser reads their adapters",
        (
            *_gaps_among("all functions over one backbone"),
            "tenants take each other's places: one that calls many functions has the adapters of"
            " others loaded again",
        ),
    ),
}
"""By name, the strictest first."""


def group_id(function: Function, level: Isolation) -> str:
    """Return the id of the function's group at ``level``."""
    return LEVELS[level].group_of(function)


def groups(functions: Iterable[Function], level: Isolation) -> dict[str, tuple[Function, ...]]:
    """Return the groups of ``functions`` at ``level`` by id, in the order of their first functions.
    A backbone that is served under its own name is a function without a tenant."""
    found: dict[str, list[Function]] = {}
    for function in functions:
        found.setdefault(group_id(function, level), []).append(function)
    return {id_: tuple(members) for id_, members in found.items()}
