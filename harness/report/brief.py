"""The numbers that a table shows unless others are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..comparison import Comparison, compare, metrics_of, only
from ..records import Cell

BRIEF = (
    "ttft_s.mean", "ttft_s.p50", "ttft_s.p95", "ttft_s.p99", "ttft_cold_s.with_imports.mean",
    "tpot_s.mean", "e2e_s.p95", "cold_share", "slo_attainment", "slo_tpot_attainment",
    "slo_e2e_attainment", "success_share", "memory_mean_gb", "cost_usd", "cost_effectiveness",
)  # fmt: skip
"""Rows of the tables of ``slbench run``, ``compare`` and ``report``."""
_RATES = ("requests_per_s", "output_tokens_per_s")
"""Rows of a sweep besides, since the rates of one load say little: nearly all are what it asks."""


def brief_rows(cells: Sequence[Cell]) -> Sequence[str]:
    """Return the rows of a table of these cells."""
    return (*BRIEF, *_RATES) if any(cell.manifest.sweep for cell in cells) else BRIEF


def brief(cells: Sequence[Cell], baseline: str | None = None) -> Comparison:
    """Compare the systems of one run in these rows; ``baseline``: default: the last system."""
    rows = brief_rows(cells)
    return abridged(compare(cells, baseline, strict=False, metrics=metrics_of(rows)), rows)


def abridged(comparison: Comparison, rows: Sequence[str]) -> Comparison:
    """Keep ``rows``. Of a load in segments few numbers are stored; all of them are kept."""
    return replace(only(comparison, rows), segments=comparison.segments)
