"""A client's account against the server's log of the same requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .client import Load, Timed


@dataclass(frozen=True, slots=True)
class Outcome:
    """``lateness_ms``: arrivals at the server behind the grid of ``1/rate`` s that starts with the
    promptest of them, for tools do not tell their own. ``skew_ms``: TTFT as reported less the
    server's, from receiving the request to sending its first token. p50 and p99 of each.
    ``cpu_us_per_event``: of the process tree between first arrival and last token, over tokens;
    starting, tokenizing beforehand and reporting do not count."""

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
    """``cpu``: (monotonic ns, seconds of the tree so far), sampled. Requests are paired in order
    of start, which a constant rate keeps. ValueError where the two disagree on how many."""
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
