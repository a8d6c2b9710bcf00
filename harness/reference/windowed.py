"""The stored rates of a sweep within a fixed window: what was done until then, not until the last
answer. A function whose requests drain alone at the end lowers a rate over the whole run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from ..records import Cell

TOKENS, REQUESTS = "window_tokens_per_s", "window_requests_per_s"


def windowed(
    study: str, value: float, cells: Sequence[Cell], window_s: float | None
) -> Iterator[dict[str, Any]]:
    """Yield, per cell, the output tokens and the complete answers a second until ``window_s`` after
    the start; None: nothing."""
    if window_s is None:
        return
    for cell in cells:
        rates = {
            (TOKENS, "tokens/s"): tokens_within(cell.requests, window_s) / window_s,
            (REQUESTS, "1/s"): answers_within(cell.requests, window_s) / window_s,
        }
        for (metric, unit), rate in rates.items():
            yield {
                "study": study, "at": value, "system": cell.system, "workload": cell.workload,
                "metric": metric, "unit": unit, "value": rate, "low": None, "high": None,
                "n": len(cell.requests),
            }  # fmt: skip


def answers_within(requests: pd.DataFrame, window_s: float) -> float:
    """Return how many requests were answered in full until ``window_s``."""
    done = (requests["status"] == "ok") & (requests["last_token_ns"] <= window_s * 1e9)
    return float(done.sum())


def tokens_within(requests: pd.DataFrame, window_s: float) -> float:
    """Return the tokens of answered requests until ``window_s``; those of one answer are taken to
    come evenly from its first to its last."""
    ok = requests[requests["status"] == "ok"]
    first, last, tokens = (
        ok[name].to_numpy(np.float64)
        for name in ("first_token_ns", "last_token_ns", "output_tokens")
    )
    step = (last - first) / np.maximum(tokens - 1, 1)
    since = window_s * 1e9 - first
    further = np.floor(np.divide(since, step, out=np.full(len(ok), np.inf), where=step > 0))
    return float(np.where(since >= 0, np.minimum(1 + further, tokens), 0).sum())
