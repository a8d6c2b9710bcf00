"""Measures the controller's decision times: the only wall-clock measurement of a simulation."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping

_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


class DecisionTimes:
    """A context manager around each decision. Measures CPU time of this thread, so that other
    processes of the machine do not count."""

    __slots__ = ("_began_ns", "_took_ns")

    def __init__(self) -> None:
        self._took_ns = array("q")
        self._began_ns = 0

    def __enter__(self) -> None:
        self._began_ns = time.thread_time_ns()

    def __exit__(self, *_: object) -> None:
        self._took_ns.append(time.thread_time_ns() - self._began_ns)

    def measured(self) -> Mapping[str, float]:
        """Return number, percentiles and total of the decisions; empty if there were none."""
        took = sorted(self._took_ns)
        if not took:
            return {}
        last = len(took) - 1
        found = {f"decision_{name}_us": took[round(share * last)] / 1e3
                 for name, share in _SHARES.items()}  # fmt: skip
        return {"decisions": len(took), "decisions_total_s": sum(took) / 1e9, **found}
