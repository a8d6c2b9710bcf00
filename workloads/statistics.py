"""Statistics of a workload, each with the name of its estimator."""

from __future__ import annotations

from typing import Any

import numpy as np

from .lengths import lacks_lengths
from .trace import BurstClass, Workload

Times = np.ndarray[Any, np.dtype[np.float64]]

PREDICTABLE_CV, BURSTY_CV = 1.0, 4.0
CLASSES: tuple[BurstClass, ...] = ("predictable", "normal", "bursty")
CV_ESTIMATOR = "sample standard deviation over mean of inter-arrival times"


def cv(arrivals_s: Times) -> float:
    """Coefficient of variation of the gaps between arrivals; NaN below three arrivals."""
    gaps = np.diff(np.sort(arrivals_s))
    if len(gaps) < 2 or not gaps.mean():
        return float("nan")
    return float(gaps.std(ddof=1) / gaps.mean())


def counts(arrivals_s: Times, window_s: float, duration_s: float) -> Times:
    """Number of arrivals in each whole window of the trace."""
    edges = np.arange(int(duration_s / window_s + 1e-9) + 1) * window_s
    return np.histogram(arrivals_s, edges)[0].astype(float)


def dispersion(arrivals_s: Times, window_s: float, duration_s: float) -> float:
    """Index of dispersion: variance over mean of the counts per window; 1 for Poisson."""
    found = counts(arrivals_s, window_s, duration_s)
    return float(found.var() / found.mean()) if found.sum() else float("nan")


def peak_to_mean(arrivals_s: Times, duration_s: float, window_s: float = 60.0) -> float:
    """Count of the busiest window over the mean count."""
    found = counts(arrivals_s, window_s, duration_s)
    return float(found.max() / found.mean()) if found.sum() else float("nan")


def burst_class(value: float) -> BurstClass:
    """The paper's classes by the CV of inter-arrival times: ≤ 1, 1–4, > 4."""
    if value <= PREDICTABLE_CV:
        return "predictable"
    return "normal" if value <= BURSTY_CV else "bursty"


def describe(workload: Workload) -> dict[str, Any]:
    """Return the document of ``slbench workloads show``. Windows of 60 s are in replay time."""
    duration_s = workload.duration_ns / 1e9
    times = workload.arrivals_s()
    by_function = [cv(workload.arrivals_s(f.id)) for f in workload.functions]
    classes = [burst_class(value) for value in by_function if not np.isnan(value)]
    return {
        "name": workload.name,
        "kind": workload.provenance.kind,
        "functions": len(workload.functions),
        "n": len(workload),
        "duration_s": duration_s,
        # A recording ends a nanosecond after its last arrival: if all come at once, it has no rate.
        "rate_rps": len(workload) / duration_s if workload.duration_ns > 1 else None,
        "cv": _number(cv(times)),
        "cv_estimator": CV_ESTIMATOR,
        "dispersion_60s": _number(dispersion(times, 60.0, duration_s)),
        "peak_to_mean": _number(peak_to_mean(times, duration_s)),
        "prompt_tokens": _quantiles(workload, "prompt_tokens"),
        "output_tokens": _quantiles(workload, "output_tokens"),
        "lengths_known": not lacks_lengths(workload),
        "classes": {name: classes.count(name) for name in CLASSES},
        "sha256": workload.sha256,
    }


def _number(value: float) -> float | None:
    """Convert NaN to None; JSON has no NaN."""
    return None if np.isnan(value) else value


def _quantiles(workload: Workload, column: str) -> dict[str, float]:
    values = workload.requests[column].to_numpy()
    if not len(values):
        return {}
    return {f"p{q}": float(np.percentile(values, q)) for q in (50, 90, 99)}
