"""Comparison tables: one row per metric, one column per system, ratios to the baseline beneath."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..records import Cell
from .numbers import shown, unit_of
from .title import remarks, title

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from ..compare import Comparison, Row
    from ..metrics import Metric

PER_TABLE = 2
"""Number of systems beside the baseline that fit into 100 columns."""
MISSING = "—"

BRIEF = (
    "ttft_s.mean", "ttft_s.p50", "ttft_s.p95", "ttft_s.p99", "ttft_cold_s.with_imports.mean",
    "ttft_cold_s.without_imports.mean", "ttft_by_start_type.hot.mean", "tpot_s.mean", "e2e_s.mean",
    "e2e_s.p95", "cold_share", "slo_attainment", "success_share", "memory_mean_gb",
    "memory_peak_bytes", "measured_pss_bytes.peak", "cost_usd", "cost_effectiveness",
)  # fmt: skip
"""Rows that ``slbench run`` prints; ``slbench compare`` prints every metric."""


def comparison_table(cells: Sequence[Cell], baseline: str) -> Group:
    """Build the table of one workload of a run; one cell per system."""
    from rich.console import Group

    from ..compare import compare

    known = baseline if any(cell.system == baseline for cell in cells) else None
    return Group(*tables(compare(cells, known, strict=False, metrics=brief_metrics()), BRIEF))


def brief_metrics() -> list[Metric]:
    """Return the metrics that appear in ``BRIEF``."""
    from ..compare.leaves import under
    from ..metrics import METRICS

    return [each for each in METRICS if any(under(name, [each.name]) for name in BRIEF)]


def tables(comparison: Comparison, names: Sequence[str] | None = None) -> Iterator[Table]:
    """Yield tables of at most 100 columns. ``names``: only these rows, in this order."""
    for group in comparison.segments:
        yield from _tables(group, comparison, None)
    for group in comparison.groups:
        yield from _tables(group, comparison, names)


def _tables(
    group: Sequence[Row], comparison: Comparison, names: Sequence[str] | None
) -> Iterator[Table]:
    levels = list(dict.fromkeys(row.entry.level for row in group))
    others = [level for level in levels if level != comparison.baseline]
    base = [comparison.baseline] if comparison.baseline in levels else []
    for start in range(0, max(len(others), 1), PER_TABLE):
        columns = [*others[start : start + PER_TABLE], *base]
        yield _table(group, columns, comparison, names)


def _table(
    group: Sequence[Row], levels: Sequence[str | None], comparison: Comparison,
    names: Sequence[str] | None,
) -> Table:  # fmt: skip
    from rich.table import Table

    rows = {(row.name, row.entry.level): row for row in group}
    table = Table(title=title(group, comparison), title_style="bold", box=None, pad_edge=False)
    table.caption = "\n".join(remarks(group)) or None
    table.add_column("")
    table.add_column("n", justify="right", style="dim")
    for level in levels:
        entry = next(row.entry for row in group if row.entry.level == level)
        head = f"{level}" if entry.valid else f"{level} (INVALID)"
        table.add_column(head, justify="right", overflow="fold")
    for name in names or dict.fromkeys(row.name for row in group):
        found = [rows.get((name, str(level))) for level in levels]
        first = next((row for row in found if row is not None), None)
        if first is not None and any(row and row.estimate.value is not None for row in found):
            table.add_row(_label(first), _counts(found), *(_cell(row) for row in found))
    return table


def _label(row: Row) -> str:
    part = "" if row.part == "value" else f" {row.part}"
    return f"{row.metric.title}{part}, {unit_of(row.metric.unit)}"


def _counts(found: Sequence[Row | None]) -> str:
    """Sample sizes; one number if all systems have the same."""
    counts = [f"{row.estimate.n:,}" if row else MISSING for row in found]
    return counts[0] if len(set(counts)) == 1 else "/".join(counts)


def _cell(row: Row | None) -> str:
    if row is None or row.estimate.value is None:
        return MISSING
    value = shown(row.estimate.value, row.estimate.ci95, row.metric.unit)
    if row.ratio is None or row.ratio.value is None:
        return value
    return f"{value}\n[dim]÷ {shown(row.ratio.value, row.ratio.ci95)}[/]"
