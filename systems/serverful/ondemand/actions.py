"""What the fleet decides: actions on servers and on calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Start:
    """Start the server's process, which does not run."""

    server: str


@dataclass(frozen=True, slots=True)
class Wake:
    server: str


@dataclass(frozen=True, slots=True)
class Sleep:
    server: str


@dataclass(frozen=True, slots=True)
class End:
    """End what is left of the server's processes."""

    server: str


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the call to its server, which is awake."""

    call: int


@dataclass(frozen=True, slots=True)
class Fail:
    call: int
    reason: str


Transition: TypeAlias = Start | Wake | Sleep | End
Action: TypeAlias = Transition | Forward | Fail
