"""The table of a sweep: one row per value, one column per system and metric.

In addition to the metrics of the record there is ``scaling_efficiency``: the output at a value of a
sweep over devices, to that of the fewest devices times as many.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..records.files import read_kept
from ..report.numbers import shown, unit_of
from .block import Block

if TYPE_CHECKING:
    import pandas as pd

OUTPUT, EFFICIENCY = "output_tokens_per_s", "scaling_efficiency"


def sweep(block: Block, reference: Path) -> str:
    """Columns follow the order of ``rows`` (metrics), then of ``systems``."""
    folder = reference / block.record
    about = json.loads((folder / "study.json").read_bytes())
    frame = _with_efficiency(read_kept(folder / "numbers.parquet").to_pandas())
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


def _with_efficiency(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    output = frame[frame["metric"] == OUTPUT]
    least = output["at"].min()
    alone = output[output["at"] == least].set_index("system")["value"]
    ideal = output["system"].map(alone) * output["at"] / least
    reached = 100 * output["value"] / ideal
    return pd.concat([frame, output.assign(metric=EFFICIENCY, unit="%", value=reached)])
