"""What a check is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from systems.interface import Endpoint, Evidence


class NotConformingError(Exception):
    """What was seen, and what would be right."""


class NotTestableError(Exception):
    """Why the check has nothing to say of this system."""


@dataclass(frozen=True)
class Subject:
    """A system that is up. ``functions``: what was asked for; ``evidence``: what it saw, when
    called; ``batch``: how many requests of a function it may run at once."""

    endpoint: Endpoint
    functions: Sequence[str]
    batch: int
    evidence: Callable[[], Evidence]


Check = Callable[[Subject], None]

CHECKS: dict[str, Check] = {}
"""In the order in which they run."""


def check(name: str) -> Callable[[Check], Check]:
    """Register a check: it returns where all is well and raises where it is not."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


def require(condition: bool, why: str) -> None:
    if not condition:
        raise NotConformingError(why)
