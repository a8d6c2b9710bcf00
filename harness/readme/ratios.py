"""The table of a sweep with ratios: what a system has, and how many times as much the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ..records.files import read_kept
from ..reference.numbers import ratio_of
from ..report.numbers import shown, unit_of
from .block import Block


def ratios(block: Block, reference: Path) -> str:
    """A row per value and metric (``rows``): the value of ``baseline``, and for each of ``systems``
    its ratio to it with its interval, where one is known. The value in the paper's evaluation is
    marked."""
    folder = reference / block.record
    study = json.loads((folder / "study.json").read_bytes())["study"]
    frame = read_kept(folder / "numbers.parquet").to_pandas()
    found = frame.set_index(["at", "metric", "system"])
    heads = [study["over"], "", str(block.baseline), *(_short(block, s) for s in block.systems)]
    lines = [heads, ["--:", "---", *["--:"] * (len(heads) - 2)]]
    for at in dict.fromkeys(frame["at"]):
        place = f"{at:,g}" + (" (published)" if at == study["published_at"] else "")
        for metric, head in zip(block.rows, block.heads, strict=True):
            lines.append([place, *_row(block, found.loc[at], metric, head)])
            place = ""
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(block: Block, found: pd.DataFrame, metric: str, head: str) -> list[str]:
    full: Any = found.loc[(metric, str(block.baseline))]
    told = [_ratio(found.loc[(ratio_of(metric), system)]) for system in block.systems]
    return [f"{head}, {unit_of(full['unit'])}", shown(full["value"], None, full["unit"]), *told]


def _ratio(row: Any) -> str:
    ends = "" if pd.isna(row["low"]) else f" ({_number(row['low'])}–{_number(row['high'])})"
    return _number(row["value"]) + ends


def _number(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def _short(block: Block, system: str) -> str:
    return system.removeprefix(f"{block.baseline}-")
