"""The table of a sweep: one row per value, one column per system and metric."""

from __future__ import annotations

import json
from pathlib import Path

from ..records.files import read_kept
from ..report.numbers import shown, unit_of
from .block import Block


def sweep(block: Block, reference: Path) -> str:
    """Columns follow the order of ``rows`` (metrics), then of ``systems``."""
    folder = reference / block.record
    about = json.loads((folder / "study.json").read_bytes())
    frame = read_kept(folder / "numbers.parquet").to_pandas()
    frame = frame[frame["metric"].isin(block.rows)]
    units = dict(zip(frame["metric"], frame["unit"], strict=True))
    values = frame.set_index(["at", "metric", "system"])["value"]
    columns = [(metric, system) for metric in block.rows for system in block.systems]
    heads = [
        f"{_of(block, system)}{head}, {unit_of(units[metric])}"
        for metric, head in zip(block.rows, block.heads, strict=True)
        for system in block.systems
    ]
    lines = [[about["study"]["over"], *heads], ["--:"] * (1 + len(columns))]
    for at in sorted(set(frame["at"])):
        cells = [
            shown(float(values[at, metric, system]), None, units[metric])
            for metric, system in columns
        ]
        lines.append([f"{at:,g}", *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _of(block: Block, system: str) -> str:
    return f"{system}: " if len(block.systems) > 1 else ""
