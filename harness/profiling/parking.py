"""Instances that are parked after a short keep-alive: how long their memory takes to be free."""

from __future__ import annotations

import numpy as np

from .found import Found, median
from .frames import Frames


def offload(sleepy: Frames) -> dict[str, Found]:
    """``sleepy``: a cell whose only instance is parked one second after each request."""
    ends = sleepy.requests["responded_ns"].to_numpy()
    cache = sleepy.memory[sleepy.memory["owner"] == "kv"].sort_values("t_ns")
    freed = cache[(cache["bytes"] == 0) & (cache["bytes"].shift() > 0)]["t_ns"].to_numpy()
    since = [(t - ends[ends < t].max()) / 1e9 - 1.0 for t in freed]
    found = median(np.maximum(since, 0), "KV cache released after a keep-alive of 1 s")
    return {
        "offload_s": found,
        "stop_s": Found(found.value, "assumed equal to offload_s", "derived"),
    }
