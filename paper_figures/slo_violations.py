"""Share of requests whose first token came after its objective, by pattern and backbone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Run

NAME = "slo-violations"
PUBLISHED = {"serverless-lora": 10.0, "serverless-llm": 45.0, "instainfer": 58.0}
"""Per cent, the worst of the paper's conditions, by a digest of it."""


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply()
    cells = conditions.kept(run, style.MAIN)
    data = conditions.means(run, ["slo_violation_rate"], style.MAIN)
    data[["value", "low", "high"]] *= 100
    figure, axis = plt.subplots(figsize=(style.PAGE_IN, 2.4), layout="constrained")
    conditions.bars(axis, data, "SLO violations, %")
    groups = len(set(data["label"]))
    for system in style.in_order(set(data["system"]) & set(PUBLISHED)):
        _, colour, mark = style.look(system)
        axis.plot(
            groups - 0.25, PUBLISHED[system], mark, mfc="none", mec=colour, ms=6, clip_on=False
        )
    axis.set_xlim(-0.6, groups)
    conditions.legend(figure, axis)
    more = "hollow: the worst condition as published"
    yield conditions.finish(NAME, figure, cells, data, more)
