"""The stored numbers of a sweep's cell: metrics with intervals, and batch sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..records import Cell
    from ..stats import Estimate

_PARTS = ("mean", "p50", "p95", "p99", "value")
METRICS = (
    "ttft_from_schedule_s", "tpot_s", "e2e_s", "cold_share", "slo_violation_rate", "success_share",
    "output_tokens_per_s", "requests_per_s", "goodput_rps", "memory_mean_gb", "memory_peak_bytes",
    "cost_usd", "usd_per_1k_requests", "cost_effectiveness",
)  # fmt: skip
MEASURED = {
    "decisions_total_s": "s", "decision_p50_us": "µs", "decision_p99_us": "µs",
    "decision_max_us": "µs", "simulation_s": "s", "peak_rss_bytes": "B",
    "decisions": "decisions",
}  # fmt: skip


def numbers(
    study: str,
    value: float,
    cells: list[Cell],
    baseline: str | None = None,
    ratios: Sequence[str] = (),
    *,
    strict: bool = True,
) -> Iterator[dict[str, Any]]:
    """Yield a row per system, workload, metric and part: ``value`` with its interval and its n. The
    ``ratios`` to ``baseline`` are rows of their own, of metric ``ratio_of``. ``strict``: as for
    ``compare``."""
    from ..comparison import compare
    from ..metrics import METRICS as ALL

    wanted = [metric for metric in ALL if metric.name in METRICS]
    found = compare(cells, baseline, strict=strict, metrics=wanted).groups
    for row in (row for group in found for row in group if row.part in _PARTS):
        about = {
            "study": study, "at": value, "system": row.entry.system,
            "workload": row.entry.workload,
        }  # fmt: skip
        yield {**about, "metric": row.name, "unit": row.metric.unit, **_told(row.estimate)}
        if row.ratio is not None and row.name in ratios:
            yield {**about, "metric": ratio_of(row.name), "unit": "×", **_told(row.ratio)}
    for cell in cells:
        yield from _batches(study, value, cell)
        yield from _measured(study, value, cell)


def ratio_of(metric: str) -> str:
    """Name the rows of a metric's ratio to the baseline."""
    return f"{metric}.ratio"


def _told(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.ci95 or (None, None)
    return {"value": estimate.value, "low": low, "high": high, "n": estimate.n}


def _measured(study: str, value: float, cell: Cell) -> Iterator[dict[str, Any]]:
    """Cost of the simulation on the machine that ran it: live numbers, not simulated ones."""
    for name, measured in cell.manifest.measured.items():
        yield {
            "study": study, "at": value, "system": cell.system, "workload": cell.workload,
            "metric": name, "unit": MEASURED.get(name, ""), "value": float(measured),
            "low": None, "high": None, "n": 1,
        }  # fmt: skip


def _batches(study: str, value: float, cell: Cell) -> Iterator[dict[str, Any]]:
    """Mean batch size over requests, and over batches (each batch counts once: a request in a batch
    of b has weight 1/b)."""
    sizes = cell.requests["batch_size"].dropna()
    if sizes.empty:
        return
    about = {
        "study": study, "at": value, "system": cell.system, "workload": cell.workload,
        "unit": "requests", "low": None, "high": None, "n": len(sizes),
    }  # fmt: skip
    yield {**about, "metric": "batch_of_a_request", "value": float(sizes.mean())}
    yield {**about, "metric": "batch_size", "value": float(len(sizes) / (1 / sizes).sum())}
    yield {**about, "metric": "batch_largest", "value": float(sizes.max())}
