"""Counts per minute, as in public traces."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .errors import WorkloadError
from .trace import Counts, Provenance, TraceFunction

MINUTE_S = 60.0


@dataclass(frozen=True)
class MinuteCounts:
    """Calls of each function in each minute, and their provenance."""

    name: str
    functions: tuple[TraceFunction, ...]
    counts: Mapping[str, Counts]
    provenance: Provenance = field(default=Provenance(kind="expanded", source="unknown"))

    @property
    def minutes(self) -> int:
        return len(next(iter(self.counts.values())))

    @property
    def duration_s(self) -> float:
        return MINUTE_S * self.minutes

    def window(self, start_s: float, duration_s: float | None) -> MinuteCounts:
        """Return the whole minutes that contain ``duration_s`` seconds from ``start_s``, or all to
        the end. Raises ``WorkloadError`` if there are none."""
        first = int(start_s // MINUTE_S)
        last = self.minutes
        if duration_s is not None:
            last = math.ceil((start_s + duration_s) / MINUTE_S)
        if not 0 <= first < min(last, self.minutes):
            raise WorkloadError(f"{self.name}: {self.minutes} minutes, none of them from {first}")
        return replace(
            self,
            counts={f: counts[first:last] for f, counts in self.counts.items()},
            provenance=self.provenance.then("minutes", first=first, last=last),
        )


def data_root() -> Path | None:
    """The folder of public traces: ``SLBENCH_DATA``, or ``shared/traces`` next to a checkout."""
    named = os.environ.get("SLBENCH_DATA")
    found = Path(named) if named else Path(__file__).parents[2] / "shared" / "traces"
    return found if found.is_dir() else None
