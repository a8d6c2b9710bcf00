"""Cost and cost-effectiveness, 1/(E2E × cost), of each system under each pattern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import conditions, style
from .labels import wide_panels

if TYPE_CHECKING:
    from harness.records import Run

NAME = "cost-by-pattern"


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply(conditions.all_systems(run))
    systems = conditions.systems_of(run)
    cells = conditions.kept(run, systems)
    data = conditions.totals(run, conditions.COSTS, systems)
    figure, axes = wide_panels(2, 1.4)
    conditions.cost_bars(axes, data)
    yield conditions.finish(NAME, figure, cells, data, conditions.prices(cells))
