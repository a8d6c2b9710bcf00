"""Measures the controller's decision times: the only wall-clock measurement of a simulation."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping
from typing import TypeVar

A = TypeVar("A")
D = TypeVar("D")

_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


_EVERY = 17
"""One in so many decisions is timed: reading the CPU time twice can take longer than a decision. A
prime, since decisions of one kind may come at regular intervals."""


class DecisionTimes:
    """Measures decisions in CPU time of this thread, so that other processes of the machine do not
    count."""

    __slots__ = ("_count", "_took_ns")

    def __init__(self) -> None:
        self._took_ns = array("q")
        self._count = 0

    def of(self, decide: Callable[[A, int], D], about: A, number: int) -> D:
        """Return the decision that ``decide`` makes from ``about`` and ``number``; time it if it is
        its turn."""
        count = self._count
        self._count = count + 1
        if count % _EVERY:
            return decide(about, number)
        began_ns = time.thread_time_ns()
        decision = decide(about, number)
        self._took_ns.append(time.thread_time_ns() - began_ns)
        return decision

    def repeated(self, times: int) -> None:
        """Count decisions that are known to be the same as the last one, and are not made again."""
        self._count += times

    def measured(self) -> Mapping[str, float]:
        """Return the number of decisions, percentiles of those that were timed, and the total that
        follows; empty if there were no decisions."""
        took = sorted(self._took_ns)
        if not took:
            return {}
        last, total_ns = len(took) - 1, sum(took) / len(took) * self._count
        found = {f"decision_{name}_us": took[round(share * last)] / 1e3
                 for name, share in _SHARES.items()}  # fmt: skip
        return {"decisions": self._count, "decisions_total_s": total_ns / 1e9, **found}
