"""Compares the repeats of a live cell with its simulation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from .quantities import QUANTITIES

if TYPE_CHECKING:
    from harness.records import Cell

ALLOWED = 0.10
"""The relative error that counts as agreement, unless the live repeats differ by more."""
Samples = Sequence[Any] | np.ndarray[Any, Any]


def compare(live: Iterable[Cell], simulated: Iterable[Cell]) -> list[dict[str, Any]]:
    """Return a row for each live system, workload and seed that was simulated."""
    twins = dict(_by_load(simulated))
    return [
        {**_about(repeats, twins[load]), **_rows(repeats, twins[load])}
        for load, repeats in _by_load(live)
        if load in twins
    ]


def _by_load(cells: Iterable[Cell]) -> Iterator[tuple[tuple[str, str, int], list[Cell]]]:
    def load(cell: Cell) -> tuple[str, str, int]:
        return cell.system, cell.workload, cell.manifest.seed

    for found, group in groupby(sorted(cells, key=load), key=load):
        yield found, list(group)


def _about(live: Sequence[Cell], simulated: Sequence[Cell]) -> dict[str, Any]:
    """``level``: the isolation level, which live cells from before levels do not tell."""
    cell = live[0]
    return {
        "system": cell.system,
        "level": simulated[0].manifest.isolation,
        "workload": cell.workload,
        "seed": cell.manifest.seed,
        "requests": cell.summary["n"],
        "repeats": len(live),
    }


def _rows(live: Sequence[Cell], simulated: Sequence[Cell]) -> dict[str, Any]:
    rows: dict[str, Any] = {
        each.name: agreement(
            [each.of(cell.summary) for cell in live], [each.of(cell.summary) for cell in simulated]
        )
        for each in QUANTITIES
    }
    ttft = [[_ttft_s(cell) for cell in cells] for cells in (live, simulated)]
    return {**rows, "ttft_ks": distance(*ttft)}


def _ttft_s(cell: Cell) -> Samples:
    return list(cell.answered["ttft_s"].dropna())


def agreement(
    live: Sequence[float | None], simulated: Sequence[float | None]
) -> dict[str, float | bool | None]:
    """Compare the mean of the simulated values with that of the live repeats. ``low`` and ``high``
    bound what agrees: ``ALLOWED`` around the live mean, or the repeats' own range where that is
    wider. All is None if a side does not tell the quantity."""
    seen = [value for value in live if value is not None]
    made = [value for value in simulated if value is not None]
    if len(seen) < len(live) or len(made) < len(simulated):
        return dict.fromkeys(("live", "low", "high", "simulated", "error", "within"))
    mean, found = fmean(seen), fmean(made)
    low = min(*seen, mean * (1 - ALLOWED))
    high = max(*seen, mean * (1 + ALLOWED))
    error = found / mean - 1 if mean else None
    # Only where all live values are 0 is there no relative error.
    return {
        "live": mean,
        "low": low,
        "high": high,
        "simulated": found,
        "error": 0.0 if error is None and not found else error,
        "within": low <= found <= high,
    }


def distance(live: Sequence[Samples], simulated: Sequence[Samples]) -> dict[str, float | None]:
    """Compare two distributions, each pooled over its repeats: the Kolmogorov-Smirnov statistic and
    its p-value (of independent samples, which requests of a burst are not), and the largest
    statistic between two live repeats; None for a single one or without samples."""
    pooled = [np.concatenate([np.asarray(each, float) for each in s]) for s in (live, simulated)]
    between = [_ks(one, other)[0] for one, other in combinations(live, 2)]
    statistic, p = _ks(*pooled)
    return {
        "statistic": statistic,
        "p": p,
        "between_repeats": max((each for each in between if each is not None), default=None),
    }


def _ks(one: Samples, other: Samples) -> tuple[float | None, float | None]:
    from scipy.stats import ks_2samp

    if not len(one) or not len(other):
        return None, None
    found = ks_2samp(one, other)
    return float(found.statistic), float(found.pvalue)


def outside(row: Mapping[str, Any]) -> list[str]:
    """Return the names of the quantities of a row that do not agree."""
    return [each.name for each in QUANTITIES if row[each.name]["within"] is False]
