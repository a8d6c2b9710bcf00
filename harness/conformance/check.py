"""The type of a check, and the list of all checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from systems.interface import Endpoint, SystemTrace


class NotConformingError(Exception):
    """A check failed. The message says what was observed and what would be right."""


class NotTestableError(Exception):
    """The check does not apply to this system. The message is the reason."""


@dataclass(frozen=True)
class Subject:
    """A running system. ``functions``: the deployed ones. ``system_trace``: returns its trace.
    ``batch``: maximum batch size of a function. ``groups``: the functions that may share instances,
    by group; None if the system has no isolation levels."""

    endpoint: Endpoint
    functions: Sequence[str]
    batch: int
    system_trace: Callable[[], SystemTrace]
    groups: Mapping[str, Sequence[str]] | None = None


Check = Callable[[Subject], None]

CHECKS: dict[str, Check] = {}
"""In the order in which they run."""


def check(name: str) -> Callable[[Check], Check]:
    """Register a check: a function that raises if the system does not conform."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


def require(condition: bool, why: str) -> None:
    if not condition:
        raise NotConformingError(why)
