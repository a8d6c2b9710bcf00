"""A sweep as panels, one per metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from . import style
from .errors import NothingToDrawError
from .frame import enclose
from .labels import wide_panels
from .onset import ring
from .sweep import Sweep, bands_told, fit, lines


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
    offered: bool = False
    """Whether the load is drawn beside what became of it, where the sweep does not tell it."""
    matters_from: float | None = None
    """Ratio from which a point is ringed, in a panel of ratios."""


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
    figure, axes = wide_panels(len(panels), 1.6)
    drawn = [_panel(axis, sweep, panel) for axis, panel in zip(axes, panels, strict=True)]
    rows = pd.concat([each for each, _ in drawn], ignore_index=True)
    told = dict.fromkeys(each for _, remarks in drawn for each in remarks)
    enclose(figure, sweep.caption(style.joined([more, *bands_told(rows), *told])))
    return style.Drawing(name, figure, rows)


def _panel(axis: Any, sweep: Sweep, panel: Panel) -> tuple[pd.DataFrame, list[str]]:
    """Return the drawn rows, and what the caption says of marks and lines."""
    rows = lines(axis, sweep, panel.metric, panel.unit, log_y=panel.log_y, scale=panel.scale)
    if not rows["value"].notna().any():
        style.say_unknown(axis)
        return rows, []
    remarks = ring(axis, rows, panel.matters_from) if panel.matters_from else []
    marks = _published(axis, sweep, panel, rows)
    remarks += ["hollow: as published"] if marks else []
    remarks += _offered(axis, sweep) if panel.offered and sweep.offered else []
    if sweep.published_at is not None:
        axis.axvline(sweep.published_at, color="black", lw=0.8, ls=":")
        remarks.append("dotted: the paper's evaluation")
    fit(axis, rows, marks, log_y=panel.log_y)
    return rows, remarks


def _offered(axis: Any, sweep: Sweep) -> list[str]:
    """Draw the load as a line, and return what the caption says of it."""
    places = sorted(sweep.offered)
    rates = [sweep.offered[at] for at in places]
    axis.plot(places, rates, color="black", lw=0.8, ls=(0, (1, 3)), zorder=1)
    told = ", ".join(f"{rate:.3g}" for rate in rates)
    return [f"black: offered, {told} requests/s"]


def _published(axis: Any, sweep: Sweep, panel: Panel, rows: pd.DataFrame) -> list[float]:
    """Draw the published values of the systems that are there, and return them."""
    at = panel.published_at
    if at is None or at not in set(rows["at"]) or panel.published_in not in ("", sweep.study):
        return []
    shown = [each for each in panel.published if each[0] in set(rows["system"])]
    for system, value in shown:
        style.published_mark(axis, at, value, system)
    return [value for _, value in shown]
