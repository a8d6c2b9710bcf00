"""A regression mutant: a check that our code passes and a planted defect fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mutant:
    """``check(subject)`` raises AssertionError if the subject has the defect."""

    rule: int
    """Number of the measurement rule."""
    defect: str
    check: Callable[[Any], None]
    sound: Any
    planted: Any

    def __str__(self) -> str:
        return f"rule {self.rule}: {self.defect}"
