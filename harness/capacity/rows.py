"""The result of a search as rows of a table. Unknown values are NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


def subject_rows(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row per system and workload, without the tested loads."""
    for each in result["systems"]:
        row = {key: value for key, value in each.items() if key not in ("points", "interval")}
        low, high = each["interval"]
        yield {key: _known(value) for key, value in (row | {"low": low, "high": high}).items()}


def goal_rows(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a row per system, workload, tested load and goal."""
    for each in result["systems"]:
        for point in each["points"]:
            yield from _of_point(each, point)


def _of_point(each: Mapping[str, Any], point: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for verdict in point["verdicts"]:
        low, high = verdict["ci95"] or (None, None)
        row = {
            "system": each["system"],
            "workload": each["workload"],
            "load": point["load"],
            "requests_per_s": point["requests_per_s"],
            "goal": verdict["goal"],
            "value": verdict["value"],
            "low": low,
            "high": high,
            "feasible": point["feasible"],
            "usd_per_1k_requests": point["usd_per_1k_requests"],
        }
        yield {key: _known(value) for key, value in row.items()}


def _known(value: Any) -> Any:
    return math.nan if value is None else value
