"""Time per output token and end-to-end latency by pattern and backbone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Run

NAME = "tpot-and-e2e"


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply(conditions.all_systems(run))
    systems = conditions.systems_of(run)
    cells = conditions.kept(run, systems)
    data = conditions.means(run, ["tpot_s", "e2e_s"], systems)
    size = (style.width_in(), 3.6)
    figure, axes = plt.subplots(2, 1, figsize=size, sharex=True, layout="constrained")
    conditions.bars(axes[0], data[data["metric"] == "tpot_s"], "mean TPOT, ms", scale=1e3)
    conditions.bars(axes[1], data[data["metric"] == "e2e_s"], "mean E2E, s")
    yield conditions.finish(NAME, figure, cells, data, conditions.together(cells))
