"""The part of a request's E2E that its stages and the transport do not explain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .frame import Frame

RESIDUAL_S, RESIDUAL_SHARE = 0.002, 0.02
"""At the median, the unexplained part of E2E must be within one of these limits."""


def residual(frame: Frame) -> dict[str, float] | None:
    """Return the unexplained seconds of answered requests; None if the system reported no stages.

    The server writes the last token's chunk before the end of the stream, and the client waits for
    the chunk. The way back is therefore measured to the end of the exchange on both sides.
    """
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
    """Return the problem message if stages and transport do not explain E2E, else None."""
    found = document["residual_s"]
    if found is None:
        return None
    if found["median"] <= RESIDUAL_S or found["median_share"] <= RESIDUAL_SHARE:
        return None
    return (
        f"stages and transport leave {found['median'] * 1e3:.1f} ms"
        f" ({found['median_share']:.1%}) of E2E unexplained at the median; 2 ms or 2 % are allowed"
    )
