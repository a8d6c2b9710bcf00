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
    """(system, value), drawn as hollow marks at the last value of the sweep."""


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


def draw(name: str, sweep: Sweep, panels: Sequence[Panel]) -> style.Drawing:
    style.apply()
    figure, axes = plt.subplots(
        1, len(panels), figsize=(style.PAGE_IN, 2.5), squeeze=False, layout="constrained"
    )
    parts = []
    for axis, panel in zip(axes[0], panels, strict=True):
        rows = lines(axis, sweep, panel.metric, panel.unit, log_y=panel.log_y)
        for system, value in panel.published:
            _, colour, mark = style.look(system)
            axis.plot(rows["at"].max(), value, mark, mfc="none", mec=colour, ms=6)
        parts.append(rows)
    conditions.legend(figure, axes[0, 0])
    hollow = any(panel.published for panel in panels)
    more = "bands: 95 %" + ("; hollow: the peak as published" if hollow else "")
    figure.supxlabel(sweep.caption(more), fontsize=6)
    return style.Drawing(name, figure, pd.concat(parts, ignore_index=True))
