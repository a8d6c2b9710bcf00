"""The result of a check as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .agreement import outside
from .quantities import QUANTITIES, Quantity


def lines(document: Mapping[str, Any]) -> list[str]:
    """Format a line for each system and load: live → simulated, and the error; those beyond the
    bounds are marked with !."""
    return [_line(row) for row in document["cells"]]


def _line(row: Mapping[str, Any]) -> str:
    shown = [_quantity(each, row[each.name]) for each in QUANTITIES]
    parts = [*(part for part in shown if part), *_distance(row["ttft_ks"])]
    agreed = len(QUANTITIES) - len(outside(row)) - shown.count("")
    name = f"{row['record']}: {row['system']} under {row['workload']}"
    return f"{name}: {agreed} of {len(QUANTITIES) - shown.count('')} agree; {'; '.join(parts)}"


def _quantity(quantity: Quantity, found: Mapping[str, Any]) -> str:
    if found["live"] is None:
        return ""
    live, simulated = (f"{quantity.scale * found[of]:.4g}" for of in ("live", "simulated"))
    error = "" if found["error"] is None else f" ({found['error']:+.0%})"
    mark = "" if found["within"] else "!"
    return f"{quantity.title} {live} live, {simulated} simulated{error}{mark}"


def _distance(found: Mapping[str, Any]) -> list[str]:
    return [] if found["statistic"] is None else [f"KS of TTFT {found['statistic']:.2f}"]
