"""A sweep as panels, one per metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from . import style
from .errors import NothingToDrawError
from .sweep import Sweep, fit, lines


@dataclass(frozen=True, slots=True)
class Panel:
    metric: str
    unit: str
    log_y: bool = False
    published: tuple[tuple[str, float], ...] = ()
    """(system, value), drawn as hollow marks if the sweep has ``published_at``."""
    scale: float = 1.0
    """Factor from the record's unit to the displayed one."""
    published_at: float | None = None
    """Value of the sweep to which ``published`` belongs."""
    published_in: str = ""
    """Study to which ``published`` belongs; empty: any."""


KEEPING = (
    Panel("ttft_from_schedule_s.mean", "mean TTFT, s"),
    Panel("slo_violation_rate", "SLO violations, share"),
    Panel("cost_usd", "cost, $"),
)
"""Benefit and cost of keeping more memory, or keeping it longer."""

SCALING = (
    Panel("output_tokens_per_s", "tokens/s"),
    Panel("ttft_from_schedule_s.mean", "mean TTFT, s", log_y=True),
    Panel("cost_usd", "cost, $"),
)


def draw(name: str, sweep: Sweep, panels: Sequence[Panel], more: str = "") -> style.Drawing:
    """Draw the panels. Raises ``NothingToDrawError`` if the sweep has none of their metrics."""
    metrics = [panel.metric for panel in panels]
    if not sweep.numbers["metric"].isin(metrics).any():
        raise NothingToDrawError(f"sweep {sweep.id}: no {', '.join(metrics)}")
    style.apply(sweep.numbers["system"])
    figure, axes = plt.subplots(
        1, len(panels), figsize=(style.PAGE_IN, 2.5), squeeze=False, layout="constrained"
    )
    drawn = [_panel(axis, sweep, panel) for axis, panel in zip(axes[0], panels, strict=True)]
    style.legend(figure)
    rows = pd.concat([each for each, _ in drawn], ignore_index=True)
    known = rows["low"].notna()
    told = [more] if more else []
    told += ["bands: 95 %"] if (known & rows["banded"]).any() else []
    told += ["no band where it reaches below the axis"] if (known & ~rows["banded"]).any() else []
    told += ["hollow: as published"] if any(hollow for _, hollow in drawn) else []
    told += [] if sweep.published_at is None else ["dotted: the paper's evaluation"]
    figure.supxlabel(sweep.caption("; ".join(told)), fontsize=6)
    return style.Drawing(name, figure, rows)


def _panel(axis: Any, sweep: Sweep, panel: Panel) -> tuple[pd.DataFrame, bool]:
    """Return the drawn rows, and whether published values were drawn."""
    rows = lines(axis, sweep, panel.metric, panel.unit, log_y=panel.log_y, scale=panel.scale)
    if not rows["value"].notna().any():
        style.say_unknown(axis)
        return rows, False
    if sweep.published_at is not None:
        axis.axvline(sweep.published_at, color="black", lw=0.8, ls=":")
    there = panel.published_at in set(rows["at"]) and panel.published_in in ("", sweep.study)
    shown = set(rows["system"]) if there else set()
    marks = [(system, value) for system, value in panel.published if system in shown]
    for system, value in marks:
        assert panel.published_at is not None, "marks are at this value"
        style.published_mark(axis, panel.published_at, value, system)
    fit(axis, rows, [value for _, value in marks], log_y=panel.log_y)
    return rows, bool(marks)
