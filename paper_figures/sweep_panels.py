"""A sweep as panels side by side, a metric each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd

from . import conditions, style
from .sweep import Sweep, lines


@dataclass(frozen=True, slots=True)
class Panel:
    metric: str
    unit: str
    log_y: bool = False
    published: tuple[tuple[str, float], ...] = ()
    """(system, value), drawn as hollow marks."""
    scale: float = 1.0
    """From the record's unit to the one shown."""
    published_at: float | None = None
    """At which value of the sweep; None: at its last."""


KEEPING = (
    Panel("ttft_from_schedule_s.mean", "mean TTFT, s"),
    Panel("slo_violation_rate", "SLO violations, share"),
    Panel("cost_usd", "cost, $"),
)
"""What keeping more, or for longer, buys and costs."""

SCALING = (
    Panel("output_tokens_per_s", "tokens/s"),
    Panel("ttft_from_schedule_s.mean", "mean TTFT, s", log_y=True),
    Panel("cost_usd", "cost, $"),
)


def draw(name: str, sweep: Sweep, panels: Sequence[Panel], more: str) -> style.Drawing:
    style.apply()
    figure, axes = plt.subplots(
        1, len(panels), figsize=(style.PAGE_IN, 2.5), squeeze=False, layout="constrained"
    )
    parts = []
    for axis, panel in zip(axes[0], panels, strict=True):
        rows = lines(axis, sweep, panel.metric, panel.unit, log_y=panel.log_y, scale=panel.scale)
        for system, value in panel.published:
            _, colour, mark = style.look(system)
            at = panel.published_at or rows["at"].max()
            axis.plot(at, value, mark, mfc="none", mec=colour, ms=6)
        parts.append(rows)
    conditions.legend(figure, axes[0, 0])
    hollow = any(panel.published for panel in panels)
    legend = f"{more}; hollow: as published" if hollow else more
    figure.supxlabel(sweep.caption(legend), fontsize=6)
    return style.Drawing(name, figure, pd.concat(parts, ignore_index=True))
