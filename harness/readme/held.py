"""The table of the memory that systems hold before they are called, and while they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..records import Cell, open_run
from ..records.schema import is_host
from .block import Block

if TYPE_CHECKING:
    import pandas as pd

LEDGER, DRIVER, KERNEL = "ledger", "measured-nvml", "measured-pss"
HEADS = ("GB", "before the first request", "mean", "most", "host memory, mean")


def held(block: Block, reference: Path) -> str:
    """A row for each of ``systems`` with a cell under the first of ``workloads``: what it holds on
    its devices by its ledger, or †, if it keeps none, by the driver's count; and its processes in
    host memory, by the kernel's."""
    cells = {(c.workload, c.system): c for c in open_run(reference / block.record).cells()}
    lines: list[tuple[str, ...]] = [HEADS, ("---", *["--:"] * (len(HEADS) - 1))]
    lines += [_row(cells[block.workloads[0], system]) for system in block.systems]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(cell: Cell) -> tuple[str, ...]:
    memory = cell.table("memory").to_pandas()
    on_devices = memory[~memory["device"].map(is_host)]
    kept = on_devices[on_devices["source"] == LEDGER]
    total = _total(kept if len(kept) else on_devices[on_devices["source"] == DRIVER])
    first = int(cell.table("requests").to_pandas()["sent_ns"].min())
    # The driver is asked for the first time when the first request may have been sent.
    before = total[total.index <= max(first, total.index[0])].iloc[-1]
    mark = "" if len(kept) else " †"
    told = (before, _mean(total, round(cell.summary["duration_s"] * 1e9)), total.max())
    host = memory.loc[memory["source"] == KERNEL, "bytes"].mean()
    return f"{cell.system}{mark}", *(f"{each / 1e9:.1f}" for each in (*told, host))


def _total(steps: pd.DataFrame) -> pd.Series:
    """Return what all hold together from each moment on, by ns."""
    holder = steps.groupby(["device", "owner", "function_id"], dropna=False).ngroup()
    wide = steps.assign(holder=holder).pivot_table("bytes", "t_ns", "holder", aggfunc="last")
    return wide.ffill().fillna(0).sum(axis=1)


def _mean(total: pd.Series, end_ns: int) -> float:
    inside = total[total.index < end_ns]
    lengths = np.diff([*inside.index, end_ns]).astype(float)
    return float(np.average(inside, weights=lengths))
