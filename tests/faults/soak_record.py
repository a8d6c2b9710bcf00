"""The record of a soak: what it did, and the series of what it sampled."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import numpy as np

from harness.records.manifest import git

from . import device_memory, process_series
from .slopes import WARM_UP, slope
from .soak_plan import Plan, Sample, Watched

GROWS = {
    "gateway_anonymous_mb": 0.02,
    "template_anonymous_mb": 0.0005,
    "gateway_mb": None,
    "template_mb": None,
    "descriptors": 0.05,
    "ttft_ms": 0.10,
}
"""Growth over the measured time, as a share of the median, up to which a series counts as flat. Of
the template's memory a small one: most of it is libraries. None: any growth does, since a unique
set size changes with what other processes map (:class:`Sample`)."""


def record(plan: Plan, watched: Watched) -> dict[str, Any]:
    series = _series(watched, watched.seconds, plan.target.kind)
    return {
        "seed": plan.seed,
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git(),
        "device": plan.target.kind,
        "card": device_memory.name(plan.target.device),
        "backbone": plan.target.backbone,
        "level": plan.level,
        "places": plan.places if plan.level != "function" else None,
        "popularity": plan.popularity,
        "keep_alive_s": plan.keep_alive_s,
        "minutes": round(watched.seconds / 60, 2),
        "minutes_planned": plan.minutes,
        "interrupted": watched.interrupted,
        "functions": plan.functions,
        "called_before": plan.functions,
        "rate_rps": plan.rate,
        "requests": len(watched.answers),
        "unfinished": watched.unfinished,
        "instances_started": watched.instances,
        "answers": dict(Counter(answer.how for answer in watched.answers)),
        "failed": sum(answer.how != "ok" for answer in watched.answers),
        "left": watched.left,
        "of_ended_mb": _of_ended(watched.samples),
        "series": series,
        "flat": all(found["flat"] for found in series.values()),
    }


def _of_ended(samples: list[Sample]) -> dict[str, float]:
    """Return the device memory that processes held after their end: mean and highest sample."""
    held = [sample.processes.ended for sample in samples] or [0.0]
    return {"mean": round(float(np.mean(held)), 3), "most": round(max(held), 3)}


def _series(watched: Watched, seconds: float, kind: str) -> dict[str, Any]:
    after = WARM_UP * seconds
    late = [sample for sample in watched.samples if sample.t_s >= after]
    times = [sample.t_s for sample in late]
    series = {
        name: (times, [float(getattr(sample, name)) for sample in late])
        for name in GROWS
        if name != "ttft_ms"
    }
    told = [a for a in watched.answers if a.first_s is not None and a.sent_s >= after]
    series["ttft_ms"] = [a.sent_s for a in told], [1e3 * float(a.first_s or 0) for a in told]
    found = {
        name: slope(*points, seconds - after, GROWS[name])
        for name, points in series.items()
        if len(points[0]) >= process_series.POINTS
    }
    return found | process_series.series(
        [sample.processes for sample in late], seconds - after, slope, kind
    )
