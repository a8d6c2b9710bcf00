"""Fitted workloads as the TOMLs of this folder: how the shipped azure-* ones were made."""

from __future__ import annotations

import json

from ..fit import SEEDS, fit
from ..minutes import MinuteCounts
from ..statistics import burst_class


def fitted_toml(minutes: MinuteCounts, summary: str, source: str) -> str:
    """A catalogue entry for counts per minute: each function's process, and beside it the
    observed statistics and the median of as many simulated traces."""
    lines = [
        f"summary = {json.dumps(summary, ensure_ascii=False)}",
        f"source = {json.dumps(source, ensure_ascii=False)}",
        f"duration_s = {minutes.duration_s}",
        f"# fit: observed, and the median of {SEEDS} simulated traces; cv is of inter-arrival",
        "# times, calls uniform within their minute; dispersion is of counts per 60 s.",
    ]
    for function in minutes.functions:
        found = fit(minutes.counts[function.id])
        about = function.model_dump(exclude_none=True)
        about["burst_class"] = burst_class(found.observed["cv"])
        lines += ["", "[[function]]", _table("about", about)]
        lines.append(_table("process", found.process.model_dump()))
        for title, values in (("observed", found.observed), ("simulated", found.simulated)):
            lines.append(_table(f"fit.{title}", {k: round(v, 4) for k, v in values.items()}))
    return "\n".join(lines) + "\n"


def _table(name: str, values: dict[str, object]) -> str:
    inside = ", ".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    return f"{name} = {{ {inside} }}"
