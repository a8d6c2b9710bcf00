"""Counts of the outcomes of fuzzed inputs of one kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from systems.errors import SystemsError
from workloads.errors import WorkloadError

from harness.mistakes import first_mistake  # isort: skip
from harness.errors import HarnessError  # isort: skip

REFUSALS = (SystemsError, HarnessError, WorkloadError)
HANGS_S = 10.0
"""Time limit of one input. Processor time for code that does not wait, since the machine may be
busy."""
_SHOWN = 20


@dataclass
class Tally:
    """``taken``: inputs that were still valid; ``refused``: inputs refused with one clear error.
    ``problems``: descriptions of the first few others."""

    kind: str
    tried: int = 0
    taken: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        if len(self.problems) < _SHOWN:
            self.problems.append(text[:400])

    def attempt(self, about: str, action: Callable[[], Any]) -> None:
        """Try one input: ``action`` must accept it or raise a one-line refusal within HANGS_S."""
        self.tried += 1
        started = time.process_time()
        try:
            action()
            self.taken += 1
        except (*REFUSALS, ValidationError) as error:
            self._refused(about, error)
        except Exception as error:
            self.problem(f"{about}: {type(error).__name__}: {error}")
        took_s = time.process_time() - started
        self.slowest_s = max(self.slowest_s, took_s)
        if took_s > HANGS_S:
            self.problem(f"{about}: took {took_s:.1f} s")

    def _refused(self, about: str, error: Exception) -> None:
        said = first_mistake(error) if isinstance(error, ValidationError) else str(error)
        if said.strip():
            self.refused += 1
        else:
            self.problem(f"{about}: refused without a word")

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "tried": self.tried,
            "taken": self.taken,
            "refused": self.refused,
            "slowest_s": round(self.slowest_s, 3),
            "problems": self.problems,
        }


def spread(examples: int, parts: Iterable[str]) -> Iterable[tuple[int, str]]:
    """Yield the numbers below ``examples``, each with the next of ``parts`` (round robin)."""
    names = list(parts)
    return ((number, names[number % len(names)]) for number in range(examples))
