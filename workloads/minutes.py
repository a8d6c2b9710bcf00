"""Counts per minute, as public traces give them, and their expansion to arrivals."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import WorkloadError
from .streams import stream
from .trace import Provenance, TraceFunction, Workload, from_arrivals

Counts = np.ndarray[Any, np.dtype[np.int64]]
MINUTE_S = 60.0

_AZURE_2019 = "Azure Functions Trace 2019, github.com/Azure/AzurePublicDataset"


@dataclass(frozen=True)
class MinuteCounts:
    """Calls of each function in each minute."""

    name: str
    functions: tuple[TraceFunction, ...]
    counts: Mapping[str, Counts]

    @property
    def duration_s(self) -> float:
        return MINUTE_S * len(next(iter(self.counts.values())))


def data_root() -> Path | None:
    """The folder with public traces: ``SLBENCH_DATA``, or ``shared/traces`` beside a checkout."""
    named = os.environ.get("SLBENCH_DATA")
    found = Path(named) if named else Path(__file__).parents[2] / "shared" / "traces"
    return found if found.is_dir() else None


def read_minutes(path: Path) -> MinuteCounts:
    """A CSV with a row per function and a column per minute, the minutes' names numbers; the
    format of Azure Functions 2019 and of slices of it. ``WorkloadError`` names file and line."""
    functions: list[TraceFunction] = []
    counts: dict[str, Counts] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                minutes = sorted((name for name in row if name and name.isdigit()), key=int)
                function = row.get("function") or row.get("HashFunction") or ""
                if not function or not minutes:
                    raise WorkloadError(f"{path}:{line}: no function name or no minute columns")
                functions.append(
                    TraceFunction(
                        id=function, source_hash=row.get("HashFunction"), trigger=row.get("Trigger")
                    )
                )
                counts[function] = np.array([int(row[minute]) for minute in minutes])
    except (OSError, ValueError) as error:
        if isinstance(error, WorkloadError):
            raise
        raise WorkloadError(f"{path}: not counts per minute ({error})") from error
    if not functions:
        raise WorkloadError(f"{path}: holds no function")
    return MinuteCounts(path.stem, tuple(functions), counts)


def expand_uniform(minutes: MinuteCounts, seed: int) -> Workload:
    """Each minute's calls at independent uniform times within it: the rule ``uniform``. Counts
    per function and minute are kept exactly; no two arrivals of a function tie."""
    arrivals = {}
    for function in minutes.functions:
        random = stream(seed, function.id, "expand")
        found = minutes.counts[function.id]
        starts = np.repeat(np.arange(len(found)), found).astype(np.int64) * 60_000_000_000
        within = random.integers(0, 60_000_000_000, len(starts))
        times = np.sort(starts + within)
        # Two equal draws out of 6·10¹⁰ are all but impossible; move one on rather than tie.
        arrivals[function.id] = (
            times + np.concatenate(([0], np.cumsum(np.diff(times) == 0)))[: len(times)]
        )
    provenance = Provenance(
        kind="expanded", source=_AZURE_2019, licence="CC-BY-4.0", attribution="Microsoft Azure"
    ).then("uniform", seed=seed)
    return from_arrivals(
        minutes.name,
        minutes.functions,
        arrivals,
        provenance,
        round(minutes.duration_s * 1e9),
    )
