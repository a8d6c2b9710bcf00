"""Cost and cost-effectiveness of serving one backbone's functions, for every system of a run.
Serverful systems pay by the hour for every card that they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Run

NAME = "cost-of-serving"
_METRICS = {"cost_usd": "cost, $", "cost_effectiveness": "1/(E2E × cost), 1/($·s)"}


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply()
    systems = conditions.all_systems(run)
    cells = conditions.kept(run, systems)
    data = conditions.totals(run, list(_METRICS), systems)
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE_IN, 2.3), layout="constrained")
    for axis, (metric, unit) in zip(axes, _METRICS.items(), strict=True):
        conditions.bars(axis, data[data["metric"] == metric], unit)
    style.legend(figure, columns=4)
    yield conditions.finish(NAME, figure, cells, data, conditions.prices(cells))
