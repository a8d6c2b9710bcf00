"""Fits the times of batches: their prefill and their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .found import Points
from .frames import Frames
from .probes import STEPS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fit:
    """prefill = fixed + request·b + token·k; step = step + more·b; fitted over ``batches``.
    ``rows``: the number of requests in a step and its median duration in s."""

    fixed: float
    request: float
    token: float
    step: float
    more: float
    batches: int
    rows: Points

    def beyond(self, frames: Frames, requests: Any) -> np.ndarray[Any, Any]:
        """Prefill time beyond the fit of these requests, each alone in its batch."""
        tokens = frames.requests.set_index("request_id").loc[requests, "prompt_tokens"]
        expected = self.fixed + self.request + self.token * tokens.to_numpy()
        return np.asarray(np.maximum(frames.seconds("prefill", requests) - expected, 0.0))


def fit_batches(shared: Frames, hot: pd.DataFrame) -> Fit:
    """Fit the requests ``hot``, as :func:`batches_from` sends them."""
    spans = shared.spans.set_index(["request_id", "stage"])
    seconds = (spans["end_ns"] - spans["start_ns"]) / 1e9
    rows, prefill, steps = [], [], []
    for _, instant in hot.groupby("scheduled_ns"):
        starts = [spans.loc[(one, "prefill"), "start_ns"] for one in instant["request_id"]]
        for _, batch in instant.groupby(starts):
            rows.append((1.0, len(batch), batch["prompt_tokens"].sum()))
            prefill.append(seconds.loc[(batch["request_id"].iloc[0], "prefill")])
            if batch["output_tokens"].iloc[0] > 1:
                decode_s = seconds.loc[(batch["request_id"].iloc[0], "decode")]
                steps.append((len(batch), decode_s / (STEPS - 1)))
    fixed, request, token = least_squares(rows, prefill)
    step, more = least_squares([(1.0, count) for count, _ in steps], [each for _, each in steps])
    return Fit(fixed, request, token, step, more, len(rows), _medians(steps))


def _medians(steps: Sequence[tuple[int, float]]) -> Points:
    counts = sorted({count for count, _ in steps})
    return tuple((n, float(np.median([s for count, s in steps if count == n]))) for n in counts)


def least_squares(rows: Sequence[Any], values: Sequence[float]) -> tuple[float, ...]:
    """Fit ``values`` with coefficients that are not negative."""
    from scipy.optimize import nnls

    found, _ = nnls(np.array(rows, float), np.array(values, float))
    return tuple(float(value) for value in found)
