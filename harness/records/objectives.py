"""Whether requests met their objectives (SLOs): limits of TTFT and E2E, counted from the intended
send, and of TPOT. A request without a limit has no such objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Number = Callable[[str], Floats]
"""Returns a column [n] by name, NaN for null."""

LIMITS = {"ttft": "slo_ttft_ns", "tpot": "slo_tpot_ns", "e2e": "slo_e2e_ns"}
"""Objective → column of its limit."""


@dataclass(frozen=True, eq=False)
class Objectives:
    """By objective. ``met`` [n]: answered, and within the limit if there is one. ``set_``: whether
    any request has a limit. ``known``: False if the server did not count the tokens of an answer
    that has a limit of TPOT."""

    met: Mapping[str, Flags]
    set_: Mapping[str, bool]
    known: Mapping[str, bool]

    @property
    def all_met(self) -> Flags:
        """Whether each request met every objective that it has, [n]."""
        return np.asarray(np.logical_and.reduce(list(self.met.values())))


def objectives(number: Number, ok: Flags) -> Objectives:
    """Judge requests by their columns. ``ok`` [n]: answered in full; a failure meets none."""
    taken = _taken_ns(number)
    limits = {name: number(column) for name, column in LIMITS.items()}
    limited = {name: ~np.isnan(limit) for name, limit in limits.items()}
    return Objectives(
        met={n: ok & (~limited[n] | (taken[n] <= limits[n])) for n in LIMITS},
        set_={n: bool(limited[n].any()) for n in LIMITS},
        known={n: n != "tpot" or not (ok & limited[n] & np.isnan(taken[n])).any() for n in LIMITS},
    )


def _taken_ns(number: Number) -> dict[str, Floats]:
    """Return the nanoseconds that each objective limits. One token has no gap: its TPOT is 0."""
    due, first, last = map(number, ("scheduled_ns", "first_token_ns", "last_token_ns"))
    further = number("output_tokens") - 1
    tpot = (last - first) / np.where(further > 0, further, np.nan)
    return {"ttft": first - due, "tpot": np.where(further <= 0, 0.0, tpot), "e2e": last - due}
