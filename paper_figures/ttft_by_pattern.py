"""Mean TTFT of each system by load pattern and backbone, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Run

NAME = "ttft-by-pattern"


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply(conditions.all_systems(run))
    systems = conditions.systems_of(run)
    cells = conditions.kept(run, systems)
    data = conditions.means(run, ["ttft_from_schedule_s"], systems)
    figure, axis = plt.subplots(figsize=(style.width_in(), 2.4), layout="constrained")
    conditions.bars(axis, data, "mean TTFT, s")
    yield conditions.finish(NAME, figure, cells, data, conditions.together(cells))
