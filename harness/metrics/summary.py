"""``summary.json`` of a cell: every number, computed from its tables by the declared metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ..stats import summarise
from .frame import Frame
from .latency import LATENCY, START_TYPES
from .observation import VALUE, Sample
from .registry import METRICS
from .residual import residual

BY_DEVICE = ("memory_gb_s", "memory_peak_bytes")
"""Stored by device and owner instead of as one number."""


def summary(tables: Mapping[str, pa.Table], duration_s: float) -> dict[str, Any]:
    """Schema 2. ``duration_s``: from the run's start to the last answer's end. What the system
    does not tell of its inside is null."""
    frame = Frame(tables, duration_s)
    document: dict[str, Any] = {
        "n": frame.n,
        "ok": int(frame.ok.sum()),
        **_start_types(frame),
        "duration_s": duration_s,
    }
    for name, content in _latencies(frame).items():
        _put(document, name, content)
    values, intervals = _scalars(frame)
    return {
        **document,
        **values,
        "ci95": intervals,
        "memory_peak_bytes": frame.ledger.peak_bytes or None,
        "memory_gb_s": frame.ledger.gb_s or None,
        "measured_pss_bytes": frame.ledger.pss,
        "residual_s": residual(frame),
    }


def _start_types(frame: Frame) -> dict[str, int | None]:
    told = frame.tells_start_types
    return {t: int(frame.is_("start_type", t).sum()) if told else None for t in START_TYPES}


def _latencies(frame: Frame) -> dict[str, dict[str, Any] | None]:
    found: dict[str, dict[str, Any] | None] = {}
    for metric in LATENCY:
        seen = metric.observe(frame)
        found[metric.name] = summarise(seen.series) if isinstance(seen, Sample) else None
    return found


def _put(document: dict[str, Any], name: str, content: Any) -> None:
    """Store ``a.b`` as key ``b`` of ``a``."""
    group, _, key = name.partition(".")
    if key:
        document.setdefault(group, {})[key] = content
    else:
        document[group] = content


def _scalars(frame: Frame) -> tuple[dict[str, float | None], dict[str, list[float] | None]]:
    """Values and intervals of the metrics with one number per cell."""
    values: dict[str, float | None] = {}
    intervals: dict[str, list[float] | None] = {}
    for metric in METRICS:
        if metric in LATENCY or metric.name in BY_DEVICE or "." in metric.name:
            continue
        seen = metric.observe(frame)
        estimate = None if seen is None else seen.estimates[VALUE]
        values[metric.name] = None if estimate is None else estimate.value
        interval = None if estimate is None else estimate.ci95
        intervals[metric.name] = interval and list(interval)
    return values, intervals
