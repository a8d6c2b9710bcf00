"""The table of stages per call of the paper's time breakdown: published / ours, in seconds."""

from __future__ import annotations

from pathlib import Path

from ..claims.breakdown import SYSTEMS, published_calls, stage_seconds
from ..records import open_run
from .block import Block

_STAGES = ("warming_s", "load_artifacts_s", "load_model_s", "inference_s")


def breakdown(block: Block, reference: Path) -> str:
    cells = {cell.system: cell for cell in open_run(reference / block.record).cells()}
    ours = {name: stage_seconds(cell) for name, cell in cells.items()}
    lines = [
        "| system | call | warming | load artifacts | load model | inference |",
        "|---|---|--:|--:|--:|--:|",
    ]
    calls = published_calls()
    for name in sorted(cells, key=lambda each: list(SYSTEMS.values()).index(each)):
        for row in (row for row in calls if SYSTEMS[row["system"]] == name):
            at = round(float(row["arrival_s"]), 2)
            mine = ours[name][row["function"], at]
            pairs = [f"{float(row[stage]):.2f} / {mine[stage]:.2f}" for stage in _STAGES]
            lines.append(f"| {name} | {row['function']} at {at:g} s | {' | '.join(pairs)} |")
    return "\n".join(lines) + "\n"
