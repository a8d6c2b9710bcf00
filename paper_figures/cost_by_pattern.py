"""Cost and cost-effectiveness, 1/(E2E × cost), of each system under each pattern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Run

NAME = "cost-by-pattern"


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply(conditions.all_systems(run))
    systems = conditions.systems_of(run)
    cells = conditions.kept(run, systems)
    data = conditions.totals(run, conditions.COSTS, systems)
    figure, axes = plt.subplots(1, 2, figsize=(style.PAGE_IN, 2.3), layout="constrained")
    conditions.cost_bars(axes, data)
    style.legend(figure)
    yield conditions.finish(NAME, figure, cells, data, conditions.prices(cells))
