"""Mean TTFT of each system by pattern of load and backbone, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Run

NAME = "ttft-by-pattern"


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply()
    cells = conditions.kept(run, style.MAIN)
    data = conditions.means(run, ["ttft_from_schedule_s"], style.MAIN)
    figure, axis = plt.subplots(figsize=(style.PAGE_IN, 2.4), layout="constrained")
    conditions.bars(axis, data, "mean TTFT, s")
    conditions.legend(figure, axis)
    yield conditions.finish(NAME, figure, cells, data, "both backbones served at once")
