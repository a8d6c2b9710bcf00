"""How much of a request's E2E its stages and the transport do not explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .frame import Frame

RESIDUAL_S, RESIDUAL_SHARE = 0.002, 0.02
"""Stages and transport must explain E2E within either, at the median."""


def residual(frame: Frame) -> dict[str, float] | None:
    """Of answered requests, in seconds; None where the system told no stages.

    The last token's chunk is written before the stream's end: what the client waits for is the
    former, so that the way back is counted to the end of the exchange on both sides."""
    transport = frame.since("sent_ns", "received_ns") + frame.since("responded_ns", "end_ns")
    e2e = frame.since("sent_ns", "end_ns")
    left = np.abs(e2e - frame.staged() - transport)
    known = frame.ok & ~np.isnan(left)
    if not known.any():
        return None
    left, e2e = left[known], e2e[known]
    return {
        "median": float(np.median(left)),
        "p95": float(np.quantile(left, 0.95)),
        "median_share": float(np.median(left / e2e)),
        "n": len(left),
    }


def residual_problem(document: Mapping[str, Any]) -> str | None:
    """What to say where stages and transport do not explain E2E."""
    found = document["residual_s"]
    if found is None:
        return None
    if found["median"] <= RESIDUAL_S or found["median_share"] <= RESIDUAL_SHARE:
        return None
    return (
        f"stages and transport leave {found['median'] * 1e3:.1f} ms"
        f" ({found['median_share']:.1%}) of E2E unexplained at the median; 2 ms or 2 % are allowed"
    )
