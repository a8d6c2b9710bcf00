"""The ablation table: each mechanism disabled on its own, over the segments of the evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..records import open_run
from ..records.segments import ALL, segments
from ..stats import student_ratio_interval
from .block import Block

_METRICS = {"ttft_from_schedule_s": 1e3, "e2e_s": 1e3, "cost_usd": 1.0}
FULL = "serverless-lora"


def ablation(block: Block, reference: Path) -> str:
    frame = segments(open_run(reference / block.record)).sort_values("segment")
    frame = frame[frame["system"].str.startswith(FULL) & (frame["backbone"] == ALL)]
    lines = [
        "| | TTFT mean, ms | E2E mean, ms | cost, $ | TTFT × cost, against full (95 %) |",
        "|---|--:|--:|--:|--:|",
    ]
    for workload, part in frame.groupby("workload"):
        by = {key: each["value"].to_numpy() for key, each in part.groupby(["system", "metric"])}
        full = by[FULL, "ttft_from_schedule_s"] * by[FULL, "cost_usd"]
        for system in block.systems:
            means = [scale * by[system, metric].mean() for metric, scale in _METRICS.items()]
            worth = by[system, "ttft_from_schedule_s"] * by[system, "cost_usd"]
            ratio = f"{np.mean(worth) / np.mean(full):.2f}"
            ends = student_ratio_interval(worth.tolist(), full.tolist())
            if system != FULL and ends:
                ratio += f" ({ends[0]:.2f}–{ends[1]:.2f})"
            name = system.removeprefix(f"{FULL}-") if system != FULL else "full"
            shown = f"{means[0]:,.0f} | {means[1]:,.0f} | {means[2]:.2f}"
            lines.append(f"| {workload}: {name} | {shown} | {ratio} |")
    return "\n".join(lines) + "\n"
