"""The table of the device memory that the ledger reserves and that the driver counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..records import Cell, open_run
from .block import Block

HEADS = ("live, at the peak, MB", "reserved", "of this weights", "counted for processes")
DRIVER = "measured-nvml"


def ledger(block: Block, reference: Path) -> str:
    """A row for each cell of the records of ``rows`` whose system has a ledger, with the peak of
    the first device. The driver counts memory of processes, not a copy that they share."""
    lines: list[tuple[str, ...]] = [HEADS, ("---", "--:", "--:", "--:")]
    lines += [line for record in block.rows for line in _rows(record, reference)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rows(record: str, reference: Path) -> Iterator[tuple[str, ...]]:
    where = f"[{record}](results/reference/{record})"
    for cell in open_run(reference / record).cells():
        peak = cell.summary["memory_peak_bytes"]
        if peak is not None:
            device = next(iter(peak))
            told = (peak[device]["all"], peak[device]["weights"], _driver(cell, device))
            shown = (f"{each / 1e6:,.0f}" for each in told)
            yield (f"{cell.system}, {cell.workload}; {where}", *shown)


def _driver(cell: Cell, device: str) -> int:
    memory = cell.table("memory").to_pandas()
    counted = memory[(memory["source"] == DRIVER) & (memory["device"] == device)]
    return int(counted["bytes"].max())
