"""The table of systems under each load: means over the segments of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..records import open_run
from ..records.segments import ALL, segments
from ..stats import student_ratio_interval
from .block import Block

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Values = np.ndarray[tuple[int], np.dtype[np.float64]]

WORTH = "cost_effectiveness"


def over_segments(block: Block, reference: Path) -> str:
    run = open_run(reference / block.record)
    frame = segments(run).sort_values("segment")
    frame = frame[frame["backbone"] == ALL]
    profile = run.cells()[0].manifest.profile or {}
    head = (
        f"{frame['segment'].nunique()} segments of each load, **simulated**, profile"
        f" {profile['name']}; [{block.record}](results/reference/{block.record}):\n\n"
        "| | TTFT mean, ms | E2E mean, ms | SLO kept, % | cost, $ |"
        f" 1/(E2E × cost), against {block.baseline} (95 %) |\n|---|--:|--:|--:|--:|--:|\n"
    )
    loads = dict.fromkeys([*block.workloads, *sorted(set(frame["workload"]))])
    return head + "".join(_rows(load, frame[frame["workload"] == load], block) for load in loads)


def _rows(load: str, frame: pd.DataFrame, block: Block) -> str:
    by = {key: part["value"].to_numpy() for key, part in frame.groupby(["system", "metric"])}
    return "".join(
        f"| {load}: {system} | {1e3 * by[system, 'ttft_from_schedule_s'].mean():,.0f}"
        f" | {1e3 * by[system, 'e2e_s'].mean():,.0f}"
        f" | {100 * (1 - by[system, 'slo_violation_rate'].mean()):.1f}"
        f" | {by[system, 'cost_usd'].mean():.2f}"
        f" | {_ratio(by[system, WORTH], by[str(block.baseline), WORTH])} |\n"
        for system in block.systems
    )


def _ratio(values: Values, base: Values) -> str:
    if values is base:
        return "1.00"
    ends = student_ratio_interval(values.tolist(), base.tolist())
    shown = f"{values.mean() / base.mean():.2f}"
    return f"{shown} ({ends[0]:.2f}–{ends[1]:.2f})" if ends else shown
