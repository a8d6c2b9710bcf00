"""ServerlessLoRA with each mechanism switched off on its own: TTFT, E2E and cost by pattern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt

from . import conditions, style

if TYPE_CHECKING:
    from harness.records import Run

NAME = "ablation"
_SYSTEMS = [name for name in style.SYSTEMS if name.startswith("serverless-lora")]
_METRICS = {"ttft_from_schedule_s": "mean TTFT, s", "e2e_s": "mean E2E, s", "cost_usd": "cost, $"}
PUBLISHED = {
    "serverless-lora": {"ttft_from_schedule_s": 0.576, "e2e_s": 2.977, "cost_usd": 7.53},
    "serverless-lora-no-sharing": {
        "ttft_from_schedule_s": 2.608,
        "e2e_s": 4.959,
        "cost_usd": 12.55,
    },
}
"""Of *Normal*, 8 functions, four hours, by a digest of the paper."""


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply()
    cells = conditions.kept(run, _SYSTEMS)
    data = conditions.totals(run, list(_METRICS), _SYSTEMS)
    figure, axes = plt.subplots(1, 3, figsize=(style.PAGE_IN, 2.4), layout="constrained")
    for axis, (metric, unit) in zip(axes, _METRICS.items(), strict=True):
        rows = data[data["metric"] == metric]
        conditions.bars(axis, rows, unit)
        axis.tick_params("x", labelsize=6)
        _published(axis, metric, rows)
    conditions.legend(figure, axes[0])
    more = "hollow: as published, for normal"
    yield conditions.finish(NAME, figure, cells, data, more)


def _published(axis: Any, metric: str, rows: Any) -> None:
    """Hollow marks over the bars that they belong to."""
    labels = list(dict.fromkeys(rows["label"]))
    if "normal" not in labels:
        return
    systems = style.in_order(rows["system"])
    width = conditions.GAP / len(systems)
    for system, values in PUBLISHED.items():
        _, _, mark = style.look(system)
        place = labels.index("normal") + (systems.index(system) - (len(systems) - 1) / 2) * width
        axis.plot(place, values[metric], mark, mfc="white", mec="black", mew=0.8, ms=4)
