"""One comparison table a workload: a row a metric, a column a system, ratios to the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..records import Cell

if TYPE_CHECKING:
    from rich.table import Table

Summary = Mapping[str, Any]
Reader = Callable[[Summary], float | None]


@dataclass(frozen=True, slots=True)
class Row:
    """A metric as it is shown: ``scale`` from the record's unit, ``digits`` after the point."""

    metric: str
    title: str
    read: Reader
    scale: float = 1.0
    digits: int = 0


def _latency(metric: str, part: str, title: str) -> Row:
    return Row(
        f"{metric}.{part}",
        title,
        lambda s: s[metric][part],
        1e3,
    )


def _device(summary: Summary, key: str) -> float | None:
    found = [devices["all"] for devices in summary[key].values()]
    return float(sum(found)) if found else None


def _mean_memory(summary: Summary) -> float | None:
    total = _device(summary, "memory_gb_s")
    return None if total is None else total / summary["duration_s"]


ROWS = (
    _latency("ttft_s", "mean", "TTFT mean, ms"),
    _latency("ttft_s", "p50", "TTFT p50, ms"),
    _latency("ttft_s", "p95", "TTFT p95, ms"),
    _latency("ttft_s", "p99", "TTFT p99, ms"),
    Row(
        "ttft_cold_with_imports_s.mean",
        "TTFT cold, imports owed",
        lambda s: s["ttft_cold_s"]["with_imports"]["mean"],
        1e3,
    ),
    Row(
        "ttft_cold_without_imports_s.mean",
        "TTFT cold, none owed",
        lambda s: s["ttft_cold_s"]["without_imports"]["mean"],
        1e3,
    ),
    Row("ttft_hot_s.mean", "TTFT hot", lambda s: s["ttft_by_temperature"]["hot"]["mean"], 1e3),
    _latency("tpot_s", "mean", "TPOT mean, ms"),
    _latency("e2e_s", "mean", "E2E mean, ms"),
    _latency("e2e_s", "p95", "E2E p95, ms"),
    Row("cold", "cold requests", lambda s: s["cold"]),
    Row(
        "memory_peak_bytes",
        "device memory peak, MB",
        lambda s: _device(s, "memory_peak_bytes"),
        1e-6,
    ),
    Row("memory_mean_gb", "device memory mean, MB", _mean_memory, 1e3),
    Row(
        "measured_pss_bytes.peak",
        "measured PSS peak, MB",
        lambda s: (s["measured_pss_bytes"] or {}).get("peak"),
        1e-6,
    ),
    Row("cost_usd", "cost, millionths of $", lambda s: s["cost_usd"], 1e6),
    Row("slo_attainment", "SLO attainment, %", lambda s: 1 - s["slo_violation_rate"], 100.0, 1),
    Row("ok", "answered", lambda s: s["ok"]),
)


def comparison_table(cells: Sequence[Cell], baseline: str) -> Table:
    """Cells of one workload, one a system. ``—`` where a number is missing: too few samples for a
    percentile, or nothing of the kind happened."""
    from rich.table import Table

    ordered = sorted(cells, key=lambda cell: (cell.system == baseline, cell.system))
    against = next((cell for cell in cells if cell.system == baseline), None)
    first = ordered[0]
    n = first.summary["n"]
    invalid = "" if all(cell.manifest.valid for cell in cells) else ", INVALID"
    title = f"{first.workload}: {n} requests, {first.manifest.mode}{invalid}"
    table = Table(title=title, title_style="bold")
    table.add_column("")
    for cell in ordered:
        table.add_column(cell.system, justify="right")
        if against is not None and cell is not against:
            table.add_column(f"÷ {baseline}", justify="right")
    for row in ROWS:
        table.add_row(row.title, *_values(row, ordered, against))
    return table


def _values(row: Row, cells: Sequence[Cell], against: Cell | None) -> list[str]:
    shown: list[str] = []
    base = row.read(against.summary) if against else None
    for cell in cells:
        value = row.read(cell.summary)
        shown.append(_number(value, row))
        if against is not None and cell is not against:
            shown.append("—" if value is None or not base else f"{value / base:.2f}")
    return shown


def _number(value: float | None, row: Row) -> str:
    return "—" if value is None else f"{value * row.scale:,.{row.digits}f}"
