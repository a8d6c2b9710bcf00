"""A defect on display: a check that the sound part passes and the planted one fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exhibit:
    """``check(subject)`` raises AssertionError where the subject has the defect."""

    rule: int
    """Of the measurement rules."""
    defect: str
    check: Callable[[Any], None]
    sound: Any
    planted: Any

    def __str__(self) -> str:
        return f"rule {self.rule}: {self.defect}"
