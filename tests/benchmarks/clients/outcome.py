"""Compare the numbers of a client with the server's log of the same requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .client import Load, Timed


@dataclass(frozen=True, slots=True)
class Outcome:
    """``lateness_ms``: arrival at the server minus the grid of ``1/rate`` s, which starts at the
    least late arrival, since tools do not report their lateness. ``skew_ms``: reported TTFT minus
    the server's TTFT (request received to first token sent). p50 and p99 of each.
    ``cpu_us_per_event``: processor time of the process tree per token, between first arrival and
    last token; excludes start, tokenization and reporting."""

    delivered_rps: float
    lateness_ms: tuple[float, float]
    skew_ms: tuple[float, float]
    cpu_us_per_event: float


def outcome(
    load: Load,
    entries: Sequence[dict[str, Any]],
    timed: Sequence[Timed],
    cpu: Sequence[tuple[int, float]],
) -> Outcome:
    """``cpu``: samples of (monotonic ns, processor seconds of the tree so far). Pairs requests in
    order of start, which a constant rate keeps. Raises ValueError if the counts differ."""
    served = sorted((entry for entry in entries if entry["sent"]), key=lambda e: e["received_ns"])
    if len(served) != len(timed):
        raise ValueError(f"{len(served)} requests were served and {len(timed)} reported")
    received = np.array([entry["received_ns"] for entry in served], float)
    first = np.array([entry["sent"][0][0] for entry in served], float)
    last = max(entry["sent"][-1][0] for entry in served)
    reported = np.array([one.ttft_ms for one in sorted(timed)])
    behind = received - np.arange(len(served)) * 1e9 / load.rate_rps
    at, spent = np.array(cpu).T
    used = np.interp(last, at, spent) - np.interp(received[0], at, spent)
    return Outcome(
        delivered_rps=(len(served) - 1) / (received[-1] - received[0]) * 1e9,
        lateness_ms=_tail((behind - behind.min()) / 1e6),
        skew_ms=_tail(reported - (first - received) / 1e6),
        cpu_us_per_event=used / sum(len(entry["sent"]) for entry in served) * 1e6,
    )


def _tail(values: Any) -> tuple[float, float]:
    p50, p99 = np.percentile(values, [50, 99])
    return float(p50), float(p99)
