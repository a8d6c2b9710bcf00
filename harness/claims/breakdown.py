"""The paper's time breakdown by call, compared with our calls."""

from __future__ import annotations

import csv
from collections import defaultdict
from importlib.resources import files
from typing import TYPE_CHECKING

from .claim import Ours
from .evaluation import OURS, ground

if TYPE_CHECKING:
    from ..records import Cell, Run

STAGES = {
    "warming_s": ("warming",),
    "load_artifacts_s": ("libraries", "kernels"),
    "load_model_s": ("backbone", "adapter"),
    "inference_s": ("prefill",),
}
"""Columns of the published figure, and our stages that each of them contains."""
_LOADING = ("warming_s", "load_artifacts_s", "load_model_s")
SYSTEMS = {
    "ServerlessLoRA": OURS, "ServerlessLLM": "serverless-llm", "InstaInfer": "instainfer",
}  # fmt: skip
_PAID_S = 0.05
"""The precision with which the published figure was read."""


def stages_paid(run: Run) -> Ours:
    """Count the figure's calls that wait for exactly the stages that the figure shows."""
    cells = {cell.system: cell for cell in run.cells()}
    seconds = {name: stage_seconds(cell) for name, cell in cells.items()}
    same: dict[str, list[bool]] = defaultdict(list)
    for row in published_calls():
        system = SYSTEMS[row["system"]]
        theirs = {stage for stage in _LOADING if float(row[stage]) > 0}
        mine = seconds[system].get((row["function"], round(float(row["arrival_s"]), 2)), {})
        same[system].append({stage for stage in _LOADING if mine.get(stage, 0) > _PAID_S} == theirs)
    total = sum(map(len, same.values()))
    agree = sum(map(sum, same.values()))
    each = ", ".join(f"{name} {sum(calls)}/{len(calls)}" for name, calls in same.items())
    about = next(iter(cells.values())).manifest
    why, on = f"{each}; record {run.path.name}", about.gpus
    if about.profile:
        why, on = f"{each}; durations agree by construction, {ground(about.profile)} has them", ""
    return Ours((agree / total,), f"{agree} of {total}", about.mode, why, on=on)


def stage_seconds(cell: Cell) -> dict[tuple[str, float], dict[str, float]]:
    """(function, arrival in s) → seconds in each of the figure's stages."""
    spans = cell.table("spans").to_pandas()
    spans["s"] = (spans["end_ns"] - spans["start_ns"]) / 1e9
    lengths = spans.groupby(["request_id", "stage"])["s"].sum()
    columns = cell.requests[["request_id", "function_id", "scheduled_ns"]]
    return {
        (str(function), round(due_ns / 1e9, 2)): {
            name: sum(lengths.get((request, stage), 0.0) for stage in stages)
            for name, stages in STAGES.items()
        }
        for request, function, due_ns in columns.to_numpy().tolist()
    }


def published_calls() -> list[dict[str, str]]:
    """Return one row per call of the published figure, in seconds."""
    file = files("harness") / "claims" / "time_breakdown.csv"
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
