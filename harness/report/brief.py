"""The numbers that a table shows unless others are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..comparison import Comparison, compare, metrics_of, only
from ..records import Cell

BRIEF = (
    "ttft_s.mean", "ttft_s.p50", "ttft_s.p95", "ttft_s.p99", "ttft_cold_s.with_imports.mean",
    "tpot_s.mean", "e2e_s.p95", "cold_share", "slo_attainment", "success_share", "memory_mean_gb",
    "cost_usd", "cost_effectiveness",
)  # fmt: skip
"""Rows of the tables of ``slbench run``, ``compare`` and ``report``."""


def brief(cells: Sequence[Cell], baseline: str | None = None) -> Comparison:
    """Compare the systems of one run in these rows; ``baseline``: default: the last system."""
    found = compare(cells, baseline, strict=False, metrics=metrics_of(BRIEF))
    return abridged(found)


def abridged(comparison: Comparison) -> Comparison:
    """Keep these rows. Of a load in segments few numbers are stored; all of them are kept."""
    return replace(only(comparison, BRIEF), segments=comparison.segments)
