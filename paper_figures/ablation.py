"""ServerlessLoRA with each mechanism disabled on its own: TTFT, E2E and cost by pattern."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import conditions, published, style
from .errors import NothingToDrawError
from .labels import pattern, wide_panels

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Run

NAME = "ablation"
_WHOLE = "serverless-lora"
METRICS = {"ttft_from_schedule_s": "mean TTFT, s", "e2e_s": "mean E2E, s", "cost_usd": "cost, $"}
_NORMAL = "azure-normal8"
PUBLISHED = {
    "serverless-lora": {"ttft_from_schedule_s": 0.576, "e2e_s": 2.977, "cost_usd": 7.53},
    "serverless-lora-no-sharing": {
        "ttft_from_schedule_s": 2.608,
        "e2e_s": 4.959,
        "cost_usd": 12.55,
    },
}
"""For *Normal*, 8 functions, four hours; from a digest of the paper."""


def draw_figure(run: Run) -> Iterator[style.Drawing]:
    style.apply(conditions.all_systems(run))
    there = conditions.all_systems(run)
    systems = [name for name in there if name == _WHOLE or style.is_ablation(name)]
    if not any(map(style.is_ablation, systems)):
        raise NothingToDrawError(f"run {run.id}: no ablation of {_WHOLE}")
    cells = conditions.kept(run, systems)
    data = conditions.totals(run, list(METRICS), systems)
    normal = [cell for cell in cells if cell.workload == _NORMAL]
    hollow = bool(normal) and published.belongs(normal)
    figure, axes = wide_panels(len(METRICS), 1.5)
    for axis, (metric, unit) in zip(axes, METRICS.items(), strict=True):
        rows = data[data["metric"] == metric]
        conditions.bars(axis, rows, unit)
        axis.tick_params("x", labelsize=style.SMALL_PT)
        if hollow:
            _published(axis, metric, rows)
    more = "hollow: as published, for normal" if hollow else ""
    yield conditions.finish(NAME, figure, cells, data, more)


def _published(axis: Any, metric: str, rows: pd.DataFrame) -> None:
    """Draw hollow marks over the corresponding bars."""
    group = list(dict.fromkeys(rows["label"])).index(pattern(_NORMAL))
    shown = [system for system in PUBLISHED if system in set(rows["system"])]
    for system in shown:
        place = conditions.bar_places(rows, system)[0][group]
        style.published_mark(axis, place, PUBLISHED[system][metric], system)
    tops = [axis.get_ylim()[1], *(1.08 * PUBLISHED[system][metric] for system in shown)]
    axis.set_ylim(top=max(tops))
